--- Domain names and zones in option values.

local keys = require "lunadns.corefile.keys"

local zone = {}

--- Checks a domain name in presentation format (RFC 1035 5.1 escapes) and makes it
--- lower-case and absolute.
---@param text string
---@return string? name with its final dot
---@return string? why what is wrong, to stand behind the quoted text
function zone.name(text)
  if text == "" then return nil, "is not a domain name: it is empty" end
  if text == "." then return "." end
  if text:find("[%s%c%z]") then return nil, "is not a domain name: it has a space or a control character" end
  local wire, label, i, n = 1, 0, 1, #text
  while i <= n do
    local c = text:sub(i, i)
    if c == "." then
      if label == 0 then return nil, "is not a domain name: it has an empty label" end
      label, wire = 0, wire + 1
    else
      if c == "\\" then
        local digits = text:match("^%d%d%d", i + 1)
        if digits and tonumber(digits) > 255 then
          return nil, "is not a domain name: \\" .. digits .. " is above 255"
        end
        if i == n then return nil, "is not a domain name: it ends in a backslash" end
        i = i + (digits and 3 or 1)
      end
      label, wire = label + 1, wire + 1
      if label > 63 then return nil, "is not a domain name: a label has more than 63 bytes" end
    end
    i = i + 1
  end
  if label > 0 then
    text, wire = text .. ".", wire + 1
  end
  if wire > 255 then return nil, "is not a domain name: it has more than 255 bytes" end
  return text:lower()
end

--- Expands one token to zones, as the ZONES of CoreDNS: a scheme and a port are dropped, and a
--- network that is not on a label boundary gives several.
---@param text string
---@return string[]? zones lower-case, absolute, at least one
---@return string? why
function zone.expand(text)
  local _, rest = keys.scheme(text)
  local names, problem = keys.split(rest)
  if not names then
    local name, why = zone.name(rest)
    return nil, not name and why or "is not a zone: " .. problem
  end
  -- A name may hold a slash (RFC 2317), but not look like a network and be none.
  local only = names[1]
  if only:find("^%d+%.%d+%.%d+%.%d+/%d+$") or only:find("^%x*:[%x:.]*/%d+$") then
    return nil, "is not a network in CIDR form"
  end
  for i, name in ipairs(names) do names[i] = keys.normalize(name) end
  return names
end

return zone
