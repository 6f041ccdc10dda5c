local t = require "dns.test"

-- What the endpoint answers is spec/unit/test_http.c's.
describe("ready", function()
  it("takes an address and a mode, and leaves queries alone", function()
    for _, line in ipairs {
      "ready", "ready :8181", "ready localhost:8081 {\n monitor continuously\n}", "ready {\n monitor until-ready\n}",
    } do
      local s = t.server(". {\n " .. line .. "\n whoami\n}")
      assert.rcode("NOERROR", s:query "example.org. A")
      s:close()
    end
  end)
  it("explains what is wrong", function()
    assert.corefile_error("Corefile:3: ready: monitor: 'always' is not one of: until-ready, continuously",
      ". {\n ready {\n monitor always\n }\n}")
    assert.corefile_error("can only be used once per Server Block", ". {\n ready\n ready\n}")
    assert.corefile_error("'8181x' has no valid port: expected [HOST]:PORT", ". {\n ready 8181x\n}")
  end)
end)
