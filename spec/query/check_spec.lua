local dns = require "dns"
local probe = require "spec.query.probe"

local STALE = "check_spec.lua:%d+: q is not the query that is served here"

describe("a query that is not the caller's", function()
  it("raises in what was spawned", function()
    local at_once, later, own
    local s = probe.server(function(_, server)
      return function(q)
        server:spawn(function(mine)
          at_once = { pcall(function() q:name_text() end) }
          own = mine:name_text()
          mine:delay(1)
          later = { pcall(function() q:under "test." end) }
        end)
        assert.equal("a.test.", q:name_text()) -- still its own
        return q:refuse()
      end
    end)
    assert.rcode("REFUSED", s:query "a.test. A")
    s:advance(1)
    assert.is_false(at_once[1])
    assert.matches(STALE, at_once[2])
    assert.is_false(later[1])
    assert.equal(".", own)
  end)
  it("raises when it was kept beyond its answer", function()
    local kept, err
    local s = probe.server(function()
      return function(q)
        if kept then err = select(2, pcall(function() kept:client_text() end)) end
        kept = q
        if q:under "hold.test." then q:delay(5) end
        return q:refuse()
      end
    end)
    local held = s:send "hold.test. A" -- its slot stays in use
    s:query "b.test. A"
    assert.matches(STALE, err)
    err = nil
    local other = s:send "hold.test. A"
    s:query "c.test. A" -- kept is being answered by another handler
    assert.matches(STALE, err)
    s:advance(5)
    s:finish(held)
    s:finish(other)
  end)
  it("has no query's values in its fields: in a spec what kept it sees that", function()
    local later, during
    local s = probe.server(function(_, server)
      return function(q)
        server:spawn(function(mine)
          mine:delay(1)
          later = { q.qtype, q.qclass, q.id, q.transport, q.labels, q.name_len, q.client.family, q.client.port }
        end)
        during = { q.qtype, q.labels }
        return q:refuse()
      end
    end)
    s:query "www.a.test. AAAA"
    s:advance(1)
    assert.same({ 28, 3 }, during)
    assert.same({ 65535, 65535, 65535, 255, 0, 0, 0, 0 }, later)
  end)
  it("is the query that has its slot, once that is the caller's own", function()
    local kept, same, name
    local s = probe.server(function()
      return function(q)
        if kept then same, name = kept == q, kept:name_text() end
        kept = q
        return q:refuse()
      end
    end)
    s:query "a.test. A"
    s:query "b.test. A"
    assert.is_true(same) -- no method could tell the two apart
    assert.equal("b.test.", name)
  end)
  it("raises for its records and for every method", function()
    local kept, record
    local methods, failures = require("lunadns.query").methods, {}
    local s = probe.server(function()
      return function(q)
        if kept then
          failures.record = select(2, pcall(function() record:text() end))
          for name, method in pairs(methods) do failures[name] = select(2, pcall(method, kept, 1, 1, 1, 1, 1)) end
          return q:refuse()
        end
        kept = q
        q:add("answer", "@ 60 A 192.0.2.1")
        for own in q:records() do record = own end
        q:delay(5)
        return 0
      end
    end)
    local held = s:send "a.test. A"
    assert.rcode("REFUSED", s:query "b.test. A")
    for name in pairs(methods) do assert.matches("q is not the query that is served here", failures[name], 1, true) end
    assert.matches(STALE, failures.record)
    s:advance(5)
    assert.rcode("NOERROR", s:finish(held))
  end)
  it("raises in what dns.spawn started, not in what dns.all waits for", function()
    local spawned, all, after
    local s = probe.server(function(next)
      return function(q)
        if q:under "asked.test." then return q:answer_address("192.0.2.1", 60) end
        dns.spawn(function()
          dns.sleep(0.5)
          spawned = select(2, pcall(function() q:name_text() end))
        end)
        all = dns.all {
          function() return q:name_text() end,
          function()
            dns.sleep(1)
            return q:client_text()
          end,
          function() return dns.resolve("asked.test.", "A").answer[1].data end,
        }
        after = q:name_text()
        return next(q)
      end
    end)
    s:upstream { default = "a.test. 60 IN A 192.0.2.2" }
    assert.answer("a.test. 60 IN A 192.0.2.2", s:query "a.test. A")
    assert.same({ "a.test.", "10.240.0.1", "192.0.2.1" }, all)
    assert.matches(STALE, spawned)
    assert.equal("a.test.", after)
  end)
  it("does not raise after a wait, on the way out, in a timer", function()
    local ticks = 0
    local s = probe.server(function(next, server)
      server:every(1, function(q)
        assert.equal(".", q:name_text())
        q:delay(0.1)
        assert.equal("NS", q:type_text())
        ticks = ticks + 1
      end)
      return function(q)
        q:delay(0.25)
        assert.equal("a.test.", q:name_text())
        local rcode, err = next(q)
        q:set_ttl(7)
        return rcode, err
      end
    end)
    s:upstream { default = "a.test. 60 IN A 192.0.2.1" }
    assert.answer("a.test. 7 IN A 192.0.2.1", s:query "a.test. A")
    s:advance(3)
    assert.is_true(ticks >= 2)
  end)
  it("is told for a slot of the server's own by who made it", function()
    local ffi = require "ffi"
    local s = probe.server(function(_, server)
      local name = dns.name "own.test."
      return function(q)
        local own = ffi.C.luna_query_new(server.state, name.wire, name.len, 1, 1, 0, 0)
        assert.equal("own.test.", own:name_text())
        ffi.C.luna_query_free(own)
        assert.is_false((pcall(own.name_text, own)))
        return q:refuse()
      end
    end)
    assert.rcode("REFUSED", s:query "a.test. A")
  end)
end)

describe("what is wrong in a line that returns a method's result", function()
  it("is not told of whoever called the handler", function()
    local s = probe.server(function() return function(q) return q:answer_address("banana", 60) end end)
    s:log()
    assert.rcode("SERVFAIL", s:query "a.test. A")
    assert.matches("plugin/probe: 'banana' is not an IP address (raised in a \"return q:...\" line) (question a.test. A",
      s:log(), 1, true)
  end)
end)

teardown(probe.done)
