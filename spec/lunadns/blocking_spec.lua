local blocking = require "lunadns.blocking"

local function copies()
  local env = { os = {}, io = {} }
  for name, library in pairs(env) do
    for key, value in pairs(_G[name]) do library[key] = value end
  end
  return env
end

describe("blocking", function()
  local env = blocking.apply(copies())

  for _, case in ipairs {
    { "os.execute", function() env.os.execute "true" end, "dns.http, dns.tcp or dns.unix" },
    { "io.popen", function() env.io.popen "true" end, "dns.http, dns.tcp or dns.unix" },
    { "os.exit", function() env.os.exit(1) end, "a plugin cannot end the server" },
    { "io.read", function() env.io.read "*l" end, "no standard input" },
    { "io.lines", function() env.io.lines() end, "no standard input" },
    { "io.stdin", function() env.io.stdin:read "*l" end, "no standard input" },
  } do
    it("refuses " .. case[1] .. " with the way", function()
      local ok, err = pcall(case[2])
      assert.is_false(ok)
      assert.matches("blocking_spec.lua:%d+: " .. case[1]:gsub("%.", "%%.") .. ": ", err)
      assert.is_truthy(err:find(case[3], 1, true), err)
    end)
  end

  it("leaves what does not wait, and files", function()
    assert.equal(os.getenv, env.os.getenv)
    assert.equal(os.time, env.os.time)
    assert.equal(io.open, env.io.open)
    local name = os.tmpname()
    assert.is_nil(env.io.lines(name)())
    os.remove(name)
  end)

  it("does not touch the libraries themselves", function()
    assert.not_equal(os.execute, env.os.execute)
    assert.equal("userdata", type(io.stdin))
  end)

  it("refuses modules that block", function()
    for _, name in ipairs { "socket", "socket.http", "ssl.https", "posix.unistd", "resty.http", "cqueues" } do
      assert.matches("require '" .. name:gsub("%.", "%%.") .. "': its functions block: .*; use dns%.", blocking.refused(name))
    end
    for _, name in ipairs { "string", "socketry", "my.socket", "cjson", "lpeg" } do assert.is_nil(blocking.refused(name)) end
  end)
end)

describe("a plugin", function()
  local directory = require "spec.lunadns.directory"
  local t = require "dns.test"
  teardown(function()
    t.close_all()
    directory.remove_all()
  end)

  local function try(setup)
    return select(2, t.try(". {\n bad\n whoami\n}", { directory = directory.new { ["bad.lua"] = [[
local dns = require "dns"
return dns.plugin { name = "bad", doc = "Blocks.", options = {}, setup = function(_, next)
]] .. setup .. "\nreturn next end }" } }))
  end

  it("gets the refusal with its file and line", function()
    assert.matches("bad.lua:3: os.execute: no program can be run", try "os.execute 'true'")
    assert.matches("bad.lua:3: require 'socket.http': its functions block", try "require 'socket.http'")
  end)
end)
