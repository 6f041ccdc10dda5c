local cluster = require "spec.plugins.kubernetes.cluster"
local probe = require "spec.query.probe"
local t = require "dns.test"

--- A block whose handler gives the label "probe/name", and behind it one that keeps what it reads in `seen`.
local function telling(value, rest, label)
  local seen = {}
  local s = probe.server({
    function(next, server)
      server:metadata("probe/name", value)
      return next
    end,
    function(next)
      return function(q)
        seen[#seen + 1] = q:metadata(label or "probe/name") or "none"
        return next(q)
      end
    end,
  }, rest .. "\n whoami\n")
  return s, seen
end

local FORMAT = ' log . "{name} {/probe/name}"'

describe("metadata", function()
  it("gives a handler and the log what another plugin tells", function()
    local s, seen = telling(function(q) return q:label_text(1) end, " metadata\n" .. FORMAT)
    s:query "www.example.org. A"
    assert.same({ "www" }, seen)
    assert.equal("[INFO] www.example.org. www\n", s:log())
  end)
  it("gives nothing without its directive", function()
    local s, seen = telling(function() error "is not called" end, FORMAT)
    s:query "www.example.org. A"
    assert.same({ "none" }, seen)
    assert.equal("[INFO] www.example.org. -\n", s:log())
  end)
  it("gives nothing for queries out of its zones", function()
    local s, seen = telling(function() return "x" end, " metadata example.org example.net\n" .. FORMAT)
    for _, name in ipairs { "a.example.net.", "example.org.", "example.com." } do s:query(name .. " A") end
    assert.same({ "x", "x", "none" }, seen)
    assert.equal("[INFO] a.example.net. x\n[INFO] example.org. x\n[INFO] example.com. -\n", s:log())
  end)
  it("tells an empty value from none, and an unknown label is none", function()
    local value
    local s, seen = telling(function() return value end, ' metadata\n log . "{/probe/name}{/probe/other}|{/}"')
    s:query "a. A"
    value = ""
    s:query "a. A"
    value = 1.5
    s:query "a. A"
    assert.same({ "none", "", "1.5" }, seen)
    assert.equal("[INFO] --|-\n[INFO] -|-\n[INFO] 1.5-|-\n", s:log())
  end)
  it("is another block's of its own", function()
    local s = cluster.server("", {}, { before = " metadata\n" .. ' log . "{/kubernetes/kind}"' })
    local other = t.server('. {\n log . "{/kubernetes/kind}"\n whoami\n}')
    s:query "a.b.svc.cluster.local. A"
    assert.equal("[INFO] svc\n", s:log())
    other:query "a.b.svc.cluster.local. A"
    assert.equal("[INFO] -\n", other:log())
    local two = t.server('example.org {\n metadata\n log . "{/forward/upstream}"\n forward . 192.0.2.53\n}\n' ..
      'example.net {\n log . "{/forward/upstream}"\n forward . 192.0.2.53\n}')
    two:upstream { default = { rcode = "NXDOMAIN" } }
    two:query "example.org. A"
    two:query "example.net. A"
    assert.equal("[INFO] 192.0.2.53:53\n[INFO] -\n", two:log())
  end)
  it("gives the upstream that was asked last, in all zones", function()
    local s = t.server('. {\n metadata example.org\n log . "{name} {/forward/upstream}"\n hosts {\n  192.0.2.1 here.example.\n' ..
      '  fallthrough\n }\n forward . 192.0.2.53 [2001:db8::53]:5353 {\n  policy sequential\n }\n}')
    s:upstream {
      ["192.0.2.53:53"] = { default = { code = "connect" } },
      default = { rcode = "NXDOMAIN" },
    }
    s:query "example.net. A"
    s:query "here.example. A"
    assert.equal("[INFO] example.net. [2001:db8::53]:5353\n[INFO] here.example. -\n", s:log())
  end)
  it("costs a line the value when what tells fails, and the answer nothing", function()
    local fail = function() error "broken" end
    local s = probe.server({ function(next, server)
      server:metadata("probe/name", fail)
      return next
    end }, " metadata\n" .. FORMAT .. "\n whoami\n")
    assert.rcode("NOERROR", s:query "a. A")
    local log = s:log()
    assert.matches("broken (metadata): ended", log, 1, true)
    assert.matches("[INFO] a. -\n", log, 1, true)
    assert.metric(1, s, "lunadns_plugin_errors_total")
    fail = function() return {} end
    s:query "b. A"
    assert.matches("[INFO] b. -\n", s:log(), 1, true)
  end)
  it("raises in a handler", function()
    local s = telling(function() error "broken" end, " metadata")
    assert.rcode("SERVFAIL", s:query "a. A")
    assert.matches("broken", s:log(), 1, true)
    s = telling(function() return {} end, " metadata")
    assert.rcode("SERVFAIL", s:query "a. A")
    assert.matches('metadata "probe/name": the function returned a table, expected a text, a number or nil', s:log(), 1, true)
    s = telling(function() return "" end, " metadata", "name")
    assert.rcode("SERVFAIL", s:query "a. A")
    assert.matches('q:metadata: label: expected "PLUGIN/NAME", found "name"', s:log(), 1, true)
  end)
  it("may wait", function()
    local dns = require "dns"
    local s = telling(function(q)
      dns.sleep(1)
      return q:label_text(1)
    end, " metadata\n" .. FORMAT)
    local first, second = s:send "a. A", s:send "b. A"
    s:advance "5s"
    assert.rcode("NOERROR", s:finish(first))
    assert.rcode("NOERROR", s:finish(second))
    assert.equal("[INFO] a. a\n[INFO] b. b\n", s:log())
  end)
  it("is in lines of one class", function()
    local s = telling(function() return "x" end, ' metadata\n log . "{/probe/name}" {\n  class success\n }')
    s:query "a. A"
    assert.equal("[INFO] x\n", s:log())
  end)
  it("takes the later plugin's value of two", function()
    local function gives(text)
      return function(next, server)
        server:metadata("probe/name", function() return text end)
        return next
      end
    end
    local s = probe.server({ gives "first", gives "second" }, " metadata\n" .. FORMAT .. "\n whoami\n")
    s:query "a. A"
    assert.equal("[INFO] a. second\n", s:log())
  end)
  it("cannot be read in a coroutine of a plugin's own", function()
    local s = t.server [[
. {
  metadata
  lua "coroutine.wrap(function() q:metadata('a/b') end)()"
  whoami
}]]
    assert.rcode("SERVFAIL", s:query "a. A")
    assert.matches("q:metadata: not in a coroutine that the plugin made itself", s:log(), 1, true)
  end)
  it("explains a wrong label", function()
    local ok, err = pcall(probe.server, function(next, server)
      server:metadata("a b", function() end)
      return next
    end)
    assert.is_false(ok)
    assert.matches('server:metadata: label: expected "PLUGIN/NAME", found "a b"', tostring(err), 1, true)
    ok, err = pcall(probe.server, function(next, server)
      server:metadata("a/b", "text")
      return next
    end)
    assert.is_false(ok)
    assert.matches("server:metadata: expected a function, found a string", tostring(err), 1, true)
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error("plugin can only be used once per Server Block: metadata", ". {\n metadata\n metadata\n whoami\n}")
    assert.corefile_error("metadata", ". {\n metadata {\n  x\n }\n whoami\n}")
  end)
  it("costs nothing where nothing is read", function()
    local s = cluster.server("", { cluster.namespace "ns-a", cluster.service("ns-a/web", "10.96.1.1") }, {
      before = " metadata\n errors\n log", after = " cache 30\n loadbalance\n whoami",
    })
    assert.hot(s, { "web.ns-a.svc.cluster.local. A", "no.ns-a.svc.cluster.local. A", "example.org. A" })
  end)
end)
