local boundary = require "lunadns.boundary"
local dns = require "dns"
local probe = require "spec.dns.probe"

local HOSTS = "hosts /nowhere/hosts {\n 192.0.2.7 db.run.test www.test\n 2001:db8::7 www.test\n fallthrough\n}\n"

describe("dns.resolve", function()
  teardown(probe.close)

  it("asks the server block's own plugins, those in front included", function()
    local s = probe.handler(HOSTS, function() return dns.resolve("www.test", "A") end)
    local reply = probe.run(s)
    assert.equal(dns.NOERROR, reply.rcode)
    assert.equal("NOERROR", reply.rcode_text)
    assert.same({ "www.test.", "A", "192.0.2.7" }, { reply.answer[1].name, reply.answer[1].type, reply.answer[1].data })
    assert.equal("192.0.2.7", boundary.addr_text(reply.answer[1].address))
    assert.is_true(reply.aa)
    assert.same({}, reply.authority)
  end)

  it("waits for what the chain waits for", function()
    local s = probe.handler("forward . 10.0.0.1", function() return dns.resolve("up.test.", dns.MX) end)
    s:upstream { ["up.test. MX"] = { answer = "up.test. 60 IN MX 10 mail.test.", delay = "1s",
      additional = "mail.test. 30 IN A 192.0.2.1" } }
    local reply = probe.run(s)
    assert.same({ 10, "mail.test.", 60 }, { reply.answer[1].preference, reply.answer[1].target, reply.answer[1].ttl })
    assert.equal("mail.test.", reply.additional[1].name)
    assert.is_nil(reply.additional[2]) -- no OPT
  end)

  it("reads records as text and as values", function()
    local s = probe.handler("forward . 10.0.0.1", function() return dns.resolve("all.test.", "ANY") end)
    s:upstream { default = { answer = {
      "all.test. 60 IN A 192.0.2.1", "all.test. 60 IN AAAA 2001:db8::1", "all.test. 60 IN CNAME other.test.",
      "all.test. 60 IN MX 10 mail.test.", "all.test. 60 IN SRV 1 2 53 srv.test.", 'all.test. 60 IN TXT "a b" "c"',
      "all.test. 60 IN TYPE65280 \\# 2 0102", "a\\032b.test. 60 IN NS ns.test." } } }
    local r = probe.run(s).answer
    local data = {}
    for i, record in ipairs(r) do data[i] = record.type .. " " .. record.data end
    assert.same({ "A 192.0.2.1", "AAAA 2001:db8::1", "CNAME other.test.", "MX 10 mail.test.", "SRV 1 2 53 srv.test.",
      'TXT "a b" "c"', "TYPE65280 \\# 2 0102", "NS ns.test." }, data)
    assert.equal("2001:db8::1", boundary.addr_text(r[2].address))
    assert.is_nil(r[3].address)
    assert.same({ "other.test.", "mail.test.", 10, "ns.test." }, { r[3].target, r[4].target, r[4].preference, r[8].target })
    assert.same({ 1, 2, 53, "srv.test." }, { r[5].priority, r[5].weight, r[5].port, r[5].target })
    assert.equal("a\\032b.test.", r[8].name)
    assert.is_nil(r[1].nonsense)
  end)

  it("gives whatever rcode there is", function()
    local s = probe.handler("forward . 10.0.0.1", function() return dns.resolve("gone.test", "A") end)
    s:upstream { default = { rcode = "NXDOMAIN", authority = "test. 60 IN SOA ns.test. h.test. 1 2 3 4 5" } }
    local reply = probe.run(s)
    assert.equal("NXDOMAIN", reply.rcode_text)
    assert.equal("SOA", reply.authority[1].type)
  end)

  it("goes to the block that would serve the name", function()
    local s = probe.handler("whoami\n}\nother.test {\n hosts /nowhere/hosts {\n 192.0.2.9 www.other.test\n }\n",
      function() return dns.resolve("www.other.test", "A"), dns.resolve("none.other.test", "A") end)
    local reply, none = probe.run(s)
    assert.equal("192.0.2.9", reply.answer[1].data)
    assert.equal("SERVFAIL", none.rcode_text)
  end)

  it("gives REFUSED for what no block serves", function()
    local s = probe.server("run.test {\n probe\n whoami\n}", function(next)
      return function(q)
        if not q:under "x.run.test." then return next(q) end
        probe.result = { dns.resolve("www.other.test", "A") }
        return 0
      end
    end)
    assert.equal("REFUSED", (probe.run(s)).rcode_text)
  end)

  it("asks the way that has room when the reply is cut", function()
    local s = probe.handler("forward . 10.0.0.1", function() return dns.resolve("big.test", "TXT") end)
    s:upstream(function(_, exchange)
      if exchange.transport == "udp" then return { truncate = true } end
      return "big.test. 60 IN TXT whole"
    end)
    local reply = probe.run(s)
    assert.equal('"whole"', reply.answer[1].data)
    assert.is_false(reply.tc)
  end)

  it("has a deadline, and cancels what is under way", function()
    local s = probe.handler("errors\nforward . 10.0.0.1", function() return dns.resolve("lost.test", "A", { timeout = 1 }) end)
    s:upstream { default = { drop = true } }
    local reply, err = probe.run(s)
    assert.is_nil(reply)
    assert.equal("lost.test. A: no answer after 1 s", err)
  end)

  it("ends where a handler asks for what it is asked", function()
    local calls = 0
    local s = probe.handler("whoami", function()
      calls = calls + 1
      local own, err = dns.resolve("x.run.test", "A")
      if not own then error(err, 0) end
    end)
    local reply = s:query "x.run.test. A"
    assert.rcode("NOERROR", reply)
    assert.equal(9, calls)
    assert.matches("x.run.test. A: questions of the server's own are 8 deep", s:log())
  end)

  it("says so when a question waits for itself behind the cache", function()
    local s = probe.handler("cache\nwhoami", function() return dns.resolve("x.run.test", "A") end, { place = "after" })
    local reply, err = probe.run(s)
    assert.is_nil(reply)
    assert.equal("x.run.test. A: no answer after 5 s; the question that is being answered asks for itself", err)
  end)

  it("contains what the asked plugin throws", function()
    local s = probe.handler("whoami", function(q)
      if q:under "bad.run.test." then error "oh no" end
      return dns.resolve("bad.run.test", "A")
    end)
    assert.equal("SERVFAIL", (probe.run(s)).rcode_text)
    assert.matches("oh no %(question bad.run.test. A", s:log())
  end)

  it("gives data that is no name back as an error, and raises for what is no type", function()
    local s = probe.handler("whoami", function()
      local _, err = dns.resolve("a..b", "A")
      return err, select(2, pcall(dns.resolve, "a.b", "AA")), select(2, pcall(dns.resolve, nil, "A"))
    end)
    local name, kind, missing = probe.run(s)
    assert.equal("dns.resolve: 'a..b' is not a domain name", name)
    assert.matches("dns.resolve: 'AA' is not a record type", kind)
    assert.matches("dns.resolve: name: expected a text or dns.name%(...%), found nil", missing)
  end)

  it("runs in timers, where the block is served", function()
    local reply
    local s = probe.server(".:53 {\n whoami\n}\n.:5353 {\n probe\n" .. HOSTS .. "}", function(next, server)
      server:every(1, function() reply = dns.resolve("www.test", "A") end)
      return next
    end)
    s:advance "2s"
    assert.equal("192.0.2.7", reply.answer[1].data)
  end)

  it("asks the system's nameservers in setup", function()
    local reply
    probe.server(". {\n probe\n whoami\n}", function(next)
      reply = assert(dns.resolve("api.test", "A"))
      return next
    end, { upstream = { ["api.test. A"] = "api.test. 60 IN A 192.0.2.5" } })
    assert.equal("192.0.2.5", reply.answer[1].data)
  end)
  it("asks them for functions of dns.all in setup too", function()
    local replies
    local ask = function(name) return function() return assert(dns.resolve(name, "A")) end end
    probe.server(". {\n probe\n whoami\n}", function(next)
      replies = dns.all { ask "one.test", ask "two.test" }
      return next
    end, { upstream = { ["one.test. A"] = "one.test. 60 IN A 192.0.2.1", ["two.test. A"] = "two.test. 60 IN A 192.0.2.2" } })
    assert.equal("192.0.2.1", replies[1].answer[1].data)
    assert.equal("192.0.2.2", replies[2].answer[1].data)
  end)

  it("gives slots back", function()
    local s = probe.handler(HOSTS, function()
      for _ = 1, 20000 do assert(dns.resolve("www.test", "A")) end
    end)
    probe.run(s)
  end)
end)

