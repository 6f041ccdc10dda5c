--- dns.sleep, dns.all, dns.spawn: waiting for a time, for several things at once, for nothing.
local boundary = require "lunadns.boundary"
local runner = require "lunadns.runner"
local strand = require "lunadns.strand"

local C = boundary.C

local tasks = {}

local ALL_TIMEOUT = 30 -- s
local BACKGROUND_MAX = 1024 -- strands of dns.spawn at once, per worker

--- Waits. The worker goes on with other queries meanwhile.
---
---     dns.sleep(0.2)
---@param seconds number 0 lets what is ready go first; less than 10 ms is rounded up
---@return true|nil done nil when the wait was cancelled, or too many wait already
---@return string|nil err
function tasks.sleep(seconds)
  local own = strand.current "dns.sleep"
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9) then
    error(("dns.sleep: expected seconds, found %s"):format(tostring(seconds)), 2)
  end
  local q = own.q --[[@as ffi.cdata*]]
  if C.luna_query_sleep(q, seconds * 1e9) == C.LUNA_E_BUSY then return nil, "dns.sleep: " .. strand.BUSY end
  if seconds == 0 then C.luna_query_wake(q, 0) end
  if strand.wait(q) < 0 then return nil, "dns.sleep: cancelled" end
  return true
end

local function call(_, job) return job.work() end

--- Runs functions side by side and waits until all have ended. Each may wait. What one returns is the result of its
--- key; what it returned as `nil, err`, or threw, is in the second table under that key.
---
---     local found, errors = dns.all {
---       v4 = function() return dns.resolve("example.org", "A") end,
---       v6 = function() return dns.resolve("example.org", "AAAA") end,
---     }
---@param functions table<any, fun(): any, string?>
---@param opts? { timeout?: number } seconds, 30 unless given; what has not ended then is cancelled
---@return table<any, any> results
---@return table<any, string>|nil errors nil when there was none
function tasks.all(functions, opts)
  local own = strand.current "dns.all"
  if type(functions) ~= "table" then error(("dns.all: expected a table of functions, found %s"):format(type(functions)), 2) end
  for key, fn in pairs(functions) do
    if type(fn) ~= "function" then
      error(("dns.all: expected functions, found a %s at %s"):format(type(fn), tostring(key)), 2)
    end
  end
  local timeout = strand.timeout(opts, ALL_TIMEOUT, "dns.all")
  local group, keys = strand.group(own), {}
  local results, errors = {}, nil
  local function failed(key, err)
    errors = errors or {}
    errors[key] = err
  end
  for key, fn in pairs(functions) do
    local q = strand.slot(own)
    if q then
      local job = { fn = call, work = fn, q = q, number = own.number } -- own's query is theirs meanwhile
      keys[job] = key
      strand.start(own, group, job, own.depth)
    else
      failed(key, "dns.all: " .. strand.NO_SLOT)
    end
  end
  local busy = strand.join(own, group, timeout) == C.LUNA_E_BUSY
  for job, key in pairs(keys) do
    if not job.done then
      failed(key, busy and "dns.all: " .. strand.BUSY or ("dns.all: not done after %g s"):format(timeout / 1e9))
    elseif not job.ok then
      failed(key, tostring(job.first))
    else
      results[key] = job.first
      if job.first == nil and job.second ~= nil then failed(key, tostring(job.second)) end
    end
    strand.free(job)
  end
  return results, errors
end

local function background(q, fn)
  local driver = runner.running().driver
  local contain = driver.contain
  local ok, err = xpcall(fn, contain.trace)
  driver.background = driver.background --[[@as integer]] - 1
  if not ok then contain.failed(q, err, "spawn") end
  C.luna_query_free(q)
end

--- Runs a function that nobody waits for. It begins at once and goes on when the caller ends; called in setup it begins
--- when the generation serves. It may wait; an error is logged. At most 1024 at a time per worker.
---@param fn fun(): any
---@return true|nil started
---@return string|nil err
function tasks.spawn(fn)
  local own = runner.running()
  if not own then
    error("dns.spawn: nothing can be started while a file is being loaded: call it in setup, in a handler or in a timer", 2)
  end
  if type(fn) ~= "function" then error(("dns.spawn: expected a function, found a %s"):format(type(fn)), 2) end
  if own.setup then return own.setup.spawn(function() fn() end) end
  local driver = own.driver
  if driver.state.dry ~= 0 then return true end
  driver.background = driver.background or 0
  if driver.background >= BACKGROUND_MAX then
    return nil, ("dns.spawn: %d are under way"):format(BACKGROUND_MAX)
  end
  local q = strand.slot(own)
  if not q then return nil, "dns.spawn: " .. strand.NO_SLOT end
  driver.background = driver.background + 1
  driver.start(background, q, "spawn", fn, own.depth)
  return true
end

return tasks
