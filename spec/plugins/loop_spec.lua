local t = require "dns.test"
local upstream = require "dns.test.upstream"

--- A server whose upstreams, itself among them, answer by a script from its first moment on.
local function server(corefile, script)
  local serve = upstream.serve
  upstream.serve = function(s)
    s.script = script
    return serve(s)
  end
  local ok, s = pcall(t.server, corefile)
  upstream.serve = serve
  return ok and s or error(s, 2)
end

local ANSWER = { default = { rcode = "NXDOMAIN" } }
local SILENCE = { default = { drop = true } }

describe("loop", function()
  it("asks the server itself for a name that differs each time", function()
    local s = server(". {\n loop\n whoami\n}", ANSWER)
    assert.equal(1, #s.asked)
    assert.equal("127.0.0.1:53", s.asked[1].to)
    assert.matches("^%d+%.%d+%. HINFO$", s.asked[1].question)
    local other = server(". {\n loop\n whoami\n}", ANSWER)
    assert.are_not.equal(s.asked[1].question, other.asked[1].question)
  end)
  it("asks below its zone, at the address it is bound to", function()
    local s = server("example.org:5353 example.net {\n loop\n bind 127.0.0.9\n whoami\n}", ANSWER)
    assert.equal("127.0.0.9:5353", s.asked[1].to)
    assert.matches("^%d+%.%d+%.example%.org%. HINFO$", s.asked[1].question)
  end)
  it("does not count any more two seconds after an answer", function()
    local s = server(". {\n loop\n whoami\n}", ANSWER)
    local own = s.asked[1].question
    for _ = 1, 2 do assert.rcode("NOERROR", s:query(own)) end
    s:advance "2.5s"
    for _ = 1, 5 do assert.rcode("NOERROR", s:query(own)) end
    s:advance "1m"
    assert.equal(1, #s.asked)
  end)
  it("asks again while there is no answer, for half a minute, and counts anew each time", function()
    local s = server(". {\n loop\n whoami\n}", SILENCE)
    local own = s.asked[1].question
    for _ = 1, 2 do s:query(own) end
    s:advance "3s"
    assert.equal(2, #s.asked)
    for _ = 1, 2 do s:query(own) end
    s:advance "40s"
    assert.is_true(#s.asked >= 8 and #s.asked <= 11, #s.asked .. " questions")
    for _ = 1, 5 do assert.rcode("NOERROR", s:query(own)) end
  end)
  it("counts nothing but its own name and type", function()
    local s = server(". {\n loop\n whoami\n}", SILENCE)
    local own = s.asked[1].question:match "^%S+"
    for _ = 1, 5 do
      s:query(own .. " A")
      s:query "1.2. HINFO"
      s:query("x." .. own .. " HINFO")
    end
    assert.rcode("NOERROR", s:query(own .. " HINFO"))
  end)
  it("stops the process when its question arrives a third time", function()
    local path = os.tmpname()
    local f = assert(io.open(path, "w"))
    f:write [[
      package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
      local t = require "dns.test"
      local s = t.server "example.org:5353 {\n loop\n whoami\n}"
      local own = s.asked[1].question
      s:query(own)
      s:query(own, { client = "[2001:db8::1]:4000" })
      require("ffi").C.luna_log_capture(0)
      s:query(own, { client = "127.0.0.1:45000" })
      print "still there"
    ]]
    f:close()
    local out = io.popen("luajit " .. path .. " 2>&1; echo status $?")
    local text = out:read "*a"
    out:close()
    os.remove(path)
    assert.matches('^%[FATAL%] plugin/loop: Loop %(127%.0%.0%.1:45000 %-> :5353%) detected for zone "example%.org%.", ' ..
      'see https://coredns%.io/plugins/loop#troubleshooting%. Query: "HINFO %d+%.%d+%.example%.org%."\nstatus 1\n$', text)
  end)
  it("passes errors on", function()
    local s = server(". {\n errors\n loop\n forward . 192.0.2.53\n}", { default = { code = "connect" } })
    s:query "a.test. HINFO"
    assert.matches("plugin/errors: 2 a.test. HINFO: ", s:log(), 1, true)
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error("Corefile:2: loop: Wrong argument count", ". {\n loop 5\n}")
    assert.corefile_error("this plugin can only be used once per Server Block: loop", ". {\n loop\n loop\n}")
  end)
  it("stays compiled and allocates nothing", function()
    local s = server(". {\n loop\n whoami\n}", ANSWER)
    assert.hot(s, { "example.org. A", "example.org. HINFO" })
  end)
end)
