--- Label selectors of Kubernetes: "app=x,tier in (a, b),!old". The API server does the selecting; here it is only checked
--- that it will understand.
local selector = {}

--- A label's key: [prefix/]name.
local function key_problem(key)
  local prefix, name = key:match "^([^/]*)/([^/]*)$"
  name = name or key
  if prefix and (#prefix > 253 or not prefix:find "^[%l%d][%l%d.-]*$") then
    return ("the prefix of key '%s' is no lower-case domain name"):format(key)
  end
  if #name > 63 or not (name:find "^%w[%w._-]*$" and name:find "%w$") then return ("'%s' is no label key"):format(key) end
end

local function value_problem(value)
  if value == "" then return end
  if #value > 63 or not (value:find "^%w[%w._-]*$" and value:find "%w$") then
    return ("'%s' is no label value"):format(value)
  end
end

local function list_problem(list)
  for value in (list .. ","):gmatch "%s*([^,]*),"  do
    local problem = value_problem((value:gsub("%s+$", "")))
    if problem then return problem end
  end
end

--- One requirement.
local function problem_of(text)
  local key, word, list = text:match "^(%S+)%s+(%a+)%s*%((.*)%)$"
  if key then
    if word ~= "in" and word ~= "notin" then return ("'%s' is no operator: expected in or notin"):format(word) end
    return key_problem(key) or list_problem(list)
  end
  local name, value = text:match "^([^%s=!]+)%s*[!=]?=%s*(%S*)$"
  if name then return key_problem(name) or value_problem(value) end
  return key_problem((text:gsub("^!%s*", "")))
end

--- What is wrong with a selector, or nil.
---@param text string
---@return string|nil problem
function selector.problem(text)
  -- Commas within parentheses part values, not requirements.
  local rest = text:gsub("%b()", function(list) return (list:gsub(",", "\31")) end)
  for requirement in (rest .. ","):gmatch "([^,]*)," do
    local one = requirement:gsub("\31", ","):gsub("^%s+", ""):gsub("%s+$", "")
    if one == "" then return "a requirement is missing" end
    local problem = problem_of(one)
    if problem then return problem end
  end
end

return selector
