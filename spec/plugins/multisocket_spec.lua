local t = require "dns.test"

describe("multisocket", function()
  it("takes a number of sockets, and says that there is one for each worker", function()
    local s = t.server ". {\n multisocket\n whoami\n}"
    assert.equal("", s:log())
    s = t.server ". {\n multisocket 1\n whoami\n}"
    assert.equal("", s:log())
    s = t.server ". {\n multisocket 1024\n whoami\n}"
    assert.equal("[INFO] plugin/multisocket: 1 sockets for each address, one for each worker; 1024 were asked for\n",
      s:log())
    assert.rcode("NOERROR", s:query "example.org. A")
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error("Corefile:2: multisocket: sockets: 0 is out of range: expected 1 to 1024",
      ". {\n multisocket 0\n}")
    assert.corefile_error("1025 is out of range", ". {\n multisocket 1025\n}")
    assert.corefile_error("'many' is not a whole number", ". {\n multisocket many\n}")
    assert.corefile_error("Wrong argument count", ". {\n multisocket 1 2\n}")
    assert.corefile_error("can only be used once per Server Block", ". {\n multisocket 1\n multisocket 2\n}")
  end)
end)
