--- dns.networks: sets and tables of networks, one copy for all workers. The longest prefix that holds an address counts.
--
--     local site = dns.networks { ["10.0.0.0/8"] = "inside", ["10.9.0.0/16"] = "lab" }
--     if site:match(q.client) == "lab" then ... end
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local tables = require "lunadns.tables"
local values = require "lunadns.values"

local C = boundary.C

ffi.cdef [[
typedef struct { luna_table *table; int fixed; } luna_networks;
]]

local addr_t = ffi.typeof "luna_addr"
local OK, NONE = C.LUNA_OK, C.LUNA_NONE
local value = values.value
local result = values.result --[[@as fun(): string|number|true]] -- false is no value of a table
local scratch = ffi.new "luna_addr"

---@class LunaNetworks
---@field load_text fun(self: LunaNetworks, text: string): boolean|nil, string?
---@field load_file fun(self: LunaNetworks, path: string): boolean|nil, string?
---@field load fun(self: LunaNetworks, list: table): boolean|nil, string?
---@field count fun(self: LunaNetworks): integer, integer
---@field table ffi.cdata* luna_networks
local methods = tables.methods "dns.networks"

local function split(addr)
  if type(addr) == "cdata" and ffi.istype(addr_t, addr) then return addr end
  if type(addr) ~= "string" then
    error(("dns.networks: expected an address or a string, not a %s"):format(type(addr)), 3)
  end
  if C.luna_addr_parse(addr, 0, scratch) < 0 then error(("dns.networks: '%s' is not an IP address"):format(addr), 3) end
  return scratch
end

--- The value of the longest prefix that holds an address: true when it has none. Makes a string when the value is one, and
--- nothing else.
---@param addr ffi.cdata*|string|DnsAddr luna_addr, such as q.client, or a text
---@return number|string|true|nil value nil when no prefix holds it
function methods:match(addr)
  local pointer = split(addr)
  local code = C.luna_networks_find(self.table, pointer, value)
  if code == OK then return result() end
  if code == NONE then return nil end
  values.grow()
  return self:match(addr)
end

local networks_t = ffi.metatype("luna_networks", { __index = methods })

--- The table of a name, which all who open it share and fill, or a fixed one made of a list: { "10.0.0.0/8", ["::/0"] = 6 }.
--- For setup, or the top of a plugin's file. It stays over reloads, and goes when no plugin has it open any more.
---@param what string|table
---@return LunaNetworks
return function(what) return tables.open("dns.networks", C.LUNA_TABLE_NETWORKS, networks_t, what) end
