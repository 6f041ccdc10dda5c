--- What methods accept as text or prepared: names and addresses. Text is read once and remembered.
local ffi = require "ffi"
local blame = require "lunadns.query.blame"
local boundary = require "lunadns.boundary"

local values = {}

local REMEMBERED = 4096 -- texts; a plugin that makes new ones for every query must not fill the memory

local function reader(parse)
  local known, count = {}, 0
  return function(text, level)
    local value, err = parse(text)
    if not value then blame(err, level or 4) end
    if count == REMEMBERED then
      for key in pairs(known) do known[key] = nil end
      count = 0
    end
    known[text] = value
    count = count + 1
    return value
  end, known
end

local read_name, names = reader(boundary.name)
local read_addr, addrs = reader(boundary.addr)

---@alias DnsName string|ffi.cdata* "example.org.", or a luna_name of dns.name
---@alias DnsAddress string|ffi.cdata*|DnsAddr "192.0.2.1", or a luna_addr of dns.addr

--- A luna_name.
---@param value DnsName
---@param level? integer whom an error is told, as in error; the caller's caller
---@return ffi.cdata*
function values.name(value, level)
  if type(value) == "string" then return names[value] or read_name(value, level) end
  return value
end

--- A luna_addr.
---@param value DnsAddress
---@return ffi.cdata*
function values.addr(value)
  if type(value) == "string" then return addrs[value] or read_addr(value) end
  return value --[[@as ffi.cdata*]]
end

local buffer = ffi.new "uint8_t[256]"

--- Presentation format of part of a wire name. Makes a string.
---@param wire ffi.cdata* uint8_t *
---@param len integer octets, without a root
---@return string without the final dot
function values.labels_text(wire, len)
  ffi.copy(buffer, wire, len)
  buffer[len] = 0
  return (boundary.name_text(buffer):gsub("%.$", ""))
end

return values
