--- Wording for messages: safe quotes and near misses.

local words = {}

--- Escapes control characters, so that a message stays one line.
---@param text string
---@return string
function words.printable(text)
  return (text:gsub("[%c\127]", function(c)
    if c == "\n" then return "\\n" end
    if c == "\t" then return "\\t" end
    return ("\\%03d"):format(c:byte())
  end))
end

--- A token in quotes; long text is cut.
---@param text string
---@return string
function words.quote(text)
  if #text > 120 then text = text:sub(1, 117) .. "..." end
  return "'" .. text .. "'"
end

--- Edits (insert, delete, replace, swap neighbours) between two short words.
local function distance(a, b)
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    rows[i] = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, rows[i - 2][j - 2] + 1)
      end
      rows[i][j] = best
    end
  end
  return rows[#a][#b]
end

--- "; did you mean 'y'?" when a known word is near, else "".
---@param text string
---@param known string[]|table<string, any> a list of words, or a table whose string keys are the words
---@return string
function words.suggest(text, known)
  if #text > 40 or #text < 2 then return "" end
  local best, best_distance
  local function try(word)
    local limit = math.max(1, math.floor(math.min(#text, #word) / 3))
    if math.abs(#word - #text) > limit then return end
    local found = distance(text:lower(), word:lower())
    if found <= limit and (not best or found < best_distance or (found == best_distance and word < best)) then
      best, best_distance = word, found
    end
  end
  for key, value in pairs(known) do
    local word = type(key) == "string" and key or value
    if type(word) == "string" then try(word) end
  end
  return best and ("; did you mean '%s'?"):format(best) or ""
end

return words
