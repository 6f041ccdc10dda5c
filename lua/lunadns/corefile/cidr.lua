--- Reverse zones of a network, RFC 1035 3.5 and RFC 3596 2.5.
local band, lshift, rshift = require("bit").band, require("bit").lshift, require("bit").rshift

local cidr = {}

-- Dotted quad without leading zeros -> four octets, or nil.
local function ipv4(text)
  local octets = { text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
  if #octets ~= 4 then return nil end
  for i, digits in ipairs(octets) do
    if #digits > 3 or (#digits > 1 and digits:sub(1, 1) == "0") or tonumber(digits) > 255 then return nil end
    octets[i] = tonumber(digits)
  end
  return octets
end

-- Appends the 16-bit groups written in `text` as nibbles; the last may be a dotted quad. False when malformed.
local function groups(text, nibbles, quad_allowed)
  if text == "" then return true end
  for group, separator in (text .. ":"):gmatch("([^:]*)(:)") do
    local digits = group:match("^%x%x?%x?%x?$")
    if digits and separator then
      local value = tonumber(digits, 16) --[[@as integer]]
      for shift = 12, 0, -4 do
        nibbles[#nibbles + 1] = band(rshift(value, shift), 15)
      end
    else
      -- A quad has to be what the text ends with.
      local octets = quad_allowed and text:sub(-#group) == group and ipv4(group)
      if not octets then return false end
      for _, octet in ipairs(octets) do
        nibbles[#nibbles + 1] = rshift(octet, 4)
        nibbles[#nibbles + 1] = band(octet, 15)
      end
      quad_allowed = false
    end
  end
  return true
end

-- IPv6 text (RFC 4291 2.2) -> 32 nibbles, or nil.
local function ipv6(text)
  if #text > 45 then return nil end
  local head, tail = text:match("^(.-)::(.*)$")
  local front, back = {}, {}
  if not groups(head or text, front, not head) then return nil end
  if not head then return #front == 32 and front or nil end
  if not groups(tail, back, true) then return nil end
  -- "::" stands for at least one group.
  if #front + #back > 28 then return nil end
  for _ = 1, 32 - #front - #back do
    front[#front + 1] = 0
  end
  for _, nibble in ipairs(back) do
    front[#front + 1] = nibble
  end
  return front
end

--- The reverse zones that together cover a network: one when the prefix ends at a label, else those of the next
--- longer label boundary (8 bits for IPv4, 4 for IPv6).
---@param text string  ADDRESS/LENGTH
---@return string[]? zones  nil when the text is no CIDR
function cidr.zones(text)
  local address, length = text:match("^([^/]*)/(%d+)$") ---@type string|nil, any
  if not address or #length > 16 then return nil end
  length = tonumber(length)
  local digits, width, suffix, form = ipv4(address), 8, "in-addr.arpa.", "%d"
  if not digits then
    digits, width, suffix, form = ipv6(address), 4, "ip6.arpa.", "%x"
  end
  if not digits or length > #digits * width then return nil end

  local labels = math.ceil(length / width)
  local spare = labels * width - length --[[@as integer]]
  local parent = suffix
  for i = 1, labels - 1 do
    parent = form:format(digits[i]) .. "." .. parent
  end
  if labels == 0 then return { parent } end
  local base = lshift(rshift(digits[labels], spare), spare)
  local zones = {}
  for i = 0, lshift(1, spare) - 1 do
    zones[i + 1] = form:format(base + i) .. "." .. parent
  end
  return zones
end

return cidr
