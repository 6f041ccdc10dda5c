--- `lunadns -plugins [NAME]`: the list, or one plugin's help from its options.
local boundary = require "lunadns.boundary"
local order = require "lunadns.order"
local loader_of = require "lunadns.loader"

---@param name? string
---@return boolean ok
---@return string text
return function(name)
  local loader = loader_of.new "."
  if name then
    local spec, err = loader:load(name)
    if not spec then return false, err .. "\n" end
    return true, spec.schema:help()
  end
  local lines = { "Server types:", "  dns", "", "Other plugins:" }
  local names = {}
  for _, each in ipairs(order.names) do
    if boundary.embedded("plugins/" .. each .. ".lua") then names[#names + 1] = "  dns." .. each end
  end
  table.sort(names)
  for _, each in ipairs(names) do lines[#lines + 1] = each end
  return true, table.concat(lines, "\n") .. "\n"
end
