local t = require "dns.test"
describe("whoami", function()
  local s = t.server ". {\n whoami\n }"
  it("answers with the client", function()
    local r = s:query "Example.org. A"
    assert.rcode("NOERROR", r)
    assert.same({ "Example.org. 0 IN A 10.240.0.1", "_udp.Example.org. 0 IN SRV 0 0 40212 ." }, r.additional)
  end)
  it("is hot", function() assert.hot(s, { "example.org. A", "x.example.org. A" }) end)
end)
