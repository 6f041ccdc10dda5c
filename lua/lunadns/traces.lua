--- Tells the core which machine code LuaJIT made of which line, so that the watchdog can name the plugin in whose loop
--- a worker is stuck.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local util = require "jit.util"
local C = boundary.C

local traces = {}

--- Watches the compiler of this state.
---@param state ffi.cdata* luna_state
---@param owners table<table, LunaOwner> of the loader
---@param on_flush fun() all of it is gone
function traces.watch(state, owners, on_flush)
  local began, began_at ---@type function, integer
  local function place()
    local info = util.funcinfo(began, began_at) ---@type table
    local owner = owners[debug.getfenv(began)]
    local text = ("%s:%d"):format(info.source:gsub("^[@=]", ""), info.currentline or 0)
    return owner and ("plugin/%s: %s"):format(owner.name, text) or text
  end
  jit.attach(function(what, number, func, pc)
    if what == "start" then
      -- Nothing that allocates while LuaJIT is about to record.
      began, began_at = func, pc
    elseif what == "stop" then
      local code, at = util.tracemc(number)
      -- An address may be negative as a Lua number of 32 bits; beyond them it is exact up to 2^53.
      if code then C.luna_trace_made(state, number, ffi.cast("uint64_t", at), #code, place()) end
    elseif what == "flush" then
      C.luna_traces_flushed(state)
      on_flush()
    end
  end, "trace")
end

return traces
