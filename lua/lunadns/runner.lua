--- Serves queries in pooled coroutines. A runner takes one query of the batch after another; only when a handler
--- has to wait does it
--- yield, with that query inside, and another runner goes on with the batch. There is no coroutine per query.
local boundary = require "lunadns.boundary"
local bit = require "bit"
local scratch = require "lunadns.query.scratch"
local serving = require "lunadns.query.serving"
local set_parameters = jit.opt.start
local util = require "jit.util"
local C = boundary.C

local create, resume, yield, co_running = coroutine.create, coroutine.resume, coroutine.yield, coroutine.running
local pcall, xpcall = pcall, xpcall

local runner = {}

local _, at = ...
-- Whose turn it is, for all drivers of this Lua state. apart: that of a coroutine which a plugin made.
at = at or { strand = false, apart = false }

local function opcode(proto, pc) return bit.band(util.funcbc(proto, pc) --[[@as integer]], 0xff) end

-- What a loop begins with, as long as it is not compiled.
local LOOP = opcode(loadstring "while true do end", 1)
local FIRST = 3 -- queries that are interpreted: a function of the core that was never called ends a compilation
local ATTEMPTS = 100 -- to compile the loop: handlers that always wait or fail are not compiled in one piece

--- What a runner is at. The functions that wait find their query and their state here.
---@class LunaStrand
---@field q ffi.cdata*|false luna_query: the query being served, or the slot that its work waits in
---@field task boolean it runs what runner.start was given
---@field hook string|false what that is, for messages
---@field again ffi.cdata*|false the query whose chain is to run once more
---@field on ffi.cdata*|false the slot that it waits in; false while it runs, unless a wait raised
---@field group? LunaGroup what it waited for last (lunadns/strand.lua)
---@field depth integer questions of the server's own that it is inside of
---@field setup LunaSetup|false it runs a plugin's setup (lunadns/setup.lua)
---@field driver LunaRunner
---@field co thread
---@field index integer of the runner, from 1
---@field number integer under which it serves queries (luna_query.runner): index, or that of who waits for its task

--- Waits until the core has a result for q: to be called when a function of the core returned LUNA_WAIT.
---@param q DnsQuery|ffi.cdata* luna_query
---@return integer code q.wait
function runner.wait(q)
  local strand = at.strand
  strand.on = q --[[@as ffi.cdata*]]
  q.waited = 1
  yield(q)
  strand.on = false
  at.strand, serving.runner = strand, strand.number
  return q.wait
end

--- Ends a wait that did not come about, because it was called where nothing can wait and raised. Who waits looks at `on`
--- before: to ask LuaJIT each time whether one can wait costs more than the wait.
---@param strand LunaStrand
function runner.undo(strand)
  local q = strand.on
  strand.on = false
  if strand.group then strand.group.waiting = false end
  if not strand.q or q.index ~= strand.q.index then
    C.luna_query_free(q)
  else
    C.luna_query_abandon(q)
  end
end

--- Whether a coroutine that the plugin made itself runs.
---@return boolean
function runner.apart() return at.apart end

local function back(strand, apart, ...)
  at.strand, at.apart = strand, apart
  return ...
end

--- `coroutine` for plugins. What is resumed by a plugin cannot wait: its yield would come to the plugin, not to us.
---@param library table coroutine.*, changed in place
function runner.keep_apart(library)
  local function resume_apart(co, ...)
    local strand, apart = at.strand, at.apart
    at.strand, at.apart = false, true
    return back(strand, apart, resume(co, ...))
  end
  local function checked(ok, ...)
    if not ok then error((...), 0) end
    return ...
  end
  library.resume = resume_apart
  function library.wrap(fn)
    local co = create(fn)
    return function(...) return checked(resume_apart(co, ...)) end
  end
end

--- The runner that runs now, false outside of any.
---@return LunaStrand|false
function runner.running() return at.strand end

--- Runs fn(q, what) in a runner now, until it waits or ends; hook says in messages what fn is; number: fn may use the query that
--- is served under it.
---@alias LunaStart fun(fn: function, q: any, hook: string, what: any, depth?: integer, setup?: any, number?: integer)

