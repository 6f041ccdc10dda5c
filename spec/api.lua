--- Reads the public API's functions and the comments above them: for api_spec.lua.
local api = {}

local sources = {}

local function lines_of(file)
  if not sources[file] then
    local lines = {}
    for line in assert(io.open(file)):lines() do lines[#lines + 1] = line end
    sources[file] = lines
  end
  return sources[file]
end

---@class ApiFunction
---@field name string "dns.resolve", "q:under"
---@field file string
---@field line integer
---@field params string[] as the source names them, without self
---@field comment string[] lines of the comment above it
---@field returns boolean a value

--- Names between the parentheses of the function's first line.
local function params_of(lines, line)
  local text = lines[line]
  for i = line + 1, line + 3 do
    if text:find "%)" then break end
    text = text .. " " .. (lines[i] or "")
  end
  local params = {}
  for name in (text:match "function%s*[%w_%.:]*%s*%(([^)]*)%)" or ""):gmatch "[%w_%.]+" do
    if name ~= "self" then params[#params + 1] = name end
  end
  return params
end

--- Whether the function's own body gives something back.
local function returns(lines, first, last)
  for i = first, last do
    local text = lines[i]:gsub("%-%-.*$", "")
    if text:find "%f[%w]return%s+[^%s;]" and not text:find "%f[%w]return%s+end%f[%W]" then return true end
  end
  return false
end

---@param name string
---@param fn function
---@return ApiFunction|nil nil for what is not written in Lua
function api.read(name, fn)
  local info = debug.getinfo(fn, "S")
  local file = info.source:match "^@(.*)$"
  if not file then return nil end
  local lines = lines_of(file)
  local comment, at = {}, info.linedefined - 1
  while at > 0 and lines[at]:find "^%s*%-%-" do
    table.insert(comment, 1, lines[at])
    at = at - 1
  end
  return {
    name = name, file = file, line = info.linedefined, params = params_of(lines, info.linedefined), comment = comment,
    returns = returns(lines, info.linedefined, info.lastlinedefined),
  }
end

--- What is wrong with the comment of a function, in words.
---@param fn ApiFunction
---@return string[]
function api.faults(fn)
  local text = "\n" .. table.concat(fn.comment, "\n") .. "\n"
  local faults = {}
  local function fault(format, ...)
    faults[#faults + 1] = ("%s:%d: %s: %s"):format(fn.file, fn.line, fn.name, format:format(...))
  end
  if not text:find "\n%s*%-%-%-? ?[^%-@%s]" then fault "has no comment that says what it does" end
  for _, param in ipairs(fn.params) do
    local found = text:find("---@param " .. param:gsub("%.", "%%.") .. "%??%s")
    if not found then fault("'---@param %s' is missing", param) end
  end
  for param in text:gmatch "%-%-%-@param ([%w_%.]+)" do
    local known = false
    for _, own in ipairs(fn.params) do known = known or own == param end
    if not known then fault("'---@param %s' is of no parameter", param) end
  end
  if fn.returns and not text:find("---@return", 1, true) then fault "'---@return' is missing" end
  return faults
end

--- All text of the specs.
---@return string
function api.specs()
  local pipe = assert(io.popen "find spec examples -name '*.lua' ! -name 'api*.lua'")
  local parts = {}
  for file in pipe:lines() do
    local f = assert(io.open(file))
    parts[#parts + 1] = f:read "*a"
    f:close()
  end
  pipe:close()
  return table.concat(parts, "\n")
end

return api
