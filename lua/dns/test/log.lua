--- The log of specs: lines are kept in memory, for the whole process.
local ffi = require "ffi"
local C = require("lunadns.boundary").C

local log = {}

local size = 1048576
local buffer = ffi.new("char[?]", size)
local kept = ""

---@return string
function log.peek()
  local n = C.luna_log_take(buffer, size)
  if n > 0 then kept = kept .. ffi.string(buffer, n) end
  return kept
end

---@return string
function log.take()
  local text = log.peek()
  kept = ""
  return text
end

return log
