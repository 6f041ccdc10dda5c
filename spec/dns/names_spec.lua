local t = require "dns.test"
local dns = require "dns"

local directory = os.tmpname()
os.remove(directory)
local path = directory .. "/list"

local function write(name, text)
  local f = assert(io.open(directory .. "/" .. name, "w"))
  f:write(text)
  f:close()
end

--- What match and get say of each name: "name=match/get".
local function say(table_, names)
  local out = {}
  for name in names:gmatch "%S+" do
    out[#out + 1] = ("%s=%s/%s"):format(name, tostring(table_:match(name)), tostring(table_:get(name)))
    assert.equal(table_:match(name), table_:match(dns.name(name)))
    assert.equal(table_:get(name), table_:get(dns.name(name)))
  end
  return table.concat(out, " ")
end

describe("dns.names", function()
  local s, n
  local count = 0

  setup(function()
    os.execute("mkdir " .. directory)
    s = t.server ". { whoami }"
  end)
  teardown(function()
    t.close_all()
    os.execute("rm -r " .. directory)
  end)
  before_each(function()
    count = count + 1
    n = dns.names("spec" .. count)
  end)

  it("finds names, and what is below them", function()
    local list = dns.names { "Ads.Example", ["b.example."] = 7, ["*.wild.example"] = "text", ["a.b.example"] = 8 }
    assert.equal("ads.example=true/true x.ads.example=true/nil xads.example=nil/nil example=nil/nil b.example=7/7 " ..
      "c.b.example=7/nil a.b.example=8/8 x.a.b.example=8/nil wild.example=nil/nil a.wild.example=text/nil " ..
      "b.a.wild.example=text/nil .=nil/nil",
      say(list, "ads.example x.ads.example xads.example example b.example c.b.example a.b.example x.a.b.example " ..
        "wild.example a.wild.example b.a.wild.example ."))
    assert.equal(4, (list:count()))
    assert.equal(dns.names, dns.suffixes)
  end)
  it("takes the root", function()
    assert.is_true(dns.suffixes { "." }:match "a.b")
    assert.is_nil(dns.suffixes { "*." }:match ".")
    assert.is_true(dns.suffixes { "*." }:match "a.b")
    assert.is_nil(dns.suffixes {}:match "a.b")
    local long = ("a."):rep(127)
    assert.is_true(dns.suffixes { long }:match(long))
    assert.is_true(dns.suffixes { "a.a" }:match(long))
  end)
  it("reads domain lists, hosts files and ad blockers' lists", function()
    local changed, note = n:load_text(table.concat({
      "! Title: a list", "[Adblock Plus 2.0]", "# comment", "plain.example", ".dotted.example # all", "*.wild.example",
      "value.example 12", "word.example some words ; comment", "0.0.0.0 hosts.example www.hosts.example", "127.0.0.1 localhost",
      "::1 ip6-localhost ip6-loopback", "0.0.0.0 0.0.0.0", "||rule.example^", "||rule2.example^$third-party",
      "https://url.example/", "404", "192.0.2.1", "a..b", "m\195\188ller.example", "0/25.2.0.192.in-addr.arpa", "_tcp.example\r",
    }, "\n"))
    assert.is_true(changed)
    assert.equal("6 lines were ignored, the first: line 14: '||rule2.example^$third-party' is not a name", note)
    assert.equal("a.plain.example=true/nil dotted.example=true/true a.dotted.example=true/nil a.wild.example=true/nil " ..
      "value.example=12/12 word.example=some words/some words hosts.example=true/true a.hosts.example=nil/nil " ..
      "www.hosts.example=true/true localhost=nil/nil a.rule.example=true/nil rule2.example=nil/nil _tcp.example=true/true " ..
      "x.0/25.2.0.192.in-addr.arpa=true/nil",
      say(n, "a.plain.example dotted.example a.dotted.example a.wild.example value.example word.example hosts.example " ..
        "a.hosts.example www.hosts.example localhost a.rule.example rule2.example _tcp.example x.0/25.2.0.192.in-addr.arpa"))
  end)
  it("lets the earlier of two equal lines stand, and joins what each says", function()
    n:load_text "a.example 1\na.example 2\n*.b.example 1\nb.example 2\n0.0.0.0 c.example\nc.example 3\nd.example\nd.example"
    assert.equal("a.example=1/1 x.b.example=1/nil b.example=2/2 c.example=true/true x.c.example=3/nil d.example=true/true",
      say(n, "a.example x.b.example b.example c.example x.c.example d.example"))
    assert.equal(6, (n:count()))
  end)
  it("reads a response policy zone", function()
    local zone = [[
$TTL 5m
$ORIGIN rpz.example.
@ 1h IN SOA ns.rpz.example. host.rpz.example. ( 1 ; serial
  3600 600
  86400 60 )
 IN NS ns.rpz.example.
bad.example        CNAME .
*.bad.example 60   CNAME *.
good.bad.example   CNAME rpz-passthru.
drop.example       CNAME rpz-drop.
tcp.example.rpz.example. IN 60 CNAME rpz-tcp-only.
local.example      A 192.0.2.1
             60 IN TXT "a ; b" "c)"
MORE.local.example AAAA 2001:db8::1
garden.example     CNAME walled.garden.
local.example      A 192.0.2.2
*                  CNAME rpz-passthru.
32.1.2.0.192.rpz-ip CNAME .
outside.example.   CNAME .
lonely.example
$INCLUDE other
]]
    local changed, note = n:load_text(zone, "rpz")
    assert.is_true(changed)
    assert.matches("^4 lines were ignored, the first: line 18: '32.1.2.0.192.rpz%-ip' is about addresses", note)
    local records = '300 IN A 192.0.2.1\n60 IN TXT "a ; b" "c)"'
    assert.equal(dns.RPZ_NXDOMAIN, n:match "bad.example")
    assert.equal(dns.RPZ_NODATA, n:match "x.bad.example")
    assert.equal(dns.RPZ_PASSTHRU, n:match "good.bad.example")
    assert.equal(dns.RPZ_NODATA, n:match "x.good.bad.example")
    assert.equal(dns.RPZ_DROP, n:match "drop.example")
    assert.equal(dns.RPZ_TCP_ONLY, n:match "tcp.example")
    assert.equal(records .. "\n300 IN A 192.0.2.2", n:match "local.example")
    assert.equal("300 IN AAAA 2001:db8::1", n:match "more.local.example")
    assert.equal("300 IN CNAME walled.garden.", n:match "garden.example")
    assert.equal(dns.RPZ_PASSTHRU, n:match "anything")
    assert.is_true(n:load_text("a.example CNAME .\n", "rpz"))
    assert.equal(1, n:match "a.example")
  end)
  it("replaces its content whole, and only by what is another", function()
    assert.same({ true }, { n:load_text "a.example\nb.example" })
    assert.same({ false }, { n:load_text "a.example\nb.example" })
    assert.same({ true }, { n:load { "c.example" } })
    assert.equal("a.example=nil/nil c.example=true/true", say(n, "a.example c.example"))
    assert.same({ nil, "line 1: '<html>' is not a name" }, { n:load_text "<html>\n404\n</html>" })
    assert.equal("c.example=true/true", say(n, "c.example"))
    assert.is_true(n:load_text "")
    assert.equal(0, (n:count()))
  end)
  it("reads a file when it has changed", function()
    assert.same({ nil, ("cannot read %s: No such file or directory"):format(path) }, { n:load_file(path) })
    write("list", "a.example\n")
    assert.is_true(n:load_file(path))
    assert.is_false(n:load_file(path))
    write("next", "b.example c\n")
    os.rename(directory .. "/next", path)
    assert.is_true(n:load_file(path))
    assert.equal("c", n:match "b.example")
    write("list", "b.example c\n")
    assert.is_false(n:load_file(path))
    os.remove(path)
    assert.is_nil((n:load_file(path)))
    assert.equal("c", n:match "b.example")
    assert.same({ nil, directory .. " is not a file" }, { n:load_file(directory) })
  end)
  it("follows a file from a timer", function()
    write("followed", "a.example\n")
    write("follow.lua", ([[
local dns = require "dns"
return dns.plugin {
  name = "follow",
  setup = function(conf, next, server)
    local list = dns.names "followed"
    server:every(5, function() list:load_file("%s/followed") end, { once = true, now = true })
    return function(q)
      if list:match(q) then return 3 end
      return next(q)
    end
  end,
}]]):format(directory))
    local own = t.server(". {\n follow\n whoami\n}", { directory = directory })
    assert.rcode("NXDOMAIN", own:query "x.a.example. A")
    assert.rcode("NOERROR", own:query "b.example. A")
    write("next", "b.example\n")
    os.rename(directory .. "/next", directory .. "/followed")
    own:advance "6s"
    assert.rcode("NXDOMAIN", own:query "b.example. A")
    assert.rcode("NOERROR", own:query "x.a.example. A")
    own:close()
  end)
  it("is one for all who open its name", function()
    n:load { "a.example" }
    local other = t.server ". { whoami }"
    assert.is_true(dns.names("spec" .. count):match "a.example")
    other:close()
    assert.is_true(n:match "a.example")
    assert.equal(1, s:metric(('lunadns_shared_items{name="spec%d"}'):format(count)))
    local _, bytes = n:count()
    assert.equal(bytes, s:metric(('lunadns_shared_bytes{name="spec%d"}'):format(count)))
  end)
  it("says what is wrong", function()
    assert.error_matches(function() dns.names { "a b" } end, "dns.names: expected a string without blanks, found 'a b'")
    assert.error_matches(function() dns.names { "a..b" } end, "dns.names: 'a..b' is not a name")
    assert.error_matches(function() dns.names { a = "x\ny" } end, "a: a value must be a number, true, or a string")
    assert.error_matches(function() n:match "a..b" end, "'a..b' is not a domain name")
    assert.error_matches(function() n:get(5) end, "expected a query, a name or a string, not a number")
    assert.error_matches(function() n:load_text("", "zone") end, "unknown format 'zone'")
    assert.error_matches(function() dns.names { "a" }:load {} end, "made from a list stays as it is")
  end)
  it("holds what it was given, with many names", function()
    local lines = {}
    for i = 1, 20000 do lines[i] = ("host%d.zone%d.example %d"):format(i, i % 100, i % 7) end
    n:load_text(table.concat(lines, "\n"))
    assert.equal(20000, (n:count()))
    for i = 1, 20000, 7 do
      local name = ("host%d.zone%d.example"):format(i, i % 100)
      assert.equal(i % 7, n:get(name))
      assert.equal(i % 7, n:match("x." .. name))
      assert.is_nil(n:match(("host%d.zone%d.example"):format(i, (i + 1) % 100)))
    end
  end)
  it("stays compiled and makes nothing", function()
    write("probe.lua", [[
local dns = require "dns"
return dns.plugin {
  name = "probe",
  setup = function(conf, next, server)
    local blocked = dns.suffixes { "ads.example", ["tracker.example"] = 2 }
    return function(q)
      if blocked:match(q) or blocked:get(q) then return q:answer_address("0.0.0.0", 60) end
      return 0
    end
  end,
}]])
    local hot = t.server(". {\n probe\n}", { directory = directory })
    assert.answer("x.ads.example. 60 IN A 0.0.0.0", hot:query "x.ads.example. A")
    assert.hot(hot, { "x.ads.example. A", "tracker.example. A", "www.example.org. A" })
  end)
end)
