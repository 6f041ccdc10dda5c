local probe = require "spec.query.probe"

local function seen(fn, options) return (probe.ask(fn, "a.test. A", options)) end

local function option(code, data) return string.char(0, code, 0, #data) .. data end

--- The last octets of a reply: its OPT record's options.
local function tail(reply, n) return reply.packet:sub(-n) end

local SUBNET = "\0\1\24\0\192\0\2"

describe("EDNS", function()
  it("has options by code", function()
    local options = { edns = 1232, options = { [10] = "12345678", [3] = "" } }
    assert.equal("12345678", seen(function(q) return q:option(10) end, options))
    assert.equal("", seen(function(q) return q:option(3) end, options))
    assert.is_true(seen(function(q) return q:has_option(10) end, options))
    assert.is_false(seen(function(q) return q:has_option(8) end, options))
    assert.equal("nil", seen(function(q) return tostring(q:option(8)) end, options))
    assert.equal("nil", seen(function(q) return tostring(q:option(8)) end, {}))
    assert.same({ 1, 1232, 1232 }, seen(function(q) return { q.edns, q.opt_size, q.udp_size } end, options))
    assert.same({ 0, 0, 512 }, seen(function(q) return { q.edns, q.opt_size, q.udp_size } end, {}))
  end)
  it("tells the client subnet", function()
    local function subnet(data)
      return seen(function(q)
        local s = q:client_subnet()
        return s and { s.addr.family, s.addr.ip[0], s.addr.ip[3], s.source }
      end, { edns = 1232, options = { [8] = data } })
    end
    assert.same({ 4, 192, 0, 24 }, subnet(SUBNET))
    assert.same({ 6, 32, 184, 32 }, subnet "\0\2\32\0\32\1\13\184")
    assert.is_nil(subnet(nil))
    assert.is_nil(subnet "\0\1\33\0\1\2\3\4\5")
  end)
  it("gets the scope of an answer back", function()
    local _, reply = probe.ask(function(q)
      q:set_subnet_scope(16)
      return q:answer_address("192.0.2.1", 60)
    end, "a.test. A", { edns = 1232, options = { [8] = SUBNET } })
    assert.equal(option(8, "\0\1\24\16\192\0\2"), tail(reply, 11))
    _, reply = probe.ask(function(q) q:set_subnet_scope(16) return q:refuse() end, "a.test. A", { edns = 1232 })
    assert.equal("\0\0", tail(reply, 2))
  end)
  it("gets an extended error", function()
    local function told(code, text)
      local _, reply = probe.ask(function(q)
        q:ede(code, text)
        return q:refuse()
      end, "a.test. A", { edns = 1232 })
      return reply
    end
    assert.equal(option(15, "\0\15"), tail(told(15), 6))
    assert.equal(option(15, "\0\17by policy"), tail(told("Filtered", "by policy"), 15))
    assert.equal(4 + 2 + 128, told(1, ("x"):rep(500)).size - 35)
    local ok, err = true, nil
    probe.ask(function(q) ok, err = pcall(function() q:ede "Blcked" end) end, "a.test. A")
    assert.is_false(ok)
    assert.matches('edns_spec.lua:%d+: "Blcked" is not an extended DNS error', err)
  end)
  it("stays compiled and allocates nothing", function()
    local s = probe.server(function()
      return function(q)
        local subnet = q:client_subnet()
        if q:has_option(8) and subnet and subnet.source == 24 and subnet.addr.family == 4 then q:set_subnet_scope(24) end
        q:ede("Blocked", "by policy")
        return q:refuse()
      end
    end)
    local with = { edns = 1232, options = { [8] = SUBNET } }
    assert.hot(s, { { "a.test. A", with }, { "a.test. A", { edns = 1232 } } })
  end)
end)

teardown(probe.done)
