local t = require "dns.test"

local NAME = "www.test. A"
local SOA = "test. 60 IN SOA ns.test. host.test. 1 2 3 4 5"
local function line(last, ttl) return ("www.test. %d IN A 192.0.2.%d"):format(ttl or 60, last) end

local function cache(options, zone)
  return t.server(("%s {\n cache %s\n forward . 10.0.0.1\n}"):format(zone or ".", options or ""))
end

--- The change of a cache metric while fn runs.
local function change(s, name, fn)
  local full = "coredns_cache_" .. name
  local before = s:metric(full) or 0
  fn()
  return (s:metric(full) or 0) - before
end

local function asked(s)
  local n = 0
  for _, exchange in ipairs(s.asked) do
    if exchange.question == NAME then n = n + 1 end
  end
  return n
end

describe("cache", function()
  after_each(t.close_all)

  describe("keeps a reply", function()
    it("for its TTL, counted down", function()
      local s = cache()
      s:upstream { [NAME] = { answer = line(1) } }
      s:query(NAME)
      s:advance(10)
      assert.answer(line(1, 50), s:query("wWw.TEST. A"))
      assert.equal(1, asked(s))
      s:advance(50)
      assert.answer(line(1), s:query(NAME))
      assert.equal(2, asked(s))
    end)
    it("with the AA that it came with", function()
      local s = cache()
      s:upstream { [NAME] = { answer = line(1) }, ["zone.test. A"] = { answer = "zone.test. 60 IN A 192.0.2.1", aa = true } }
      for _ = 1, 2 do
        assert.is_false(s:query(NAME).flags.aa)
        assert.is_true(s:query("zone.test. A").flags.aa)
      end
    end)
    it("for at most the TTL of the Corefile, which the first client sees too", function()
      local s = cache "30"
      s:upstream { [NAME] = line(1, 3600) }
      assert.answer(line(1, 30), s:query(NAME))
    end)
    it("with its own bounds for answers and denials", function()
      local s = cache "{\n success 2000 20 10\n denial 2000 40 30\n}"
      s:upstream {
        [NAME] = line(1, 3600), ["short.test. A"] = "short.test. 1 IN A 192.0.2.2",
        ["none.test. A"] = { rcode = "NXDOMAIN", authority = SOA },
      }
      assert.answer(line(1, 20), s:query(NAME))
      assert.answer("short.test. 10 IN A 192.0.2.2", s:query "short.test. A")
      assert.equal("test. 40", s:query("none.test. A").authority[1]:match "^test. %d+")
    end)
    it("to a query, which a NOTIFY is not", function()
      local s = cache()
      s:upstream { [NAME] = line(1) }
      s:query(NAME)
      assert.equal(0, change(s, "requests_total", function() s:query(NAME, { opcode = "NOTIFY" }) end))
      assert.is_true(asked(s) > 1)
    end)
    it("of its zones only", function()
      local s = cache "other.test"
      s:upstream { [NAME] = line(1, 1) }
      assert.answer(line(1, 1), s:query(NAME))
      assert.answer(line(1, 1), s:query(NAME))
      assert.equal(2, asked(s))
    end)
    it("for as long as keepttl says: shown in full", function()
      local s = cache "{\n keepttl\n}"
      s:upstream { [NAME] = line(1) }
      s:query(NAME)
      s:advance(10)
      assert.answer(line(1), s:query(NAME))
    end)
    it("unless it is disabled", function()
      local s = cache "{\n disable success test\n}"
      s:upstream { [NAME] = line(1), ["none.test. A"] = { rcode = "NXDOMAIN", authority = SOA } }
      s:query(NAME)
      s:query(NAME)
      assert.equal(2, asked(s))
      s:query "none.test. A"
      s:query "none.test. A"
      assert.equal(3, #s.asked)
    end)
    it("in neither store when both are disabled", function()
      local s = cache "{\n disable success\n disable denial\n}"
      s:upstream { [NAME] = line(1, 1) }
      assert.equal(2, change(s, "misses_total", function()
        assert.answer(line(1, 5), s:query(NAME))
        s:query(NAME)
      end))
      assert.equal(2, asked(s))
    end)
    it("that is a failure for servfail", function()
      local s = cache "{\n servfail 10s\n}"
      s:upstream { [NAME] = { rcode = "SERVFAIL" } }
      s:query(NAME)
      s:advance(9)
      assert.rcode("SERVFAIL", s:query(NAME))
      assert.equal(1, asked(s))
      s:advance(1)
      s:query(NAME)
      assert.equal(2, asked(s))
    end)
    it("that an upstream never gave, as its SERVFAIL", function()
      for servfail, again in pairs { ["10s"] = false, ["0s"] = true } do
        local s = cache("{\n servfail " .. servfail .. "\n}")
        s:upstream { [NAME] = { drop = true } }
        local first = s:send(NAME)
        s:advance(6)
        assert.rcode("SERVFAIL", s:finish(first))
        local before = asked(s)
        local second = s:send(NAME)
        assert.equal(again, asked(s) > before)
        s:advance(6)
        assert.rcode("SERVFAIL", s:finish(second))
        s:upstream { [NAME] = line(1) }
        s:advance(10)
        assert.answer(line(1), s:query(NAME))
        t.close_all()
      end
    end)
  end)

  it("tells AD to whom wants it, and asks for it", function()
    local s = cache()
    s:upstream { [NAME] = { answer = line(1), ad = true } }
    assert.is_false(s:query(NAME).flags.ad)
    assert.equal(0x20, require("bit").band(s.asked[1].packet:byte(4), 0x20))
    assert.is_true(s:query(NAME, { ad = true }).flags.ad)
    assert.is_false(s:query(NAME).flags.ad)
    assert.equal(1, asked(s))
  end)

  describe("of those who ask at the same time", function()
    it("lets one ask", function()
      local s = cache()
      s:upstream { [NAME] = { answer = line(1), delay = "100ms" } }
      local all = {}
      assert.equal(5, change(s, "misses_total", function()
        for i = 1, 5 do all[i] = s:send(i % 2 == 0 and "WWW.test. A" or NAME) end
      end))
      s:advance "250ms"
      for i = 1, 5 do assert.answer(line(1), s:finish(all[i])) end
      assert.equal(1, asked(s))
    end)
    it("tells all when the source fails", function()
      local s = cache()
      s:upstream { [NAME] = { drop = true } }
      local all = {}
      for i = 1, 3 do all[i] = s:send(NAME) end
      s:advance(8)
      for i = 1, 3 do assert.rcode("SERVFAIL", s:finish(all[i])) end
    end)
    it("hands over what is not kept", function()
      local s = cache()
      s:upstream { [NAME] = { rcode = "REFUSED", delay = "100ms" } }
      local first, second = s:send(NAME), s:send(NAME)
      s:advance "250ms"
      assert.rcode("REFUSED", s:finish(first))
      assert.rcode("REFUSED", s:finish(second))
      assert.equal(1, asked(s))
    end)
  end)

  describe("prefetch", function()
    it("asks again for a popular entry near its end", function()
      local s = cache "{\n prefetch 2 1m 10%\n}"
      local n = 0
      s:upstream { [NAME] = function() n = n + 1 return line(n) end }
      s:query(NAME)
      s:query(NAME)
      s:advance(50)
      s:query(NAME)
      assert.equal(1, n)
      s:advance(4)
      assert.equal(1, change(s, "prefetch_total", function() assert.answer(line(1, 6), s:query(NAME)) end))
      assert.answer(line(2), s:query(NAME))
      assert.equal(2, n)
    end)
    it("asks over TCP when the reply is cut", function()
      local s = cache "{\n prefetch 1\n}"
      local fresh = false
      s:upstream { [NAME] = function(_, exchange)
        if not fresh then return line(1) end
        return exchange.transport == "tcp" and line(2) or { truncate = true }
      end }
      s:query(NAME)
      fresh = true
      s:advance(55)
      s:query(NAME)
      assert.answer(line(2), s:query(NAME))
    end)
  end)

  describe("serve_stale", function()
    it("immediate answers from an expired entry and asks again", function()
      local s = cache "{\n serve_stale 1h immediate 30s\n}"
      s:upstream { [NAME] = line(1) }
      s:query(NAME)
      s:advance(100)
      s:upstream { [NAME] = { answer = line(2), delay = "100ms" } }
      assert.equal(1, change(s, "served_stale_total", function() assert.answer(line(1, 30), s:query(NAME)) end))
      s:advance "250ms"
      assert.answer(line(2), s:query(NAME))
    end)
    it("keeps the entry while the source fails", function()
      local s = cache "{\n serve_stale\n}"
      s:upstream { [NAME] = line(1) }
      s:query(NAME)
      s:advance(100)
      s:upstream { [NAME] = { rcode = "SERVFAIL" } }
      for _ = 1, 3 do assert.answer(line(1, 0), s:query(NAME)) end
      s:advance(3600)
      assert.rcode("SERVFAIL", s:query(NAME))
    end)
    it("verify asks first", function()
      local s = cache "{\n serve_stale 1h verify\n}"
      s:upstream { [NAME] = line(1) }
      s:query(NAME)
      s:advance(100)
      s:upstream { [NAME] = { rcode = "SERVFAIL" } }
      local hits = change(s, 'hits_total{type="success"}', function() assert.answer(line(1, 0), s:query(NAME)) end)
      assert.equal(1, hits)
      s:upstream { [NAME] = { code = "connect" } }
      assert.answer(line(1, 0), s:query(NAME))
      s:upstream { [NAME] = line(2) }
      assert.answer(line(2), s:query(NAME))
    end)
    it("verify waits no longer than its timeout", function()
      local s = cache "{\n serve_stale 1h verify 600ms\n}"
      s:upstream { [NAME] = line(1) }
      s:query(NAME)
      s:advance(100)
      s:upstream { [NAME] = { answer = line(2), delay = "1s" } }
      local first, second = s:send(NAME), s:send(NAME)
      s:advance "500ms"
      assert.is_nil(s:finish(first))
      s:advance "250ms"
      assert.answer(line(1, 0), s:finish(first))
      assert.answer(line(1, 0), s:finish(second))
      s:advance(1)
      assert.answer(line(2), s:query(NAME))
      s:advance(100)
      s:upstream { [NAME] = { answer = line(3), delay = "100ms" } }
      assert.answer(line(3), s:query(NAME))
    end)
    it("verify takes what the source says at once", function()
      local s = t.server ". {\n cache {\n serve_stale 1h verify 200ms\n}\n whoami\n}"
      s:query "x.test. TXT"
      s:advance(10)
      local before = s:metric "coredns_cache_served_stale_total"
      assert.equal(2, #s:query("x.test. TXT").additional)
      assert.equal(before, s:metric "coredns_cache_served_stale_total")
    end)
  end)

  it("counts", function()
    local s = cache()
    s:upstream { [NAME] = line(1), ["none.test. A"] = { rcode = "NXDOMAIN", authority = SOA } }
    local labels = '{server="dns://:53",type="%s",zones=".",view=""}'
    local function count(name, kind)
      return change(s, name .. (kind and labels:format(kind) or ""), function()
        for _ = 1, 3 do
          s:query(NAME)
          s:query "none.test. A"
        end
      end)
    end
    assert.equal(6, count "requests_total")
    assert.equal(3, count("hits_total", "success"))
    assert.equal(3, count("hits_total", "denial"))
    assert.equal(0, count "misses_total")
    assert.equal(1, s:metric('coredns_cache_entries' .. labels:format "success"))
    assert.equal(1, s:metric('coredns_cache_entries' .. labels:format "denial"))
  end)

  it("forgets when what answers behind it changes, and not when its own options do", function()
    local s = cache()
    s:upstream { [NAME] = line(1) }
    s:query(NAME)
    local same, other = cache "{\n success 2000\n}", t.server ". {\n cache\n forward . 10.0.0.2\n}"
    same:upstream { [NAME] = line(2) }
    other:upstream { [NAME] = line(2) }
    assert.answer(line(1), same:query(NAME))
    assert.answer(line(2), other:query(NAME))
  end)

  it("stays compiled and allocates nothing", function()
    local s = cache()
    s:upstream { default = function(question)
      return question:match "^%S+" .. " 3600 IN A 192.0.2.1"
    end, ["none.test. A"] = { rcode = "NXDOMAIN", authority = "test. 3600 IN SOA ns.test. h.test. 1 2 3 4 5" } }
    local questions = { "a.test. A", "b.test. A", "none.test. A" }
    for _, question in ipairs(questions) do s:query(question) end
    assert.hot(s, questions)
  end)

  describe("refuses", function()
    for options, text in pairs {
      ["0"] = "cache: ttl: 0 is out of range",
      ["{\n success\n}"] = "Wrong argument count",
      ["{\n success 10 0\n}"] = "success",
      ["{\n denial 10 10 -1\n}"] = "denial",
      ["{\n prefetch 3 1m 95%\n}"] = "prefetch",
      ["{\n prefetch 3 1m 20\n}"] = "is not a percentage",
      ["{\n servfail 6m\n}"] = "servfail",
      ["{\n serve_stale 1h later\n}"] = "serve_stale",
      ["{\n serve_stale -1h\n}"] = "serve_stale",
      ["{\n serve_stale 1h verify 1s 1500ms\n}"] = "whole number of seconds",
      ["{\n serve_stale 1h immediate 1s 6m\n}"] = "serve_stale",
      ["{\n serve_stale 1h immediate 1s 1m 1m\n}"] = "too many arguments",
      ["{\n serve_stale_policy prefer_positive\n}"] = "requires serve_stale",
      ["{\n disable errors\n}"] = "disable",
      ["{\n keep\n}"] = "unknown property 'keep'",
    } do
      it("cache " .. options:gsub("\n", ";"), function()
        assert.corefile_error(text, (". {\n cache %s\n forward . 10.0.0.1\n}"):format(options))
      end)
    end
  end)
end)
