--- IP addresses, prefixes and host:port pairs in option values.
-- The system's own inet_pton decides what an address is, so that options, zone
-- files and the sockets behind them agree. A token with a NUL byte is refused
-- first: C would read only what stands before it.

local ffi = require "ffi"

ffi.cdef [[
int inet_pton(int family, const char *text, void *address);
const char *inet_ntop(int family, const void *address, char *text, unsigned int size);
]]

local C = ffi.C
local AF_INET, AF_INET6 = 2, 10
local bytes_buffer = ffi.new "uint8_t[16]"
local text_buffer = ffi.new "char[64]"

local address = {}

--- Reads an address.
---@param text string
---@return integer? family 4 or 6; nil when the text is no address
---@return string? bytes the 4 or 16 bytes in network order
function address.bytes(text)
  if text:find("%z") then return nil end
  if C.inet_pton(AF_INET, text, bytes_buffer) == 1 then return 4, ffi.string(bytes_buffer, 4) end
  if C.inet_pton(AF_INET6, text, bytes_buffer) == 1 then return 6, ffi.string(bytes_buffer, 16) end
  return nil
end

--- Writes 4 or 16 bytes as text.
---@param bytes string
---@return string
function address.text(bytes)
  local family = #bytes == 4 and AF_INET or AF_INET6
  return ffi.string(C.inet_ntop(family, bytes, text_buffer, 64))
end

--- Normalises an address: lower case, shortest form.
---@param text string
---@return string? normal
---@return integer? family
function address.ip(text)
  local family, bytes = address.bytes(text)
  if not family then return nil end
  return address.text(bytes --[[@as string]]), family
end

--- Clears the host bits of a network.
---@param bytes string
---@param bits integer
---@return string
function address.mask(bytes, bits)
  local out = {}
  for i = 1, #bytes do
    local keep = math.max(0, math.min(8, bits - (i - 1) * 8))
    local step = 2 ^ (8 - keep)
    out[i] = string.char(math.floor(bytes:byte(i) / step) * step --[[@as integer]])
  end
  return table.concat(out)
end

--- Reads "network/bits".
---@param text string
---@return string? bytes the network's bytes with the host bits cleared; nil when the text is no prefix
---@return integer? bits
function address.prefix(text)
  local host, digits = text:match("^([^/]+)/(%d%d?%d?)$") ---@cast digits -?
  if not host or (#digits > 1 and digits:sub(1, 1) == "0") then return nil end
  local family, bytes = address.bytes(host)
  local bits = tonumber(digits) --[[@as integer]]
  if not family or bits > (family == 4 and 32 or 128) then return nil end
  return address.mask(bytes --[[@as string]], bits), bits
end

--- Reads a decimal port.
---@param text string
---@return integer? port 0 to 65535
function address.port(text)
  if not text:find("^%d%d?%d?%d?%d?$") then return nil end
  local port = tonumber(text)
  return port <= 65535 and port or nil
end

--- Splits "host:port" or "[v6]:port" (also "[v6]" and a bare v6 address, which have no port).
---@param text string
---@return string? host nil when the brackets or colons do not add up
---@return string? port the digits, or nil when there is none
function address.split(text)
  local inner, rest = text:match("^%[([^%[%]]*)%](.*)$")
  if inner then ---@cast rest -?
    if rest == "" then return inner, nil end
    local port = rest:match("^:(.*)$")
    if port then return inner, port end
    return nil
  end
  local _, colons = text:gsub(":", "")
  if colons == 0 or colons > 1 then return text, nil end
  return text:match("^([^:]*):(.*)$")
end

--- Joins a host and a port; a v6 host gets its brackets.
---@param host string
---@param port integer
---@return string
function address.join(host, port)
  if host:find(":", 1, true) then return ("[%s]:%d"):format(host, port) end
  return ("%s:%d"):format(host, port)
end

return address
