local t = require "dns.test"
local dns = require "dns"

local path = os.tmpname()

describe("dns.networks", function()
  local s

  setup(function() s = t.server ". { whoami }" end)
  teardown(function()
    t.close_all()
    os.remove(path)
  end)

  it("finds the longest prefix that holds an address", function()
    local nets = dns.networks {
      "10.0.0.0/8", ["10.9.0.0/16"] = 5, ["10.9.9.9"] = -1.5, ["10.9.9.0/24"] = "inner # text", ["2001:db8::/32"] = "six",
      ["2001:db8:0:1::/64"] = 64, ["::1"] = "loop", ["255.0.0.0/8"] = "last",
    }
    local found = {}
    for _, text in ipairs { "9.255.255.255", "10.0.0.0", "10.8.255.255", "10.9.0.0", "10.9.9.8", "10.9.9.9", "10.9.9.10",
      "10.9.10.0", "10.10.0.0", "10.255.255.255", "11.0.0.0", "255.255.255.255", "254.255.255.255", "::", "::1", "::2",
      "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:0:1:ffff::", "2001:db8:0:2::", "2001:db9::" } do
      local value = nets:match(text)
      found[#found + 1] = tostring(value)
      assert.equal(value, nets:match(dns.addr(text)))
    end
    assert.equal("nil true true 5 inner # text -1.5 inner # text 5 true true nil last nil nil loop nil nil six 64 six nil",
      table.concat(found, " "))
    assert.equal(8, (nets:count()))
  end)
  it("takes whole families", function()
    local nets = dns.networks { ["0.0.0.0/0"] = 4, ["128.0.0.0/1"] = 1, ["::/0"] = 6 }
    assert.equal(4, nets:match "0.0.0.0")
    assert.equal(1, nets:match "255.255.255.255")
    assert.equal(6, nets:match "::")
    assert.equal(6, nets:match "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
    local six = dns.networks { "::/0" }
    assert.is_nil(six:match "10.0.0.1")
    assert.is_nil(dns.networks {}:match "10.0.0.1")
  end)
  it("agrees with a plain search, with many networks", function()
    local list, plain, seed = {}, {}, 7
    local function random(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return math.floor(seed / 65536) % n
    end
    for i = 1, 2000 do
      local bits = 4 + random(29)
      local a = (10 + random(3)) * 2 ^ 24 + random(256) * 2 ^ 16 + random(256) * 2 ^ 8 + random(256)
      local first = a - a % 2 ^ (32 - bits)
      local text = ("%d.%d.%d.%d/%d"):format(first / 2 ^ 24 % 256, first / 2 ^ 16 % 256, first / 2 ^ 8 % 256, first % 256, bits)
      list[text] = i
      plain[text] = { first, first + 2 ^ (32 - bits), bits, i }
    end
    local nets = dns.networks(list)
    for _ = 1, 2000 do
      local a = (9 + random(5)) * 2 ^ 24 + random(256) * 2 ^ 16 + random(256) * 2 ^ 8 + random(256)
      local best, want = -1, nil
      for _, p in pairs(plain) do
        if a >= p[1] and a < p[2] and p[3] > best then best, want = p[3], p[4] end
      end
      local text = ("%d.%d.%d.%d"):format(a / 2 ^ 24 % 256, a / 2 ^ 16 % 256, a / 2 ^ 8 % 256, a % 256)
      assert.equal(want, nets:match(text), text)
    end
  end)
  it("reads a list: comments, values, IPv4 in IPv6, bits after the prefix", function()
    local nets = dns.networks "spec-nets"
    local changed, note = nets:load_text(table.concat({
      "\239\187\191# a list", "; of networks", "", "192.0.2.99/24 ; SBL123", "  198.51.100.0/24\t12 # twelve",
      "::ffff:203.0.113.0/120 a b",
      "10.0.0.0/33", "10.0.0/8", "name.example", "fe80::1%eth0/64", "2001:db8::/129", "10.0.0.0/",
      "10.1.0.0/16 1\r", "10.1.0.0/16 2",
    }, "\n"))
    assert.is_true(changed)
    assert.equal("6 lines were ignored, the first: line 7: '10.0.0.0/33' is not a network", note)
    assert.is_true(nets:match "192.0.2.1")
    assert.equal(12, nets:match "198.51.100.1")
    assert.equal("a b", nets:match "203.0.113.1")
    assert.equal(2, nets:match "10.1.0.0") -- the later line
    assert.equal(4, (nets:count()))
    assert.equal(4, s:metric 'lunadns_shared_items{name="spec-nets"}')
  end)
  it("says what is wrong", function()
    assert.error_matches(function() dns.networks { "10.0.0.0/33" } end, "dns.networks: '10.0.0.0/33' is not a network")
    assert.error_matches(function() dns.networks { 5 } end, "expected a string without blanks, found '5'")
    assert.error_matches(function() dns.networks { ["10.0.0.0/8"] = {} } end, "10.0.0.0/8: a value must be a number, true")
    assert.error_matches(function() dns.networks(nil) end, "expected a list, or a name")
    assert.error_matches(function() dns.networks { "::/0" }:match "name" end, "'name' is not an IP address")
    assert.error_matches(function() dns.networks { "::/0" }:match(nil) end, "expected an address or a string, not a nil")
    assert.error_matches(function() dns.networks { "::/0" }:load_text "" end, "made from a list stays as it is")
    local _, where = pcall(function() dns.networks { "10.0.0.0/33" } end)
    assert.matches("networks_spec.lua:%d+: dns.networks", where)
  end)
  it("stays compiled and makes nothing", function()
    local directory = os.tmpname()
    os.remove(directory)
    os.execute("mkdir " .. directory)
    local f = assert(io.open(directory .. "/probe.lua", "w"))
    f:write [[
local dns = require "dns"
return dns.plugin {
  name = "probe",
  setup = function(conf, next, server)
    local inside = dns.networks { "10.240.0.0/16", "2001:db8::/32" }
    local site = dns.networks { ["10.0.0.0/8"] = 1, ["10.240.0.0/24"] = 2, ["::/0"] = 3 }
    return function(q)
      if inside:match(q.client) and site:match(q.client) == 2 then q:answer_address("192.0.2.1", 60) end
      return 0
    end
  end,
}]]
    f:close()
    local hot = t.server(". {\n probe\n}", { directory = directory })
    assert.answer("example.org. 60 IN A 192.0.2.1", hot:query "example.org. A")
    assert.hot(hot, { "example.org. A" })
    os.execute("rm -r " .. directory)
  end)
end)
