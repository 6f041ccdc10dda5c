local t = require "dns.test"
local dns = require "dns"
local boundary = require "lunadns.boundary"

local directory = os.tmpname()
os.remove(directory)
local counted = 0

--- A server whose chain is one plugin made of this text.
local function serve(handler)
  local f = assert(io.open(directory .. "/probe.lua", "w"))
  f:write(([[
local dns = require "dns"
return dns.plugin {
  name = "probe",
  setup = function(conf, next, server)
    %s
  end,
}]]):format(handler))
  f:close()
  return t.server(". {\n probe\n}", { directory = directory })
end

describe("dns.shared", function()
  local s, d

  setup(function() os.execute("mkdir -p " .. directory) end)
  teardown(function()
    t.close_all()
    os.execute("rm -r " .. directory)
  end)
  before_each(function()
    s = t.server ". { whoami }"
    counted = counted + 1
    d = dns.shared("spec" .. counted)
  end)
  after_each(function() s:close() end)

  it("keeps numbers, strings and booleans by keys of every kind", function()
    local addr, name = dns.addr "192.0.2.1", dns.name "www.example.org"
    for i, key in ipairs { "text", "", ("k"):rep(1024), 1, 1.5, -7, addr, name } do
      for _, value in ipairs { 0, 12.25, "", "text\0more", ("v"):rep(10000), true, false } do
        assert.is_true(d:set(key, value))
        assert.equal(value, d:get(key))
      end
      assert.equal(i, (d:count()))
    end
    assert.is_nil(d:get "other")
    assert.is_nil(d:get "1") -- the string is another key than the number
  end)
  it("takes equal keys for one", function()
    d:set(0, "zero")
    assert.equal("zero", d:get(-0))
    d:set(dns.addr("192.0.2.1", 53), "a")
    assert.equal("a", d:get(dns.addr("192.0.2.1", 5353)))
    d:set(dns.name "WWW.Example.org.", "n")
    assert.equal("n", d:get(dns.name "www.example.org"))
    d:set(dns.addr "::", 6)
    d:set(dns.addr "0.0.0.0", 4)
    assert.equal(6, d:get(dns.addr "::"))
  end)
  it("says what cannot be a key or a value", function()
    assert.error_matches(function() d:set({}, 1) end, "a key must be a string, a number.*not a table")
    local _, where = pcall(function() d:set({}, 1) end)
    assert.matches("shared_spec.lua:%d+: dns.shared", where)
    assert.error_matches(function() d:get(nil) end, "not a nil")
    assert.error_matches(function() d:set("a", {}) end, "a value must be.*not a table")
    assert.error_matches(function() d:get(("k"):rep(1025)) end, "a key of 1025 octets is longer than 1024")
    assert.error_matches(function() d:incr(0 / 0) end, "not a number cannot be a key")
    assert.error_matches(function() d:set("a", 1, -1) end, "time to live")
    assert.error_matches(function() dns.shared "" end, "a name that begins")
    assert.error_matches(function() dns.shared("x", { size = 1 }) end, "dns.shared x: unknown option 'size'")
    assert.error_matches(function() dns.shared("x", { bytes = "9QB" }) end, "dns.shared x: bytes: '9QB' is not a size")
  end)
  it("forgets what its time is up for", function()
    d:set("a", 1, 10)
    d:set("b", "text", 20)
    assert.equal(10, d:ttl "a")
    assert.is_nil(d:ttl "c")
    s:advance "9.5s"
    assert.equal(1, d:get "a")
    assert.equal(0.5, d:ttl "a")
    s:advance "1s"
    assert.is_nil(d:get "a")
    assert.equal("text", d:get "b")
    assert.is_true(d:expire("b", 100))
    assert.is_false(d:expire("a", 100))
    s:advance "20s"
    assert.equal("text", d:get "b")
    assert.is_true(d:expire("b", 0))
    assert.equal(0, d:ttl "b")
    d:set("b", "new", 1)
    s:advance "2s"
    assert.is_nil(d:get "b")
  end)
  it("adds, replaces and deletes", function()
    assert.same({ false, "not found" }, { d:replace("a", 1) })
    assert.is_true(d:add("a", 1))
    assert.same({ false, "exists" }, { d:add("a", 2) })
    assert.is_true(d:replace("a", "3"))
    assert.equal("3", d:get "a")
    assert.is_true(d:delete "a")
    assert.is_false(d:delete "a")
    d:set("a", 1, 1)
    s:advance "2s"
    assert.is_false(d:replace("a", 1))
    assert.is_true(d:add("a", 2))
    d:set("a", nil)
    assert.is_nil(d:get "a")
    d:set("a", 1)
    d:clear()
    assert.is_nil(d:get "a")
    assert.same({ 0, 0, 0 }, { d:count() })
  end)
  it("counts by windows of time", function()
    assert.equal(1, d:incr("a", nil, nil, 10))
    assert.equal(3, d:incr("a", 2, nil, 10))
    s:advance "9s"
    assert.equal(2.5, d:incr("a", -0.5, nil, 10))
    s:advance "2s"
    assert.equal(101, d:incr("a", 1, 100, 10))
    assert.same({ nil, "not found" }, { d:incr("b", 1, false) })
    d:set("b", "text")
    assert.same({ nil, "not a number" }, { d:incr "b" })
    d:set(5, true)
    assert.same({ nil, "not a number" }, { d:incr(5) })
  end)
  it("takes the clients of a network for one", function()
    local nets = dns.shared("nets" .. counted, { ipv4_prefix = 24, ipv6_prefix = 56 })
    nets:incr(dns.addr "192.0.2.1")
    assert.equal(2, nets:incr(dns.addr "192.0.2.255"))
    assert.equal(1, nets:incr(dns.addr "192.0.3.1"))
    nets:incr(dns.addr "2001:db8:0:1::1")
    assert.equal(2, nets:incr(dns.addr "2001:db8:0:ff::1"))
    assert.equal(1, nets:incr(dns.addr "2001:db8:0:100::1"))
    local all = dns.shared("all" .. counted, { ipv4_prefix = 0, ipv6_prefix = 0 })
    all:incr(dns.addr "192.0.2.1")
    assert.equal(2, all:incr(dns.addr "10.0.0.1"))
    assert.equal(1, all:incr(dns.addr "::1"))
  end)
  it("shows every key once", function()
    local want, seen = {}, 0
    for i = 1, 3000 do
      want["key" .. i] = i % 3 == 0 and "value" .. i or i % 3 == 1 and i or i % 2 == 0
      d:set("key" .. i, want["key" .. i])
    end
    d:set("gone", 1, 1)
    s:advance "2s"
    for key, value in d:each() do
      assert.equal(want[key], value)
      want[key] = nil
      seen = seen + 1
    end
    assert.equal(3000, seen)
    local kinds = dns.shared("kinds" .. counted)
    kinds:set(7, "number")
    kinds:set(dns.addr "192.0.2.1", "four")
    kinds:set(dns.addr "2001:db8::1", "six")
    kinds:set(dns.name "www.example.org", "name")
    local found = {}
    for key, value in kinds:each() do
      local text = key
      if value == "name" then text = boundary.name_text(key.wire) elseif value ~= "number" then text = boundary.addr_text(key) end
      found[value] = text
      assert.equal(value, kinds:get(key))
    end
    assert.same({ number = 7, four = "192.0.2.1", six = "2001:db8::1", name = "www.example.org." }, found)
  end)
  it("is bounded, and keeps what is asked for", function()
    local small = dns.shared("small" .. counted, { bytes = 65536 })
    local before = s:metric(('lunadns_shared_evictions_total{name="small%d"}'):format(counted)) or 0
    small:set("wanted", "here")
    for i = 1, 10000 do
      small:set(i, i)
      if i % 8 == 0 then assert.equal("here", small:get "wanted") end
    end
    local keys, bytes, evictions = small:count()
    assert.is_true(bytes <= 65536 and bytes > 40000)
    assert.equal(10001, keys + evictions)
    assert.equal(evictions, s:metric(('lunadns_shared_evictions_total{name="small%d"}'):format(counted)) - before)
    assert.equal(bytes, s:metric(('lunadns_shared_bytes{name="small%d"}'):format(counted)))
    assert.equal(keys, s:metric(('lunadns_shared_items{name="small%d"}'):format(counted)))
    local ok, why = small:set("large", ("x"):rep(5000))
    assert.is_false(ok)
    assert.matches("too large: an entry may take a sixteenth", why)
  end)
  it("is one for all who open its name, and lives as long as they do", function()
    d:set("a", 1)
    local other = t.server ". { whoami }"
    local again = dns.shared("spec" .. counted)
    assert.equal(1, again:get "a")
    s:close()
    assert.equal(1, again:get "a")
    other:close()
    s = t.server ". { whoami }"
    assert.is_nil(dns.shared("spec" .. counted):get "a")
  end)
  it("is given back after a wrong Corefile", function()
    local f = assert(io.open(directory .. "/wrong.lua", "w"))
    f:write [[
local dns = require "dns"
return dns.plugin {
  name = "wrong",
  setup = function()
    dns.shared("wrong"):set("left", 1)
    error "no"
  end,
}]]
    f:close()
    assert.is_nil((t.try(". {\n wrong\n}", { directory = directory })))
    local again = t.server ". { whoami }"
    collectgarbage()
    collectgarbage()
    assert.is_nil(dns.shared("wrong"):get "left")
    again:close()
  end)
  it("stays compiled and makes nothing", function()
    local hot = serve [[
    local seen = dns.shared("hot")
    seen:set("limit", 1e9)
    seen:set(5, true)
    return function(q)
      local n = seen:incr(q.client, 1, 0, 10) + seen:incr(q) + seen:get "limit"
      if n > 0 and seen:get(5) and seen:get "absent" == nil then q:answer_address("192.0.2.1", 60) end
      return 0
    end]]
    assert.hot(hot, { "example.org. A", "www.example.org. A" })
  end)
end)
