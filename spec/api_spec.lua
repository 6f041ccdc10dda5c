--- Every function that plugins and specs may call says what it does, with types, and is called by some spec.
local api = require "spec.api"

local found, seen = {}, {}

--- Functions of a table, and of the tables in it.
local function collect(prefix, separator, list)
  for name, value in pairs(list) do
    if type(name) == "string" and not name:find "^_" then
      if type(value) == "function" and not seen[value] then
        seen[value] = true
        local fn = api.read(prefix .. separator .. name, value)
        if fn then
          fn.called = name
          found[#found + 1] = fn
        end
      elseif type(value) == "table" and not getmetatable(value) and not seen[value] and prefix:find "^dns" then
        seen[value] = true
        collect(prefix .. separator .. name, ".", value)
      end
    end
  end
end

collect("dns", ".", require "dns")
collect("q", ":", require("lunadns.query").methods)
collect("server", ":", require "lunadns.server")
collect("t", ".", require "dns.test")
collect("s", ":", require "dns.test.server")
collect("files", ":", require "dns.test.files")
table.sort(found, function(a, b) return a.name < b.name end)

describe("the public API", function()
  it("is all found", function()
    assert.is_true(#found > 100, "only " .. #found)
  end)
  it("says what each function does, takes and returns", function()
    local faults = {}
    for _, fn in ipairs(found) do
      for _, fault in ipairs(api.faults(fn)) do faults[#faults + 1] = fault end
    end
    assert.equal("", table.concat(faults, "\n"))
  end)
  it("names no type that is not declared", function()
    assert.equal("", table.concat(api.undeclared(), "\n"))
  end)
  it("declares each assertion of dns.test for editors", function()
    local f = assert(io.open "lua/dns/types.lua")
    local types, missing = f:read "*a", {}
    f:close()
    for line in io.lines "lua/dns/test/asserts.lua" do
      local name = line:match "^%-%-   assert%.([%w_]+)%("
      if name and not types:find("---@field " .. name .. " fun(", 1, true) then missing[#missing + 1] = name end
    end
    assert.equal("", table.concat(missing, "\n"))
  end)
  it("has a spec for each function", function()
    local text, missing = api.specs(), {}
    for _, fn in ipairs(found) do
      if not text:find("[%.:]" .. fn.called .. "%f[^%w_]") then
        missing[#missing + 1] = ("%s (%s:%d)"):format(fn.name, fn.file, fn.line)
      end
    end
    assert.equal("", table.concat(missing, "\n"))
  end)
end)
