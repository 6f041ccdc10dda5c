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

local BUILT_IN = {}
for name in ([[any nil boolean number integer string table function thread userdata lightuserdata fun self true false
  ffi.cdata* ffi.ctype* T]]):gmatch "%S+" do BUILT_IN[name] = true end

--- The type at the beginning of a text: up to the first blank outside of brackets and quotes, that no ":", "|" or "," joins.
local function type_at(text)
  local depth, i = 0, 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == '"' then
      i = text:find('"', i + 1, true) or #text
    elseif c:find "[%(%[{<]" then
      depth = depth + 1
    elseif c:find "[%)%]}>]" then
      depth = depth - 1
    elseif c == " " and depth == 0 and not text:sub(1, i - 1):find "[:|,]$" then
      break
    end
    i = i + 1
  end
  return text:sub(1, i - 1)
end

--- Types that annotations name and nothing declares: "FILE:LINE: NAME".
---@return string[]
function api.undeclared()
  local pipe = assert(io.popen "find lua plugins examples -name '*.lua'")
  local declared, named = {}, {}
  for file in pipe:lines() do
    for number, line in ipairs(lines_of(file)) do
      line = line:gsub("@class %(%w+%) ", "@class ")
      local what, name = line:match "^%s*%-%-%-@(%w+) ([%w_%.%*]+)"
      if what == "class" or what == "alias" then declared[name] = true end
      line = line:gsub("@field private ", "@field "):gsub("@field package ", "@field ")
      local text = line:match "^%s*%-%-%-@param [%w_%.]+%?? (.*)$" or line:match "^%s*%-%-%-@field [%w_%[%]]+%?? (.*)$"
        or line:match "^%s*%-%-%-@return (.*)$" or line:match "%-%-%-@type (.*)$"
      if text then named[#named + 1] = { at = ("%s:%d"):format(file, number), text = type_at(text) } end
    end
  end
  pipe:close()
  local found = {}
  for _, one in ipairs(named) do
    -- Without texts and the names of parameters and fields.
    local types = one.text:gsub('"[^"]*"', ""):gsub("[%w_]+%??:", "")
    for name in types:gmatch "[%a_][%w_%.%*]*" do
      if not (BUILT_IN[name] or declared[name]) then found[#found + 1] = one.at .. ": " .. name end
    end
  end
  return found
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
