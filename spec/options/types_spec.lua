local directive = require "spec.options.directive"
local options = require "lunadns.options"

-- One token as the value of option `x` of a type.
local function read(spec, token, ctx)
  local schema = options.compile("demo", { x = spec })
  local run = { args = {}, block = { { name = { text = "x", line = 2 }, args = { { text = token, line = 2 } } } },
    line = 1 }
  local conf, err = schema:parse(run, ctx or {})
  if conf then return conf.x end
  return nil, (err:gsub("^Corefile:2: demo: x: ", ""))
end

local function cases(title, spec, good, bad)
  describe(title, function()
    for _, case in ipairs(good) do
      it(("reads %q"):format(case[1]), function()
        local value, err = read(spec, case[1], case.ctx)
        assert.is_nil(err)
        assert.are.same(case[2], value)
      end)
    end
    for _, case in ipairs(bad) do
      it(("refuses %q"):format(case[1]), function()
        local value, err = read(spec, case[1], case.ctx)
        assert.is_nil(value)
        assert.are.equal(case[2], err)
      end)
    end
  end)
end

describe("option types", function()
  local function not_int(text) return { text, ("'%s' is not a whole number"):format(text) } end
  cases("int", { type = "int" }, {
    { "0", 0 }, { "42", 42 }, { "-3", -3 }, { "+5", 5 }, { "007", 7 }, { "9007199254740992", 2 ^ 53 },
  }, {
    not_int "1e3", not_int "0x10", not_int "", not_int "1.5", not_int "inf", not_int "nan", not_int " 1", not_int "1 ",
    not_int "--1", not_int "1_000", not_int "-",
    { "9007199254740994", "'9007199254740994' is too large a number" },
    { ("9"):rep(40), "'" .. ("9"):rep(40) .. "' is too large a number" },
  })
  cases("int with limits", { type = "int", min = 1, max = 65535 }, { { "1", 1 }, { "65535", 65535 } }, {
    { "0", "0 is out of range: expected 1 to 65535" },
    { "65536", "65536 is out of range: expected 1 to 65535" },
  })
  cases("int with a lower limit", { type = "int", min = 1 }, { { "1", 1 } }, {
    { "0", "0 is out of range: expected at least 1" },
  })
  cases("int with an upper limit", { type = "int", max = 9 }, { { "-1", -1 } }, {
    { "10", "10 is out of range: expected at most 9" },
  })
  cases("number", { type = "number" }, { { "1.5", 1.5 }, { ".5", 0.5 }, { "3.", 3 }, { "-2", -2 }, { "+2", 2 } }, {
    { "1e3", "'1e3' is not a number" }, { "0x10", "'0x10' is not a number" }, { "", "'' is not a number" },
    { ".", "'.' is not a number" }, { "1.2.3", "'1.2.3' is not a number" }, { "nan", "'nan' is not a number" },
  })
  cases("percent", { type = "percent", min = 10, max = 90 }, { { "10%", 10 }, { "90%", 90 } }, {
    { "101%", "101 is out of range: expected 10 to 90" },
    { "50", "'50' is not a percentage: expected a whole number and '%', such as 10%" },
    { "%", "'%' is not a percentage: expected a whole number and '%', such as 10%" },
    { "1.5%", "'1.5%' is not a percentage: expected a whole number and '%', such as 10%" },
  })
  cases("port", { type = "port" }, { { "1", 1 }, { "65535", 65535 } }, {
    { "0", "0 is out of range: expected 1 to 65535" }, { "65536", "65536 is out of range: expected 1 to 65535" },
    { "http", "'http' is not a port number" }, { "-1", "'-1' is not a port number" },
  })
  local form = " is not a duration: expected a number with a unit, such as 30s or 1h30m"
  cases("duration", { type = "duration" }, {
    { "1h2m3.5s", 3723.5 }, { "30s", 30 }, { "0", 0 }, { "0s", 0 }, { "250ms", 0.25 }, { "35ms", 0.035 }, { "10us",
      1e-5 },
    { "10µs", 1e-5 }, { "5ns", 5e-9 }, { ".5s", 0.5 }, { "1.s", 1 }, { "+1m", 60 }, { "1m1h", 3660 },
  }, {
    { "5", "'5' is not a duration: it has no unit; expected a number with ns, us, ms, s, m or h" },
    { "1h5", "'1h5' is not a duration: it has no unit; expected a number with ns, us, ms, s, m or h" },
    { "5d", "'5d' is not a duration: unknown unit 'd'; expected ns, us, ms, s, m or h" },
    { "5S", "'5S' is not a duration: unknown unit 'S'; expected ns, us, ms, s, m or h" },
    { "1 s", "'1 s' is not a duration: unknown unit ' s'; expected ns, us, ms, s, m or h" },
    { "", "''" .. form }, { "s", "'s'" .. form }, { ".s", "'.s'" .. form }, { "-", "'-'" .. form },
    { "1e3s", "'1e3s' is not a duration: unknown unit 'e'; expected ns, us, ms, s, m or h" },
    { "-5s", "-5s is out of range: expected at least 0s" },
    { "2562048h", "'2562048h' is too long a duration: expected at most 2562047h" },
    { ("9"):rep(30) .. "s", "'" .. ("9"):rep(30) .. "s' is too long a duration: expected at most 2562047h" },
  })
  cases("duration with limits", { type = "duration", max = "5m" }, { { "5m", 300 } }, {
    { "1h", "1h is out of range: expected 0s to 5m" },
  })
  cases("duration that may be negative", { type = "duration", min = "-1m" }, { { "-5s", -5 } }, {})
  cases("duration with bare numbers", { type = "duration", bare = "s" }, {
    { "30", 30 }, { "1m", 60 }, { "1m30", 90 }, { "0", 0 },
  }, { { "", "''" .. form }, { "x", "'x' is not a duration: expected a number with a unit, such as 30s or 1h30m" } })
  cases("size", { type = "size" }, {
    { "1024", 1024 }, { "0", 0 }, { "64MB", 64 * 2 ^ 20 }, { "64m", 64 * 2 ^ 20 }, { "1KiB", 1024 }, { "2G", 2 ^ 31 },
    { "1Ti", 2 ^ 40 }, { "7B", 7 },
  }, {
    { "", "'' is not a size: expected bytes or a unit, such as 1024 or 64MB" },
    { "-1", "'-1' is not a size: expected bytes or a unit, such as 1024 or 64MB" },
    { "1.5MB", "'1.5MB' is not a size: expected bytes or a unit, such as 1024 or 64MB" },
    { "1XB", "'1XB' is not a size: unknown unit 'XB'; expected KB, MB, GB or TB" },
    { "99999999TB", "'99999999TB' is too large a size" },
  })
  cases("string", { type = "string" }, { { "", "" }, { "a b", "a b" } }, {})
  cases("onoff", { type = "onoff" }, { { "on", true }, { "off", false } }, {
    { "true", "'true' is neither 'on' nor 'off'" }, { "ON", "'ON' is neither 'on' nor 'off'" },
  })
  cases("enum", { type = "enum", values = { "random", "round_robin", "sequential" } }, { { "random", "random" } }, {
    { "Random", "'Random' is not one of: random, round_robin, sequential; did you mean 'random'?" },
    { "x", "'x' is not one of: random, round_robin, sequential" },
    { "raundrobin", "'raundrobin' is not one of: random, round_robin, sequential; did you mean 'round_robin'?" },
  })
  cases("enum in any case", { type = "enum", values = { "immediate", "verify" }, nocase = true }, {
    { "VERIFY", "verify" }, { "Immediate", "immediate" },
  }, {})
  cases("name", { type = "name" }, {
    { "Example.ORG", "example.org." }, { ".", "." }, { "a.b.", "a.b." }, { "*.x", "*.x." }, { "a\\.b", "a\\.b." },
    { "\\065.x", "\\065.x." }, { ("a"):rep(63), ("a"):rep(63) .. "." }, { "a\\.", "a\\.." },
  }, {
    { "", "'' is not a domain name: it is empty" },
    { "a..b", "'a..b' is not a domain name: it has an empty label" },
    { ".a", "'.a' is not a domain name: it has an empty label" },
    { "..", "'..' is not a domain name: it has an empty label" },
    { "a b", "'a b' is not a domain name: it has a space or a control character" },
    { "a\\", "'a\\' is not a domain name: it ends in a backslash" },
    { "\\256", "'\\256' is not a domain name: \\256 is above 255" },
    { ("a"):rep(64), "'" .. ("a"):rep(64) .. "' is not a domain name: a label has more than 63 bytes" },
    { ("a."):rep(128), "'" .. ("a."):rep(128):sub(1, 117) .. "...' is not a domain name: it has more than 255 bytes" },
  })
  cases("zone", { type = "zone" }, {
    { "Example.ORG", "example.org." }, { "dns://x:5353", "x." }, { "10.0.0.0/8", "10.in-addr.arpa." },
    { "10.0.0.0/15", "0.10.in-addr.arpa." }, { "0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa." },
  }, {
    { "a..b", "'a..b' is not a domain name: it has an empty label" },
    { "10.0.0.0/33", "'10.0.0.0/33' is not a network in CIDR form" },
    { "2001:db8::/129", "'2001:db8::/129' is not a network in CIDR form" },
  })
  cases("zones", { type = "zone", rest = true }, {
    { "10.0.0.0/15", { "0.10.in-addr.arpa.", "1.10.in-addr.arpa." } },
    { "2001:db8::/31", { "8.b.d.0.1.0.0.2.ip6.arpa.", "9.b.d.0.1.0.0.2.ip6.arpa." } },
  }, {})
  cases("ip", { type = "ip" }, {
    { "192.0.2.1", "192.0.2.1" }, { "2001:DB8:0:0::1", "2001:db8::1" }, { "::", "::" },
  }, {
    { "banana", "'banana' is not an IP address" }, { "", "'' is not an IP address" },
    { "1.2.3", "'1.2.3' is not an IP address" }, { "1.2.3.256", "'1.2.3.256' is not an IP address" },
    { "01.2.3.4", "'01.2.3.4' is not an IP address" }, { "1.2.3.4\0x", "'1.2.3.4\\000x' is not an IP address" },
    { "fe80::1%eth0", "'fe80::1%eth0' is not an IP address" }, { "[::1]", "'[::1]' is not an IP address" },
  })
  cases("ip of one family", { type = "ip", family = 6 }, { { "::1", "::1" } }, {
    { "192.0.2.1", "'192.0.2.1' is not an IPv6 address" },
  })
  local network = " is not a network: expected an address and its mask bits, such as 192.0.2.0/24"
  cases("cidr", { type = "cidr" }, {
    { "10.1.2.3/8", "10.0.0.0/8" }, { "10.1.255.3/17", "10.1.128.0/17" }, { "2001:DB8::1/32", "2001:db8::/32" },
    { "0.0.0.0/0", "0.0.0.0/0" }, { "::1/128", "::1/128" },
  }, {
    { "10.0.0.0", "'10.0.0.0'" .. network }, { "10.0.0.0/33", "'10.0.0.0/33'" .. network }, { "/8", "'/8'" .. network },
    { "10.0.0.0/08", "'10.0.0.0/08'" .. network }, { "10.0.0.0/", "'10.0.0.0/'" .. network },
    { "::/129", "'::/129'" .. network }, { "x/8", "'x/8'" .. network },
  })
  cases("cidr or address", { type = "cidr", bare = true }, { { "192.0.2.1", "192.0.2.1/32" }, { "::1", "::1/128" } }, {
    { "x", "'x' is neither a network nor an IP address: expected 192.0.2.0/24 or 192.0.2.1" },
  })
  cases("cidr of one family", { type = "cidr", family = 6 }, { { "64:ff9b::/96", "64:ff9b::/96" } }, {
    { "10.0.0.0/8", "'10.0.0.0/8' is not an IPv6 network" },
  })
  cases("addr", { type = "addr", port = 53 }, {
    { "192.0.2.1", "192.0.2.1:53" }, { "192.0.2.1:5353", "192.0.2.1:5353" }, { "::1", "[::1]:53" }, { "[::1]",
      "[::1]:53" },
    { "[2001:DB8::1]:54", "[2001:db8::1]:54" }, { "fe80::1%eth0", "[fe80::1%eth0]:53" },
  }, {
    { "x", "'x' is not an IP address, alone or with a port" }, { ":53",
      "':53' is not an IP address, alone or with a port" },
    { "[::1", "'[::1' is not an IP address, alone or with a port" },
    { "[::1]x", "'[::1]x' is not an IP address, alone or with a port" },
    { "", "'' is not an IP address, alone or with a port" },
    { "1.2.3.4%eth0", "'1.2.3.4%eth0' is not an IP address, alone or with a port" },
    { "1.2.3.4:", "'1.2.3.4:' has no valid port: ''" }, { "1.2.3.4:65536",
      "'1.2.3.4:65536' has no valid port: '65536'" },
  })
  cases("addr without a usual port", { type = "addr" }, { { "1.2.3.4:1", "1.2.3.4:1" } }, {
    { "1.2.3.4", "'1.2.3.4' has no port: expected IP:PORT" },
  })
  cases("listen", { type = "listen" }, {
    { ":8080", ":8080" }, { "localhost:9153", "localhost:9153" }, { "0.0.0.0:0", "0.0.0.0:0" }, { "[::]:80",
      "[::]:80" },
  }, {
    { "8080", "'8080' has no valid port: expected [HOST]:PORT" },
    { ":http", "':http' has no valid port: expected [HOST]:PORT" },
    { "http://x:80", "'http://x:80' is not an address to listen on: expected [HOST]:PORT" },
    { "[::", "'[::' has no valid port: expected [HOST]:PORT" },
    { "a b:80", "'a b:80' is not an address to listen on: expected [HOST]:PORT" },
  })
  cases("regex", { type = "regex" }, { { "(a|b)+$", "(a|b)+$" } }, {
    { "(ab", "'(ab' is not a regular expression: missing closing parenthesis at offset 3 of '(ab'" },
    { ("a"):rep(10001), "'" .. ("a"):rep(117)
      .. "...' is too long a regular expression: expected at most 10000 bytes" },
  })
  cases("rrtype", { type = "rrtype" }, { { "A", 1 }, { "aaaa", 28 }, { "HTTPS", 65 }, { "TYPE65280", 65280 },
    { "ANY", 255 } }, {
    { "AAAAA", "'AAAAA' is not a DNS record type; did you mean 'AAAA'?" },
    { "TYPE65536", "'TYPE65536' is not a DNS record type" }, { "1", "'1' is not a DNS record type" },
    { "", "'' is not a DNS record type" },
  })
  cases("class", { type = "class" }, { { "IN", 1 }, { "ch", 3 }, { "CLASS9", 9 }, { "ANY", 255 } }, {
    { "XX", "'XX' is not a DNS class" },
  })
  cases("rcode", { type = "rcode" }, { { "NXDOMAIN", 3 }, { "servfail", 2 }, { "5", 5 }, { "BADVERS", 16 } }, {
    { "NXDOMAN", "'NXDOMAN' is not a DNS response code; did you mean 'NXDOMAIN'?" },
    { "4096", "'4096' is not a DNS response code" },
  })
  local rooted = { root = "/etc/coredns" }
  cases("file", { type = "file" }, {
    { "db.example", "db.example" }, { "/abs/db", "/abs/db", ctx = rooted }, { "db", "/etc/coredns/db", ctx = rooted },
    { "./a/../db", "/etc/coredns/db", ctx = rooted }, { "../db", "/etc/db", ctx = rooted }, { "x", "x",
      ctx = { root = "" } },
    { "x", "zones/x", ctx = { root = "zones/" } }, { "../../x", "../x", ctx = { root = "zones" } },
  }, {
    { "", "'' is not a path: it is empty" }, { "a\0b", "'a\\000b' is not a path: it has a NUL byte" },
  })
  cases("list", { type = "list" }, { { "a", { "a" } } }, {})
  cases("list of a type", { type = "list", of = "ip" }, { { "::1", { "::1" } } }, {
    { "x", "'x' is not an IP address" },
  })

  it("flag takes no argument", function()
    local schema = options.compile("demo", { x = { type = "flag" } })
    assert.is_true(directive.parse(schema, "demo {\nx\n}").x)
    assert.is_false(directive.parse(schema, "demo").x)
    local _, err = directive.parse(schema, "demo {\nx y\n}")
    assert.are.equal("Corefile:8: demo: Wrong argument count or unexpected line ending after 'y'; expected: x", err)
  end)
end)
