local t = require "dns.test"

local function serve(options, script)
  local s = t.server((". {\n mirror 192.0.2.53 {\n%s\n }\n hosts {\n 192.0.2.1 www.example\n }\n}"):format(options))
  s:upstream(script or { default = "@ 60 IN A 192.0.2.1" })
  return s
end

describe("mirror", function()
  after_each(t.close_all)

  local function count(s, result) return s:metric("coredns_mirror_queries_total", { result = result }) or 0 end

  it("asks the other server the same, and the client gets its own answer", function()
    local s = serve("sample 100", { ["www.example. A"] = "www.example. 60 IN A 198.51.100.9" })
    assert.answer("www.example. 3600 IN A 192.0.2.1", s:query "www.example. A")
    s:advance "1s"
    assert.equal("www.example. A", s.asked[1].question)
    assert.equal("192.0.2.53:53", s.asked[1].to)
    assert.equal(1, #s.asked)
  end)
  it("does not wait for it", function()
    local s = serve("sample 100", { default = { drop = true } })
    local q = s:send "www.example. A"
    assert.answer("www.example. 3600 IN A 192.0.2.1", s:finish(q))
    s:advance "3s"
    assert.equal(1, count(s, "failed"))
  end)
  it("compares rcodes", function()
    local s = serve("sample 100", { ["www.example. A"] = { { rcode = "NOERROR" }, { rcode = "NXDOMAIN" } } })
    s:query "www.example. A"
    s:query "www.example. A"
    s:advance "1s"
    assert.same({ 1, 1 }, { count(s, "same"), count(s, "different") })
  end)
  it("asks for a part of the queries", function()
    local s = serve "sample 25"
    for _ = 1, 400 do s:query "www.example. A" end
    s:advance "1s"
    assert.is_true(#s.asked > 60 and #s.asked < 140, "asked " .. #s.asked)
    s = serve "sample 0"
    for _ = 1, 100 do s:query "www.example. A" end
    assert.equal(0, #s.asked)
  end)
  it("leaves other zones alone", function()
    local s = serve "sample 100\n zones www.example"
    s:query "example. A"
    s:query "www.example. A"
    s:advance "1s"
    assert.equal(1, #s.asked)
  end)
  it("skips when too many are under way, and goes on afterwards", function()
    local s = serve("sample 100\n max 2\n timeout 1s", { default = { drop = true } })
    for _ = 1, 5 do s:finish(s:send "www.example. A") end -- no reload in between: each generation has a count of its own
    assert.same({ 2, 3 }, { #s.asked, count(s, "skipped") })
    s:advance "2s"
    s:query "www.example. A"
    assert.equal(3, #s.asked)
  end)
  it("explains a wrong option", function()
    assert.corefile_error("Corefile:3: mirror: sample: ", ". {\n mirror 192.0.2.53 {\n sample 200\n }\n}")
    assert.corefile_error("Corefile:2: mirror: upstream: '192.0.2' is no server", ". {\n mirror 192.0.2\n}")
    assert.corefile_error("'htp://192.0.2.1' is no server", ". {\n mirror htp://192.0.2.1\n}")
    for _, good in ipairs { "tls://192.0.2.1%dns.example", "[2001:db8::1]:5353", "tcp://192.0.2.1:54" } do
      assert(t.try((". {\n mirror %s\n}"):format(good)))
    end
    assert.corefile_error("expected: mirror UPSTREAM", ". {\n mirror\n}")
  end)
  it("stays compiled and allocates nothing for what it does not send", function()
    assert.hot(serve "sample 0", { "www.example. A" })
  end)
end)
