--- dns.json: what web services answer, as Lua values. RFC 8259.
local json = {}

local DEPTH_MAX = 64
local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function fail(text, at, expected)
  local line, from = 1, 1
  for newline in text:sub(1, at - 1):gmatch "()\n" do line, from = line + 1, newline + 1 end
  local found = at > #text and "the end" or ("%q"):format(text:sub(at, at + 19):match "^[^\n]*")
  error({ ("line %d, column %d: expected %s, found %s"):format(line, at - from + 1, expected, found) })
end

local function skip(text, at) return text:find("[^ \t\r\n]", at) or #text + 1 end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
  end
  return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
    0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

--- What a backslash at `at` stands for, and where the text goes on.
local function escape(text, at)
  local letter = text:sub(at + 1, at + 1)
  if letter ~= "u" then return ESCAPES[letter] or fail(text, at, "an escape such as \\n"), at + 2 end
  local high = tonumber(text:match("^%x%x%x%x", at + 2) or "", 16) or fail(text, at, "an escape such as \\u00e4")
  if high >= 0xD800 and high < 0xDC00 then
    local low = tonumber(text:match("^\\u([dD][c-fC-F]%x%x)", at + 6) or "", 16)
    if not low then fail(text, at, "both halves of a surrogate pair") end
    return utf8(0x10000 + (high - 0xD800) * 1024 + low - 0xDC00), at + 12
  end
  if high >= 0xDC00 and high < 0xE000 then fail(text, at, "both halves of a surrogate pair") end
  return utf8(high), at + 6
end

local function read_string(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('[%z\1-\31"\\]', from) or #text + 1
    parts[#parts + 1] = text:sub(from, stop - 1)
    local letter = text:sub(stop, stop)
    if letter == '"' then return table.concat(parts), stop + 1 end
    if letter ~= "\\" then fail(text, stop, "the end of a string") end
    parts[#parts + 1], from = escape(text, stop)
  end
end

local function read_number(text, at)
  local whole = text:match("^-?%d+", at)
  if not whole or whole:find "^-?0%d" then fail(text, at, "a value") end
  local fraction = text:match("^%.%d+", at + #whole) or ""
  local exponent = text:match("^[eE][+-]?%d+", at + #whole + #fraction) or ""
  local all = whole .. fraction .. exponent
  return tonumber(all), at + #all
end

local read

--- Members up to `close`; each puts one of them into the table.
local function members(text, at, close, each)
  local out = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == close then return out, at + 1 end
  while true do
    at = skip(text, each(out, at))
    local letter = text:sub(at, at)
    if letter == close then return out, at + 1 end
    if letter ~= "," then fail(text, at, ("',' or '%s'"):format(close)) end
    at = skip(text, at + 1)
  end
end

local WORDS = { t = { "true", true }, f = { "false", false }, n = { "null", nil } }

read = function(text, at, depth)
  if depth > DEPTH_MAX then fail(text, at, ("at most %d levels"):format(DEPTH_MAX)) end
  local letter = text:sub(at, at)
  if letter == '"' then return read_string(text, at) end
  if letter == "{" then
    return members(text, at, "}", function(out, from)
      if text:sub(from, from) ~= '"' then fail(text, from, "a name in quotes") end
      local key, value
      key, from = read_string(text, from)
      from = skip(text, from)
      if text:sub(from, from) ~= ":" then fail(text, from, "':'") end
      value, from = read(text, skip(text, from + 1), depth + 1)
      out[key] = value
      return from
    end)
  end
  if letter == "[" then
    local n = 0
    return members(text, at, "]", function(out, from)
      local value
      value, from = read(text, from, depth + 1)
      n = n + 1
      out[n] = value
      return from
    end)
  end
  local word = WORDS[letter]
  if word and text:sub(at, at + #word[1] - 1) == word[1] then return word[2], at + #word[1] end
  return read_number(text, at)
end

--- A JSON text as Lua values: objects and arrays are tables, null is nil (what is null in an object is not there; in an array
--- it leaves a hole). What a server sent may be anything: look at each value's type before using it.
---
---     local found, err = dns.json.decode(response.body)
---     if not found then return dns.SERVFAIL, err end
---@param text string
---@return any value
---@return string|nil err "line 1, column 7: expected ':', found ..."
function json.decode(text)
  if type(text) ~= "string" then error(("dns.json.decode: expected a string, found a %s"):format(type(text)), 2) end
  local ok, value, at = pcall(read, text, skip(text, 1), 1)
  if ok then
    at = skip(text, at)
    if at > #text then return value end
    value = select(2, pcall(fail, text, at, "the end"))
  end
  return nil, type(value) == "table" and value[1] or tostring(value)
end

return json
