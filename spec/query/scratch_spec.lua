local dns = require "dns"
local probe = require "spec.query.probe"

describe("tags and numbers", function()
  it("are seen by other plugins of the chain, for one query", function()
    local tag = dns.tag "internal"
    dns.number "attempts"
    local seen = {}
    local s = probe.server {
      function(next)
        return function(q)
          if q:under "in.test." then
            q:tag "internal"
            q:set("attempts", q:get "attempts" + 1.5)
          end
          return next(q)
        end
      end,
      function()
        return function(q)
          seen[#seen + 1] = { q:tagged "internal", q:tagged(tag), q:get "attempts" }
          q:untag(tag)
          seen[#seen + 1] = q:tagged(tag)
          return q:refuse()
        end
      end,
    }
    s:query "a.in.test. A"
    s:query "a.out.test. A"
    assert.same({ { true, true, 1.5 }, false, { false, false, 0 }, false }, seen)
  end)
  it("have names that are declared", function()
    local function failure(fn)
      local ok, err = true, nil
      probe.ask(function(q) ok, err = pcall(fn, q) end, "a.test. A")
      return not ok and err
    end
    assert.matches('scratch_spec.lua:%d+: "unknown" is not declared: call dns.tag%("unknown"%) in setup',
      failure(function(q) q:tag "unknown" end))
    assert.matches('call dns.number%("unknown"%) in setup', failure(function(q) q:get "unknown" end))
    assert.matches("scratch_spec.lua:%d+: dns.tag: expected a name", select(2, pcall(function() dns.tag(3) end)))
    assert.equal(dns.tag "once", dns.tag "once")
  end)
  it("are distinct, all 64 and 8", function()
    local tags = {}
    for i = 1, 60 do tags[i] = dns.tag("t" .. i) end
    probe.ask(function(q)
      for i = 1, 60, 2 do q:tag(tags[i]) end
      for i = 1, 60 do assert.equal(i % 2 == 1, q:tagged(tags[i])) end
      for i = 1, 60 do q:untag(tags[i]) end
      for i = 1, 60 do assert.is_false(q:tagged(tags[i])) end
    end, "a.test. A")
    assert.error_matches(function() for i = 1, 65 do dns.tag("u" .. i) end end, "all 64 are taken; use q:data%(%)")
    assert.error_matches(function() for i = 1, 9 do dns.number("n" .. i) end end, "all 8 are taken")
  end)
end)

describe("q:data()", function()
  it("is one table a query, gone with it", function()
    local seen, weak = {}, setmetatable({}, { __mode = "k" })
    local s = probe.server {
      function(next)
        return function(q)
          weak[q:data()] = true
          q:data().who = q:name_text()
          return next(q)
        end
      end,
      function()
        return function(q)
          if q:under "slow.test." then q:delay(1) end
          seen[#seen + 1] = q:data().who
          return q:refuse()
        end
      end,
    }
    local slow = s:send "slow.test. A"
    s:query "fast.test. A"
    s:advance(1)
    s:finish(slow)
    assert.same({ "fast.test.", "slow.test." }, seen)
    collectgarbage()
    collectgarbage()
    assert.is_nil(_G.next(weak))
  end)
  it("is gone after an error too", function()
    local weak = setmetatable({}, { __mode = "k" })
    local s = probe.server(function()
      return function(q)
        weak[q:data()] = true
        error "on purpose"
      end
    end)
    assert.rcode("SERVFAIL", s:query "a.test. A")
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)

describe("tags and numbers", function()
  it("stay compiled and allocate nothing", function()
    local low, high = 1, 40
    local s = probe.server(function()
      return function(q)
        q:tag(low)
        q:tag(high)
        if q:tagged(high) and not q:tagged(2) then q:untag(high) end
        q:set(0, q:get(0) + 1)
        if q:get(0) == 1 and q:tagged "t1" == false then return q:refuse() end
        return 0
      end
    end)
    assert.hot(s, { "a.test. A" })
    assert.rcode("REFUSED", s:query "a.test. A")
  end)
end)

teardown(probe.done)
