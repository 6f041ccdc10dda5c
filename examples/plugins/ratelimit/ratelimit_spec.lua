local t = require "dns.test"

--- A server whose other queries are answered by whoami.
local function serve(line) return t.server((". {\n ratelimit %s\n whoami\n}"):format(line)) end

--- The rcodes of n queries.
local function ask(s, n, options)
  local out = {}
  for i = 1, n do
    local reply = s:query("www.example. A", options)
    out[i] = reply and reply.rcode or "none"
  end
  return table.concat(out, " ")
end

describe("ratelimit", function()
  after_each(t.close_all)

  it("refuses what is beyond the limit until the window ends", function()
    local s = serve "2"
    assert.equal("NOERROR NOERROR REFUSED REFUSED", ask(s, 4))
    s:advance "1100ms"
    assert.equal("NOERROR NOERROR REFUSED", ask(s, 3))
  end)
  it("tells why", function()
    local s = serve "1"
    ask(s, 1)
    assert.matches("rate limit", tostring(s:query("www.example. A", { edns = true })))
  end)
  it("counts each client alone, a network of IPv6 as one", function()
    local s = serve "1"
    assert.equal("NOERROR", ask(s, 1, { client = "192.0.2.1" }))
    assert.equal("REFUSED", ask(s, 1, { client = "192.0.2.1:99" }))
    assert.equal("NOERROR", ask(s, 1, { client = "192.0.2.2" }))
    assert.equal("NOERROR", ask(s, 1, { client = "[2001:db8::1]:53" }))
    assert.equal("REFUSED", ask(s, 1, { client = "[2001:db8::2]:53" }))
    assert.equal("NOERROR", ask(s, 1, { client = "[2001:db8:0:1::1]:53" }))
  end)
  it("takes its prefixes and window from its options", function()
    local s = serve "1 {\n window 10s\n ipv4_prefix 24\n ipv6_prefix 128\n }"
    assert.equal("NOERROR", ask(s, 1, { client = "192.0.2.1" }))
    s:advance "9s"
    assert.equal("REFUSED", ask(s, 1, { client = "192.0.2.2" }))
    assert.equal("NOERROR", ask(s, 1, { client = "[2001:db8::1]:53" }))
    assert.equal("NOERROR", ask(s, 1, { client = "[2001:db8::2]:53" }))
    s:advance "2s"
    assert.equal("NOERROR", ask(s, 1, { client = "192.0.2.2" }))
  end)
  it("leaves exempt networks alone", function()
    local s = serve "1 {\n exempt 10.0.0.0/8 192.0.2.7\n exempt 2001:db8::/32\n }"
    for _, client in ipairs { "10.1.2.3", "192.0.2.7", "[2001:db8::1]:53" } do
      assert.equal("NOERROR NOERROR NOERROR", ask(s, 3, { client = client }))
    end
    assert.equal("NOERROR REFUSED", ask(s, 2, { client = "192.0.2.8" }))
  end)
  it("drops", function()
    assert.equal("NOERROR none", ask(serve "1 {\n action drop\n }", 2))
  end)
  it("truncates, and lets TCP pass", function()
    local s = serve "1 {\n action truncate\n }"
    ask(s, 1)
    assert.is_true(s:query("www.example. A").flags.tc)
    assert.equal("NOERROR NOERROR NOERROR", ask(s, 3, { transport = "tcp" }))
  end)
  it("goes on counting over a reload", function()
    local s = serve "2 {\n window 1m\n }"
    ask(s, 2)
    s:reload()
    assert.equal("REFUSED", ask(s, 1))
  end)
  it("counts", function()
    local s = serve "1"
    ask(s, 3)
    assert.metric(2, s, "coredns_ratelimit_limited_total", { action = "refuse" })
  end)
  it("explains a wrong option", function()
    assert.corefile_error("Corefile:2: ratelimit: limit: ", ". {\n ratelimit 0\n}")
    assert.corefile_error("expected: ratelimit LIMIT", ". {\n ratelimit\n}")
    assert.corefile_error("'10.0.0/8' is neither a network nor an IP address", ". {\n ratelimit 5 {\n exempt 10.0.0/8\n }\n}")
  end)
  it("stays compiled and allocates nothing", function()
    assert.hot(serve "1000000", { "www.example. A" })
    assert.hot(serve "1", { "www.example. A" })
    assert.hot(serve "1 {\n action truncate\n }", { "www.example. A" })
  end)
end)
