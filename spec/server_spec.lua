-- What setup receives as `server`: timers and metrics.
local t = require "dns.test"

local directory = os.tmpname()
os.remove(directory)

-- The plugin's code and the spec share this table: a spec runs the worker's state in its own.
local probe = {}
package.loaded["lunadns.probe"] = probe

--- A server of one plugin whose setup is this text.
local function serve(setup_text)
  local f = assert(io.open(directory .. "/probe.lua", "w"))
  f:write(([[
local dns = require "dns"
local probe = require "lunadns.probe"
return dns.plugin { name = "probe", setup = function(conf, next, server)
%s
return function(q) return 0 end
end }]]):format(setup_text))
  f:close()
  local s, err = t.try(". {\n probe\n}", { directory = directory })
  return s, err
end

describe("server", function()
  setup(function() os.execute("mkdir " .. directory) end)
  teardown(function()
    t.close_all()
    os.execute("rm -r " .. directory)
    package.loaded["lunadns.probe"] = nil
  end)
  before_each(function() for key in pairs(probe) do probe[key] = nil end end)

  describe("every", function()
    it("calls again and again, on the virtual clock", function()
      probe.n = 0
      local s = serve [[server:every(10, function() probe.n = probe.n + 1 end, { once = true })]]
      s:advance "9s"
      assert.equal(0, probe.n)
      s:advance "1s"
      assert.equal(1, probe.n)
      s:advance "95s"
      assert.equal(10, probe.n)
      s:close()
    end)
    it("begins at once when asked, takes durations, and stops", function()
      probe.n = 0
      local s = serve [[
        local timer
        timer = server:every("1m", function() probe.n = probe.n + 1 if probe.n == 3 then timer:stop() end end, { now = true })]]
      assert.equal(1, probe.n)
      s:advance "10m"
      assert.equal(3, probe.n)
      s:close()
    end)
    it("adds a random time", function()
      probe.at = {}
      local s = serve [[
        server:every(10, function() table.insert(probe.at, tonumber(server.state.now) / 1e9) end, { jitter = "10s" })]]
      s:advance "600s"
      local least, most, at = math.huge, 0, probe.at
      for i = 2, #at do
        least, most = math.min(least, at[i] - at[i - 1]), math.max(most, at[i] - at[i - 1])
      end
      assert.is_true(least >= 9.7 and most <= 20.3 and most - least > 3, ("%g to %g"):format(least, most))
      s:close()
    end)
    it("is not entered again while it waits, and leaves out what it missed", function()
      probe.inside, probe.most, probe.n = 0, 0, 0
      local s = serve [[
        local ffi, wait = require "ffi", require("lunadns.runner").wait
        server:every(1, function(q)
          probe.inside = probe.inside + 1
          probe.most = math.max(probe.most, probe.inside)
          probe.n = probe.n + 1
          ffi.C.luna_query_sleep(q, 4.5e9)
          wait(q)
          probe.inside = probe.inside - 1
        end)]]
      s:advance "50s"
      assert.equal(1, probe.most)
      assert.is_true(probe.n >= 9 and probe.n <= 11, tostring(probe.n))
      s:close()
    end)
    it("logs an error with plugin and line, and goes on", function()
      local s = serve [[server:every(1, function() error "broken" end)]]
      s:log()
      s:advance "2.5s"
      local log = s:log()
      assert.matches("%[ERROR%] plugin/probe: [^\n]*probe.lua:4: broken %(timer%): ended\n", log)
      assert.equal(2, select(2, log:gsub("broken", "")))
      s:close()
    end)
    it("refuses what makes no sense", function()
      for text, why in pairs {
        ["server:every(0, print)"] = "probe.lua:4: server:every: period: '0' is shorter than a millisecond",
        ["server:every('x', print)"] = "server:every: period: 'x' is not a duration",
        ["server:every(1, 5)"] = "server:every: expected a function, found a number",
        ["server:every(1, print, { one = true })"] = "server:every: unknown option 'one'",
        ["server:every(1, print, { jitter = -1 })"] = "server:every: jitter: '-1' is not a number of seconds",
      } do
        local s, err = serve(text)
        assert.is_nil(s)
        assert.is_truthy(err:find(why, 1, true), err)
      end
    end)
  end)

  describe("metrics", function()
    it("take label values with each call", function()
      local s = serve [[
        if server.role == "control" then return end
        local c = server:counter("hits_total", "Hits.", { "kind", { "server", "here" }, "size" })
        c:inc("a", 1)
        c:inc("a", "1")
        c:add(5, "b", 'quo"te')
        local g = server:gauge("level", "Level.", { "kind" })
        g:set(5, "a") g:add(0.5, "a") g:inc("a") g:dec("b")
        local h = server:histogram("time", "Time.", { "kind" }, { 1, 2 })
        h:observe(1, "a") h:observe(2, "a") h:observe(9, "b")
        local d = server:histogram("three", "Three.", { "a", "b", "c" }, { 1 })
        d:observe(1, "x", "y", "z")
        local plain = server:gauge("plain", "Plain.")
        plain:inc() plain:add(2) plain:dec()]]
      assert.equal(2, s:metric 'coredns_probe_hits_total{kind="a",size="1",server="here"}')
      assert.equal(5, s:metric 'coredns_probe_hits_total{kind="b"}')
      assert.equal(6.5, s:metric 'coredns_probe_level{kind="a"}')
      assert.equal(-1, s:metric 'coredns_probe_level{kind="b"}')
      assert.equal(1, s:metric 'coredns_probe_time_bucket{kind="a",le="1"}')
      assert.equal(2, s:metric 'coredns_probe_time_count{kind="a"}')
      assert.equal(9, s:metric 'coredns_probe_time_sum{kind="b"}')
      assert.equal(1, s:metric 'coredns_probe_three_count{a="x",b="y",c="z"}')
      assert.equal(2, s:metric "coredns_probe_plain")
      s:close()
    end)
    it("are bounded, whatever comes", function()
      local text = [[
        local c = server:counter("bounded_total", "Bounded.", { "client", { "zone", "." } }, { max = 10 })
        if server.role == "control" then return end
        for i = 1, 1000 do c:inc("client" .. i) end
        c:inc "client3"
        c:inc(7)
        probe.c = c]]
      local s = serve(text)
      assert.equal(1002, s:metric "coredns_probe_bounded_total")
      assert.equal(2, s:metric 'coredns_probe_bounded_total{client="client3"}')
      assert.equal(991, s:metric 'coredns_probe_bounded_total{client="other",zone="."}')
      local _, lines = s:log():gsub("metric coredns_probe_bounded_total has 10 series", "")
      assert.equal(1, lines)
      local kept = 0
      for _ in pairs(probe.c.slots) do kept = kept + 1 end
      assert.is_true(kept <= 11)
      -- The bound is the process's: another state finds the series there are, and counts on in them.
      local again = serve(text)
      assert.equal(2, again:metric 'coredns_probe_bounded_total{client="client3"}')
      assert.equal(991, again:metric 'coredns_probe_bounded_total{client="other"}')
      s:close()
      again:close()
    end)
    it("say what is wrong", function()
      for text, why in pairs {
        ["server:counter('c', '', { 5 })"] = "probe.lua:4: metric coredns_probe_c: label 1 must be a name, or { name, value }",
        ["server:counter('c', '', { 'a', 'b', 'c', 'd' })"] = "metric coredns_probe_c: 4 labels whose values come later",
        ["server:counter('c c', '')"] = "metric coredns_probe_c c: a name, label or bucket that Prometheus does not take",
        ["server:counter('needs', '', { 'a' }):inc()"] = "metric coredns_probe_needs: a label's value is missing",
      } do
        local s, err = serve(text)
        assert.is_nil(s)
        assert.is_truthy(err:find(why, 1, true), err)
      end
    end)
    it("find a number and its text in one look-up at the bound", function()
      local s = serve [[
        if server.role == "control" then return end
        local c = server:counter("sized_total", "", { "kind", "size" }, { max = 3 })
        c:inc("a", 1) c:inc("7", "28") c:inc("b", "x") c:inc("c", 5)
        probe.c = c]]
      local slots = probe.c.slots
      assert.equal(slots["7"]["28"], slots[7][28])
      assert.equal(slots.a[1], slots.a["1"])
      assert.is_nil(slots.c)
      probe.c:inc(7, 28)
      probe.c:inc("7", 28)
      probe.c:inc("a", 2)
      assert.equal(3, s:metric 'coredns_probe_sized_total{kind="7",size="28"}')
      assert.equal(2, s:metric 'coredns_probe_sized_total{kind="other",size="other"}')
      s:close()
    end)
    it("stay compiled and make nothing", function()
      local f = assert(io.open(directory .. "/probe.lua", "w"))
      f:write [[
local dns = require "dns"
return dns.plugin { name = "probe", setup = function(conf, next, server)
  local c = server:counter("hot_total", "", { "kind" })
  local two = server:counter("hot2_total", "", { "kind", "type" })
  local full = server:counter("hot3_total", "", { "kind" }, { max = 1 })
  local numbers = server:counter("hot4_total", "", { "kind", "type" }, { max = 2 })
  local h = server:histogram("hot", "", { "kind" }, { 1, 2, 4 })
  local g = server:gauge("hot_gauge", "")
  full:inc "first" full:inc "second"
  numbers:inc("a", 1) numbers:inc("a", "28") numbers:inc("a", 99)
  return function(q)
    c:inc "a" two:inc("a", q.qtype) full:inc "third" numbers:inc("a", q.qtype) h:observe(q.packet_len, "a") g:inc() g:dec()
    return 0
  end
end }]]
      f:close()
      local s = t.server(". {\n probe\n}", { directory = directory })
      assert.hot(s, { "example.org. A", "example.org. AAAA" })
      s:query "example.org. MX" -- a value that comes when all is compiled
      s:query "example.org. TXT"
      assert.hot(s, { "example.org. A", "example.org. AAAA", "example.org. MX", "example.org. TXT" })
      local before = s:metric 'coredns_probe_hot4_total{kind="a",type="28"}'
      s:query "example.org. AAAA"
      assert.equal(before + 1, s:metric 'coredns_probe_hot4_total{kind="a",type="28"}')
      assert.is_true(s:metric 'coredns_probe_hot4_total{kind="other",type="other"}' > 10000)
      s:close()
    end)
  end)

  it("watches files that a setup names", function()
    local s = serve 'server:watch "/etc/data.txt"'
    assert.same({ ["/etc/data.txt"] = true }, s.made.watched)
    s:close()
  end)
end)
