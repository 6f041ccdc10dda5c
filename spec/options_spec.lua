local directive = require "spec.options.directive"
local options = require "lunadns.options"
local samples = require "spec.options.samples"

local cache, forward, hosts = samples.cache, samples.forward, samples.hosts

local function good(schema, text, expected, ctx)
  local conf, err = directive.parse(schema, text, ctx)
  assert.is_nil(err)
  for name, value in pairs(expected) do assert.are.same(value, conf[name]) end
  return conf
end

local function bad(schema, text, expected)
  local conf, err = directive.parse(schema, text)
  assert.is_nil(conf)
  assert.are.equal(expected, err)
end

describe("options", function()
  describe("positional arguments", function()
    it("fall back to the block's zones when they are zones", function()
      local ctx = { zones = { "a.", "b." } }
      local conf = good(cache, "cache", { zones = { "a.", "b." } }, ctx)
      assert.is_nil(conf.ttl)
      assert.are_not.equal(ctx.zones, conf.zones)
    end)
    it("are skipped when the token is of another type", function()
      good(cache, "cache 30", { ttl = 30, zones = { "example.org." } })
      good(cache, "cache 30 a 10.0.0.0/15", { ttl = 30, zones = { "a.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa." } })
      assert.is_nil(good(cache, "cache A", { zones = { "a." } }).ttl)
    end)
    it("are not skipped when only the range is wrong", function()
      bad(cache, "cache 0", "Corefile:7: cache: ttl: 0 is out of range: expected at least 1")
    end)
    it("count", function()
      good(forward, "forward . 1.1.1.1 9.9.9.9", { from = ".", to = { "1.1.1.1", "9.9.9.9" } })
      bad(forward, "forward",
        "Corefile:7: forward: Wrong argument count or unexpected line ending after 'forward'; "
        .. "expected: forward FROM TO...")
      bad(forward, "forward .",
        "Corefile:7: forward: Wrong argument count or unexpected line ending after '.'; expected: forward FROM TO...")
      bad(forward, "forward . a b c d", "Corefile:7: forward: to: too many arguments: 4, expected at most 3")
    end)
    it("name themselves in errors", function()
      bad(forward, "forward a..b x", "Corefile:7: forward: from: 'a..b' is not a domain name: it has an empty label")
    end)
    it("may follow a rest argument", function()
      local autopath = options.compile("autopath", {
        { "zones", type = "zone", rest = true }, { "source", type = "string", required = true },
      })
      good(autopath, "autopath @kubernetes", { zones = { "example.org." }, source = "@kubernetes" })
      good(autopath, "autopath a b /etc/resolv.conf", { zones = { "a.", "b." }, source = "/etc/resolv.conf" })
      bad(autopath, "autopath",
        "Corefile:7: autopath: Wrong argument count or unexpected line ending after 'autopath'; "
        .. "expected: autopath [ZONES...] SOURCE")
    end)
    it("leave the tokens that required ones after them need", function()
      local one = options.compile("one", { { "a", type = "string" }, { "b", type = "string", required = true } })
      assert.is_nil(good(one, "one x", { b = "x" }).a)
      good(one, "one x y", { a = "x", b = "y" })
      local two = options.compile("two", {
        { "a", type = "string" }, { "b", type = "string", required = true }, { "c", type = "string", required = true },
      })
      assert.is_nil(good(two, "two x y", { b = "x", c = "y" }).a)
    end)
    it("may have a parser of their own", function()
      local rewrite = options.compile("rewrite", {
        { "rule", rest = true, parse = function(entry, fail)
          if entry.args[1].text ~= "name" then fail("unknown rule type", entry.args[1]) end
          return #entry.args
        end },
      })
      good(rewrite, "rewrite name a b", { rule = 3 })
      bad(rewrite, "rewrite x", "Corefile:7: rewrite: unknown rule type")
    end)
    it("take their defaults, which are copies", function()
      local schema = options.compile("x", { { "list", rest = true, default = { "a" } } })
      local first = good(schema, "x", { list = { "a" } })
      first.list[2] = "b"
      good(schema, "x", { list = { "a" } })
      good(schema, "x y", { list = { "y" } })
    end)
  end)

  describe("block options", function()
    it("have their defaults, or are nil, or false for flags", function()
      local conf = good(cache, "cache", { servfail = 5, keepttl = false })
      assert.is_nil(conf.success)
      assert.is_nil(conf.disable)
    end)
    it("read several arguments into a table", function()
      good(cache, "cache {\nsuccess 100 60\nprefetch 3\n}", {
        success = { capacity = 100, ttl = 60 }, prefetch = { amount = 3, duration = 60, percentage = 10 },
      })
      good(cache, "cache {\nprefetch 3 2m 20%\n}", { prefetch = { amount = 3, duration = 120, percentage = 20 } })
      good(cache, "cache {\nserve_stale\n}", { serve_stale = { upto = 3600 } })
    end)
    it("explain a wrong count", function()
      local text = "Corefile:8: cache: Wrong argument count or unexpected line ending after '%s'; expected: %s"
      local form = "success CAPACITY [TTL] [MINTTL]"
      bad(cache, "cache {\nsuccess\n}", text:format("success", form))
      bad(cache, "cache {\nsuccess 1 2 3 4 5\n}", text:format("4", form))
      bad(cache, "cache {\nservfail\n}", text:format("servfail", "servfail DURATION"))
      bad(cache, "cache {\nkeepttl on\n}", text:format("on", "keepttl"))
      bad(cache, "cache {\ndisable\n}", text:format("disable", "disable success|denial [ZONES...]"))
    end)
    it("explain a wrong value", function()
      bad(cache, "cache {\nkeepttl\nprefetch 1 1m 101%\n}",
        "Corefile:9: cache: prefetch: 101 is out of range: expected 10 to 90")
      bad(cache, "cache {\nprefetch 1.5\n}", "Corefile:8: cache: prefetch: '1.5' is not a whole number")
      bad(cache, "cache {\nservfail 6m\n}", "Corefile:8: cache: servfail: 6m is out of range: expected 0s to 5m")
    end)
    it("explain an unknown property", function()
      bad(cache, "cache {\nbanana 1\n}", "Corefile:8: cache: unknown property 'banana'")
      bad(cache, "cache {\nprefech 1\n}", "Corefile:8: cache: unknown property 'prefech'; did you mean 'prefetch'?")
      bad(cache, "cache {\nsucess 1\n}", "Corefile:8: cache: unknown property 'sucess'; did you mean 'success'?")
      bad(options.compile("loop", {}), "loop {\nx\n}", "Corefile:8: loop: unknown property 'x'; loop takes no options")
    end)
    it("stay on one line whatever the token", function()
      bad(cache, 'cache {\n"a\tb"\n}', "Corefile:8: cache: unknown property 'a\\tb'")
      local _, err = cache:parse({ args = {}, block = { { name = { text = "a\nb\27[0m", line = 3 }, args = {} } },
        file = "C", line = 1 })
      assert.are.equal("C:3: cache: unknown property 'a\\nb\\027[0m'", err)
    end)
    it("take no block unless they say so", function()
      bad(cache, "cache {\nkeepttl {\nx\n}\n}", "Corefile:8: cache: keepttl: takes no block")
    end)
    it("count the last line when given twice, as in CoreDNS", function()
      good(cache, "cache {\nservfail 1s\nservfail 2s\n}", { servfail = 2 })
    end)
    it("may refuse a second line", function()
      bad(cache, "cache {\nserve_stale\nserve_stale_policy prefer_positive\nserve_stale_policy prefer_positive\n}",
        "Corefile:10: cache: serve_stale_policy: can only be given once; first at Corefile:9")
    end)
    it("collect repeated lines", function()
      local conf = good(forward, "forward . x {\nexcept a b\nexcept 10.0.0.0/15\n}", {
        except = { "a.", "b.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa." },
      })
      assert.is_nil(conf.next)
      local schema = options.compile("x", {
        net = { type = "cidr", repeatable = true }, rule = { rest = true, repeatable = true, type = "string" },
      })
      good(schema, "x {\nnet 10.0.0.0/8\nrule a b\nnet ::/0\nrule c\n}", {
        net = { "10.0.0.0/8", "::/0" }, rule = { { "a", "b" }, { "c" } },
      })
      assert.is_nil(good(schema, "x", {}).net)
    end)
    it("tell no argument from no option", function()
      good(forward, "forward . x {\nnext\n}", { next = {} })
      good(forward, "forward . x {\nnext NXDOMAIN 2\n}", { next = { 3, 2 } })
      good(hosts, "hosts {\nfallthrough\n}", { fallthrough = { "." } })
      good(hosts, "hosts {\nfallthrough a\n}", { fallthrough = { "a." } })
      assert.is_nil(good(hosts, "hosts", {}).fallthrough)
    end)
    it("may have a value that stands for no argument", function()
      local pprof = options.compile("pprof", { block = { type = "int", empty = 1, default = 0 } })
      good(pprof, "pprof", { block = 0 })
      good(pprof, "pprof {\nblock\n}", { block = 1 })
      good(pprof, "pprof {\nblock 5\n}", { block = 5 })
    end)
    it("need at least min_args", function()
      bad(forward, "forward . x {\nexcept\n}",
        "Corefile:8: forward: Wrong argument count or unexpected line ending after 'except'; expected: except ZONE...")
    end)
    it("may be required", function()
      local view = options.compile("view", { expr = { type = "string", required = true } })
      bad(view, "view {\n}", "Corefile:7: view: expr is required; expected: expr TEXT")
      bad(view, "view", "Corefile:7: view: expr is required; expected: expr TEXT")
      good(view, "view {\nexpr x\n}", { expr = "x" })
    end)
    it("warn when deprecated and ignore what is ignored", function()
      local schema = options.compile("old", { upstream = { type = "ignored" }, a = { type = "int",
        deprecated = "use b" } })
      local conf, err, warnings = directive.parse(schema, "old {\nupstream 1 2\na 3\n}")
      assert.is_nil(err)
      assert.are.equal(3, conf.a)
      assert.is_nil(conf.upstream)
      assert.are.same({ "Corefile:9: old: a is deprecated: use b" }, warnings)
    end)
    it("warn of a network that is several zones where there is room for one", function()
      local schema = options.compile("one", { { "from", type = "zone", required = true } })
      local conf, err, warnings = directive.parse(schema, "one 10.0.0.0/9")
      assert.is_nil(err)
      assert.are.equal("0.10.in-addr.arpa.", conf.from)
      assert.are.same({ "Corefile:7: one: from: Unsupported CIDR notation: '10.0.0.0/9' expands to multiple zones. "
        .. "Using only '0.10.in-addr.arpa.'." }, warnings)
      conf, err, warnings = directive.parse(schema, "one 10.0.0.0/16")
      assert.is_nil(err)
      assert.are.equal("0.10.in-addr.arpa.", conf.from)
      assert.are.same({}, warnings)
    end)
  end)

  describe("functions of the plugin", function()
    it("check a value against the others, in any order of lines", function()
      local text = "Corefile:8: cache: serve_stale_policy: requires serve_stale"
      bad(cache, "cache {\nserve_stale_policy prefer_positive\n}", text)
      good(cache, "cache {\nserve_stale_policy prefer_positive\nserve_stale\n}", {})
    end)
    it("check arguments that were given, not defaults", function()
      local schema = options.compile("x", {
        { "n", type = "int", default = 3, check = function(value) return value % 2 == 0, "must be even" end },
      })
      good(schema, "x", { n = 3 })
      good(schema, "x 4", { n = 4 })
      bad(schema, "x 5", "Corefile:7: x: n: must be even")
    end)
    it("parse tokens themselves", function()
      good(forward, "forward . x {\nhealth_check 1s no_rec domain Example.org\n}", {
        health_check = { interval = 1, recursion = false, domain = "example.org." },
      })
      bad(forward, "forward . x {\nhealth_check 1s foo\n}", "Corefile:8: forward: health_check: unknown option foo")
      bad(forward, "forward . x {\nhealth_check 5\n}",
        "Corefile:8: forward: health_check: '5' is not a duration: it has no unit; "
        .. "expected a number with ns, us, ms, s, m or h")
      bad(forward, "forward . x {\nhealth_check\n}",
        "Corefile:8: forward: health_check: an argument is missing: expected duration, such as 30s or 1h30m")
    end)
    it("take lines that are no option, in order with the options", function()
      good(hosts, "hosts {\n192.0.2.1 a\nttl 60\n::1 b\n}", { inline = { "192.0.2.1=a", "::1=b" }, ttl = 60 })
      bad(hosts, "hosts {\nfallthrough\n192.0.2.1 a\n}", "Corefile:9: hosts: unknown property '192.0.2.1'")
      bad(hosts, "hosts {\n192.0.2.1\n}", "Corefile:8: hosts: a host line needs a name")
      bad(hosts, "hosts {\nbanana a\n}", "Corefile:8: hosts: 'banana' is not an IP address")
    end)
    it("are blamed, with the line, when they fail", function()
      local schema = options.compile("x", { a = { parse = function() error("oops", 0) end } })
      bad(schema, "x {\na\n}", "Corefile:8: x: error in the plugin's options: oops")
    end)
  end)

  describe("nested blocks", function()
    local schema = options.compile("outer", {
      inner = {
        block = { { "name", type = "name", required = true }, ttl = { type = "duration", default = 60, max = 100 } },
        repeatable = true,
      },
    })
    it("give a conf of their own", function()
      good(schema, "outer {\ninner a {\nttl 5s\n}\ninner b\n}", {
        inner = { { name = "a.", ttl = 5 }, { name = "b.", ttl = 60 } },
      })
    end)
    it("say the whole way in errors", function()
      bad(schema, "outer {\ninner a {\nttl x\n}\n}",
        "Corefile:9: outer: inner: ttl: 'x' is not a duration: expected a number with a unit, such as 30s or 1h30m")
      bad(schema, "outer {\ninner a {\ntt x\n}\n}",
        "Corefile:9: outer: inner: unknown property 'tt'; did you mean 'ttl'?")
      bad(schema, "outer {\ninner\n}",
        "Corefile:8: outer: Wrong argument count or unexpected line ending after 'inner'; expected: inner NAME")
    end)
  end)

  describe("places", function()
    it("are known for errors found later", function()
      local conf = directive.parse(hosts, "hosts {\nno_reverse\nttl 5\n}")
      assert.are.equal("Corefile:9", options.where(conf, "ttl"))
      assert.are.equal("Corefile:7", options.where(conf, "fallthrough"))
      assert.are.equal("Corefile:7", options.where(conf))
    end)
    it("follow imported files", function()
      local _, err = hosts:parse { args = {}, file = "Corefile", line = 2, block = {
        { name = { text = "ttl", file = "custom/a.override", line = 9 }, args = { { text = "x",
          file = "custom/a.override", line = 9 } } },
      } }
      assert.are.equal("custom/a.override:9: hosts: ttl: 'x' is not a whole number", err)
    end)
  end)
end)
