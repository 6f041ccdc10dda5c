local dns = require "dns"
local probe = require "spec.query.probe"

local function reply(fn, question, options)
  local _, r = probe.ask(fn, question, options)
  return r
end

--- What a method that is used wrongly says, and where.
local function failure(fn, question)
  local ok, err = true, nil
  probe.ask(function(q) ok, err = pcall(fn, q) end, question or "a.test. A")
  assert.is_false(ok)
  return err
end

describe("prepared records", function()
  local records = dns.records [[
    @       60 IN A 192.0.2.1
    @       60 IN A 192.0.2.2
    @      300 IN AAAA 2001:db8::1
    @      300 IN TXT "made here"
    _sip._udp 5 IN SRV 0 0 5060 sip.example.
  ]]
  local soa = dns.soa("test.", { serial = 7 })

  it("answer what is asked, for the client's name", function()
    local function ask(question) return reply(function(q) return q:answer(records, soa) end, question) end
    local r = ask "Www.Test. A"
    assert.answer({ "www.test. 60 IN A 192.0.2.1", "www.test. 60 IN A 192.0.2.2" }, r)
    assert.equal("Www.Test. 60 IN A 192.0.2.1", r.answer[1])
    assert.is_true(r.flags.aa)
    assert.answer("www.test. 300 IN TXT \"made here\"", ask "www.test. TXT")
    assert.equal(5, #ask("www.test. ANY").answer)
    r = ask "www.test. MX"
    assert.rcode("NOERROR", r)
    assert.same({}, r.answer)
    assert.same({ "test. 30 IN SOA ns.dns.test. hostmaster.test. 7 7200 1800 86400 30" }, r.authority)
  end)
  it("go whole into any section", function()
    local r = reply(function(q)
      q:add("answer", records)
      q:add("additional", records)
      q:add(dns.AUTHORITY, soa)
      return 0
    end, "a.test. MX")
    assert.same({ 5, 1, 5 }, { #r.answer, #r.authority, #r.additional })
    assert.equal("_sip._udp.a.test. 5 IN SRV 0 0 5060 sip.example.", r.answer[5])
  end)
  it("are made from values", function()
    local function made(...)
      local own = dns.records(...)
      return reply(function(q) return q:answer(own) end, "a.test. ANY").answer
    end
    assert.same({ "a.test. 60 IN A 192.0.2.1" }, made { "A", "192.0.2.1", ttl = 60 })
    assert.same({ "a.test. 3600 IN A 192.0.2.1" }, made { "A", dns.addr "192.0.2.1" })
    assert.same({ "a.test. 0 IN A 192.0.2.1" }, made { "A", "192.0.2.1", ttl = 0 })
    assert.same({ "a.test. 3600 IN MX 10 mail.test.", "x.a.test. 5 IN CNAME b.test." },
      made { { "MX", 10, "mail.test." }, { "cname", dns.name "b.test", owner = "x", ttl = 5 } })
    assert.same({ "a.test. 3600 IN SRV 0 5 443 www.test." }, made { "SRV", 0, 5, 443, "www.test." })
    assert.same({ "a.test. 3600 IN TXT \"v=spf1 -all\" \"a \\\"quoted\\\" \\\\ word\"" },
      made { "TXT", "v=spf1 -all", "a \"quoted\" \\ word" })
    assert.same({ ("a.test. 3600 IN TXT \"%s\" \"%s\""):format(("x"):rep(255), ("x"):rep(45)) },
      made { "TXT", ("x"):rep(300) })
    assert.same({ "a.test. 3600 IN CAA 0 issue \"ca.test; policy=x\"" }, made { "CAA", 0, "issue", "ca.test; policy=x" })
    assert.same({ "a.test. 3600 IN NS ns.zone.test.", "www.zone.test. 3600 IN A 192.0.2.1" },
      made({ { "NS", "ns", owner = "a.test." }, { "A", "192.0.2.1", owner = "www" } }, { origin = "zone.test." }))
    assert.same({ "a.test. 7 IN PTR b." }, made({ "PTR", "b." }, { ttl = 7 }))
    assert.equal(2, #dns.records { { "A", "192.0.2.1" }, { "A", "192.0.2.2" } })
  end)
  it("say what is wrong with them", function()
    assert.matches("building_spec.lua:%d+: expected records that dns.records has made in setup, found a number",
      failure(function(q) q:answer(0) end))
    assert.matches("building_spec.lua:%d+: expected records that dns.records", failure(function(q) q:add("answer", nil) end))
    assert.matches("building_spec.lua:%d+: expected the SOA record that dns.soa has made",
      failure(function(q) q:nxdomain("test. SOA") end))
    assert.error_matches(function() dns.records "@ 60 IN A banana" end, "^dns.records: line 1: ")
    assert.error_matches(function() dns.records "@ 60 IN MX 10 mail" end, "relative name in the data, and no origin")
    assert.error_matches(function() dns.records { 1, 2 } end, "a record begins with its type")
    assert.error_matches(function() dns.records(true) end, "expected text")
    assert.error_matches(function() dns.records { "A", {} } end, "a table is no field of a record")
  end)
end)

describe("an answer", function()
  it("of an address is for questions of its family", function()
    local function ask(question) return reply(function(q) return q:answer_address("192.0.2.1", 60) end, question) end
    assert.answer("a.test. 60 IN A 192.0.2.1", ask "a.test. A")
    assert.answer({}, ask "a.test. AAAA")
    assert.rcode("NOERROR", ask "a.test. AAAA")
    assert.answer("a.test. 5 IN AAAA 2001:db8::1",
      reply(function(q) return q:answer_address(dns.addr "2001:db8::1", 5) end, "a.test. AAAA"))
    assert.matches("building_spec.lua:%d+: 'banana' is not an IP address",
      failure(function(q) q:answer_address("banana", 60) end))
  end)
  it("of a name is an alias or what its type says", function()
    assert.answer("a.test. 60 IN CNAME b.test.", reply(function(q) return q:answer_name("CNAME", "b.test.", 60) end, "a.test. A"))
    assert.answer("a.test. 60 IN PTR b.test.",
      reply(function(q) return q:answer_name(dns.PTR, dns.name "b.test.", 60) end, "a.test. PTR"))
  end)
  it("of text", function()
    assert.answer("a.test. 60 IN TXT \"hello\"", reply(function(q) return q:answer_text("hello", 60) end, "a.test. TXT"))
    assert.answer({}, reply(function(q) return q:answer_text("hello", 60) end, "a.test. A"))
    assert.matches("at most 255 octets, found 256", failure(function(q) q:answer_text(("x"):rep(256), 60) end))
  end)
  it("of text records and of data in wire format", function()
    assert.answer({ "a.test. 60 IN A 192.0.2.1", "www.a.test. 5 IN AAAA ::1" }, reply(function(q)
      q:add("answer", "@ 60 IN A 192.0.2.1\nwww 5 AAAA ::1")
      return 0
    end, "a.test. A"))
    local r = reply(function(q)
      q:add_data("answer", nil, "A", 60, "\192\0\2\1")
      q:add_data("additional", "b.test.", 65280, 60, "abc")
      return 0
    end, "a.test. A")
    assert.same({ "a.test. 60 IN A 192.0.2.1" }, r.answer)
    assert.same({ "b.test. 60 IN TYPE65280 \\# 3 616263" }, r.additional)
    assert.matches("building_spec.lua:%d+: the data does not fit", failure(function(q) q:add_data(1, nil, "A", 60, "x") end))
    assert.matches("building_spec.lua:%d+: line 1", failure(function(q) q:add("answer", "@ A x") end))
    assert.matches('building_spec.lua:%d+: "anser" is not a section', failure(function(q) q:add("anser", "@ A x") end))
  end)
end)

describe("no answer", function()
  it("says that there is no such name or type", function()
    local soa = dns.soa("Test", { mname = "ns1.test.", rname = "me.test.", serial = 1, refresh = 2, retry = 3, expire = 4,
      minimum = 5, ttl = 6 })
    local r = reply(function(q) return q:nxdomain(soa) end, "a.test. A")
    assert.rcode("NXDOMAIN", r)
    assert.is_true(r.flags.aa)
    assert.same({ "test. 6 IN SOA ns1.test. me.test. 1 2 3 4 5" }, r.authority)
    r = reply(function(q) return q:nodata(soa) end, "a.test. A")
    assert.rcode("NOERROR", r)
    assert.same({ 0, 1 }, { #r.answer, #r.authority })
    assert.rcode("NXDOMAIN", reply(function(q) return q:nxdomain() end, "a.test. A"))
    assert.same({ ". 30 IN SOA ns.dns. hostmaster. 1 7200 1800 86400 30" },
      reply(function(q) return q:nodata(dns.soa(".", { serial = 1 })) end, "a.test. A").authority)
  end)
  it("refuses, or says any rcode", function()
    assert.rcode("REFUSED", reply(function(q) return q:refuse() end, "a.test. A"))
    assert.rcode("NOTIMP", reply(function(q) return q:respond "NOTIMP" end, "a.test. A"))
    assert.rcode("SERVFAIL", reply(function(q) return q:respond(2) end, "a.test. A"))
    assert.matches('building_spec.lua:%d+: "NODOMAIN" is not an rcode', failure(function(q) q:respond "NODOMAIN" end))
  end)
  it("sends nothing", function()
    assert.is_nil(reply(function(q) return q:drop() end, "a.test. A"))
  end)
  it("sends clients to TCP, those that are not there yet", function()
    local r = reply(function(q) return q:truncate() end, "a.test. A")
    assert.is_true(r.flags.tc)
    assert.rcode("NOERROR", r)
    local _, over_tcp = probe.ask(function(q) return select(2, pcall(q.truncate, q)) end, "a.test. A", { transport = "tcp" })
    assert.rcode("REFUSED", over_tcp)
    assert.matches("for UDP queries", (probe.ask(function(q) return select(2, pcall(q.truncate, q)) end, "a.test. A",
      { transport = "tcp" })))
  end)
end)

describe("a delay", function()
  it("lets other queries pass", function()
    local s = probe.server(function()
      return function(q)
        if q:under "slow.test." then q:delay(2.5) end
        return q:refuse()
      end
    end)
    local slow = s:send "slow.test. A"
    assert.rcode("REFUSED", s:query "fast.test. A")
    s:advance(2.25)
    assert.is_nil(s:finish(slow))
    s:advance(0.25)
    assert.rcode("REFUSED", s:finish(slow))
  end)
end)

describe("building", function()
  it("stays compiled and allocates nothing", function()
    local records = dns.records "@ 60 IN A 192.0.2.1\n@ 60 IN A 192.0.2.2\n_x 5 IN TXT y"
    local soa = dns.soa("test.", { serial = 1 })
    local target = dns.name "target.test."
    local s = probe.server(function()
      return function(q)
        if q:is "A" then
          q:answer_address("192.0.2.7", 60)
          q:add("additional", records)
          return q:answer(records, soa)
        end
        if q:is "AAAA" then return q:nxdomain(soa) end
        if q:is "MX" then return q:answer_name("CNAME", target, 60) end
        if q:is "TXT" then return q:answer_text("hello", 60) end
        if q:is "SRV" then return q:truncate() end
        if q:is "NS" then
          q:add_data("answer", target, "A", 60, "\192\0\2\1")
          return q:set_rcode "REFUSED"
        end
        return q:nodata(soa)
      end
    end)
    assert.equal(3, #s:query("a.test. A").answer)
    assert.hot(s, { "a.test. A" })
    assert.hot(s, { "a.test. AAAA", "a.test. MX" })
    assert.hot(s, { "a.test. TXT", "a.test. SRV" })
    assert.hot(s, { "a.test. NS", "a.test. SOA" })
  end)
end)

teardown(probe.done)
