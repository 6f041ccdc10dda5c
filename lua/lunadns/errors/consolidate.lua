--- Counts errors that are alike, for all workers together, and logs how many there were.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local duration = require "lunadns.options.duration"
local regex = require "lunadns.regex"
local wait = require("lunadns.runner").wait

local C = boundary.C
local LEVELS = { debug = C.LUNA_DEBUG, info = C.LUNA_INFO, warning = C.LUNA_WARNING, error = C.LUNA_ERROR }

local consolidate = {}

consolidate.regex = regex.compile

---@class LunaErrorPatterns
---@field server LunaServer
---@field [integer] table a pattern
local Patterns = {}
Patterns.__index = Patterns

--- As Go writes a duration, which is what users look for: "5m0s", "1h0m0s", "1.5s", "500ms".
local function go_text(seconds)
  if seconds < 60 then return (duration.text(seconds):gsub("us$", "µs")) end
  local text = ("%dm%.9gs"):format(math.floor(seconds % 3600 / 60), seconds % 60)
  return seconds < 3600 and text or ("%dh"):format(math.floor(seconds / 3600)) .. text
end

--- Logs how many there were and begins anew.
local function summarize(pattern, state)
  local count = tonumber(C.luna_shared_swap(pattern.count, 0))
  if count == 0 or count == 1 and pattern.show_first then return end
  local text = ("plugin/errors: %d errors like '%s' occurred in last %s"):format(count, pattern.regex,
    go_text(pattern.period))
  C.luna_log(state, LEVELS[pattern.level], text, #text)
end

--- Counts an error if a pattern fits.
---@param err string
---@return boolean taken it need not be logged now
---@return LunaLevel|nil level of the pattern, when it is to be logged
function Patterns:take(err)
  local server = self.server
  if server.state.dry ~= 0 then return true end -- nothing of a warm-up counts
  for _, pattern in ipairs(self) do
    if pattern.compiled:test(err) then
      if C.luna_shared_add(pattern.count, 1) ~= 1 then return true end
      local started = server:spawn(function(q)
        C.luna_query_sleep(q, pattern.period * 1e9)
        if wait(q) >= 0 then summarize(pattern, server.state) end
      end)
      -- No slot is free for the timer: this one is logged as if there were no pattern.
      if not started then C.luna_shared_swap(pattern.count, 0) end
      return started and not pattern.show_first, pattern.level
    end
  end
  return false
end

--- The patterns of a block.
---@param list table[] { period=, regex=, level=, show_first= }
---@param server LunaServer
---@return LunaErrorPatterns|nil nil when there are none
function consolidate.open(list, server)
  if #list == 0 then return nil end
  local self = setmetatable({ server = server }, Patterns)
  local generation = tostring(ffi.cast("uintptr_t", ffi.cast("void *", server.generation)))
  for i, given in ipairs(list) do
    local count = C.luna_shared_counter(("errors %s %d %d"):format(generation, server.sites[1].number, i))
    if count == nil then error("out of memory", 0) end
    local pattern = {
      count = count, compiled = assert(regex.compile(given.regex)), regex = given.regex, period = given.period,
      level = given.level, show_first = given.show_first,
    }
    self[i] = pattern
    server:on_close(function()
      -- The workers are done: what was not told yet is told now.
      if server.role == "control" then summarize(pattern, nil) end
      C.luna_shared_release(count)
    end)
  end
  return self
end

return consolidate
