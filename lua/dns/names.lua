--- dns.names, dns.suffixes: sets and tables of domain names, millions of them, one copy for all workers.
--
--     local blocked = dns.suffixes { "ads.example", "tracker.example" }
--     if blocked:match(q) then ... end
--
--     local list = dns.names "blocklist"           -- empty at first, filled by one for all
--     server:every(60, function() list:load_file(conf.file) end, { once = true, now = true })
--
-- A plain name stands for itself and all below it, `*.example.org` for what is below, a name on a line of a hosts file for
-- itself alone.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local tables = require "lunadns.tables"
local values = require "lunadns.values"

local C = boundary.C

ffi.cdef [[
typedef struct { luna_table *table; int fixed; } luna_names;
]]

local name_t, query_t = ffi.typeof "luna_name", ffi.typeof "luna_query"
local NAME, QUESTION = C.LUNA_KEY_NAME, C.LUNA_KEY_QUESTION
local EXACT, UNDER = C.LUNA_FIND_EXACT, C.LUNA_FIND_UNDER
local OK, NONE = C.LUNA_OK, C.LUNA_NONE
local value = values.value
local result = values.result --[[@as fun(): string|number|true]] -- false is no value of a table
local scratch = ffi.new "luna_name"

local function split(name)
  if type(name) == "cdata" then
    if ffi.istype(query_t, name) then return QUESTION, name end
    if ffi.istype(name_t, name) then return NAME, name end
  end
  if type(name) ~= "string" then
    error(("dns.names: expected a query, a name or a string, not a %s"):format(type(name)), 3)
  end
  if C.luna_name_parse(name, #name, scratch) < 0 then error(("dns.names: '%s' is not a domain name"):format(name), 3) end
  return NAME, scratch
end

---@class LunaNames
---@field load_text fun(self: LunaNames, text: string, format?: "list"|"rpz"): boolean|nil, string?
---@field load_file fun(self: LunaNames, path: string, format?: "list"|"rpz"): boolean|nil, string?
---@field load fun(self: LunaNames, list: table): boolean|nil, string?
---@field count fun(self: LunaNames): integer, integer
---@field table ffi.cdata* luna_names
local methods = tables.methods "dns.names"

local function find(self, kind, name, how)
  local code = C.luna_names_find(self.table, kind, name, how, value)
  if code == OK then return result() end
  if code == NONE then return nil end
  values.grow()
  return find(self, kind, name, how)
end

--- The value of the nearest entry that holds a name: it is listed, or below a listed name. true when the entry has no value.
--- Makes a string when the value is one, and nothing else.
---@param name ffi.cdata*|string|DnsQuery a query (its question name), a luna_name, or a text
---@return number|string|true|nil value nil when there is none
function methods:match(name)
  local kind, pointer = split(name)
  local code = C.luna_names_find(self.table, kind, pointer, UNDER, value)
  if code == OK then return result() end
  if code == NONE then return nil end
  return find(self, kind, pointer, UNDER)
end

--- The same for the name itself only.
---@param name ffi.cdata*|string|DnsQuery
---@return number|string|true|nil value
function methods:get(name)
  local kind, pointer = split(name)
  local code = C.luna_names_find(self.table, kind, pointer, EXACT, value)
  if code == OK then return result() end
  if code == NONE then return nil end
  return find(self, kind, pointer, EXACT)
end

local names_t = ffi.metatype("luna_names", { __index = methods })

--- The table of a name, which all who open it share and fill, or a fixed one made of a list: { "a.example", ["b.example"] = 7 }.
--- For setup, or the top of a plugin's file. It stays over reloads, and goes when no plugin has it open any more.
---@param what string|table
---@return LunaNames
return function(what) return tables.open("dns.names", C.LUNA_TABLE_NAMES, names_t, what) end
