local t = require "dns.test"

local URL = "https://lists.test/ads.txt"

--- A server with a list; `options` are lines of the block.
local function serve(options, http)
  return t.server((". {\n blocklist %s {\n%s\n }\n}"):format(URL, options or ""), { http = http })
end

describe("blocklist", function()
  after_each(t.close_all)

  it("blocks what is listed, and all below it", function()
    local s = serve("", { [URL] = "ads.example\n0.0.0.0 host.example\n||rule.example^\n" })
    for _, name in ipairs { "ads.example", "x.y.ads.example", "host.example", "rule.example" } do
      local reply = s:query(name .. " A", { edns = true })
      assert.nxdomain(reply)
      assert.same({ code = 15, text = "lists.test/ads.txt" }, reply.ede)
    end
    assert.passed(s, "www.host.example. A")
    assert.passed(s, "example. A")
  end)
  it("says NXDOMAIN in a way that may be cached", function()
    local s = serve("ttl 5m", { [URL] = "ads.example" })
    assert.matches("^%. 300 IN SOA ", s:query("ads.example. A").authority[1])
  end)
  it("lets pass what is allowed", function()
    local s = serve("allow good.ads.example\n allow b.example", { [URL] = "ads.example\nb.example" })
    assert.passed(s, "x.good.ads.example. A")
    assert.passed(s, "b.example. A")
    assert.nxdomain(s:query "bad.ads.example. A")
  end)
  it("does what its action says, or the list", function()
    local list = { [URL] = "a.example\nnx.example nxdomain\nno.example nodata\nref.example refuse\ndrop.example drop\n" ..
      "pass.a.example pass\nodd.example some words" }
    local s = serve("action address\n address 192.0.2.9 2001:db8::9", list)
    assert.answer("a.example. 60 IN A 192.0.2.9", s:query "a.example. A")
    assert.answer("a.example. 60 IN AAAA 2001:db8::9", s:query "a.example. AAAA")
    assert.nodata(s:query "a.example. MX")
    assert.nxdomain(s:query "nx.example. A")
    assert.nodata(s:query "no.example. A")
    assert.rcode("REFUSED", s:query "ref.example. A")
    assert.dropped(s, "drop.example. A")
    assert.passed(s, "pass.a.example. A")
    assert.answer("odd.example. 60 IN A 192.0.2.9", s:query "odd.example. A")
    for action, rcode in pairs { nodata = "NOERROR", refuse = "REFUSED", nxdomain = "NXDOMAIN" } do
      t.close_all()
      assert.rcode(rcode, serve("action " .. action, list):query "a.example. A")
    end
  end)
  it("obeys a response policy zone", function()
    local s = serve("format rpz", { [URL] = "$TTL 60\n@ SOA ns. host. 1 2 3 4 5\nnx.example CNAME .\nno.example CNAME *.\n" ..
      "pass.example CNAME rpz-passthru.\ndrop.example CNAME rpz-drop.\ntcp.example CNAME rpz-tcp-only.\n" ..
      "own.example A 192.0.2.1\nown.example TXT \"a b\"\ngarden.example CNAME walled.example.\n" })
    assert.nxdomain(s:query "nx.example. A")
    assert.nodata(s:query "no.example. A")
    assert.passed(s, "pass.example. A")
    assert.dropped(s, "drop.example. A")
    assert.is_true(s:query("tcp.example. A").flags.tc)
    assert.passed(s, "tcp.example. A", { transport = "tcp" })
    assert.answer("own.example. 60 IN A 192.0.2.1", s:query "own.example. A")
    assert.answer('own.example. 60 IN TXT "a b"', s:query "own.example. TXT")
    assert.nodata(s:query "own.example. AAAA")
    assert.answer("garden.example. 60 IN CNAME walled.example.", s:query "garden.example. A")
  end)
  it("fetches again, and asks whether the list has changed", function()
    local s = serve("refresh 10m", { [URL] = { body = "a.example", headers = { ETag = '"1"' } } })
    assert.nxdomain(s:query "a.example. A")
    s:http { [URL] = { status = 304 } }
    s:advance "10m"
    assert.equal('"1"', s.requested[1].headers["If-None-Match"])
    assert.nxdomain(s:query "a.example. A")
    s:http { [URL] = { body = "b.example" } }
    s:advance "9m"
    assert.equal(0, #s.requested)
    s:advance "1m"
    assert.nxdomain(s:query "b.example. A")
    assert.passed(s, "a.example. A")
  end)
  it("keeps the list when a fetch fails, and tries sooner", function()
    local s = serve("refresh 1h\n retry 1m", { [URL] = "a.example" })
    s:query "a.example. A"
    local faults = { { error = "connection refused" }, { status = 500, body = "b.example" }, { body = "<html>\n404\n</html>" } }
    local function failures() return s:metric "coredns_blocklist_fetch_failures_total" or 0 end
    s:http { [URL] = faults[1] }
    s:log()
    local before = failures()
    s:advance "1h"
    assert.equal(before + 1, failures())
    assert.log("GET https://lists.test/ads.txt: connection refused; the list of before stays, 1 names", s)
    for i = 2, 3 do
      s:http { [URL] = faults[i] }
      before = failures()
      s:advance "1m"
      assert.equal(1, #s.requested)
      assert.equal(before + 1, failures())
      assert.nxdomain(s:query "a.example. A")
      assert.passed(s, "b.example. A")
    end
    assert.log("status 500", s)
    assert.log("'<html>' is not a name", s)
    s:http { [URL] = "b.example" }
    s:advance "1m"
    assert.nxdomain(s:query "b.example. A")
  end)
  it("keeps the list over a reload", function()
    local s = serve("", { [URL] = "a.example" })
    assert.nxdomain(s:query "a.example. A")
    s:http { [URL] = { error = "down" } }
    s:reload()
    assert.nxdomain(s:query "a.example. A")
  end)
  it("has several lists in one block", function()
    local s = t.server(". {\n blocklist https://a.test/1\n blocklist https://a.test/2 {\n action refuse\n header X-Key k\n }\n}",
      { http = { ["https://a.test/1"] = "a.example", ["https://a.test/2"] = "b.example" } })
    assert.nxdomain(s:query "a.example. A")
    assert.rcode("REFUSED", s:query "b.example. A")
    local keys = {}
    for _, request in ipairs(s.requested) do keys[request.url] = request.headers["X-Key"] end
    assert.same({ ["https://a.test/2"] = "k" }, keys)
  end)
  it("counts, without what may be secret in the URL", function()
    local url = "https://user:pass@lists.test/secret?token=1"
    local s = t.server((". {\n blocklist %s\n}"):format(url), { http = { [url] = "a.example\nb.example" } })
    s:query "a.example. A"
    assert.metric(1, s, "coredns_blocklist_blocked_total", { list = "lists.test/secret", action = "nxdomain" })
    assert.metric(2, s, "coredns_blocklist_names", { list = "lists.test/secret" })
    assert.is_nil(s:metrics_text():find("token", 1, true))
    assert.is_nil(s:metrics_text():find("pass@", 1, true))
  end)
  it("explains a wrong option", function()
    assert.corefile_error("Corefile:2: blocklist: url: 'ads.txt' is no URL", ". {\n blocklist ads.txt\n}")
    assert.corefile_error("Corefile:3: blocklist: action: needs the option 'address'",
      ". {\n blocklist http://a.test {\n action address\n }\n}")
    assert.corefile_error("'nxdoman' is not one of: nxdomain, nodata, drop, refuse, address",
      ". {\n blocklist http://a.test {\n action nxdoman\n }\n}")
    assert.corefile_error("refresh", ". {\n blocklist http://a.test {\n refresh 1ms\n }\n}")
  end)
  it("stays compiled and allocates nothing", function()
    local s = serve("allow good.example", { [URL] = "a.example\ngood.example\nb.example refuse" })
    assert.hot(s, { "x.a.example. A", "good.example. A", "b.example. A", "example.org. A" })
  end)
end)
