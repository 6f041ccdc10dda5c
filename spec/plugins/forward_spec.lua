local t = require "dns.test"

local A, B, D = "10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"
local SOA = "test. 60 IN SOA ns.test. host.test. 1 2 3 4 5"
local function line(last) return ("www.test. 60 IN A 192.0.2.%d"):format(last) end

--- Answers by upstream: { [A] = ..., default = ... }.
local function by_upstream(answers)
  return function(_, exchange)
    local answer = answers[exchange.to]
    if answer == nil then answer = answers.default end
    return answer
  end
end

--- The upstreams asked for this question, without health checks.
local function asked(s, question)
  local list = {}
  for _, exchange in ipairs(s.asked) do
    if exchange.question == (question or "www.test. A") then list[#list + 1] = exchange.to end
  end
  return list
end

-- A plugin of the spec's own that prints the error of a query.
local directory = os.tmpname()
os.remove(directory)
assert(os.execute("mkdir " .. directory) == 0)

local function forward(options, to)
  to = to or "10.0.0.1 10.0.0.2 10.0.0.3"
  return t.server((". {\n complain\n forward . %s {\n%s\n }\n}"):format(to, options or ""), { directory = directory })
end

describe("forward", function()
  setup(function()
    local f = assert(io.open(directory .. "/complain.lua", "w"))
    f:write [[return require("dns").plugin { name = "complain", options = {}, setup = function(_, next, server)
      return function(q)
        local rcode, err = next(q)
        if err then server:log("error", "%d %s", rcode, err) end
        return rcode, err
      end
    end }]]
    f:close()
  end)
  teardown(function()
    t.close_all()
    os.remove(directory .. "/complain.lua")
    os.remove(directory)
  end)

  describe("asks", function()
    it("and passes the reply on, its question in the client's letter case", function()
      local s = forward "policy sequential"
      s:upstream { ["www.test. A"] = { answer = line(1), ad = true } }
      local reply = s:query("wWw.TesT. A", { ad = true })
      assert.answer(line(1), reply)
      assert.rcode("NOERROR", reply)
      assert.same({ "10.0.0.1:53" }, asked(s))
      assert.equal("udp", s.asked[1].transport)
    end)

    it("passes errors on as they are", function()
      local s = forward "policy sequential"
      s:upstream { default = { rcode = "NXDOMAIN", authority = SOA } }
      local reply = s:query "www.test. A"
      assert.rcode("NXDOMAIN", reply)
      assert.same({ SOA }, reply.authority)
      s:upstream { default = { rcode = "SERVFAIL" } }
      assert.rcode("SERVFAIL", s:query "www.test. A")
      assert.same({ A }, asked(s))
      assert.equal("", s:log())
    end)

    it("within its zone and outside the exceptions", function()
      local s = t.server ". {\n forward test 10.0.0.1 {\n except a.test b.test\n except test\n }\n whoami\n}"
      s:upstream { default = { rcode = "REFUSED" } }
      assert.rcode("REFUSED", s:query "test. A") -- the zone itself, whatever is excepted
      assert.rcode("NOERROR", s:query "x.a.test. A")
      assert.rcode("NOERROR", s:query "example.org. A")
      s = t.server ". {\n forward test 10.0.0.1 {\n except a.test\n }\n whoami\n}"
      s:upstream { default = { rcode = "REFUSED" } }
      assert.rcode("NOERROR", s:query "x.a.test. A")
      assert.rcode("REFUSED", s:query "xa.test. A")
    end)

    it("by the client's transport, unless told otherwise", function()
      local function transport(options, client, to)
        local s = forward(options, to or "10.0.0.1")
        s:upstream { default = line(1) }
        s:query("www.test. A", { transport = client })
        return s.asked[1].transport
      end
      assert.equal("udp", transport("", "udp"))
      assert.equal("tcp", transport("", "tcp"))
      assert.equal("tcp", transport("force_tcp", "udp"))
      assert.equal("udp", transport("prefer_udp", "tcp"))
      assert.equal("tcp", transport("prefer_udp\nforce_tcp", "udp"))
      assert.equal("tls", transport("", "udp", "tls://10.0.0.1"))
    end)

    it("again over TCP when the reply is cut and UDP is preferred only", function()
      local function cut(_, exchange) return exchange.transport == "udp" and { truncate = true } or line(1) end
      local s = forward("prefer_udp", "10.0.0.1")
      s:upstream(cut)
      assert.answer(line(1), s:query "www.test. A")
      assert.equal(2, #s.asked)
      s = forward("", "10.0.0.1")
      s:upstream(cut)
      local reply = s:query "www.test. A"
      assert.is_true(reply.flags.tc)
      assert.equal(1, #s.asked)
    end)
  end)

  describe("when an upstream fails", function()
    it("asks the next one", function()
      local s = forward "policy sequential"
      s:upstream(by_upstream { [A] = { drop = true }, [B] = { code = "connect" }, [D] = line(3) })
      assert.answer(line(3), s:query "www.test. A")
      assert.same({ A, B, D }, asked(s))
    end)

    it("says what went wrong after twice as many tries as there are upstreams", function()
      local s = forward("policy sequential", "10.0.0.1 10.0.0.2")
      s:upstream { default = { code = "connect" } }
      s:log()
      assert.rcode("SERVFAIL", s:query "www.test. A")
      assert.same({ A, B, A, B }, asked(s))
      assert.equal("[ERROR] plugin/complain: 2 read udp 10.0.0.2:53: read: connection refused\n", s:log())
    end)

    it("tries max_connect_attempts times", function()
      local s = forward "policy sequential\nmax_connect_attempts 1"
      s:upstream { default = { code = "connect" } }
      assert.rcode("SERVFAIL", s:query "www.test. A")
      assert.same({ A }, asked(s))
    end)

    it("begins nothing after five seconds", function()
      local s = forward "policy sequential\nmax_connect_attempts 0"
      s:upstream { default = { drop = true } }
      local before = s.state.now
      assert.rcode("SERVFAIL", s:query "www.test. A")
      assert.same({ A, B, D }, asked(s)) -- at 0, 2 and 4 seconds
      assert.is_true(tonumber(s.state.now - before) / 1e9 < 7)
      assert.is_truthy(s:log():find("i/o timeout", 1, true))
    end)

    it("waits for read_timeout", function()
      local s = forward("read_timeout 300ms\nmax_connect_attempts 1", "10.0.0.1")
      s:upstream { default = { answer = line(1), delay = "250ms" } }
      assert.answer(line(1), s:query "www.test. A")
      s:upstream { default = { answer = line(1), delay = "500ms" } }
      assert.rcode("SERVFAIL", s:query "www.test. A")
    end)

    it("checks it until it answers", function()
      local s = forward("policy sequential\nhealth_check 1s no_rec domain check.test\nmax_fails 1", "10.0.0.1 10.0.0.2")
      local fine = false
      s:upstream(by_upstream { default = line(2) })
      s.script = function(question, exchange)
        if exchange.to == A and not fine then return { drop = true } end
        if question == "check.test. NS" then return { rcode = "REFUSED" } end
        return line(exchange.to == A and 1 or 2)
      end
      local failures = 'coredns_proxy_healthcheck_failures_total{to="10.0.0.1:53"}'
      local before = s:metric(failures) or 0
      assert.answer(line(2), s:query "www.test. A") -- 2 s, then the first check
      assert.is_true(#asked(s, "check.test. NS") >= 1)
      local probe
      for _, exchange in ipairs(s.asked) do
        if exchange.question == "check.test. NS" then probe = exchange end
      end
      assert.equal(0, probe.packet:byte(3)) -- no RD
      s:advance "4s" -- 1 s until a check fails, 1 s until the next
      assert.is_true(s:metric(failures) - before >= 2)
      s.asked = {}
      assert.answer(line(2), s:query "www.test. A")
      assert.same({ B }, asked(s)) -- down: skipped at once
      fine = true
      s:advance "2s"
      s.asked = {}
      assert.answer(line(1), s:query "www.test. A")
      s:advance "5s"
      assert.same({}, asked(s, "check.test. NS"))
    end)

    it("asks one at random when all are down, or none", function()
      for _, failfast in ipairs { false, true } do
        local option = failfast and "\nfailfast_all_unhealthy_upstreams" or ""
        local s = forward("max_fails 1\nmax_connect_attempts 2" .. option, "10.1.0.1 10.1.0.2")
        s:upstream { default = { drop = true } }
        s:query "www.test. A"
        s:advance "5s"
        local broken = "coredns_forward_healthcheck_broken_total"
        local before = s:metric(broken)
        s.asked = {}
        s:log()
        assert.rcode("SERVFAIL", s:query "www.test. A")
        assert.equal(failfast and 0 or 1, #asked(s))
        assert.equal(before + 1, s:metric(broken))
        assert.is_truthy(s:log():find(failfast and "no healthy proxies" or "i/o timeout", 1, true))
        s:close()
      end
    end)

    it("checks nothing with max_fails 0", function()
      local s = forward("max_fails 0", "10.2.0.1")
      s:upstream { default = { drop = true } }
      s:query "www.test. A"
      s:advance "5s"
      assert.same({}, asked(s, ". NS"))
    end)
  end)

  describe("by rcode", function()
    it("fails over, and returns the last reply", function()
      local s = forward "policy sequential\nfailover SERVFAIL refused"
      s:upstream(by_upstream { [A] = { rcode = "SERVFAIL" }, [B] = { rcode = "REFUSED" }, [D] = line(3) })
      assert.answer(line(3), s:query "www.test. A")
      s:upstream { default = { rcode = "REFUSED" } }
      assert.rcode("REFUSED", s:query "www.test. A")
      assert.same({ A, B, D }, asked(s))
    end)

    it("hands over to the next forward of the block", function()
      local s = t.server(". {\n forward . 10.0.0.1 {\n next NXDOMAIN SERVFAIL\n next_on_nodata\n }\n"
        .. " forward . 10.0.0.2 {\n next NXDOMAIN\n next_on_nodata\n }\n whoami\n}")
      s:upstream(by_upstream { [A] = { rcode = "NXDOMAIN" }, [B] = line(2) })
      assert.answer(line(2), s:query "www.test. A")
      s:upstream(by_upstream { [A] = { authority = SOA }, [B] = line(2) })
      assert.answer(line(2), s:query "www.test. A")
      s:upstream(by_upstream { [A] = { rcode = "REFUSED" }, [B] = line(2) })
      assert.rcode("REFUSED", s:query "www.test. A")
      -- whoami is no forward: the reply of the last one stays.
      s:upstream(by_upstream { [A] = { rcode = "NXDOMAIN" }, [B] = { rcode = "NXDOMAIN" } })
      assert.rcode("NXDOMAIN", s:query "www.test. A")
    end)
  end)

  describe("in order", function()
    local function firsts(s, n)
      local counts = {}
      for _ = 1, n do
        s.asked = {}
        s:query "www.test. A"
        counts[s.asked[1].to] = (counts[s.asked[1].to] or 0) + 1
      end
      return counts
    end

    it("random spreads evenly", function()
      local s = forward()
      s:upstream { default = line(1) }
      local counts = firsts(s, 300)
      for _, to in ipairs { A, B, D } do assert.is_true(counts[to] > 50) end
    end)
    it("round_robin takes turns, and the rest in the Corefile's order", function()
      local s = forward "policy round_robin"
      s:upstream { default = line(1) }
      assert.same({ [A] = 2, [B] = 2, [D] = 2 }, firsts(s, 6))
      s:upstream { default = { code = "closed" } }
      s:query "www.test. A" -- the seventh begins with the second
      assert.same({ B, A, D, B, A, D }, asked(s))
    end)
    it("sequential takes the first", function()
      local s = forward "policy sequential"
      s:upstream { default = line(1) }
      assert.same({ [A] = 5 }, firsts(s, 5))
    end)
  end)

  describe("max_concurrent", function()
    it("refuses what is too much", function()
      local s = forward("max_concurrent 2", "10.0.0.1")
      s:upstream { default = { drop = true } }
      local rejects = "coredns_forward_max_concurrent_rejects_total"
      local before = s:metric(rejects)
      local first, second = s:send "www.test. A", s:send "www.test. A"
      s:log()
      assert.rcode("REFUSED", s:query "www.test. A")
      assert.equal("[ERROR] plugin/complain: 5 concurrent queries exceeded maximum 2\n", s:log())
      assert.equal(before + 1, s:metric(rejects))
      s:advance "8s"
      assert.rcode("SERVFAIL", s:finish(first))
      assert.rcode("SERVFAIL", s:finish(second))
      s:upstream { default = line(1) }
      for _ = 1, 5 do assert.answer(line(1), s:query "www.test. A") end
    end)
  end)

  it("measures exchanges by upstream and rcode", function()
    local s = forward("", "10.3.0.1")
    s:upstream { ["www.test. A"] = { answer = line(1), delay = "500ms" }, default = { rcode = "NXDOMAIN" } }
    s:query "www.test. A"
    s:query "none.test. A"
    local name = 'coredns_proxy_request_duration_seconds_%s{proxy_name="forward",to="10.3.0.1:53",rcode="%s"}'
    assert.equal(1, s:metric(name:format("count", "NOERROR")))
    assert.is_true(math.abs(s:metric(name:format("sum", "NOERROR")) - 0.5) < 0.3)
    assert.equal(1, s:metric(name:format("count", "NXDOMAIN")))
  end)

  describe("reads upstreams", function()
    local path = os.tmpname()
    teardown(function() os.remove(path) end)

    local function file(text)
      local f = assert(io.open(path, "w"))
      f:write(text)
      f:close()
    end
    local function first(to)
      local s = forward("policy sequential\nfailover REFUSED", to)
      s:upstream { default = { rcode = "REFUSED" } }
      s:query "www.test. A"
      s:close()
      return asked(s)
    end

    it("given as addresses, each once", function()
      assert.same({ "10.0.0.1:53", "10.0.0.1:5300", "[::1]:53", "[2001:db8::1]:5353", "10.0.0.2:853" },
        first "10.0.0.1 dns://10.0.0.1:5300 [::1] [2001:db8::1]:5353 10.0.0.1:53 tls://10.0.0.2%name.example")
    end)
    it("from a resolv.conf", function()
      file "# nameserver 9.9.9.9\nsearch x.test\nnameserver 10.0.0.7\nnameserver   2001:db8::53\noptions ndots:5\n"
      assert.same({ "10.0.0.7:53", "[2001:db8::53]:53", "10.0.0.1:53" }, first(path .. " 10.0.0.1"))
    end)
    it("by name", function()
      local list = first "localhost:5300"
      assert.is_true(#list >= 1)
      for _, to in ipairs(list) do assert.is_truthy(to == "127.0.0.1:5300" or to == "[::1]:5300") end
    end)
    it("or says why not", function()
      file "search x.test\n"
      assert.corefile_error("no valid upstream addresses found", (". {\n forward . %s\n}"):format(path))
      assert.corefile_error("HTTPS are not supported", ". {\n forward . https://10.0.0.1\n}")
      assert.corefile_error("'grpc' is not supported as a destination protocol in forward",
        ". {\n forward . grpc://1.2.3.4\n}")
      assert.corefile_error("not an IP address, file, or valid domain", ". {\n forward . /no/such/file\n}")
      assert.corefile_error("not an IP address, file, or valid domain", ". {\n forward . 10.0.0.1:x\n}")
      local many = {}
      for i = 1, 16 do many[i] = "10.0.0." .. i end
      local corefile = (". {\n forward . %s\n}"):format(table.concat(many, " "))
      assert.corefile_error("more than 15 TOs configured: 16", corefile)
    end)
  end)

  it("explains wrong options", function()
    local function wrong(text, option)
      assert.corefile_error(text, (". {\n forward . 10.0.0.1 {\n%s\n}\n}"):format(option))
    end
    wrong("Corefile:3: forward", "max_fails -1")
    wrong("policy", "policy fastest")
    wrong("unknown option now", "health_check 1s now")
    wrong("health_check", "health_check soon")
    wrong("NoError cannot be used in failover", "failover NOERROR")
    wrong("NOSUCH", "next NOSUCH")
    wrong("must not be less than expire", "expire 10s\nmax_age 5s")
    wrong("must be positive", "read_timeout 0s")
    wrong("unknown property", "force_udp")
    wrong("except", "except")
    assert.corefile_error("both forward ('a.test') and proxy level ('b.test') TLS servernames",
      ". {\n forward . tls://10.0.0.1%b.test {\n tls_servername a.test\n }\n}")
    assert.corefile_error("CA file /no/such/file", ". {\n forward . tls://10.0.0.1 {\n tls /no/such/file\n }\n}")
  end)

  it("allocates nothing for a query", function()
    local ffi = require "ffi"
    local C = require("lunadns.boundary").C
    local s = t.server(". {\n forward . 10.0.0.1 10.0.0.2 {\n max_concurrent 1000\n }\n}")
    s:query "www.test. A"
    local question = require("dns.test.question").packet("www.test. A", {})
    local packets, lens = ffi.new "const uint8_t *[1]", ffi.new("uint32_t[1]", #question)
    packets[0] = question
    local client = require("lunadns.boundary").addr("10.240.0.1:40212", 40212)
    local packet, to, transport = ffi.new "uint8_t[512]", ffi.new "char[80]", ffi.new "int[1]"
    local state, entry = s.state, s.made.entry
    local function run(n)
      for _ = 1, n do
        C.luna_offline_load(state, packets, lens, 1, client, C.LUNA_UDP)
        entry()
        state.batch_len, state.woken_len = 0, 0
        local number = C.luna_offline_next(state, packet, 512, to, 80, transport)
        packet[2] = packet[2] + 0x80
        assert(C.luna_offline_answer(state, number, packet, #question, 0) == 0)
        entry()
        state.woken_len = 0
        assert(C.luna_offline_sweep(state) == 0)
      end
    end
    run(2000)
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    run(10000)
    local grown = (collectgarbage "count" - before) * 1024 / 10000
    collectgarbage "restart"
    -- The runner itself reads two pointers from the batch, 24 octets each where that is not compiled.
    assert.is_true(grown < 56, ("%.1f octets a query"):format(grown))
  end)
end)
