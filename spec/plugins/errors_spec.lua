local t = require "dns.test"

local function block(options)
  local s = t.server((". {\n errors %s\n forward . 192.0.2.53 192.0.2.54 {\n  max_fails 0\n }\n}"):format(options or ""))
  s:upstream {
    ["fine.test. A"] = "fine.test. 60 IN A 192.0.2.1",
    ["lost.test. A"] = { drop = true },
    ["lost.test. MX"] = { drop = true },
    default = { code = "connect" },
  }
  return s
end

--- How many lines of the log hold a text.
local function lines(log, text)
  local n = 0
  for line in log:gmatch "[^\n]+" do
    if line:find(text, 1, true) then n = n + 1 end
  end
  return n
end

describe("errors", function()
  it("writes CoreDNS's line", function()
    local s = block()
    assert.rcode("SERVFAIL", s:query "WWW.Example.org. AAAA")
    assert.matches("^%[ERROR%] plugin/errors: 2 www%.example%.org%. AAAA: %S.*\n$", s:log())
    s:query "lost.test. MX"
    assert.matches("^%[ERROR%] plugin/errors: 2 lost%.test%. MX: read udp .*: i/o timeout\n$", s:log())
  end)
  it("is silent when there is no error, whatever the reply", function()
    local s = t.server ". {\n errors stdout\n hosts /dev/null {\n 192.0.2.1 a.test\n }\n}"
    assert.rcode("NOERROR", s:query "a.test. A")
    assert.rcode("SERVFAIL", s:query "b.test. A")
    assert.equal("", s:log())
  end)

  describe("consolidate", function()
    it("counts errors that match and logs them when the period after the first is over", function()
      local s = block('{\n consolidate 30s "^read udp .* i/o timeout$"\n }')
      s:query "lost.test. A"
      s:query "lost.test. MX"
      s:query "other.test. A"
      local log = s:log()
      assert.equal(1, lines(log, "plugin/errors"))
      assert.matches("other.test. A: ", log, 1, true)
      s:advance "31s"
      assert.equal("[ERROR] plugin/errors: 2 errors like '^read udp .* i/o timeout$' occurred in last 30s\n", s:log())
      s:advance "2m"
      assert.equal("", s:log())
      s:query "lost.test. A"
      s:advance "30s"
      assert.equal("[ERROR] plugin/errors: 1 errors like '^read udp .* i/o timeout$' occurred in last 30s\n", s:log())
    end)
    it("logs at a level of its own, with durations as Go writes them", function()
      local s = block('{\n consolidate 90m "." warning\n }')
      s:query "x.test. A"
      assert.equal("", s:log())
      s:advance "90m"
      assert.equal("[WARNING] plugin/errors: 1 errors like '.' occurred in last 1h30m0s\n", s:log())
      s = block('{\n consolidate 5m "." info\n }')
      s:query "x.test. A"
      s:advance "5m"
      assert.equal("[INFO] plugin/errors: 1 errors like '.' occurred in last 5m0s\n", s:log())
    end)
    it("logs the first one at once with show_first", function()
      local s = block('{\n consolidate 10s "." info show_first\n }')
      s:query "x.test. A"
      assert.matches("^%[INFO%] plugin/errors: 2 x%.test%. A: ", s:log())
      s:advance "10s"
      assert.equal("", s:log()) -- nothing is left to tell
      for _ = 1, 3 do s:query "x.test. A" end
      assert.equal(1, lines(s:log(), "x.test. A"))
      s:advance "10s"
      assert.equal("[INFO] plugin/errors: 3 errors like '.' occurred in last 10s\n", s:log())
    end)
    it("takes the first pattern that matches", function()
      local s = block('{\n consolidate 10s nothing\n consolidate 20s "connect|refused" info\n consolidate 5s "."\n }')
      s:query "x.test. A"
      s:advance "10s"
      assert.equal("", s:log())
      s:advance "10s"
      assert.matches("^%[INFO%] .* 1 errors like 'connect|refused' ", s:log())
    end)
    it("tells what is left when the configuration ends", function()
      local s = block('{\n consolidate 1h "."\n }')
      s:query "x.test. A"
      s:close()
      assert.matches("1 errors like '.' occurred in last 1h0m0s", s:log(), 1, true)
    end)
  end)

  it("explains a wrong Corefile", function()
    local function refused(text, line) assert.corefile_error(text, ". {\n errors {\n " .. line .. "\n }\n}") end
    assert.corefile_error("Corefile:2: errors: file: '/var/log/dns' is not one of: stdout",
      ". {\n errors /var/log/dns\n}")
    refused("Corefile:3: errors: Wrong argument count or unexpected line ending after 'consolidate'", "consolidate 5m")
    refused("Corefile:3: errors: consolidate: 'soon' is not a duration", 'consolidate soon "."')
    refused("Corefile:3: errors: consolidate: '(a' is not a regular expression: missing closing parenthesis at offset 2 of '(a'",
      'consolidate 5m "(a"')
    refused("unknown option in consolidate: loud", 'consolidate 5m "." loud')
    refused("multiple log levels specified in consolidate", 'consolidate 5m "." info error')
    refused("log level must come before show_first in consolidate", 'consolidate 5m "." show_first info')
    refused("too long a regular expression", "consolidate 5m " .. ("a"):rep(10001))
    refused("unknown property 'consolidat'", 'consolidat 5m "."')
    assert.corefile_error("this plugin can only be used once per Server Block: errors", ". {\n errors\n errors\n}")
  end)
  it("passes errors on to what runs before it", function()
    local directory = os.tmpname()
    os.remove(directory)
    assert.equal(0, os.execute("mkdir " .. directory))
    local f = assert(io.open(directory .. "/outer.lua", "w"))
    f:write [[
      return require("dns").plugin { name = "outer", before = "errors", setup = function(_, next, server)
        return function(q)
          local rcode, err = next(q)
          server:log("info", "%d %s", rcode, tostring(err))
          return rcode, err
        end
      end }
    ]]
    f:close()
    local ok, s = pcall(t.server, ". {\n outer\n errors\n forward . 192.0.2.53\n}", { directory = directory })
    os.remove(directory .. "/outer.lua")
    os.remove(directory)
    assert(ok, s)
    s:upstream { default = { code = "connect" } }
    s:query "x.test. A"
    local log = s:log()
    assert.equal(log:match "plugin/errors: 2 x%.test%. A: ([^\n]+)", log:match "plugin/outer: 2 ([^\n]+)")
    assert.matches("plugin/outer: 2 ", log, 1, true)
  end)
  it("logs the calls that led to an error with stacktrace", function()
    local corefile = '. {\n errors %s\n lua {\n setup "local function inner(q) return q.name_len.x end"\n' ..
      '  handler "local rcode = inner(q)\n return rcode"\n }\n}'
    local s = t.server(corefile:format "{\n stacktrace\n }")
    assert.rcode("SERVFAIL", s:query "example.org. A")
    assert.matches("^%[ERROR%] plugin/lua: Corefile:6: [^\n]* %(calls: Corefile:6 < Corefile:7 < [^\n]*\n", s:log())
    s = t.server(corefile:format "")
    s:query "example.org. A"
    local log = s:log()
    assert.matches("[ERROR] plugin/lua: Corefile:4: ", log, 1, true)
    assert.not_matches("calls:", log)
  end)
  it("stays compiled and allocates nothing", function()
    local s = t.server '. {\n errors {\n consolidate 5m "." show_first\n }\n whoami\n}'
    assert.hot(s, { "example.org. A", "x.example.org. A" })
  end)
end)
