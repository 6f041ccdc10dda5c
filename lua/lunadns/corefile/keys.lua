--- The keys of server blocks, `[scheme://]zone[:port]`, and the ZONES arguments of plugins.
local cidr = require "lunadns.corefile.cidr"
local utf8 = require "lunadns.corefile.utf8"

local byte, format, sub = string.byte, string.format, string.sub

local keys = {}

local DOMAIN = 53

--- Schemes and their default ports; `dns` takes the port the server was started with.
keys.ports = { dns = DOMAIN, tls = 853, quic = 853, grpc = 443, https = 443, https3 = 443 }

--- Schemes whose listeners need TLS (or, for grpc, HTTP/2).
keys.encrypted = { tls = true, quic = true, grpc = true, https = true, https3 = true }

---@class lunadns.corefile.key
---@field scheme string
---@field zone string   lower case, with the final dot
---@field port integer
---@field text string   as written
---@field file? string   where it stands
---@field line? integer

--- Splits off the scheme. No scheme, or one that is not known, is `dns` and nothing is split off.
---@param text string
---@return string scheme
---@return string rest
function keys.scheme(text)
  local scheme, rest = text:match("^(%l+3?)://(.*)$")
  ---@cast rest string
  if scheme and (keys.ports[scheme] or scheme == "unix") then return scheme, rest end
  return "dns", text
end

--- Adds the final dot, unless there is one that is not escaped.
---@param name string
---@return string
function keys.fqdn(name)
  local backslashes = name:match("(\\*)%.$")
  if backslashes and #backslashes % 2 == 0 then return name end
  return name .. "."
end

--- The form in which zones are compared: lower case (ASCII only, RFC 4343), with the final dot.
---@param name string
---@return string
function keys.normalize(name) return keys.fqdn(name):lower() end

--- Is this a domain name in presentation format (RFC 1035 5.1)? Labels up to 63 octets, none empty, no escape left
--- open. Any octet may occur.
---@param name string
---@return boolean
function keys.is_domain(name)
  if name == "" then return false end
  local s = keys.fqdn(name)
  local size, begin, was_dot, escape = 0, 1, false, false
  local i, n = 1, #s
  while i <= n do
    local c = byte(s, i)
    if c == 92 then
      escape = not escape
      if size + 1 > 256 then return false end
      local width = s:find("^%d%d%d", i + 1) and 3 or 1
      i, begin = i + width, begin + width
      was_dot = false
    elseif c == 46 then
      escape = false
      if (i == 1 and n > 1) or was_dot then return false end
      was_dot = true
      local length = i - begin
      if length > 63 then return false end
      size = size + 1 + length
      if size > 256 then return false end
      begin = i + 1
    else
      escape, was_dot = false, false
    end
    i = i + 1
  end
  return not escape
end

-- A decimal number with an optional sign; nil when it is none or would not fit 64 bits.
local function decimal(text)
  local sign, digits = text:match("^([+-]?)(%d+)$")
  if not digits then return nil end
  digits = digits:gsub("^0+(%d)", "%1")
  if #digits > 19 or (#digits == 19 and digits > (sign == "-" and "9223372036854775808" or "9223372036854775807")) then
    return nil
  end
  if sign == "-" and digits ~= "0" then return "-" .. digits end
  return digits
end

--- Splits `zone[:port]` and expands a CIDR. The names are not normalised.
---@param text string  without scheme
---@return string[]? zones
---@return string port_or_err  the port's digits, "" when there is none; the message when zones is nil
function keys.split(text)
  local head, tail = text:match("^(.*):([^:]*)$")
  if tail == "" or text == "" then return nil, "expecting data after last colon: " .. utf8.quote(text) end
  local port = ""
  if tail then
    local number = decimal(tail)
    if number then ---@cast head string
      text, port = head, number
    end
  end
  if #text > 255 then return nil, format("specified zone is too long: %d > 255", #text) end
  if not keys.is_domain(text) then return nil, "zone is not a valid domain name: " .. text end
  local zones = cidr.zones(text)
  if not zones then return { text }, port end
  if sub(text, 1, 1) == ":" or (sub(text, 1, 1) == "0" and text:find(":", 1, true)) then
    return nil, "invalid CIDR " .. text
  end
  return zones, port
