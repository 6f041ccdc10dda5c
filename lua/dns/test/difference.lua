--- What was expected and what was found, as lines of a text diff.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local difference = {}

local size = 262144
local buffer, err = ffi.new("char[?]", size), ffi.new "char[256]"

--- A record the way replies show it: one space between fields, the owner in lower case.
local function normal(record)
  local owner, rest = record:gsub("%s+", " "):gsub(" $", ""):match "^(%S+) (.*)$"
  return owner and owner:lower() .. " " .. rest or record
end

--- Records as the core would print them, so that "1h", a missing class or a long IPv6 form do not matter. Raises for
--- what is no record.
---@param expected string|string[] one a line
---@return string[]
function difference.records(expected)
  if type(expected) == "table" then expected = table.concat(expected, "\n") end
  local n = C.luna_records_text(expected, buffer, size, err, 256)
  if n < 0 then error("the expected records: " .. ffi.string(err), 0) end
  local out = {}
  for line in ffi.string(buffer, n):gmatch "[^\n]+" do out[#out + 1] = normal(line) end
  return out
end

---@param found string[] of a reply
---@return string[]
function difference.found(found)
  local out = {}
  for i, record in ipairs(found) do out[i] = normal(record) end
  return out
end

--- Compares two lists, whatever their order. Lists are sorted by this.
---@param expected string[]
---@param found string[]
---@return boolean same
---@return string text "- " what is missing, "+ " what is too much, "  " what is as expected
function difference.compare(expected, found)
  table.sort(expected)
  table.sort(found)
  local i, k, same, out = 1, 1, true, {}
  while expected[i] or found[k] do
    local a, b = expected[i], found[k]
    if a == b then
      out[#out + 1] = "  " .. a
      i, k = i + 1, k + 1
    elseif not b or (a and a < b) then
      out[#out + 1], same = "- " .. a, false
      i = i + 1
    else
      out[#out + 1], same = "+ " .. b, false
      k = k + 1
    end
  end
  return same, table.concat(out, "\n")
end

return difference
