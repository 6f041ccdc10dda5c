--- The upstreams that TO names: addresses, resolv.conf files and host names, in the order given.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local address = require "lunadns.options.address"
local zone = require "lunadns.options.zone"

local C = boundary.C

local targets = {}

---@class ForwardTarget
---@field to string "10.0.0.10:53", as metrics and errors name it
---@field addr ffi.cdata* luna_addr
---@field tls boolean
---@field tls_name? string from `tls://IP%name`

local PORTS = { dns = 53, tls = 853 }
local UNSUPPORTED = { grpc = true, quic = true, https3 = true, unix = true }
local MOST, ADDRESSES = 15, 32

--- Address and port as metrics and logs have them; the zone of a link-local address is part of it.
---@param addr ffi.cdata* luna_addr
---@return string
local function text_of(addr)
  return address.join(boundary.addr_text(addr), addr.port)
end

--- "tls://9.9.9.9%dns.quad9.net:853" has the name to verify between address and port.
local function split_name(rest)
  local head, name, tail = rest:match "^(.*)%%([^%%:]*)(.*)$"
  if not head then return rest end
  if head:sub(1, 1) == "[" then
    name, head = name:gsub("%]$", ""), head .. "]"
  end
  return head .. tail, name
end

--- The nameservers of a resolv.conf file; nil when there is no such file.
---@param path string
---@return string[]|nil
function targets.nameservers(path)
  local text = boundary.read(path)
  if not text then return nil end
  local list = {}
  for line in text:gmatch "[^\r\n]+" do
    local server = line:match "^%s*nameserver%s+(%S+)"
    if server then list[#list + 1] = server end
  end
  return list
end

--- Asks for the addresses of a host name. Waits.
---@param host string
---@param resolvers string[] "IP:port"; none = the system's
---@return ffi.cdata*[] addrs
local function lookup(host, resolvers)
  local found = ffi.new("luna_addr[?]", ADDRESSES)
  local asked = ffi.new("luna_addr[?]", math.max(#resolvers, 1))
  for i, text in ipairs(resolvers) do asked[i - 1] = assert(boundary.addr(text, 53)) end
  local err = ffi.new "char[512]"
  local n = C.luna_upstream_lookup(host, asked, #resolvers, found, ADDRESSES, err, 512)
  if n < 1 then error(('failed to resolve "%s": %s'):format(host, ffi.string(err)), 0) end
  local list = {}
  for i = 0, n - 1 do list[i + 1] = ffi.new("luna_addr", found[i]) end
  return list
end

--- Reads one TO. Returns its addresses; an empty list for a file without nameservers.
local function read(text, resolvers)
  local scheme, rest = text:match "^(%w+)://(.*)$"
  scheme, rest = scheme or "dns", rest or text
  if scheme == "https" then
    error(("upstreams over HTTPS are not supported yet: %s; use tls:// instead"):format(text), 0)
  end
  if UNSUPPORTED[scheme] then
    error(("'%s' is not supported as a destination protocol in forward: %s"):format(scheme, text), 0)
  end
  local port = PORTS[scheme] ---@type integer|nil
  if not port then error(("not an IP address, file, or valid domain: %q"):format(text), 0) end
  if rest == "" then error(("invalid address: %q"):format(text), 0) end
  local name
  if scheme == "tls" then rest, name = split_name(rest) end
  local addr = boundary.addr(rest, port)
  if addr then return { addr }, scheme, name end

  local list = {}
  local servers = targets.nameservers(rest)
  if servers then
    for _, server in ipairs(servers) do
      addr = boundary.addr(server, 53)
      if not addr then error(("%s: '%s' is not an IP address"):format(rest, server), 0) end
      list[#list + 1] = addr
    end
    return list, scheme, name
  end

  local host, digits = address.split(rest)
  if digits then port = address.port(digits) end
  if not host or not port or not zone.name(host) or host:find("/", 1, true) then
    error(("not an IP address, file, or valid domain: %q"):format(text), 0)
  end
  for i, one in ipairs(lookup(host, resolvers)) do
    one.port = port
    list[i] = one
  end
  return list, scheme, name
end

--- All upstreams, each once. Raises a text for the user.
---@param to string[]
---@param resolvers string[]
---@param tls_servername? string
---@return ForwardTarget[]
function targets.read(to, resolvers, tls_servername)
  local list, seen, entries = {}, {}, 0
  for _, text in ipairs(to) do
    local addrs, scheme, name = read(text, resolvers)
    if #addrs > 0 then entries = entries + 1 end
    if name and name ~= "" and tls_servername then
      error(("both forward ('%s') and proxy level ('%s') TLS servernames are set for upstream proxy '%s'"):format(
        tls_servername, name, text), 0)
    end
    for _, addr in ipairs(addrs) do
      local shown = text_of(addr)
      if not seen[shown] then
        seen[shown] = true
        list[#list + 1] = { to = shown, addr = addr, tls = scheme == "tls", tls_name = name ~= "" and name or nil }
      end
    end
  end
  if entries > MOST then error(("more than %d TOs configured: %d"):format(MOST, entries), 0) end
  if #list == 0 then error("no valid upstream addresses found", 0) end
  return list
end

return targets
