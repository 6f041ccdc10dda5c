--- `lunadns -plugins [NAME]`: the list, or one plugin's help from its options.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local loader_of = require "lunadns.loader"

local plugins = {
  usage = "-plugins [NAME]",
  summary = "list the plugins, or print the help of one",
  doc = "The help is made from the plugin's own options; NAME may be a file beside you, NAME.lua.",
}

--- Names of the plugins that are part of the binary, sorted.
---@return string[]
function plugins.builtin()
  local names, i = {}, 0
  while true do
    local path = boundary.C.luna_embedded_name(i)
    if path == nil then break end
    names[#names + 1] = ffi.string(path):match "^plugins/([^/]+)%.lua$"
    i = i + 1
  end
  table.sort(names)
  return names
end

function plugins.run(arguments)
  local name = arguments[1]
  if name then
    local spec, err = loader_of.new("."):load(name)
    if not spec then
      io.stderr:write(err --[[@as string]], "\n")
      return 1
    end
    io.stdout:write(spec.schema:help())
    return 0
  end
  for _, each in ipairs(plugins.builtin()) do io.stdout:write(each, "\n") end
end

return plugins
