local dns = require "dns"
local probe = require "spec.dns.probe"

local function now(server) return tonumber(server.state.now) / 1e9 end

describe("dns.sleep", function()
  teardown(probe.close)

  it("waits for a time while other queries are answered", function()
    local s = probe.handler("whoami", function(_, server)
      local before = now(server)
      assert(dns.sleep(0.5))
      return now(server) - before
    end)
    local q = s:send "x.run.test. A"
    assert.rcode("NOERROR", s:query "other.test. A")
    assert.is_nil(s:finish(q))
    s:advance "400ms"
    assert.is_nil(s:finish(q))
    s:advance "200ms"
    assert.rcode("NOERROR", s:finish(q))
    assert.is_true(probe.result[1] >= 0.5 and probe.result[1] < 0.8)
  end)

  it("lets others go first with 0", function()
    local order = {}
    local s = probe.handler("whoami", function()
      dns.spawn(function()
        dns.sleep(0)
        order[#order + 1] = "second"
      end)
      order[#order + 1] = "first"
      dns.sleep(0)
      order[#order + 1] = "third"
    end)
    probe.run(s)
    assert.same({ "first", "second", "third" }, order)
  end)

  it("refuses what is no time", function()
    local s = probe.handler("whoami", function()
      return select(2, pcall(dns.sleep, "1s")), select(2, pcall(dns.sleep, -1)), select(2, pcall(dns.sleep, 0 / 0))
    end)
    for _, err in ipairs { probe.run(s) } do assert.matches("dns.sleep: expected seconds, found", err) end
  end)

  it("says where it cannot wait", function()
    assert.error_matches(function() dns.sleep(1) end, "dns.sleep waits, and nothing can wait while a file is being loaded")
    local s = probe.handler("whoami", function()
      local own = require("lunadns.environment").libraries.coroutine -- as plugins have it
      return select(2, own.resume(own.create(function() return select(2, pcall(dns.sleep, 1)) end))),
        select(2, pcall(own.wrap(function() dns.sleep(1) end))), dns.sleep(1)
    end)
    local resumed, wrapped, own = probe.run(s)
    for _, err in ipairs { resumed, wrapped } do
      assert.matches("dns.sleep cannot wait inside a coroutine that the plugin made", err)
    end
    assert.is_true(own)
  end)

  it("leaves nothing behind where it was called by a function of C", function()
    local s = probe.handler("whoami", function(q)
      if q:under "plain.run.test" then table.sort({ 1, 2 }, function() dns.sleep(1) end) end
      for _ = 1, 20 do
        pcall(table.sort, { 1, 2 }, function() dns.sleep(0.1) end)
        pcall(string.gsub, "x", "x", function() dns.exchange("10.0.0.1", "a.test", "A") end)
        pcall(string.gsub, "x", "x", function() dns.all { function() dns.sleep(0.1) end } end)
        pcall(string.gsub, "x", "x", function() dns.resolve("lost.test", "A") end)
      end
      local results, errors = dns.all { function() return dns.sleep(2) end }
      return results[1], errors, dns.sleep(2)
    end)
    s:upstream { default = { drop = true } }
    local q = s:send "x.run.test. A"
    s:advance "3s"
    assert.is_nil(s:finish(q))
    s:advance "2s"
    s:finish(q)
    assert.same({ true, nil, true }, probe.result)
    s:log()
    assert.rcode("SERVFAIL", s:query "plain.run.test. A")
    assert.matches("nothing can wait in what a function of C calls", s:log())
  end)
end)

describe("dns.all", function()
  teardown(probe.close)

  it("runs functions side by side and keeps their keys", function()
    local s = probe.handler("whoami", function(_, server)
      local before = now(server)
      local results, errors = dns.all {
        function() dns.sleep(0.3) return "slow" end,
        quick = function() return "quick" end,
        function() dns.sleep(0.2) return "second" end,
      }
      return results, errors, now(server) - before
    end)
    local results, errors, took = probe.run(s)
    assert.same({ "slow", "second", quick = "quick" }, results)
    assert.is_nil(errors)
    assert.is_true(took >= 0.3 and took < 0.6)
  end)

  it("keeps errors apart: returned and thrown", function()
    local s = probe.handler("whoami", function()
      return dns.all { a = function() return nil, "no such thing" end, b = function() error "broken" end,
        c = function() return 3 end }
    end)
    local results, errors = probe.run(s)
    assert.same({ c = 3 }, results)
    assert.equal("no such thing", errors.a)
    assert.matches("tasks_spec.lua:%d+: broken", errors.b)
  end)

  it("ends at its deadline, and what it waited for is cancelled", function()
    local cancelled
    local s = probe.handler("whoami", function()
      return dns.all({ never = function()
        local ok, err = dns.sleep(1000)
        cancelled = ok == nil and err
      end, fine = function() return 1 end }, { timeout = 2 })
    end)
    local results, errors = probe.run(s)
    assert.same({ fine = 1 }, results)
    assert.equal("dns.all: not done after 2 s", errors.never)
    assert.equal("dns.sleep: cancelled", cancelled)
  end)

  it("may be nested, and empty", function()
    local s = probe.handler("whoami", function()
      return dns.all { function() return dns.all { function() dns.sleep(0.1) return "deep" end } end }, dns.all {}
    end)
    local results, none = probe.run(s)
    assert.equal("deep", results[1][1])
    assert.same({}, none)
  end)

  it("gives every slot back", function()
    local s = probe.handler("whoami", function()
      for _ = 1, 400 do
        local list = {}
        for i = 1, 40 do list[i] = function() dns.sleep(0) return i end end
        assert(#dns.all(list) == 40)
      end
    end)
    probe.run(s)
  end)
end)

describe("dns.spawn", function()
  teardown(probe.close)

  it("goes on after the query has been answered", function()
    local done
    local s = probe.handler("whoami", function()
      return dns.spawn(function()
        dns.sleep(1)
        done = true
      end)
    end)
    assert.is_true(probe.run(s))
    assert.is_nil(done)
    s:advance "2s"
    assert.is_true(done)
  end)

  it("logs an error with its place", function()
    local s = probe.handler("whoami", function() dns.spawn(function() error "oh" end) end)
    probe.run(s)
    assert.matches("%[ERROR%] plugin/%S+: .*tasks_spec.lua:%d+: oh %(spawn%)", s:log())
  end)

  it("has a bound", function()
    local s = probe.handler("whoami", function()
      local started, err = 0, nil
      while not err do
        local ok
        ok, err = dns.spawn(function() dns.sleep(60) end)
        if ok then started = started + 1 end
      end
      return started, err
    end)
    local started, err = probe.run(s)
    assert.equal(1024, started)
    assert.equal("dns.spawn: 1024 are under way", err)
    s:advance "61s"
    assert.equal(1024, (probe.run(s)))
  end)

  it("begins in setup when the generation serves", function()
    local began = 0
    local s = probe.server(". {\n probe\n}", function(_, server)
      dns.spawn(function()
        dns.sleep(1)
        began = began + 1
      end)
      assert(began == 0 and server)
      return function() return 0 end
    end)
    s:advance "2s"
    assert.equal(1, began)
  end)
end)

describe("waiting in setup", function()
  teardown(probe.close)

  it("sleeps, on the virtual clock in a spec", function()
    local took
    probe.server(". {\n probe\n}", function(next, server)
      local before = now(server)
      dns.sleep(3)
      took = now(server) - before
      return next
    end)
    assert.is_true(took >= 3 and took < 4)
  end)

  it("names the plugin when it fails", function()
    local s, err = probe.try(". {\n probe\n}", function()
      dns.sleep(0.1)
      error("no list to serve", 0)
    end)
    assert.is_nil(s)
    assert.matches("Corefile:2: plugin/probe: no list to serve", err)
  end)
end)

describe("server:every", function()
  teardown(probe.close)

  it("may wait", function()
    local times = 0
    local s = probe.server(". {\n probe\n whoami\n}", function(next, server)
      server:every(1, function()
        dns.sleep(0.1)
        times = times + 1
      end)
      return next
    end)
    s:advance "4s"
    assert.equal(3, times)
  end)
end)
