local t = require "dns.test"

local function url(name) return "https://api.test/names/" .. name end

local WWW = [[{"records":[{"type":"A","data":"192.0.2.1","ttl":60},{"type":"A","data":"192.0.2.2","ttl":300},
  {"type":"TXT","data":"\"made \u0068ere\""}]}]]

local function serve(options, http)
  local s = t.server((". {\n rest api.example %s {\n%s\n }\n}"):format(url "*", options or ""))
  s:http(http or { [url "www.api.example"] = WWW })
  return s
end

describe("rest", function()
  after_each(t.close_all)

  it("answers with what the endpoint says", function()
    local s = serve()
    assert.answer("www.api.example. 60 IN A 192.0.2.1\nwww.api.example. 60 IN A 192.0.2.2", s:query "www.api.example. A")
    assert.answer('www.api.example. 60 IN TXT "made here"', s:query "www.api.example. TXT")
    local reply = s:query "www.api.example. MX"
    assert.nodata(reply)
    assert.matches("^api.example. 30 IN SOA", reply.authority[1])
    assert.equal(1, #s.requested)
    assert.equal("application/json", s.requested[1].headers.Accept)
  end)
  it("passes other names on", function()
    assert.passed(serve(), "www.example. A")
  end)
  it("asks again when the TTL is over, and counts it down before", function()
    local s = serve()
    s:query "www.api.example. A"
    s:advance "50s"
    assert.matches(" 10 IN A", s:query("www.api.example. A").answer[1])
    s:http { [url "www.api.example"] = [[{"records":[{"type":"CNAME","data":"other.example."}]}]] }
    s:advance "10s"
    assert.answer("www.api.example. 60 IN CNAME other.example.", s:query "www.api.example. A")
  end)
  it("remembers what does not exist", function()
    local s = serve("negative 10s", { [url "gone.api.example"] = { status = 404 }, [url "empty.api.example"] = '{"records":[]}' })
    for _ = 1, 2 do
      assert.nxdomain(s:query "gone.api.example. A")
      assert.nodata(s:query "empty.api.example. A")
    end
    assert.equal(2, #s.requested)
    s:advance "10s"
    s:query "gone.api.example. A"
    assert.equal(3, #s.requested)
  end)
  it("answers what is stale while the endpoint fails", function()
    local s = serve "stale 10m\n retry 5s"
    s:query "www.api.example. A"
    s:http { default = { status = 500 } }
    s:advance "2m"
    local reply = s:query("www.api.example. TXT", { edns = true })
    assert.answer('www.api.example. 30 IN TXT "made here"', reply)
    assert.equal(3, reply.ede.code)
    s:query "www.api.example. TXT"
    assert.equal(1, #s.requested) -- it is left alone
    s:advance "5s"
    s:query "www.api.example. TXT"
    assert.equal(2, #s.requested)
    assert.metric(3, s, "coredns_rest_stale_total")
    s:http { default = WWW }
    s:advance "5s"
    assert.matches(" 60 IN A", s:query("www.api.example. A").answer[1])
  end)
  it("fails when nothing is known, and remembers that for a while", function()
    local s = serve("", { default = { error = "connection refused" } })
    assert.rcode("SERVFAIL", s:query "www.api.example. A")
    assert.rcode("SERVFAIL", s:query "www.api.example. A")
    assert.equal(1, #s.requested)
    assert.log("GET https://api.test/names/www.api.example: connection refused", s)
    s:http { default = WWW }
    s:advance "5s"
    assert.rcode("NOERROR", s:query "www.api.example. A")
  end)
  it("says what it cannot read", function()
    for body, why in pairs {
      ["<html>"] = "line 1, column 1: expected a value",
      ["[]"] = 'expected { "records": [ ... ] }',
      ['{"records":[{"type":"A"}]}'] = "record 1: expected",
      ['{"records":[1]}'] = "record 1: expected",
      ['{"records":[{"type":"A","data":"banana"}]}'] = "record 1: ",
      ['{"records":[{"type":"A","data":"192.0.2.1\\nx A 192.0.2.2"}]}'] = "record 1: expected",
    } do
      local s = serve("", { default = body })
      s:log()
      assert.rcode("SERVFAIL", s:query "www.api.example. A")
      assert.log("www.api.example.: " .. why, s)
      t.close_all()
    end
  end)
  it("asks once for what several clients want", function()
    local s = serve("", { default = { body = WWW, delay = "500ms" } })
    local one, two = s:send "www.api.example. A", s:send "www.api.example. TXT"
    s:advance "1s"
    assert.rcode("NOERROR", s:finish(one))
    assert.answer('www.api.example. 60 IN TXT "made here"', s:finish(two))
    assert.equal(1, #s.requested)
  end)
  it("keeps what it knows over a reload", function()
    local s = serve()
    s:query "www.api.example. A"
    s:reload()
    s:query "www.api.example. A"
    assert.equal(1, #s.requested)
    assert.metric(1, s, "coredns_rest_hits_total")
  end)
  it("escapes what is in a name", function()
    local s = serve("header Authorization \"Bearer x\"", { default = { status = 404 } })
    s:query "a/b?c.api.example. A"
    assert.equal(url "a%2Fb%3Fc.api.example", s.requested[1].url)
    assert.equal("Bearer x", s.requested[1].headers.Authorization)
  end)
  it("explains a wrong option", function()
    assert.corefile_error("Corefile:2: rest: url: 'https://api.test/': expected a URL with *",
      ". {\n rest a.example https://api.test/\n}")
    assert.corefile_error("expected: rest ZONE URL", ". {\n rest a.example\n}")
  end)
  it("stays compiled and allocates nothing when it knows the answer", function()
    local s = serve("", { [url "www.api.example"] = WWW, [url "gone.api.example"] = { status = 404 } })
    s:query "www.api.example. A"
    s:query "gone.api.example. A"
    assert.hot(s, { "www.api.example. A", "gone.api.example. A", "www.api.example. MX", "example. A" })
  end)
end)
