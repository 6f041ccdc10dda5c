local dns = require "dns"
local probe = require "spec.dns.probe"

describe("dns.exchange", function()
  teardown(probe.close)

  it("asks a server of one's choice", function()
    local s = probe.handler("whoami", function()
      local reply = assert(dns.exchange("10.0.0.1", "www.test", "A"))
      return reply.answer[1].data, reply.answer[1].ttl
    end)
    s:upstream { ["www.test. A"] = "www.test. 60 IN A 192.0.2.1" }
    local data, ttl = probe.run(s)
    assert.same({ "192.0.2.1", 60 }, { data, ttl })
    assert.same({ "10.0.0.1:53", "udp" }, { s.asked[1].to, s.asked[1].transport })
  end)

  it("over TCP when the reply is cut, or when it is told so; over TLS", function()
    local s = probe.handler("whoami", function()
      for _, upstream in ipairs { "10.0.0.1", "tcp://10.0.0.2:5353", "tls://[2001:db8::1]%dns.test", "10.0.0.1:54" } do
        assert(dns.exchange(upstream, "www.test", "A"))
      end
      assert(dns.exchange(dns.addr "10.0.0.9", "www.test", "A"))
    end)
    s:upstream(function(_, exchange)
      return exchange.transport == "udp" and exchange.to == "10.0.0.1:53" and { truncate = true }
        or "www.test. 60 IN A 192.0.2.1"
    end)
    probe.run(s)
    local seen = {}
    for i, exchange in ipairs(s.asked) do seen[i] = exchange.transport .. " " .. exchange.to end
    assert.same({ "udp 10.0.0.1:53", "tcp 10.0.0.1:53", "tcp 10.0.0.2:5353", "tls [2001:db8::1]:853", "udp 10.0.0.1:54",
      "udp 10.0.0.9:53" }, seen)
  end)

  it("sends a client's query on, and the reply is the client's", function()
    local s = probe.server(". {\n probe\n}", function()
      return function(q)
        local rcode, err = dns.exchange("10.0.0.1", q)
        return rcode or dns.SERVFAIL, err
      end
    end)
    s:upstream { ["www.test. A"] = { answer = "www.test. 60 IN A 192.0.2.1", ad = true },
      ["gone.test. A"] = { rcode = "NXDOMAIN" }, ["down.test. A"] = { code = "connect" } }
    local reply = s:query("wWw.test. A", { ad = true })
    assert.answer("www.test. 60 IN A 192.0.2.1", reply)
    assert.rcode("NXDOMAIN", s:query "gone.test. A")
    assert.rcode("SERVFAIL", s:query "down.test. A")
  end)

  it("returns what failed, and where", function()
    local s = probe.handler("whoami", function()
      local _, lost = dns.exchange("10.0.0.1", "lost.test", "A", { timeout = 0.5 })
      local _, down = dns.exchange("tcp://10.0.0.2", "down.test", "A")
      local _, name = dns.exchange("10.0.0.1", "a..b", "A")
      return lost, down, name
    end)
    s:upstream { ["lost.test. A"] = { drop = true }, ["down.test. A"] = { code = "connect" } }
    local lost, down, name = probe.run(s)
    assert.equal("lost.test. A: 10.0.0.1:53: read udp 10.0.0.1:53: i/o timeout", lost)
    assert.equal("down.test. A: tcp://10.0.0.2:53: dial tcp 10.0.0.2:53: connect: connection refused", down)
    assert.equal("dns.exchange: 'a..b' is not a domain name", name)
  end)

  it("raises for what is no upstream and no time", function()
    local s = probe.handler("whoami", function()
      return select(2, pcall(dns.exchange, "dns.example", "a.test", "A")),
        select(2, pcall(dns.exchange, 7, "a.test", "A")),
        select(2, pcall(dns.exchange, "10.0.0.1", "a.test", "A", { timeout = 0 }))
    end)
    local host, number, time = probe.run(s)
    assert.matches('dns.exchange: upstream: expected "192.0.2.1", .* found "dns.example"', host)
    assert.matches("dns.exchange: upstream: expected a text such as", number)
    assert.matches("dns.exchange: timeout: expected seconds, found 0", time)
  end)

  it("opens many upstreams, but not for ever", function()
    local s = probe.handler("whoami", function()
      for i = 1, 600 do assert(dns.exchange(("10.0.%d.%d"):format(i / 256, i % 256), "www.test", "A")) end
    end)
    s:upstream { default = "www.test. 60 IN A 192.0.2.1" }
    probe.run(s)
  end)

  it("works in setup", function()
    local data
    probe.server(". {\n probe\n whoami\n}", function(next)
      data = assert(dns.exchange("10.0.0.1", "www.test", "A")).answer[1].data
      return next
    end, { upstream = { ["www.test. A"] = { answer = "www.test. 60 IN A 192.0.2.1", delay = "1s" } } })
    assert.equal("192.0.2.1", data)
  end)
end)
