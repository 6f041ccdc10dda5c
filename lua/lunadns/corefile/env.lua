--- Environment variables in a token: `{%NAME%}` first, then `{$NAME}`.
--
-- A value that holds a reference is expanded again, so variables may be built from each other. An unset variable
-- is empty. An empty or unterminated reference ends the expansion and stays as written.
local find, sub = string.find, string.sub

local env = {}

-- Variables that refer to each other have no end; no honest token needs this many.
local MAX_REFERENCES = 1000
local MAX_GROWTH = 1024 * 1024

local function replace_all(text, what, by)
  local parts, count, from = {}, 0, 1
  local at, stop = find(text, what, 1, true)
  while at do
    parts[count + 1] = sub(text, from, at - 1)
    parts[count + 2] = by
    count = count + 2
    from = stop + 1
    at, stop = find(text, what, from, true)
  end
  parts[count + 1] = sub(text, from)
  return table.concat(parts)
end

local function expand(text, open, close, getenv, limit)
  local at = find(text, open, 1, true)
  local rounds = 0
  while at do
    local first, last = find(text, close, at, true)
    if not first or first <= at + #open then return text end
    rounds = rounds + 1
    local name = sub(text, at + #open, first - 1)
    if rounds > MAX_REFERENCES or #text > limit then return nil, name end
    -- getenv would stop at a NUL and answer for another name.
    local value = not find(name, "%z") and getenv(name) or ""
    text = replace_all(text, sub(text, at, last), value)
    at = find(text, open, 1, true)
  end
  return text
end

--- Expands the references in `text`.
---@param text string
---@param getenv fun(name: string): string?
---@return string? expanded  nil when the expansion does not end
---@return string? name      then, the variable it stopped at
function env.expand(text, getenv)
  if not find(text, "{[$%%]") then return text end
  local limit = #text + MAX_GROWTH
  local once, name = expand(text, "{%", "%}", getenv, limit)
  if not once then return nil, name end
  return expand(once, "{$", "}", getenv, limit)
end

return env
