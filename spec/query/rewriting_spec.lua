local dns = require "dns"
local probe = require "spec.query.probe"

--- A server that rewrites by this rule, with what else is in the block.
local function server(rule, rest, upstream)
  local s = probe.server(function(next)
    return function(q) return q:rewrite(rule, next) end
  end, rest)
  s:upstream(upstream or {})
  return s
end

local function question_of(packet)
  local name, at = {}, 13
  while packet:byte(at) ~= 0 do
    name[#name + 1] = packet:sub(at + 1, at + packet:byte(at))
    at = at + 1 + packet:byte(at)
  end
  return table.concat(name, ".") .. "." .. packet:byte(at + 2)
end

describe("a rewritten name", function()
  local rule = dns.rewrite { name = "new.test." }

  it("is asked upstream and answered under the client's", function()
    local s = server(rule, nil, {
      ["new.test. A"] = { answer = "new.test. 60 IN CNAME x.new.test.\nx.new.test. 60 IN A 192.0.2.1",
        authority = "test. 5 IN NS ns.new.test." },
    })
    local r = s:query("Old.Example. A", { edns = 1232 })
    assert.equal("new.test.1", question_of(s.asked[1].packet))
    assert.equal("Old.Example.1", question_of(r.packet))
    assert.same({ "Old.Example. 60 IN CNAME x.Old.Example.", "x.Old.Example. 60 IN A 192.0.2.1" }, r.answer)
    assert.same({ "test. 5 IN NS ns.Old.Example." }, r.authority)
    assert.matches("EDNS", r.opt)
    assert.rcode("REFUSED", s:query "x.y.example. AAAA") -- what the upstream says to new.test. AAAA
    assert.equal("new.test. AAAA", s.asked[2].question)
  end)
  it("leaves names as they came when told so", function()
    local answer = { default = "new.test. 60 IN CNAME x.new.test." }
    local s = server(dns.rewrite { name = "new.test.", restore = "owners" }, nil, answer)
    assert.same({ "a.test. 60 IN CNAME x.new.test." }, s:query("a.test. A").answer)
    s = server(dns.rewrite { name = "new.test.", restore = "none" }, nil, answer)
    assert.same({ "new.test. 60 IN CNAME x.new.test." }, s:query("a.test. A").answer)
  end)
  it("may be text, or a name that is made for the query", function()
    local s = probe.server(function(next)
      local name = dns.name "new.test."
      return function(q)
        if q:is "TXT" then return q:rewrite(name, next) end
        return q:rewrite(q:label_text(1) .. ".new.test.", next)
      end
    end)
    s:upstream { ["a.new.test. A"] = "a.new.test. 1 IN A 192.0.2.1", ["new.test. TXT"] = "new.test. 1 IN TXT y" }
    assert.answer("a.b.test. 1 IN A 192.0.2.1", s:query "a.b.test. A")
    assert.answer("a.b.test. 1 IN TXT \"y\"", s:query "a.b.test. TXT")
  end)
  it("is what the cache keeps", function()
    local s = server(rule, " cache 60\n forward . 192.0.2.53\n", { ["new.test. A"] = "new.test. 60 IN A 192.0.2.1" })
    assert.answer("a.test. 60 IN A 192.0.2.1", s:query "a.test. A")
    local r = s:query "B.Test. A"
    assert.equal("B.Test. 60 IN A 192.0.2.1", r.answer[1])
    assert.equal("B.Test.1", question_of(r.packet))
    assert.equal(1, #s.asked)
  end)
  it("is what hosts answers", function()
    local s = server(rule, " hosts /dev/null {\n 192.0.2.9 new.test\n }\n")
    assert.answer("a.test. 3600 IN A 192.0.2.9", s:query "a.test. A")
    assert.rcode("NOERROR", s:query "a.test. AAAA")
  end)
  it("is not what the log tells", function()
    local s = server(rule, " log\n errors\n forward . 192.0.2.53\n", { default = { rcode = "NXDOMAIN" } })
    s:log()
    s:query "old.example. A"
    assert.matches('"A IN old.example. udp 29 false 512" NXDOMAIN', s:log(), 1, true)
    s:upstream { default = { code = "connect" } }
    assert.rcode("SERVFAIL", s:query "old.example. A")
    assert.matches("2 old.example. A: ", s:log(), 1, true)
  end)
  it("may be too long for the packet's own buffer", function()
    local long = (("x"):rep(60) .. "."):rep(3) .. "test."
    local s = server(dns.rewrite { name = long }, nil, { default = { rcode = "NXDOMAIN" } })
    local padding = "\0\12\1\176" .. ("\0"):rep(432) -- 432 octets of PADDING, RFC 7830
    for _ = 1, 300 do -- as many buffers as there are, and some
      local r = s:query("Old.example. A", { edns = 1232, edns_options = padding })
      assert.rcode("NXDOMAIN", r)
      assert.equal("Old.example.1", question_of(r.packet))
    end
    assert.equal(long .. " A", s.asked[1].question)
  end)
  it("is taken back when something fails behind it", function()
    local s = probe.server {
      function(next) return function(q) return q:rewrite(rule, next) end end,
      function()
        return function(q)
          if q:under "new.test." then error "on purpose" end
          return 0
        end
      end,
    }
    local r = s:query "Old.example. A"
    assert.rcode("SERVFAIL", r)
    assert.equal("Old.example.1", question_of(r.packet))
    assert.equal(29, r.size)
  end)
  it("is taken back when there is no reply of anyone's", function()
    local s = probe.server(function()
      return function(q) return q:rewrite(rule, function() return 5 end) end
    end)
    local r = s:query "Old.example. A"
    assert.rcode("REFUSED", r)
    assert.equal("Old.example.1", question_of(r.packet))
  end)
  it("may be rewritten again", function()
    local seen = {}
    local s = probe.server {
      function(next)
        return function(q)
          local rcode, err = q:rewrite("b.test.", next)
          seen[#seen + 1] = q:name_text()
          return rcode, err
        end
      end,
      function(next)
        local own = dns.rewrite { name = "c.test.", type = "AAAA" }
        return function(q)
          seen[#seen + 1] = q:name_text()
          local rcode, err = q:rewrite(own, next)
          seen[#seen + 1] = q:name_text()
          for record in q:records() do seen[#seen + 1] = record:owner_text() end
          return rcode, err
        end
      end,
    }
    s:upstream { ["c.test. AAAA"] = "c.test. 1 IN AAAA ::1" }
    local r = s:query "A.test. A"
    assert.same({ "b.test.", "b.test.", "b.test.", "a.test." }, seen)
    assert.same({ "A.test. 1 IN AAAA ::1" }, r.answer)
    assert.equal("A.test.1", question_of(r.packet))
  end)
end)

describe("a rewritten zone", function()
  it("keeps what stands before it", function()
    local s = server(dns.rewrite { from = "example.org.", to = "svc.cluster.local." }, nil, {
      ["a.b.svc.cluster.local. SRV"] = {
        answer = "a.b.svc.cluster.local. 5 IN SRV 0 0 80 pod.svc.cluster.local.",
        additional = "pod.svc.cluster.local. 5 IN A 10.0.0.1",
      },
      ["svc.cluster.local. A"] = "svc.cluster.local. 5 IN A 10.0.0.2",
      ["a.example.com. A"] = "a.example.com. 5 IN A 10.0.0.3",
    })
    local r = s:query "a.B.Example.org. SRV"
    assert.same({ "a.B.Example.org. 5 IN SRV 0 0 80 pod.Example.org." }, r.answer)
    assert.same({ "pod.Example.org. 5 IN A 10.0.0.1" }, r.additional)
    assert.answer("example.org. 5 IN A 10.0.0.2", s:query "example.org. A")
    assert.answer("a.example.com. 5 IN A 10.0.0.3", s:query "a.example.com. A") -- not in the zone
  end)
  it("gives SERVFAIL where the name would be too long", function()
    local s = server(dns.rewrite { from = "t.", to = ("x"):rep(60) .. ".t." }, " errors\n forward . 192.0.2.53\n")
    local long = (("y"):rep(61) .. "."):rep(3) .. ("y"):rep(20) .. ".t."
    s:log()
    assert.rcode("SERVFAIL", s:query(long .. " A"))
    assert.matches("invalid name after rewrite of yyy", s:log(), 1, true)
  end)
end)

describe("a rewritten type", function()
  it("is asked for, and the question stays", function()
    local s = server(dns.rewrite { type = "AAAA" }, nil, { ["a.test. AAAA"] = "a.test. 1 IN AAAA ::1" })
    local r = s:query "A.test. ANY"
    assert.same({ "A.test. 1 IN AAAA ::1" }, r.answer)
    assert.equal("A.test.255", question_of(r.packet))
  end)
end)

describe("dns.rewrite", function()
  it("says what is wrong", function()
    assert.error_matches(function() dns.rewrite {} end, "expected name, from and to, or type")
    assert.error_matches(function() dns.rewrite { from = "a." } end, "expected name, or from and to")
    assert.error_matches(function() dns.rewrite { name = "a.", to = "b.", from = "c." } end, "expected name, or from and to")
    assert.error_matches(function() dns.rewrite { nmae = "a." } end, 'unknown field "nmae"')
    assert.error_matches(function() dns.rewrite { name = "a.", restore = "some" } end, "expected names, owners or none")
    assert.error_matches(function() dns.rewrite { type = "BANANA" } end, '"BANANA" is not a record type')
  end)
end)

describe("rewriting", function()
  it("stays compiled and allocates nothing", function()
    local rule, zone = dns.rewrite { name = "new.test." }, dns.rewrite { from = "a.test.", to = "b.much.longer.test." }
    local records = dns.records "@ 60 IN A 192.0.2.1\n@ 60 IN MX 1 b.much.longer.test."
    local s = probe.server {
      function(next)
        return function(q)
          if q:is "A" then return q:rewrite(rule, next) end
          return q:rewrite(zone, next)
        end
      end,
      function() return function(q) return q:answer(records) end end,
    }
    assert.same({ "x.a.test. 60 IN MX 1 a.test." }, s:query("x.a.test. MX").answer)
    assert.hot(s, { "x.a.test. A", { "y.a.test. A", { edns = 1232 } } })
    assert.hot(s, { "x.a.test. MX", "z.test. MX" })
  end)
end)

teardown(probe.done)
