--- Splits the text of a Corefile into tokens, by the rules of CoreDNS's reader.
--
-- Words are separated by Unicode white space. A word that begins with `"` runs to the next unescaped `"`, across
-- lines too; only `\"` is an escape. `#` outside quotes starts a comment. Carriage returns outside quotes vanish.
-- A byte that is not valid UTF-8 becomes U+FFFD, so texts are always safe to print.
local utf8 = require "lunadns.corefile.utf8"

local byte, find, gsub, sub = string.byte, string.find, string.gsub, string.sub

local lexer = {}

---@class lunadns.corefile.token
---@field text string   what was written, without the enclosing quotes
---@field file string   the file as named by the user, or the absolute path of an imported one
---@field line integer  the line on which the token begins
---@field last integer  the line on which it ends
---@field quoted boolean

-- Lead bytes of the multi-byte white space characters.
local WORD_END = "[%s#\194\225\226\227]"

-- The length of the white space character at `pos`, 0 when another character is there. Unicode's White_Space.
local function space_at(text, pos, c)
  if c == 32 or (c >= 9 and c <= 13) then return 1 end
  if c == 0xC2 then
    local d = byte(text, pos + 1)
    return (d == 0x85 or d == 0xA0) and 2 or 0
  end
  if c < 0xE1 or c > 0xE3 then return 0 end
  local d, e = byte(text, pos + 1, pos + 2)
  local space
  if c == 0xE1 then
    space = d == 0x9A and e == 0x80
  elseif c == 0xE3 then
    space = d == 0x80 and e == 0x80
  else
    space = (d == 0x80 and (e <= 0x8A or e == 0xA8 or e == 0xA9 or e == 0xAF)) or (d == 0x81 and e == 0x9F)
  end
  return space and 3 or 0
end

-- A quoted token whose opening quote is at `pos`. Returns its text and the position after it; nil at the end of
-- the text when nothing follows the quote.
local function quoted(text, pos)
  local from, at, n = pos + 1, pos + 1, #text
  while true do
    local hit = find(text, '["\\]', at)
    if not hit then break end
    if byte(text, hit) == 34 then
      return (gsub(sub(text, from, hit - 1), "\\(.)", { ['"'] = '"' })), hit + 1
    end
    at = hit + 2
  end
  -- Unterminated: what is there counts; a backslash that escapes nothing is lost.
  local rest = sub(text, from, n)
  local backslashes = #rest:match("\\*$")
  if backslashes % 2 == 1 then rest = sub(rest, 1, -2) end
  if rest == "" then return nil, n + 1 end
  return (gsub(rest, "\\(.)", { ['"'] = '"' })), n + 1
end

-- An unquoted token that begins at `pos`. A `#` inside it hides the rest up to the next white space only: what
-- follows on the line is read again. CoreDNS does so, and Corefiles have to mean the same here.
local function word(text, pos)
  local stop, at, hidden = nil, pos, false
  while true do
    local hit = find(text, WORD_END, at)
    if not hit then
      hit = #text + 1
      return sub(text, pos, (stop or hit) - 1), hit
    end
    local c = byte(text, hit)
    if c == 35 then
      if not hidden then stop, hidden = hit, true end
    elseif c ~= 13 and space_at(text, hit, c) > 0 then
      return sub(text, pos, (stop or hit) - 1), hit
    end
    at = hit + 1
  end
end

--- Splits `text` into tokens. Never fails; linear in the length of the text.
---@param text string
---@param file string  put into every token
---@return lunadns.corefile.token[]
function lexer.tokenize(text, file)
  text = utf8.valid(text)
  local tokens, count = {}, 0
  local pos, line, n = 1, 1, #text
  if sub(text, 1, 3) == "\239\187\191" then pos = 4 end
  while pos <= n do
    local c = byte(text, pos)
    local width = space_at(text, pos, c)
    if width > 0 then
      if c == 10 then line = line + 1 end
      pos = pos + width
    elseif c == 35 then
      pos = find(text, "\n", pos, true) or n + 1
    elseif c == 34 then
      local value
      value, pos = quoted(text, pos)
      if value then
        local _, breaks = gsub(value, "\n", "")
        count = count + 1
        tokens[count] = { text = value, file = file, line = line, last = line + breaks, quoted = true }
        line = line + breaks
      end
    else
      local value
      value, pos = word(text, pos)
      if find(value, "\r", 1, true) then value = gsub(value, "\r", "") end
      count = count + 1
      tokens[count] = { text = value, file = file, line = line, last = line, quoted = false }
    end
  end
  return tokens
end

return lexer
