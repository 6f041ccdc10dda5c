local dns = require "dns"
local probe = require "spec.dns.probe"

describe("sockets", function()
  teardown(probe.close)

  it("talk to what a spec scripts", function()
    local s = probe.handler("whoami", function()
      local sock = assert(dns.tcp("redis.test:6379", { timeout = 1 }))
      assert(sock:send "PING\r\n")
      local line, three, rest = sock:receive "line", sock:receive(3), sock:receive()
      sock:close()
      return line, three, rest
    end)
    s:sockets { ["tcp redis.test:6379"] = function(text) return text == "PING\r\n" and "+PONG\r\nabcde" end }
    assert.same({ "+PONG", "abc", "de" }, { probe.run(s) })
    assert.same({ "PING\r\n" }, s.sent["tcp redis.test:6379"])
  end)

  it("fail as networks do", function()
    local s = probe.handler("whoami", function()
      local _, refused = dns.udp "192.0.2.1:514"
      local sock = assert(dns.unix "/run/app.sock")
      assert.equal("hello", (sock:receive "line"))
      local _, silent = sock:receive(1, { timeout = 1 })
      sock:send "bye"
      local _, closed = sock:receive "line"
      return refused, silent, closed
    end)
    s:sockets { ["udp 192.0.2.1:514"] = { error = "Connection refused" },
      ["unix /run/app.sock"] = { greeting = "hello\n", answer = function(_, peer) peer:close() end } }
    local refused, silent, closed = probe.run(s)
    assert.equal("udp 192.0.2.1:514: connect: Connection refused", refused)
    assert.equal("unix /run/app.sock: receive: timed out after 1 s", silent)
    assert.equal("unix /run/app.sock: receive: closed", closed)
  end)

  it("fail the spec when they are not scripted", function()
    local s = probe.handler("whoami", function() return dns.tcp "nobody.test:1" end)
    assert.error_matches(function() s:query "x.run.test. A" end, 'dns.tcp "nobody.test:1" is not scripted: s:sockets', 1, true)
  end)

  it("raise for wrong arguments", function()
    local s = probe.handler("whoami", function()
      return select(2, pcall(dns.tcp, "redis.test")), select(2, pcall(dns.unix, "app.sock")),
        select(2, pcall(dns.udp, "a:1", { timeout = -1 }))
    end)
    local tcp, unix, udp = probe.run(s)
    assert.matches('dns.tcp: expected "host:port", found "redis.test"', tcp)
    assert.matches('dns.unix: expected the path of a socket, found "app.sock"', unix)
    assert.matches("dns.udp: timeout: expected seconds, found %-1", udp)
  end)
end)
