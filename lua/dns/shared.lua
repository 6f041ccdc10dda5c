--- dns.shared: dictionaries of the whole process. Every worker and every generation that opens a name has the same one.
--
--     local seen = dns.shared("seen", { bytes = "8MB" })
--     local n = seen:incr(q.client, 1, 0, 10)      -- queries of this client in ten seconds
--
-- Keys are strings, numbers, addresses (luna_addr, the port does not matter), names (luna_name), or a query, which stands for its
-- question name. Only a string key is a string: the others cost none. Values are strings, numbers and booleans.
local ffi = require "ffi"
local bit = require "bit"
local boundary = require "lunadns.boundary"
local scope = require "lunadns.scope"
local types = require "lunadns.options.types"
local values = require "lunadns.values"

local C = boundary.C
local NULL = ffi.cast("void *", nil)
local BYTES = 16 * 1024 * 1024
local NAN = 0 / 0

ffi.cdef [[
typedef struct { luna_dict *dict; luna_state *state; } luna_shared;
]]

local addr_t, name_t, query_t = ffi.typeof "luna_addr", ffi.typeof "luna_name", ffi.typeof "luna_query"
local TEXT, NUMBER, ADDRESS = C.LUNA_KEY_TEXT, C.LUNA_KEY_NUMBER, C.LUNA_KEY_ADDRESS
local NAME, QUESTION = C.LUNA_KEY_NAME, C.LUNA_KEY_QUESTION
local value, result = values.value, values.result
local V_NUMBER, V_BOOLEAN, V_TEXT = C.LUNA_VALUE_NUMBER, C.LUNA_VALUE_BOOLEAN, C.LUNA_VALUE_TEXT
local SET, ADD, REPLACE = C.LUNA_PUT_SET, C.LUNA_PUT_ADD, C.LUNA_PUT_REPLACE
local OK, NONE, NODATA, E_SPACE = C.LUNA_OK, C.LUNA_NONE, C.LUNA_NODATA, C.LUNA_E_SPACE

---@alias LunaKey string|number|ffi.cdata*|DnsQuery|DnsAddr

--- A key as the core takes it: kind, pointer, length, number.
local function split(key)
  local kind = type(key)
  if kind == "string" then return TEXT, key, #key, 0 end
  if kind == "number" then return NUMBER, NULL, 0, key end
  if kind == "cdata" then
    if ffi.istype(addr_t, key) then return ADDRESS, key, 0, 0 end
    if ffi.istype(query_t, key) then return QUESTION, key, 0, 0 end
    if ffi.istype(name_t, key) then return NAME, key, 0, 0 end
  end
  error(("dns.shared: a key must be a string, a number, an address, a name or a query, not a %s"):format(kind), 3)
end

