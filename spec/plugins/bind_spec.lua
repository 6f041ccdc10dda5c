local t = require "dns.test"

local function binds(lines)
  local s = t.server((". {\n %s\n whoami\n}"):format(lines))
  local settings = s.control.blocks[1].settings.binds
  assert.same(settings, s.made.blocks[1].settings.binds)
  return settings
end

local function has(list, wanted)
  for _, text in ipairs(list) do
    if text == wanted then return true end
  end
  return false
end

describe("bind", function()
  it("takes addresses, of several lines too, each once", function()
    assert.same({ "127.0.0.1" }, binds "bind 127.0.0.1")
    assert.same({ "127.0.0.1", "::1", "192.0.2.7" }, binds "bind 127.0.0.1 ::1\n bind 0:0::1 192.0.2.7")
    assert.same({ "fe80::1%eth0" }, binds "bind fe80::1%eth0")
  end)
  it("takes the name of an interface for its addresses", function()
    assert.is_true(has(binds "bind lo", "127.0.0.1"))
    assert.is_true(has(binds "bind lo 192.0.2.7", "192.0.2.7"))
  end)
  it("leaves out what except names, in its own line", function()
    assert.same({ "192.0.2.7" }, binds "bind 127.0.0.1 192.0.2.7 {\n except 127.0.0.1\n }")
    assert.same({ "192.0.2.7" }, binds "bind lo 192.0.2.7 {\n except lo\n }")
    assert.same({ "192.0.2.7", "127.0.0.1" }, binds "bind 127.0.0.1 192.0.2.7 {\n except lo\n }\n bind 127.0.0.1")
  end)
  it("is named in what a site's server is called", function()
    local s = t.server ". {\n bind 127.0.0.1 ::1\n whoami\n}"
    assert.equal("dns://127.0.0.1:53", s.made.blocks[1].sites[1].server)
    assert.equal("dns://[::1]:53", s.made.blocks[1].sites[2].server)
    assert.rcode("NOERROR", s:query("example.org. A", { listener = 1 }))
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error('plugin/bind: not a valid IP address or interface name: "eth99"', ". {\n bind eth99\n}")
    assert.corefile_error('not a valid IP address or interface name: "127.0.0.1%lo"', ". {\n bind 127.0.0.1%lo\n}")
    assert.corefile_error('not a valid IP address or interface name: "10.0.0.256"',
      ". {\n bind 127.0.0.1 {\n except 10.0.0.256\n }\n}")
    assert.corefile_error("Corefile:2: bind: Wrong argument count or unexpected line ending after 'bind'; expected: bind",
      ". {\n bind\n}")
    assert.corefile_error("unexpected line ending after 'except'", ". {\n bind 127.0.0.1 {\n except\n }\n}")
    assert.corefile_error("unknown property 'excepted'", ". {\n bind 127.0.0.1 {\n excepted ::1\n }\n}")
    assert.corefile_error("no address is left to listen on", ". {\n bind 127.0.0.1 {\n except lo\n }\n}")
  end)
end)
