--- Durations in Go's syntax ("1h2m3.5s"), which Corefiles use everywhere.

local duration = {}

local LARGER = { s = 1, m = 60, h = 3600 }
-- Small units divide: 35 / 1000 is the same number as 0.035, 35 * 0.001 is not.
-- Both the micro sign and the Greek letter stand for "micro", as in Go.
local SMALLER = { ns = 1e9, us = 1e6, ["µs"] = 1e6, ["μs"] = 1e6, ms = 1e3 }
-- Go counts nanoseconds in 63 bits.
local LARGEST = 9223372036

--- Reads a duration.
---@param text string
---@return number? seconds
---@return string? why
function duration.parse(text)
  local sign, rest = text:match("^([+-]?)(.*)$") ---@cast rest -?
  if rest == "0" then return 0 end
  if rest == "" then return nil, "is not a duration: expected a number with a unit, such as 30s or 1h30m" end
  local total = 0 ---@type number
  while rest ~= "" do
    local whole, fraction, unit, tail = rest:match("^(%d*)(%.?%d*)([^%d.]*)(.*)$") ---@cast unit -?
    if #whole > 20 then return nil, "is too long a duration: expected at most 2562047h" end
    if whole == "" and #fraction < 2 then
      return nil, "is not a duration: expected a number with a unit, such as 30s or 1h30m"
    end
    if unit == "" then return nil, "is not a duration: it has no unit; expected a number with ns, us, ms, s, m or h" end
    local up, down = LARGER[unit], SMALLER[unit]
    if not up and not down then
      return nil, ("is not a duration: unknown unit '%s'; expected ns, us, ms, s, m or h"):format(unit:sub(1, 20))
    end
    local count = tonumber((whole == "" and "0" or whole) .. (#fraction > 1 and fraction or ""))
    total = total + (up and count * up or count / down)
    rest = tail --[[@as string]]
  end
  if total > LARGEST then return nil, "is too long a duration: expected at most 2562047h" end
  return sign == "-" and -total or total
end

--- Writes seconds the short way: 5400 is "1h30m", 0.25 is "250ms".
---@param seconds number
---@return string
function duration.text(seconds)
  if seconds == 0 then return "0s" end
  if seconds < 0 then return "-" .. duration.text(-seconds) end
  if seconds < 1e-6 then return ("%.14gns"):format(seconds * 1e9) end
  if seconds < 1e-3 then return ("%.14gus"):format(seconds * 1e6) end
  if seconds < 1 then return ("%.14gms"):format(seconds * 1e3) end
  local hours = math.floor(seconds / 3600)
  local minutes = math.floor(seconds % 3600 / 60)
  local rest = seconds % 60
  return (hours > 0 and ("%dh"):format(hours) or "")
    .. (minutes > 0 and ("%dm"):format(minutes) or "")
    .. (rest > 0 and ("%.10gs"):format(rest) or "")
end

return duration
