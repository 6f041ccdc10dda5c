local t = require "dns.test"

local function timeouts(lines)
  return t.server((". {\n %s\n whoami\n}"):format(lines)).control.blocks[1].settings.timeouts
end

local function refused(text, line) assert.corefile_error(text, (". {\n timeouts {\n %s\n }\n}"):format(line)) end

-- What they do to a connection is shown by the whole server's tests.
describe("timeouts", function()
  it("takes durations, with seconds as the unit of a bare number", function()
    assert.same({ read = 1, write = 60, idle = 86400 }, timeouts "timeouts {\n read 1\n write 1m\n idle 24h\n }")
    assert.same({ read = 1.5 }, timeouts "timeouts {\n read 1500ms\n }")
  end)
  it("takes a number of queries for each connection", function()
    assert.same({ max_queries = 5 }, timeouts "timeouts {\n maxtcpqueries 5\n }")
    assert.same({ max_queries = -1 }, timeouts "timeouts {\n maxtcpqueries -1\n }")
  end)
  it("takes a number of connections for each client", function()
    assert.same({ max_connections = 50 }, timeouts "timeouts {\n maxtcpconnections 50\n }")
    assert.same({ max_connections = -1 }, timeouts "timeouts {\n maxtcpconnections -1\n }")
  end)
  it("adds lines up", function()
    assert.same({ read = 3, idle = 9 }, timeouts "timeouts {\n read 2s\n idle 9s\n }\n timeouts {\n read 3s\n }")
  end)
  it("explains a wrong Corefile", function()
    refused("Corefile:3: timeouts: read: 999ms is out of range: expected 1s to 24h", "read 999ms")
    refused("write: 24h1s is out of range", "write 24h1s")
    refused("idle: 'soon' is not a duration", "idle soon")
    refused("unexpected line ending after 'idle'", "idle")
    refused("unknown property 'reads'", "reads 5s")
    refused("maxtcpqueries: 0 is no limit: expected -1 (unlimited) or a positive number", "maxtcpqueries 0")
    refused("maxtcpqueries: -2 is out of range", "maxtcpqueries -2")
    refused("maxtcpconnections: 0 is no limit: expected -1 (unlimited) or a positive number", "maxtcpconnections 0")
    refused("maxtcpconnections: 1048577 is out of range", "maxtcpconnections 1048577")
    refused("maxtcpqueries: 'many' is not a whole number", "maxtcpqueries many")
    assert.corefile_error("timeouts block with no timeouts specified", ". {\n timeouts\n}")
    assert.corefile_error("Corefile:2: timeouts: Wrong argument count", ". {\n timeouts 5s\n}")
  end)
end)
