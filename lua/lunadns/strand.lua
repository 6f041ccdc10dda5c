--- Work that goes on beside other work: dns.resolve, dns.all and dns.spawn are made of it. A strand is a runner with a
--- slot of its own (luna_query_new); who started it may wait until it ends. Slots are what bounds them all.
local boundary = require "lunadns.boundary"
local ffi = require "ffi"
local runner = require "lunadns.runner"

local C = boundary.C
local running, wait, undo = runner.running, runner.wait, runner.undo
local xpcall = xpcall

local strand = {}

local ROOT = ffi.new("uint8_t[1]")
local NS = 2

strand.NO_SLOT = "all query slots of this worker are in use"
strand.BUSY = "too many queries wait already" -- LUNA_E_BUSY

local function refuse(what, level)
  if runner.apart() then
    error(("%s cannot wait inside a coroutine that the plugin made itself: use dns.all or dns.spawn for what runs "
      .. "side by side"):format(what), level)
  end
  error(("%s waits, and nothing can wait while a file is being loaded: call it in setup, in a handler or in a timer")
    :format(what), level)
end

--- The strand that calls a function that waits. Raises where nothing can wait.
---@param what string the function's name, for the message
---@param level? integer of the plugin's call, as for error(); 3 unless given
---@return LunaStrand
function strand.current(what, level)
  local own = running()
  if not own then refuse(what, (level or 3) + 1) end ---@cast own LunaStrand
  if own.on then undo(own) end
  if own.setup then own.setup.begin(own) end
  return own
end

--- A time limit of options, in nanoseconds.
---@param opts table|nil
---@param default number seconds
---@param what string
---@param level? integer as above
---@return number
function strand.timeout(opts, default, what, level)
  local seconds = opts and opts.timeout
  if seconds == nil then return default * 1e9 end
  if type(seconds) ~= "number" or not (seconds > 0 and seconds < 1e6) then
    error(("%s: timeout: expected seconds, found %s"):format(what, tostring(seconds)), level or 3)
  end
  return seconds * 1e9
end

--- Waits for what the core was asked for with q, which is own.q or a slot that own took. While a new generation is
--- warmed nothing leaves the process: what waits then is left behind.
---@type fun(q: DnsQuery|ffi.cdata*): integer
strand.wait = wait

--- Where something is about to leave the process and must not. In a warm-up what asks is left behind; `lunadns check` ends the
--- setup there, and tells what it would have asked (lunadns/setup.lua).
---@param own LunaStrand
---@param q ffi.cdata* luna_query: own.q, or a slot that own took
---@param what string for the check
function strand.stay(own, q, what)
  own.driver.unasked = what
  wait(q)
end

--- A slot for a strand, or for a question that it sends. Client and block are those of who starts it.
---@param own LunaStrand
---@return ffi.cdata*|nil q luna_query
function strand.slot(own)
  local q = C.luna_query_new(own.driver.state, ROOT, 1, NS, 1, 0, 0)
  if q == nil then return nil end
  local from = own.q
  if from then q.client, q["local"], q.block = from.client, from["local"], from.block end
  return q
end

---@class LunaGroup strands that one other waits for
---@field q ffi.cdata* its slot
---@field left integer that have not ended
---@field waiting boolean
---@field jobs LunaJob[]

---@class LunaJob
---@field fn fun(q: ffi.cdata*, job: LunaJob): any, any
---@field number? integer under which it may use another's query, see LunaStrand
---@field q ffi.cdata* its slot; freed by who waits, or by itself when nobody does any more
---@field group? LunaGroup
---@field done? boolean
---@field abandoned? boolean
---@field ok? boolean what xpcall said
---@field first any what fn returned
---@field second any
---@field strand? LunaStrand

---@param own LunaStrand
---@return LunaGroup
function strand.group(own) return { q = own.q --[[@as ffi.cdata*]], left = 0, waiting = false, jobs = {} } end

local function run(q, job)
  local own = running()
  job.strand = own
  job.ok, job.first, job.second = xpcall(job.fn, own.driver.contain.trace, q, job)
  job.done = true
  if job.abandoned then
    C.luna_query_free(q)
    return
  end
  local group = job.group
  group.left = group.left - 1
  if group.waiting and group.left == 0 then C.luna_query_wake(group.q, 0) end
end

--- Starts job.fn(job.q, job), now, until it waits or ends.
---@param own LunaStrand
---@param group LunaGroup
---@param job LunaJob fn, q
---@param depth integer
function strand.start(own, group, job, depth)
  job.group, job.done, job.abandoned = group, false, false
  group.left = group.left + 1
  group.jobs[#group.jobs + 1] = job
  own.driver.start(run, job.q, own.hook or "handler", job, depth, own.setup, job.number)
end

--- Waits until all of the group have ended. Those that have not when the time is over are cancelled: what they wait for
--- ends with an error, and nobody looks at their result.
---@param own LunaStrand
---@param group LunaGroup
---@param timeout number ns
---@return integer code 0, or a negative LUNA_E code
function strand.join(own, group, timeout)
  if group.left == 0 then return 0 end
  local code = C.luna_query_await(own.q, timeout)
  if code == C.LUNA_WAIT then
    group.waiting, own.group = true, group
    code = wait(own.q --[[@as ffi.cdata*]])
    group.waiting, own.group = false, nil
  end
  if code < 0 then
    for _, job in ipairs(group.jobs) do
      if not job.done then
        job.abandoned = true
        C.luna_query_cancel(job.strand.on)
      end
    end
  end
  return code
end

--- Gives a finished job's slot back.
---@param job LunaJob
function strand.free(job)
  if not job.abandoned then C.luna_query_free(job.q) end
end

return strand
