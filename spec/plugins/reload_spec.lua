local t = require "dns.test"
local settings = require "spec.plugins.settings"

-- That a changed Corefile is loaded is shown by the whole server's tests.
describe("reload", function()
  it("takes an interval and a jitter, of which at most half the interval counts", function()
    local function set(interval, jitter)
      return { LUNA_SET_RELOAD_INTERVAL = interval, LUNA_SET_RELOAD_JITTER = jitter }
    end
    assert.same(set(30, 15), settings "reload")
    assert.same(set(10, 5), settings "reload 10s")
    assert.same(set(120, 15), settings "reload 2m")
    assert.same(set(2, 1), settings "reload 2s 1h")
    assert.same(set(10, 0), settings "reload 10s 0s")
    assert.same(set(10, 1), settings "reload 10s 1s")
    assert.same(set(5, 2.5), settings "reload 5s\n reload 50s")
  end)
  it("leaves queries alone", function()
    assert.rcode("NOERROR", t.server(". {\n reload\n whoami\n}"):query "example.org. A")
  end)
  it("explains a wrong Corefile", function()
    local function refused(text, arguments) assert.corefile_error(text, (". {\n reload %s\n}"):format(arguments)) end
    refused("Corefile:2: reload: interval: 1.999s is out of range: expected at least 2s", "1999ms")
    refused("Corefile:2: reload: interval: '10' is not a duration: it has no unit", "10")
    refused("Corefile:2: reload: jitter: jitter value must be 0 or greater or equal to 1s", "10s 500ms")
    refused("jitter: 'x' is not a duration", "10s x")
    refused("Wrong argument count", "10s 5s 1s")
  end)
end)
