local t = require "dns.test"
local settings = require "spec.plugins.settings"

describe("debug", function()
  it("is a setting of the process", function()
    assert.same({ LUNA_SET_DEBUG = 1 }, settings "debug")
    assert.same({ LUNA_SET_DEBUG = 1 }, settings "debug\n debug")
    assert.same({}, settings "errors")
  end)
  it("leaves queries alone", function()
    assert.rcode("NOERROR", t.server(". {\n debug\n whoami\n}"):query "example.org. A")
  end)
  it("takes no argument and no option", function()
    assert.corefile_error("Corefile:2: debug: Wrong argument count", ". {\n debug on\n}")
    assert.corefile_error("unknown property 'x'; debug takes no options", ". {\n debug {\n x\n }\n}")
  end)
end)