end

--- Reads one key. A CIDR gives several.
---@param text string
---@param default_port? integer  for the scheme dns
---@return lunadns.corefile.key[]? keys
---@return string? err  as CoreDNS words it, on one line, without "error inspecting server blocks"
function keys.parse(text, default_port)
  local scheme, rest = keys.scheme(text)
  local zones, port = keys.split(rest)
  if not zones then return nil, utf8.oneline(port) end
  for _, zone in ipairs(zones) do
    -- The final dot may make a name too long.
    local ok, err = keys.split(keys.fqdn(zone))
    if not ok then return nil, utf8.oneline(err) end
  end
  local number = tonumber(port)
  if port == "" then number = scheme == "dns" and (default_port or DOMAIN) or keys.ports[scheme] or DOMAIN end
  local list = {}
  for i, zone in ipairs(zones) do
    list[i] = { scheme = scheme, zone = keys.normalize(zone), port = number, text = text }
  end
  return list
end

--- A key as CoreDNS prints it: `dns://example.org.:53`, with ` on ADDRESS` when it is bound.
---@param key { scheme: string, zone: string, port: integer }
---@param bind? string
---@return string
function keys.format(key, bind)
  local text = format("%s://%s:%s", key.scheme, key.zone, key.port)
  if bind and bind ~= "" then text = text .. " on " .. bind end
  return text
end

--- The ZONES of a plugin: its arguments, or those of its server block when it has none. Scheme and port are
--- dropped, CIDRs expanded, names normalised. An argument that is no zone is left out, as in CoreDNS.
---@param args (string|{ text: string })[]
---@param block_zones (string|{ zone: string })[]
---@return string[] zones  a new table
---@return string[] bad    the arguments left out
function keys.origins(args, block_zones)
  local zones, bad = {}, {}
  for _, arg in ipairs(args) do
    local text = type(arg) == "table" and arg.text or arg --[[@as string]]
    local _, rest = keys.scheme(text)
    local names = keys.split(rest)
    if not names then bad[#bad + 1] = text end
    for _, name in ipairs(names or {}) do
      zones[#zones + 1] = keys.normalize(name)
    end
  end
  if #args > 0 then return zones, bad end
  for i, zone in ipairs(block_zones) do
    local text = type(zone) == "table" and zone.zone or zone --[[@as string]]
    local _, rest = keys.scheme(text)
    local names = keys.split(rest)
    zones[i] = names and keys.normalize(names[1]) or text
  end
  return zones, bad
end

--- Checks that no zone is served twice by one listener. An unbound zone covers every address of its port. A zone
--- with a view may share a listener with others, but not be bound where another is unbound.
---@param list { zone: string, scheme: string, port: integer, binds: string[]?, view: boolean? }[]
---@return string? err  nil when all is well
function keys.check_overlap(list)
  local registered, by_unbound = {}, {}
  for _, item in ipairs(list) do
    local binds = item.binds and #item.binds > 0 and item.binds or { "" }
    local unbound = keys.format(item)
    for _, bind in ipairs(binds) do
      local id = keys.format(item, bind)
      if registered[id] then
        if not item.view then return format("cannot serve %s - it is already defined", id) end
      else
        local other = by_unbound[unbound]
        if other and bind ~= "" and not registered[unbound] then other = nil end
        if other then
          if bind ~= "" then other = unbound end
          return format("cannot serve %s - zone overlap listener capacity with %s", id, other)
        end
        if not item.view then
          registered[id], by_unbound[unbound] = true, id
        end
      end
    end
  end
  return nil
end

return keys
