--- UTF-8 validity and the quoting of texts in messages.
local byte, find, format, gsub, sub = string.byte, string.find, string.format, string.gsub, string.sub

local utf8 = {}

-- The length of the valid UTF-8 sequence at `pos` (RFC 3629: no surrogates, no overlong forms), or nil.
local function sequence(text, pos)
  local a, b, c, d = byte(text, pos, pos + 3)
  if a < 0x80 then return 1 end
  if a < 0xC2 or a > 0xF4 or not b then return nil end
  local low, high = 0x80, 0xBF
  if a == 0xE0 then
    low = 0xA0
  elseif a == 0xED then
    high = 0x9F
  elseif a == 0xF0 then
    low = 0x90
  elseif a == 0xF4 then
    high = 0x8F
  end
  if b < low or b > high then return nil end
  if a < 0xE0 then return 2 end
  if not c or c < 0x80 or c > 0xBF then return nil end
  if a < 0xF0 then return 3 end
  if not d or d < 0x80 or d > 0xBF then return nil end
  return 4
end

--- Replaces each byte that belongs to no valid sequence by `mark` (U+FFFD unless given).
---@param text string
---@param mark? string
---@return string
function utf8.valid(text, mark)
  mark = mark or "\239\191\189"
  local parts, count, from = nil, 0, 1
  local pos = find(text, "[\128-\255]")
  while pos do
    local width = sequence(text, pos)
    if width then
      pos = pos + width
    else
      parts = parts or {}
      parts[count + 1] = sub(text, from, pos - 1)
      parts[count + 2] = mark
      count = count + 2
      pos = pos + 1
      from = pos
    end
    pos = find(text, "[\128-\255]", pos)
  end
  if not parts then return text end
  parts[count + 1] = sub(text, from)
  return table.concat(parts)
end

local SHORT = {
  ["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\v"] = "\\v",
}

local function escape(c) return SHORT[c] or format("\\x%02x", byte(c)) end

--- Makes a text fit on one line of a message: control characters are written as escapes.
---@param text string
---@return string
function utf8.oneline(text) return (gsub(text, "%c", escape)) end

--- The text in double quotes, with escapes, as Go's %q prints it (for the characters that occur in host names).
---@param text string
---@return string
function utf8.quote(text)
  local inner = gsub(text, '[\\"]', "\\%0")
  inner = gsub(inner, "%c", escape)
  return '"' .. inner .. '"'
end

return utf8
