--- The network interfaces of this host.
local ffi = require "ffi"
local address = require "lunadns.options.address"

ffi.cdef [[
typedef struct luna_ifaddrs {
  struct luna_ifaddrs *next;
  const char *name;
  unsigned flags;
  const uint8_t *addr; /* struct sockaddr */
  void *netmask, *other, *data;
} luna_ifaddrs;
int getifaddrs(luna_ifaddrs **list);
void freeifaddrs(luna_ifaddrs *list);
]]

local interfaces = {}

local AF_INET, AF_INET6 = 2, 10

--- An IPv6 address that is only good on its own link: fe80::/10, ff02::/16.
local function link_local(bytes)
  return bytes[0] == 0xfe and bytes[1] >= 0x80 and bytes[1] < 0xc0 or bytes[0] == 0xff and bytes[1] % 16 == 2
end

--- Addresses of every interface, by its name; those of its own link with "%name".
---@return table<string, string[]>
function interfaces.addresses()
  local list, found = ffi.new "luna_ifaddrs *[1]", {}
  if ffi.C.getifaddrs(list) ~= 0 then return found end
  local at = list[0]
  while at ~= nil do
    local name = ffi.string(at.name)
    found[name] = found[name] or {}
    local family = at.addr ~= nil and ffi.cast("const uint16_t *", at.addr)[0]
    if family == AF_INET then
      table.insert(found[name], address.text(ffi.string(at.addr + 4, 4)))
    elseif family == AF_INET6 then
      local text = address.text(ffi.string(at.addr + 8, 16))
      table.insert(found[name], link_local(at.addr + 8) and text .. "%" .. name or text)
    end
    at = at.next
  end
  ffi.C.freeifaddrs(list[0])
  return found
end

return interfaces