---@class LunaRunner
---@field state ffi.cdata* luna_state
---@field chains function[] handler by site number
---@field contain LunaContainment
---@field scripted? table specs: stands for the network (dns/test/scripted.lua)
---@field metadata table<integer, LunaMetadata> by site number, of blocks that have it
---@field closers fun()[] run when the state is closed
---@field entry fun() serves state.batch and state.woken; called by the core once a turn
---@field start LunaStart
---@field reset fun() forgets who serves
---@field upstreams? table of dns.exchange
---@field unasked? string what was not sent, see strand.stay
---@field background? integer tasks of dns.spawn
---@field parked fun(): integer
---@field cool fun() after all compiled code was flushed

local IDLE_MAX = 1024 -- coroutines kept for reuse; more are the garbage collector's

--- A driver for one state.
---@param state ffi.cdata* luna_state
---@param chains function[] handler by site number
---@param contain LunaContainment what is done with errors
---@return LunaRunner
local function new(state, chains, contain)
  local parked = {} -- slot index -> coroutine
  local refs = {} -- slot index -> the query's pointer, boxed once
  local pool, idle, waiting = {}, 0, 0
  local cursor, limit, runners = 0, 0, 0
  local task, task_q, task_hook, task_what, task_depth, task_setup, task_number
  local self = { state = state, chains = chains, contain = contain, metadata = {}, closers = {} }

  local trace = contain.trace

  -- nil: its chain is to run again.
  local function fail(own, err)
    local ok, rcode = pcall(contain.failed, own.q, err, own.task and own.hook or "handler")
    if ok then return rcode end
    if own.q then C.luna_query_again(own.q) end
    return 2
  end

  local function finish(q, rcode)
    if q.has_data ~= 0 then scratch.forget(q) end
    C.luna_query_finish(q, rcode)
  end

  -- One pcall around all of a runner's queries, and one loop: compiled code cannot return through a pcall that it did not enter,
  -- and gives up where a loop holds another.
  local function work(own)
    while true do
      if task then
        local fn, what = task, task_what
        own.q, own.task, own.hook, own.depth, own.setup = task_q, true, task_hook, task_depth, task_setup
        own.number = task_number or own.index
        serving.runner = own.number
        if task_q then
          state.serving = task_q.index + 1
          task_q.runner = own.number
        end
        task, task_q, task_what = nil, nil, nil
        fn(own.q, what)
        if own.q and own.q.has_data ~= 0 then scratch.forget(own.q) end
        own.q, own.task, own.depth, own.setup, own.number = false, false, 0, false, own.index
        yield() -- who started it goes on
        at.strand = own
      elseif own.again then
        local q = own.again --[[@as ffi.cdata*]]
        own.q, own.again = q, false
        q.runner = own.number
        finish(q, (chains[q.block](q)))
      elseif cursor < limit then
        local index = state.batch[cursor]
        local q = refs[index]
        if not q then
          own.q = false -- what fails here is not the last query's
          q = C.luna_query_at(state, index)
          refs[index] = q
        end
        cursor = cursor + 1
        own.q = q
        state.serving = index + 1
        q.runner, serving.runner = own.number, own.number
        finish(q, (chains[q.block](q)))
        -- What was compiled from the wait on ends well here.
        if q.waited ~= 0 then
          yield()
          at.strand = own
        end
      else
        own.q = false
        yield()
        at.strand = own
      end
    end
  end

  local loop_at = 1
  -- LOOP, ILOOP and JLOOP follow each other.
  while opcode(work, loop_at) < LOOP or opcode(work, loop_at) > LOOP + 2 do loop_at = loop_at + 1 end

  local function serve()
    runners = runners + 1
    ---@type LunaStrand
    local own = { q = false, task = false, hook = false, again = false, on = false, depth = 0, setup = false, driver = self,
      co = co_running() --[[@as thread]], index = runners, number = runners }
    while true do
      at.strand = own
      local _, err = xpcall(work, trace, own) -- returns by an error only
      if own.on then runner.undo(own) end
      -- Not a handler's: the runtime itself, out of memory.
      if not own.q and not own.task then error(tostring(err), 0) end
      serving.runner = own.number
      local rcode = fail(own, err)
      if own.task then
        own.q, own.task, own.depth, own.setup, own.number = false, false, 0, false, own.index
        yield()
      elseif not rcode then
        if own.q.has_data ~= 0 then scratch.forget(own.q --[[@as ffi.cdata*]]) end
        own.again = own.q
      else
        finish(own.q, rcode)
      end
      own.q = false
    end
  end

  local function drive(co)
    local before, slot, number = at.strand, state.serving, serving.runner
    local ok, q = resume(co)
    at.strand, state.serving, serving.runner = before, slot, number
    if not ok then error(q, 0) end
    if q then
      parked[q.index] = co
      waiting = waiting + 1
    elseif idle < IDLE_MAX then
      idle = idle + 1
      pool[idle] = co
    end
  end

  local function take()
    if idle == 0 then return create(serve) end
    local co = pool[idle]
    pool[idle] = nil
    idle = idle - 1
    return co
  end

  local function resume_woken()
    local i, n = 0, state.woken_len
    while i < n do
      local index = state.woken[i]
      local co = parked[index]
      i = i + 1
      if co then
        parked[index] = nil
        waiting = waiting - 1
        state.serving = index + 1
        drive(co)
      end
    end
    -- Who is woken from here on, by a handler, has its turn in the next entry.
    if state.woken_len == n then
      state.woken_len = 0
    else
      C.luna_woken_drop(state, n)
    end
  end

  local function drive_rest()
    while cursor < limit do drive(take()) end
  end

  -- LuaJIT compiles what is first called often enough, a plugin's function as well as the loop in work; which of them is
  -- first hangs on where they lie in memory. The loop has to be, or queries pass from trace to trace with boxed pointers. So
  -- until it is compiled, a query of each turn is served alone while one round counts as often enough.
  local cold, attempts = true, 0
  local function heat()
    attempts = attempts + 1
    if attempts == 1 then
      limit = math.min(FIRST, state.batch_len)
      drive_rest()
    end
    if cursor < state.batch_len then
      -- What is compiled first is what costs least from then on: a slot that is known already.
      local index = state.batch[cursor]
      refs[index] = refs[index] or C.luna_query_at(state, index)
      set_parameters "hotloop=1"
      limit = cursor + 1
      drive(take())
      set_parameters "hotloop=56"
    end
    cold = opcode(work, loop_at) == LOOP and attempts < ATTEMPTS
  end

  -- No loop of its own: a loop here would be the inner loop of the trace that the compiler makes of this
  -- function, and it would give up.
  function self.entry()
    cursor, limit = 0, 0
    if state.woken_len > 0 then resume_woken() end
    if cold and state.batch_len > 0 then heat() end
    limit = state.batch_len
    if cursor < limit then
      drive(take())
      if cursor < limit then drive_rest() end
    end
    state.serving, serving.runner = 0, 0
  end

  function self.start(fn, q, hook, what, depth, setup, number)
    task, task_q, task_hook, task_what = fn, q, hook, what
    task_depth, task_setup, task_number = depth or 0, setup or false, number
    drive(take())
  end

  --- Forgets slots and who waits in them: the worker that the state belongs to changes after warming.
  function self.reset()
    parked, refs, waiting, cursor = {}, {}, 0, 0
  end

  --- All compiled code is gone: what is to be compiled first comes first again.
  function self.cool() cold, attempts = true, 0 end

  function self.parked() return waiting end

  return self
end

--- A driver whose functions are compiled apart from any other driver's: LuaJIT gives up on a function for good, and in a
--- spec one server's handlers would spoil another's.
---@param state ffi.cdata* luna_state
---@param chains function[] handler by site number
---@param contain LunaContainment what is done with errors
---@return LunaRunner
function runner.new(state, chains, contain)
  for _, search in ipairs(package.loaders) do
    local chunk = search "lunadns.runner"
    if type(chunk) == "function" then return chunk("lunadns.runner", at).new_here(state, chains, contain) end
  end
  error "lunadns.runner is gone"
end

runner.new_here = new

return runner
