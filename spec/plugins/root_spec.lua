local t = require "dns.test"

describe("root", function()
  it("is where other plugins' relative files begin, wherever it stands in the block", function()
    local directory = os.tmpname()
    os.remove(directory)
    assert.equal(0, os.execute("mkdir " .. directory))
    local f = assert(io.open(directory .. "/hosts", "w"))
    f:write "10.0.0.1 a.test\n"
    f:close()
    local s = t.server((". {\n hosts hosts\n root /nowhere\n root %s\n}"):format(directory))
    local log, reply = s:log(), s:query "a.test. A"
    os.remove(directory .. "/hosts")
    os.remove(directory)
    assert.answer("a.test. 3600 IN A 10.0.0.1", reply)
    assert.is_nil(log:find("Root path", 1, true))
  end)
  it("is of its own block only", function()
    local s = t.server "a.test {\n root /\n whoami\n}\nb.test {\n whoami\n}"
    assert.equal("/", s.made.blocks[1].settings.root)
    assert.is_nil(s.made.blocks[2].settings.root)
  end)
  it("warns once of a directory that is not there", function()
    local s = t.server ". {\n root /nowhere/at/all\n whoami\n}"
    assert.equal("[WARNING] plugin/root: Root path does not exist: /nowhere/at/all\n", s:log())
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error("Corefile:2: plugin/root: unable to access root path '/dev/null/x': Not a directory",
      ". {\n root /dev/null/x\n}")
    assert.corefile_error("Corefile:2: root: Wrong argument count", ". {\n root\n}")
    assert.corefile_error("Corefile:2: root: Wrong argument count", ". {\n root / /tmp\n}")
  end)
end)
