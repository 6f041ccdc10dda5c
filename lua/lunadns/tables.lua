--- What tables of names and of networks have in common: opening, filling, counting.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local runner = require "lunadns.runner"
local scope = require "lunadns.scope"

local C = boundary.C
local co_running = coroutine.running
local yieldable = coroutine.isyieldable ---@diagnostic disable-line: deprecated -- LuaJIT has it

local tables = {}

local FORMATS = { list = C.LUNA_FORMAT_LIST, rpz = C.LUNA_FORMAT_RPZ }

--- The query that may wait here: the core then builds beside the worker. In setup nobody is kept waiting, and where nothing can
--- wait it is done at once as well.
local function waiting()
  local own = runner.running()
  if not own or own.setup or own.co ~= co_running() or not yieldable() then return nil end
  return own.q or nil
end

local function remark(result)
  local text = ffi.string(result.text)
  if result.ignored == 0 then return nil end
  local count = tonumber(result.ignored)
  return ("%d %s ignored, the first: %s"):format(count, count == 1 and "line was" or "lines were", text)
end

--- Fills a table. Returns whether its content changed, and a remark; nil and why when it cannot.
local function load(handle, format, text, path)
  local q = waiting()
  local job = C.luna_table_load(handle, q, format, text, #text, path)
  if job == nil then return nil, "out of memory" end
  job = ffi.gc(job, C.luna_load_end) -- a query that is given up meanwhile never comes back here
  local result = ffi.new "luna_load_result"
  local code = C.luna_load_code(job, result)
  if code == C.LUNA_WAIT then
    runner.wait(q --[[@as ffi.cdata*]])
    code = C.luna_load_code(job, result)
  end
  C.luna_load_end(ffi.gc(job, nil))
  if code == C.LUNA_WAIT then return nil, "cancelled" end
  if code < 0 then return nil, ffi.string(result.text) end
  return code == C.LUNA_OK, remark(result)
end

local function writable(self, what)
  if self.fixed ~= 0 then error(("%s: a table that was made from a list stays as it is; open one by name"):format(what), 3) end
end

local function line_of(what, key, value)
  if type(key) ~= "string" or key:find "%s" then
    error(("%s: expected a string without blanks, found '%s'"):format(what, tostring(key)), 0)
  end
  if value == nil or value == true then return key end
  if type(value) == "number" then return ("%s %.17g"):format(key, value) end
  if type(value) ~= "string" or value:find "\n" then
    error(("%s: %s: a value must be a number, true, or a string without newline"):format(what, key), 0)
  end
  return ('%s "%s"'):format(key, value)
end

--- A Lua table as the core reads it. Sorted: every worker must make the same text of the same table.
local function lines_of(what, list)
  local lines = {}
  for key, value in pairs(list) do
    if type(key) == "number" then lines[#lines + 1] = line_of(what, value) else lines[#lines + 1] = line_of(what, key, value) end
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

--- Methods of both kinds of table.
---@param what string "dns.names"
---@return table methods
function tables.methods(what)
  local methods = {}

  --- Puts the content of a text in the place of what the table holds, for all workers at once: those who look something up
  --- meanwhile see the old or the new content, whole. A text that is the one in service changes nothing; one of which no
  --- line can be used is refused. In a handler or a timer the core works beside the worker, and this query waits.
  ---@param text string
  ---@param format? "list"|"rpz" list unless given
  ---@return boolean|nil changed nil when it failed
  ---@return string? why why it failed, or how many lines were ignored
  function methods:load_text(text, format)
    writable(self, what .. ":load_text")
    local number = FORMATS[format or "list"] or error(("%s: unknown format '%s'"):format(what, tostring(format)), 2)
    return load(self.table, number, text, nil)
  end

  --- The same from a file. It is read when its time, size or inode changed, and used when its content did: call it from a
  --- timer to follow a file.
  ---@param path string
  ---@param format? "list"|"rpz"
  ---@return boolean|nil changed
  ---@return string? why
  function methods:load_file(path, format)
    writable(self, what .. ":load_file")
    local number = FORMATS[format or "list"] or error(("%s: unknown format '%s'"):format(what, tostring(format)), 2)
    return load(self.table, number, "", path)
  end

  --- The same from a Lua table: entries in its list part, or as keys with their values.
  ---@param list table
  ---@return boolean|nil changed
  ---@return string? why
  function methods:load(list)
    writable(self, what .. ":load")
    local ok, text = pcall(lines_of, what, list)
    if not ok then error(text, 2) end
    return load(self.table, C.LUNA_FORMAT_ITEMS, text, nil)
  end

  --- How many entries there are.
  ---@return integer entries
  ---@return integer bytes what they take
  function methods:count()
    return tonumber(C.luna_table_items(self.table)) --[[@as integer]],
      tonumber(C.luna_table_bytes(self.table)) --[[@as integer]]
  end

  return methods
end

--- Opens a table by name, or makes one of a list.
---@param what string "dns.names"
---@param kind integer LUNA_TABLE_
---@param ref_t ffi.ctype* the object's type: { luna_table *table; int fixed; }
---@param given string|table
function tables.open(what, kind, ref_t, given)
  local name, text = given, nil
  if type(given) == "table" then
    local ok, lines = pcall(lines_of, what, given)
    if not ok then error(lines, 2) end
    text = lines
    local digest = ffi.new "char[129]"
    C.luna_sha512(text, #text, digest)
    name = "=" .. ffi.string(digest)
  elseif type(given) ~= "string" or not given:find "^[%w_]" then
    error(("%s: expected a list, or a name that begins with a letter or digit"):format(what), 2)
  end
  local object, err = scope.open(("table %d %s"):format(kind, name), function()
    local handle = C.luna_table_open(kind, name)
    if handle == nil then return nil, "out of memory" end
    if text then
      local changed, why = load(handle, C.LUNA_FORMAT_ITEMS, text, nil)
      if changed == nil or why then
        C.luna_table_close(handle)
        return nil, why:match "line %d+: (.*)$" or why
      end
    end
    return ref_t(handle, text and 1 or 0), handle
  end, C.luna_table_close)
  return object or error(("%s: %s"):format(what, err), 2)
end

return tables