describe("dns.addresses", function()
  teardown(probe.close)

  it("gives both families", function()
    local s = probe.handler(HOSTS, function() return dns.addresses "www.test" end)
    local list, ttl = probe.run(s)
    local texts = {}
    for i, addr in ipairs(list) do texts[i] = boundary.addr_text(addr) end
    table.sort(texts)
    assert.same({ "192.0.2.7", "2001:db8::7" }, texts)
    assert.equal(3600, ttl)
  end)

  it("gives one family, an empty list, or why there is none", function()
    local s = probe.handler("forward . 10.0.0.1", function()
      local four = dns.addresses("www.test", { family = 4 })
      local none = dns.addresses "gone.test"
      local _, err = dns.addresses "bad.test"
      return boundary.addr_text(four[1]), none, err
    end)
    s:upstream { ["www.test. A"] = "www.test. 60 IN A 192.0.2.1", ["gone.test. A"] = { rcode = "NXDOMAIN" },
      ["gone.test. AAAA"] = { rcode = "NXDOMAIN" }, default = { rcode = "SERVFAIL" } }
    local four, none, err = probe.run(s)
    assert.equal("192.0.2.1", four)
    assert.same({}, none)
    assert.equal("bad.test. A: SERVFAIL", err)
  end)

  it("takes one family's answer when the other does not come", function()
    local s = probe.handler("forward . 10.0.0.1", function() return dns.addresses("www.test", { timeout = 2 }) end)
    s:upstream { ["www.test. A"] = "www.test. 60 IN A 192.0.2.1", default = { drop = true } }
    local list = probe.run(s)
    assert.equal(1, #list)
  end)
end)
