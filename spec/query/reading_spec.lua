local dns = require "dns"
local probe = require "spec.query.probe"

local function seen(fn, question, options) return (probe.ask(fn, question, options)) end

describe("what is asked", function()
  it("is compared with zones and names", function()
    local under = function(zone) return seen(function(q) return q:under(zone) end, "A.Www.Example.org. A") end
    assert.is_true(under "example.org.")
    assert.is_true(under "EXAMPLE.org")
    assert.is_true(under ".")
    assert.is_true(under(dns.name "a.www.example.org."))
    assert.is_false(under "b.www.example.org.")
    assert.is_false(under "xample.org.")
  end)
  it("is compared with types by text and number, and with whole names", function()
    local is = function(what) return seen(function(q) return q:is(what) end, "Www.Example.org. HTTPS") end
    assert.is_true(is "HTTPS")
    assert.is_true(is "https")
    assert.is_true(is "TYPE65")
    assert.is_true(is(65))
    assert.is_false(is "A")
    assert.is_true(is "www.example.org.")
    assert.is_true(is "www.EXAMPLE.org")
    assert.is_false(is "example.org.")
    assert.is_false(is "a.www.example.org.")
    assert.is_true(is(dns.name "www.example.org."))
  end)
  it("raises at the plugin's line for what is no type", function()
    local _, reply = probe.ask(function(q) return q:is "BANANA" end, "a.test. A")
    assert.rcode("SERVFAIL", reply)
    local ok, err = true, nil
    probe.ask(function(q) ok, err = pcall(function() q:is "BANANA" end) end, "a.test. A")
    assert.is_false(ok)
    assert.matches('reading_spec.lua:%d+: "BANANA" is not a record type', err)
  end)
  it("is read as text", function()
    local text = function(method, ...)
      local args = { ... }
      return seen(function(q) return q[method](q, unpack(args)) end, "Www.Ex\\.ample.org. TYPE65280")
    end
    assert.equal("www.ex\\.ample.org.", text "name_text")
    assert.equal("TYPE65280", text "type_text")
    assert.equal("IN", text "class_text")
    assert.equal("www", text("label_text", 1))
    assert.equal("ex\\.ample", text("label_text", 2))
    assert.equal("org", text("label_text", -1))
    assert.equal("www", text("label_text", -3))
    assert.is_nil(text("label_text", 4))
    assert.is_nil(text("label_text", 0))
    assert.is_nil(text("label_text", -4))
    assert.equal("A CH", seen(function(q) return q:type_text() .. " " .. q:class_text() end, "a. A CH"))
    assert.equal(".", seen(function(q) return q:name_text() end, ". NS"))
  end)
  it("has flags, size and number of labels", function()
    local flags = function(options)
      return seen(function(q) return { q:rd(), q:ad(), q:cd(), q:dnssec_ok(), q.labels, q.packet_len } end, "a.b. A", options)
    end
    assert.same({ true, false, false, false, 2, 21 }, flags {})
    assert.same({ false, true, true, true, 2, 32 }, flags { rd = false, ad = true, cd = true, ["do"] = true })
  end)
end)

describe("who asks", function()
  it("is read as text and as an address", function()
    local who = function(options)
      return seen(function(q)
        return { q:client_text(), q.client.port, q.client.family, q:local_text(), q:local_address().port, q:transport_text(),
          q.transport == dns.TCP, q.udp_size }
      end, "a. A", options)
    end
    assert.same({ "10.240.0.1", 40212, 4, "127.0.0.1", 53, "udp", false, 512 }, who())
    assert.same({ "2001:db8::7", 5300, 6, "127.0.0.1", 53, "tcp", true, 65535 },
      who { client = "[2001:db8::7]:5300", transport = "tcp" })
    assert.equal(1232, who({ edns = 1232 })[8])
  end)
  it("is looked for in a set of networks", function()
    local asked
    local set = { match = function(_, addr)
      asked = addr.port
      return addr.family == 4
    end }
    assert.is_true(seen(function(q) return q:from(set) end, "a. A"))
    assert.equal(40212, asked)
  end)
end)

describe("reading", function()
  it("stays compiled and allocates nothing", function()
    local zone = dns.name "never.test."
    local s = probe.server(function()
      return function(q)
        local n = 0
        if q:under(zone) or q:under "other.test." or q:is "MX" or q:is "never.test." or q:is(15) then n = n + 1 end
        if q:rd() and not q:cd() and not q:ad() and not q:dnssec_ok() then n = n + 1 end
        if q:local_address().port == 53 and q.client.port > 0 then n = n + 1 end
        if q:type_text() == "A" and q:class_text() == "IN" and q:transport_text() == "udp" then n = n + 1 end
        return n == 3 and q:refuse() or 0
      end
    end)
    assert.rcode("REFUSED", s:query "a.test. A")
    assert.hot(s, { "a.test. A", "b.test. A", "c.a.test. A" })
  end)
end)

teardown(probe.done)
