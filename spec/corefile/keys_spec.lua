local keys = require "lunadns.corefile.keys"

local function show(text, port)
  local list, err = keys.parse(text, port)
  if not list then return err end
  local out = {}
  for i, key in ipairs(list) do
    out[i] = keys.format(key)
  end
  return table.concat(out, " ")
end

local function series(from, to, format)
  local out = {}
  for i = from, to do
    out[#out + 1] = format:format(i)
  end
  return table.concat(out, " ")
end

describe("server block keys", function()
  local cases = {
    { ".", "dns://.:53" },
    { ":1053", "zone is not a valid domain name: " },
    { ".:1053", "dns://.:1053" },
    { "Example.ORG", "dns://example.org.:53" },
    { "example.org.:0053", "dns://example.org.:53" },
    { "dns://x:5", "dns://x.:5" },
    { "tls://x", "tls://x.:853" },
    { "quic://x", "quic://x.:853" },
    { "https://x", "https://x.:443" },
    { "https3://x", "https3://x.:443" },
    { "grpc://x:50", "grpc://x.:50" },
    { "http://x", "dns://http://x.:53" },
    { "x:y", "dns://x:y.:53" },
    { "x:99999999999999999999", "dns://x:99999999999999999999.:53" },
    { ".:", 'expecting data after last colon: ".:"' },
    { "", 'expecting data after last colon: ""' },
    { "dns://", 'expecting data after last colon: ""' },
    { "a..b", "zone is not a valid domain name: a..b" },
    { ".a", "zone is not a valid domain name: .a" },
    { "a\\", "zone is not a valid domain name: a\\" },
    { "a\\.", "dns://a\\..:53" },
    { ("a"):rep(63), "dns://" .. ("a"):rep(63) .. ".:53" },
    { ("a"):rep(64), "zone is not a valid domain name: " .. ("a"):rep(64) },
    { ("a."):rep(128), "specified zone is too long: 256 > 255" },
    { ("a."):rep(127) .. "a", "specified zone is too long: 256 > 255" },
    { "10.0.0.0/8", "dns://10.in-addr.arpa.:53" },
    { "10.1.2.3/08:5", "dns://10.in-addr.arpa.:5" },
    { "0.0.0.0/0", "dns://in-addr.arpa.:53" },
    { "10.0.0.0/15", "dns://0.10.in-addr.arpa.:53 dns://1.10.in-addr.arpa.:53" },
    { "10.9.3.0/18", series(0, 63, "dns://%d.9.10.in-addr.arpa.:53") },
    { "192.0.2.33/27", series(32, 63, "dns://%d.2.0.192.in-addr.arpa.:53") },
    { "192.0.2.1/32", "dns://1.2.0.192.in-addr.arpa.:53" },
    { "2001:db8::/32", "dns://8.b.d.0.1.0.0.2.ip6.arpa.:53" },
    { "2001:db8::/30:5", "dns://8.b.d.0.1.0.0.2.ip6.arpa.:5 dns://9.b.d.0.1.0.0.2.ip6.arpa.:5 "
      .. "dns://a.b.d.0.1.0.0.2.ip6.arpa.:5 dns://b.b.d.0.1.0.0.2.ip6.arpa.:5" },
    { "2::/0", "dns://ip6.arpa.:53" },
    { "::1/64", "invalid CIDR ::1/64" },
    { "0::/3", "invalid CIDR 0::/3" },
    { "10.0.0.0/33", "dns://10.0.0.0/33.:53" },
    { "010.0.0.0/8", "dns://010.0.0.0/8.:53" },
    { "10/8", "dns://10/8.:53" },
    { "2001::db8::/32", "dns://2001::db8::/32.:53" },
  }
  for _, case in ipairs(cases) do
    it("reads " .. (case[1] == "" and "nothing" or case[1]:sub(1, 40)), function()
      assert.equal(case[2], show(case[1]))
    end)
  end

  it("takes the default port only for plain DNS", function()
    assert.equal("dns://x.:1053", show("x", 1053))
    assert.equal("tls://x.:853", show("tls://x", 1053))
  end)
end)

describe("origins", function()
  it("normalises and expands arguments, leaving out bad ones", function()
    local zones, bad = keys.origins({ "Example.org", { text = "dns://10.0.0.0/15:53" }, "a..b" }, { "ignored." })
    assert.same({ "example.org.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa." }, zones)
    assert.same({ "a..b" }, bad)
  end)

  it("falls back to a copy of the block's zones", function()
    local block = { "example.org.", { zone = "." } }
    local zones = keys.origins({}, block)
    assert.same({ "example.org.", "." }, zones)
    assert.are_not.equal(block, zones)
  end)

  it("is empty when all arguments are bad", function() assert.same({}, (keys.origins({ "a..b" }, { "." }))) end)
end)

describe("check_overlap", function()
  local function zone(name, binds, extra)
    local item = { scheme = "dns", zone = name, port = 53, binds = binds }
    for k, v in pairs(extra or {}) do
      item[k] = v
    end
    return item
  end
  local cases = {
    { "same zone twice", { zone ".", zone "." }, "cannot serve dns://.:53 - it is already defined" },
    { "another port", { zone ".", zone(".", nil, { port = 54 }) } },
    { "another scheme", { zone ".", zone(".", nil, { scheme = "tls" }) } },
    { "another zone", { zone ".", zone("org.", { "127.0.0.1" }) } },
    { "two addresses", { zone(".", { "127.0.0.1" }), zone(".", { "127.0.0.2" }) } },
    { "one address twice", { zone(".", { "::1" }), zone(".", { "::1" }) },
      "cannot serve dns://.:53 on ::1 - it is already defined" },
    { "bound after unbound", { zone ".", zone(".", { "127.0.0.1" }) },
      "cannot serve dns://.:53 on 127.0.0.1 - zone overlap listener capacity with dns://.:53" },
    { "unbound after bound", { zone(".", { "127.0.0.1", "127.0.0.2" }), zone "." },
      "cannot serve dns://.:53 - zone overlap listener capacity with dns://.:53 on 127.0.0.2" },
    { "views share", { zone(".", nil, { view = true }), zone(".", nil, { view = true }), zone "." } },
    { "a view still overlaps", { zone ".", zone(".", { "::1" }, { view = true }) },
      "cannot serve dns://.:53 on ::1 - zone overlap listener capacity with dns://.:53" },
  }
  for _, case in ipairs(cases) do
    it(case[1], function() assert.equal(case[3], keys.check_overlap(case[2])) end)
  end
end)
