local t = require "dns.test"

-- What the endpoint answers is spec/unit/test_http.c's.
describe("pprof", function()
  it("takes CoreDNS's forms, and leaves queries alone", function()
    for _, line in ipairs { "pprof", "pprof :9999", "pprof {\n block\n}", "pprof localhost:6060 {\n block 5\n}" } do
      local s = t.server(". {\n " .. line .. "\n whoami\n}")
      assert.rcode("NOERROR", s:query "example.org. A")
      s:close()
    end
  end)
  it("explains what is wrong", function()
    assert.corefile_error("Corefile:3: pprof: block: 'often' is not a whole number",
      ". {\n pprof {\n block often\n }\n}")
    assert.corefile_error("can only be used once per Server Block", ". {\n pprof\n pprof\n}")
  end)
end)
