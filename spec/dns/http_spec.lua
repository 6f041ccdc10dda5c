local dns = require "dns"
local probe = require "spec.dns.probe"

describe("dns.http", function()
  teardown(probe.close)

  local function get(url, opts)
    return probe.handler("whoami", function() return dns.http.get(url, opts) end)
  end

  it("fetches a URL", function()
    local s = get "https://api.test/v1"
    s:http { ["https://api.test/v1"] = { body = "hello", headers = { ["Content-Type"] = "text/plain" } } }
    local response = probe.run(s)
    assert.same({ status = 200, body = "hello", headers = { ["content-type"] = "text/plain" }, url = "https://api.test/v1" },
      response)
    assert.equal("GET", s.requested[1].method)
  end)

  it("sends a body, a method and headers", function()
    local s = probe.handler("whoami", function()
      return dns.http.request { url = "http://api.test/v1", body = "x=1", headers = { ["X-Key"] = "k" } },
        dns.http.request { url = "http://api.test/v1", method = "DELETE" }
    end)
    s:http { ["POST http://api.test/v1"] = { status = 201 }, ["DELETE http://api.test/v1"] = { status = 404, body = "no" } }
    local posted, deleted = probe.run(s)
    assert.same({ 201, 404 }, { posted.status, deleted.status })
    assert.same({ "x=1", "k", "application/octet-stream" },
      { s.requested[1].body, s.requested[1].headers["X-Key"], s.requested[1].headers["content-type"] })
  end)

  it("follows redirects, but not for ever, and tells no secret elsewhere", function()
    local s = probe.handler("whoami", function()
      local one = dns.http.request { url = "https://a.test/old", body = "x",
        headers = { Authorization = "secret", ["X-Own"] = "1" } }
      local kept = dns.http.get("https://a.test/old", { redirects = 0 })
      local _, err = dns.http.get("https://a.test/loop", { redirects = 3 })
      return one, kept, err
    end)
    s:http {
      ["POST https://a.test/old"] = { status = 302, location = "https://b.test/new" },
      ["https://a.test/old"] = { status = 302, location = "https://b.test/new" },
      ["https://b.test/new"] = "found", ["https://a.test/loop"] = { status = 307, location = "https://a.test/loop" },
    }
    local one, kept, err = probe.run(s)
    assert.same({ "found", "https://b.test/new" }, { one.body, one.url })
    local second = s.requested[2]
    assert.same({ "GET", nil, "1" }, { second.method, second.headers.Authorization, second.headers["X-Own"] })
    assert.is_nil(second.body)
    assert.equal(302, kept.status)
    assert.equal("GET https://a.test/loop: redirected to https://a.test/loop: more than 3 redirects", err)
  end)

  it("does not go from https to http, nor to what is no web server", function()
    local s = probe.handler("whoami", function()
      return select(2, dns.http.get "https://a.test/x"), select(2, dns.http.get "https://a.test/y")
    end)
    s:http { ["https://a.test/x"] = { status = 301, location = "http://a.test/" },
      ["https://a.test/y"] = { status = 301, location = "file:///etc/passwd" } }
    local down, file = probe.run(s)
    assert.equal("GET https://a.test/x: redirected to http://a.test/: leads from https to http", down)
    assert.equal('GET https://a.test/y: redirected to "file:///etc/passwd", which is no http URL', file)
  end)

  it("returns what failed, without secrets", function()
    local s = probe.handler("whoami", function()
      return select(2, dns.http.get "https://user:pass@down.test/x?token=1"),
        select(2, dns.http.get("https://lost.test/", { timeout = 2 })),
        select(2, dns.http.get("https://big.test/", { max_size = 10 }))
    end)
    s:http { ["https://user:pass@down.test/x?token=1"] = { error = "connection refused" },
      ["https://lost.test/"] = { drop = true },
      ["https://big.test/"] = ("x"):rep(11) }
    local down, lost, big = probe.run(s)
    assert.equal("GET https://down.test/x: connection refused", down)
    assert.equal("GET https://lost.test/: timed out after 2 s", lost)
    assert.equal("GET https://big.test/: the response is larger than 10 octets", big)
  end)

  it("gives what is no URL back, and raises for wrong arguments", function()
    local s = probe.handler("whoami", function()
      local bad = {}
      for _, url in ipairs { "ftp://a.test/", "a.test", "https://", "https://a.test:99999/" } do
        bad[#bad + 1] = select(2, dns.http.get(url))
      end
      local raised = {}
      for _, request in ipairs { {}, { url = 1 }, { url = "http://a.test", metod = "GET" }, { url = "http://a.test/ x" },
        { url = "http://a.test", headers = { ["a b"] = "1" } }, { url = "http://a.test", headers = { a = "1\r\nb: 2" } },
        { url = "http://a.test", method = "get" }, { url = "http://a.test", timeout = 0 } } do
        raised[#raised + 1] = select(2, pcall(dns.http.request, request))
      end
      return bad, raised
    end)
    local bad, raised = probe.run(s)
    for _, err in ipairs(bad) do assert.matches("expected http://host or https://host", err) end
    assert.equal(8, #raised)
    for i, text in ipairs { "url is missing", "url: expected a string, found a number", "unknown field 'metod'",
      "url: a space or", 'headers: "a b" is no name', "headers: a: expected one line of text", "method: expected one such as GET",
      "timeout: expected seconds, found 0" } do
      assert.is_truthy(raised[i]:find("dns.http: " .. text, 1, true), raised[i])
    end
  end)

  it("fails the spec for what is not scripted", function()
    local s = get "https://nobody.test/"
    assert.has_error(function() s:query "x.run.test. A" end,
      'GET https://nobody.test/ is not scripted: s:http { ["https://nobody.test/"] = "body" }')
  end)

  it("works in setup and timers", function()
    local bodies = {}
    local s = probe.server(". {\n probe\n whoami\n}", function(next, server)
      bodies[#bodies + 1] = assert(dns.http.get "https://list.test/").body
      server:every(1, function() bodies[#bodies + 1] = assert(dns.http.get "https://list.test/").body end)
      return next
    end, { http = { ["https://list.test/"] = { body = "one", delay = "1s" } } })
    assert.same({ "one", "one" }, bodies) -- the control state, and the worker's
    s:http { ["https://list.test/"] = "two" }
    s:advance "2s"
    assert.equal("two", bodies[3])
  end)
end)