local function bad_key(key)
  if type(key) == "string" then error(("dns.shared: a key of %d octets is longer than 1024"):format(#key), 3) end
  error("dns.shared: not a number cannot be a key", 3)
end

local function seconds_of(ttl)
  if ttl == nil then return 0 end
  if type(ttl) == "number" and ttl >= 0 then return ttl end
  error("dns.shared: the time to live must be a number of seconds, 0 or more", 4)
end

--- Stores by one of the three rules. Returns true, or false and why.
---@return any ok a boolean; any, because bad_key does not return
---@return string? why
local function put(self, how, key, new, ttl)
  local kind, pointer, len, number = split(key)
  local what, code = type(new), nil
  ttl = seconds_of(ttl)
  if what == "number" then
    code = C.luna_dict_put(self.dict, self.state, kind, pointer, len, number, how, V_NUMBER, NULL, 0, new, ttl)
  elseif what == "string" then
    code = C.luna_dict_put(self.dict, self.state, kind, pointer, len, number, how, V_TEXT, new, #new, 0, ttl)
  elseif what == "boolean" then
    code = C.luna_dict_put(self.dict, self.state, kind, pointer, len, number, how, V_BOOLEAN, NULL, 0, new and 1 or 0, ttl)
  else
    error(("dns.shared: a value must be a string, a number or a boolean, not a %s"):format(what), 3)
  end
  if code == OK then return true end
  if code == NONE then return false, how == ADD and "exists" or "not found" end
  if code == E_SPACE then return false, "too large: an entry may take a sixteenth of the dictionary's bytes" end
  bad_key(key)
end

---@class LunaShared
---@field dict ffi.cdata* luna_dict
---@field state ffi.cdata* luna_state
local methods = {}

--- The value of a key, nil when there is none. Makes a string when the value is one, and nothing else.
---@param key LunaKey
---@return any value a string, a number or true
function methods:get(key)
  local kind, pointer, len, number = split(key)
  local code = C.luna_dict_get(self.dict, self.state, kind, pointer, len, number, value)
  if code == OK then return result() end
  if code == NONE then return nil end
  while code == E_SPACE do
    values.grow()
    code = C.luna_dict_get(self.dict, self.state, kind, pointer, len, number, value)
  end
  if code == OK then return result() end
  if code ~= NONE then bad_key(key) end
  return nil
end

--- Keeps a value, in the place of what is there. nil takes it out.
---@param key LunaKey
---@param new string|number|boolean|nil
---@param ttl? number seconds; without it, for ever
---@return boolean ok
---@return string? why "too large ..."
function methods:set(key, new, ttl)
  if new == nil then
    self:delete(key)
    return true
  end
  return put(self, SET, key, new, ttl)
end

--- Keeps a value if there is none.
---@return boolean ok
---@return string? why "exists", "too large ..."
function methods:add(key, new, ttl) return put(self, ADD, key, new, ttl) end

--- Keeps a value if there is one.
---@return boolean ok
---@return string? why "not found", "too large ..."
function methods:replace(key, new, ttl) return put(self, REPLACE, key, new, ttl) end

--- Adds to a number, as one step that no other worker comes between. A number that is not there begins with init and lives
--- for ttl seconds; adding to it later does not prolong that: a counter with a ttl counts by windows of time. Makes nothing.
---@param key LunaKey
---@param by? number 1 unless given
---@param init? number|false 0 unless given; false: nil is returned when the number is not there
---@param ttl? number seconds; without it, for ever
---@return number|nil now what it is now
---@return string? why "not found", "not a number", "no memory"
function methods:incr(key, by, init, ttl)
  local kind, pointer, len, number = split(key)
  if init == nil then init = 0 elseif init == false then init = NAN end
  local code = C.luna_dict_incr(self.dict, self.state, kind, pointer, len, number, by or 1, init, ttl or 0, value)
  if code == OK then return value.number end
  if code == NONE then return nil, "not found" end
  if code == E_SPACE then return nil, "no memory" end
  if code == NODATA then return nil, "not a number" end
  bad_key(key)
end

--- Takes a key out.
---@param key LunaKey
---@return boolean was whether it was there
function methods:delete(key)
  local kind, pointer, len, number = split(key)
  local code = C.luna_dict_remove(self.dict, self.state, kind, pointer, len, number)
  if code < 0 then bad_key(key) end
  return code == OK
end

--- Seconds that a key still has; 0: it stays for ever; nil: it is not there.
---@param key LunaKey
---@return number|nil
function methods:ttl(key)
  local kind, pointer, len, number = split(key)
  local code = C.luna_dict_get(self.dict, self.state, kind, pointer, len, number, value)
  if code == NONE then return nil end
  if code ~= OK and code ~= E_SPACE then bad_key(key) end
  if value.expires == 0 then return 0 end
  local now = self.state ~= nil and self.state.now or C.luna_clock()
  return math.max(tonumber(value.expires - now) / 1e9, 0)
end

--- Sets the time that a key still has.
---@param key LunaKey
---@param ttl number seconds, 0 = for ever
---@return boolean was whether it was there
function methods:expire(key, ttl)
  local kind, pointer, len, number = split(key)
  local code = C.luna_dict_expire(self.dict, self.state, kind, pointer, len, number, seconds_of(ttl))
  if code < 0 then bad_key(key) end
  return code == OK
end

--- Takes everything out.
function methods:clear() C.luna_dict_clear(self.dict, self.state) end

--- How many keys there are, those included that have expired and were not met since.
---@return integer keys
---@return integer bytes what they take
---@return integer evictions keys that had to go for want of room, since the dictionary was made
function methods:count()
  local figures = ffi.new "luna_dict_figures"
  C.luna_dict_count(self.dict, figures)
  return tonumber(figures.entries) --[[@as integer]], tonumber(figures.bytes) --[[@as integer]],
    tonumber(figures.evictions) --[[@as integer]]
end

local function key_of(item, at)
  local kind, len = item.kind, item.key_len
  if kind == TEXT then return ffi.string(at, len) end
  if kind == NUMBER then return ffi.cast("double *", at)[0] end
  if kind == ADDRESS then
    local addr = addr_t()
    addr.family = len == 4 and 4 or 6
    ffi.copy(addr.ip, at, len)
    return addr
  end
  local name = name_t()
  C.luna_name_set(at, len, name)
  return name
end

local function value_of(item, at)
  if item.type == V_NUMBER then return item.number end
  if item.type == V_BOOLEAN then return item.number ~= 0 end
  return ffi.string(at + item.key_len, item.text_len)
end

local item_size = ffi.sizeof("luna_dict_item") --[[@as integer]]

--- Every key with its value, for a page or a timer: `for key, value in seen:each() do`. Slow: writers wait while a sixteenth
--- of the entries is copied. What changes meanwhile may be seen or not; what stays is seen once.
---@return fun(): LunaKey?, string|number|boolean|nil
function methods:each()
  local size = 65536
  local buffer = ffi.new("uint8_t[?]", size)
  local part, at, filled = 0, 0, 0
  local dict, state = self.dict, self.state
  return function()
    while at >= filled do
      if part == C.LUNA_DICT_PARTS then return nil end
      filled = tonumber(C.luna_dict_list(dict, state, part, buffer, size)) --[[@as integer]]
      while filled < 0 do
        size = -filled * 2
        buffer = ffi.new("uint8_t[?]", size)
        filled = tonumber(C.luna_dict_list(dict, state, part, buffer, size)) --[[@as integer]]
      end
      part, at = part + 1, 0
    end
    local item = ffi.cast("luna_dict_item *", buffer + at)
    local data = buffer + at + item_size
    at = at + bit.band(item_size + item.key_len + item.text_len + 7, bit.bnot(7))
    return key_of(item, data), value_of(item, data)
  end
end

local shared_t = ffi.metatype("luna_shared", { __index = methods })

local OPTIONS = { bytes = true, ipv4_prefix = true, ipv6_prefix = true }

---@class LunaSharedOptions
---@field bytes? number|string bound of all entries together, 16 MiB unless given; at least 64 KiB; "64MB" is good too
---@field ipv4_prefix? integer bits of an IPv4 address that count in a key, 32 unless given
---@field ipv6_prefix? integer of an IPv6 address, 128 unless given; 64 or 56 makes one client of a network

local function config_of(name, options)
  for key in pairs(options) do
    if not OPTIONS[key] then error(("dns.shared %s: unknown option '%s'"):format(name, tostring(key)), 3) end
  end
  local config = ffi.new "luna_dict_config"
  local bytes = options.bytes or BYTES
  if type(bytes) == "string" then
    local size, why = types.size.parse(bytes, {}, {})
    if not size then error(("dns.shared %s: bytes: '%s' %s"):format(name, bytes, why), 3) end
    bytes = size
  end
  config.bytes, config.prefix4, config.prefix6 = bytes, options.ipv4_prefix or 32, options.ipv6_prefix or 128
  return config
end

--- Opens the dictionary of a name: in setup, or at the top of a plugin's file. Its content stays over reloads and goes when no
--- plugin has it open any more. When it is full, keys that nobody asked for lately make room
--- (lunadns_shared_evictions_total).
---@param name string
---@param options? LunaSharedOptions of two who open it, those who come later bound it
---@return LunaShared
local function shared(name, options)
  if type(name) ~= "string" or not name:find "^[%w_]" then
    error("dns.shared: expected a name that begins with a letter or digit", 2)
  end
  local config = config_of(name, options or {})
  local object, err = scope.open("dict " .. name, function(state)
    local dict = C.luna_dict_open(name, config)
    if dict == nil then return nil, "dns.shared: out of memory" end
    return shared_t(dict, state), dict
  end, C.luna_dict_close)
  return object or error(err, 2)
end

return shared
