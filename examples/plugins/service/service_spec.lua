local t = require "dns.test"

local ENDPOINTS = "endpoint 192.0.2.1 3\n endpoint 192.0.2.2\n endpoint 2001:db8::1\n"
local ONE, TWO, SIX = "http://192.0.2.1:8080/health", "http://192.0.2.2:8080/health", "http://[2001:db8::1]:8080/health"
local FINE = { default = "ok" }

local function serve(options, http)
  return t.server((". {\n service www.example {\n %s\n%s\n }\n}"):format(ENDPOINTS, options or ""), { http = http })
end

local function checked(options, http)
  return serve("check http://*:8080/health\n failures 2\n interval 5s\n" .. (options or ""), http or FINE)
end

--- How often each address is answered in n queries.
local function tally(s, n)
  local out = {}
  for _ = 1, n do
    local reply = s:finish(s:send "www.example. A") -- no reload in between, which checks anew
    local address = (reply.answer[1] or "none"):match "%S+$"
    out[address] = (out[address] or 0) + 1
  end
  return out
end

describe("service", function()
  after_each(t.close_all)

  it("answers by weight", function()
    local s = serve()
    local found = tally(s, 400)
    assert.equal(400, found["192.0.2.1"] + found["192.0.2.2"])
    assert.is_true(found["192.0.2.1"] > 250 and found["192.0.2.1"] < 350, "first " .. found["192.0.2.1"])
    assert.answer("www.example. 5 IN AAAA 2001:db8::1", s:query "www.example. AAAA")
  end)
  it("answers nothing else", function()
    local s = serve()
    assert.nodata(s:query "www.example. MX")
    assert.passed(s, "x.www.example. A")
    assert.passed(s, "example. A")
  end)
  it("leaves out an address after some failures, and takes it back", function()
    local s = checked()
    s:http { [ONE] = { status = 503 }, [TWO] = "ok", [SIX] = "ok" }
    s:advance "5s"
    assert.is_truthy(tally(s, 40)["192.0.2.1"])
    s:log()
    s:advance "5s"
    assert.same({ ["192.0.2.2"] = 40 }, tally(s, 40))
    assert.log("www.example.: 192.0.2.1 is left out: status 503", s)
    assert.metric(0, s, "coredns_service_up", { address = "192.0.2.1" })
    s:http(FINE)
    s:advance "5s"
    assert.is_truthy(tally(s, 40)["192.0.2.1"])
    assert.metric(1, s, "coredns_service_up", { address = "192.0.2.1" })
    assert.log("192.0.2.1 is back", s)
  end)
  it("takes silence for a failure, and checks all at once", function()
    local s = checked "timeout 1s"
    s:http { [ONE] = "ok", [TWO] = { drop = true }, [SIX] = { error = "connection refused" } }
    s:advance "12s"
    assert.same({ ["192.0.2.1"] = 20 }, tally(s, 20))
    assert.metric(2, s, "coredns_service_check_failures_total", { address = "192.0.2.2" })
  end)
  it("answers all when none passes, unless told otherwise", function()
    local down = { default = { status = 500 } }
    local s = checked("", down)
    s:advance "10s"
    assert.is_nil(tally(s, 20).none)
    t.close_all()
    s = checked("all_down nodata", down)
    s:advance "10s"
    assert.nodata(s:query "www.example. A")
    t.close_all()
    s = checked("all_down servfail", down)
    s:advance "10s"
    assert.rcode("SERVFAIL", s:query "www.example. A")
  end)
  it("remembers what it found over a reload", function()
    local s = checked()
    s:http { [ONE] = { status = 503 }, default = "ok" }
    s:advance "10s"
    s:reload()
    assert.same({ ["192.0.2.2"] = 20 }, tally(s, 20))
  end)
  it("sends the Host header", function()
    local s = checked "host www.example"
    s:http(FINE)
    s:advance "5s"
    assert.equal("www.example", s.requested[1].headers.Host)
  end)
  it("counts its answers", function()
    local s = serve()
    s:query "www.example. AAAA"
    assert.metric(1, s, "coredns_service_answers_total", { name = "www.example.", address = "2001:db8::1" })
  end)
  it("explains a wrong option", function()
    local function wrong(text, body) assert.corefile_error(text, ". {\n service a.example {\n" .. body .. "\n }\n}") end
    wrong("Corefile:4: service: check: 'http://a/': expected a URL with * in the place", "endpoint 192.0.2.1\n check http://a/")
    wrong("192.0.2.1 is given 2 times", "endpoint 192.0.2.1\n endpoint 192.0.2.1 2")
    wrong("'banana' is not an IP address", "endpoint banana")
    wrong("endpoint", "ttl 5s")
  end)
  it("stays compiled and allocates nothing", function()
    local s = checked()
    assert.hot(s, { "www.example. A", "www.example. AAAA", "example. A" })
  end)
end)
