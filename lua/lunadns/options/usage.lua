--- The one-line form of a directive or an option: "success CAPACITY [TTL] [MINTTL]".

local usage = {}

--- The form of one argument.
---@param param table
---@return string
function usage.argument(param)
  local label = param.label
  if param.rest then
    if not label:find "%.%.%.$" then label = label .. "..." end
    return (param.min_args or 0) > 0 and label or "[" .. label .. "]"
  end
  return param.optional and "[" .. label .. "]" or label
end

--- The form of a line.
---@param owner table with `name` and `params`
---@return string
function usage.line(owner)
  local parts = { owner.name }
  for _, param in ipairs(owner.params or {}) do parts[#parts + 1] = usage.argument(param) end
  if owner.usage then parts[#parts + 1] = owner.usage end
  return table.concat(parts, " ")
end

--- The names of the options one should use: those not deprecated or ignored.
---@param body table
---@return string[]
function usage.current(body)
  local names = {}
  for _, option in ipairs(body.sorted) do
    if not option.deprecated and option.shape ~= "ignored" then names[#names + 1] = option.name end
  end
  return names
end

return usage
