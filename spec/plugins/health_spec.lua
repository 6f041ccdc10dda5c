local t = require "dns.test"

-- What the endpoint answers is spec/unit/test_http.c's.
describe("health", function()
  it("takes an address and lameduck, and leaves queries alone", function()
    for _, line in ipairs {
      "health", "health :8080", "health localhost:8081 {\n lameduck 5s\n}", "health [::1]:8080",
    } do
      local s = t.server(". {\n " .. line .. "\n whoami\n}")
      assert.rcode("NOERROR", s:query "example.org. A")
      s:close()
    end
  end)
  it("may stand in several blocks and several times in one", function()
    local s = t.server ". {\n health\n health {\n lameduck 1s\n }\n whoami\n}\na.example {\n health :8081\n whoami\n}"
    assert.rcode("NOERROR", s:query "example.org. A")
  end)
  it("explains what is wrong", function()
    assert.corefile_error("Corefile:2: health: address: '8080x' has no valid port", ". {\n health 8080x\n}")
    assert.corefile_error("Corefile:3: health: lameduck: 'soon'", ". {\n health {\n lameduck soon\n }\n}")
    assert.corefile_error("after 'lameduck'; expected: lameduck DURATION", ". {\n health {\n lameduck\n }\n}")
    assert.corefile_error("unknown property 'lame'", ". {\n health {\n lame 5s\n }\n}")
    assert.corefile_error("Corefile:2: health", ". {\n health :8080 :8081\n}")
  end)
end)
