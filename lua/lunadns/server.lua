--- What a plugin's setup and configure receive as `server`: its server block, metrics, log, background work.
local boundary = require "lunadns.boundary"
local duration = require "lunadns.options.duration"
local metadata = require "lunadns.metadata"
local metrics = require "lunadns.metrics"
local C = boundary.C

local SHORTEST = 1e6 -- ns of a timer's period

local LEVELS = { debug = 0, info = 1, warning = 2, error = 3 }

--- 0.00025 s doubled fifteen times, as CoreDNS's TimeBuckets.
local TIME_BUCKETS = {}
for k = 0, 15 do TIME_BUCKETS[k + 1] = 0.00025 * 2 ^ k end

---@class LunaServer
---@field name string the plugin's name
---@field zones string[] zones of the server block
---@field sites table[] { number=, zone=, server= } per key of the block: server is "dns://:53"
---@field block table settings of the block that configure functions share (binds, timeouts, root, debug)
---@field directory string where the Corefile is
---@field state ffi.cdata* luna_state
---@field generation ffi.cdata* luna_generation
---@field role "control"|"worker"
---@field workers integer
---@field time_buckets number[]
---@field place integer of the plugin in the chain, in setup
---@field behind? function a plugin with `live`: what comes next for names in its live zones, through the cache if there is one
---@field chain LunaBlock
---@field loader LunaLoader
---@field watcher fun(path: string)
---@field spawner function
---@field closers fun()[]
---@field where fun(conf: table, name?: string): string "Corefile:7"
local Server = { time_buckets = TIME_BUCKETS }
Server.__index = Server

--- A counter `coredns_PLUGIN_name` (a name that begins with coredns_ or lunadns_ is taken whole). A label is { name, value },
--- or a name whose value each call gives: `c:inc(value)`, `c:add(n, value)`, at most three of them. Values that are given later
--- must be few: beyond options.max series in the whole process (100) they are counted as "other", and the log says so once.
---@param name string
---@param help string
---@param labels? (string|{[1]: string, [2]: string})[]
---@param options? { max?: integer }
---@return LunaCounter counter with :inc(...) and :add(n, ...)
function Server:counter(name, help, labels, options)
  return metrics.counter(self, name, help, labels, options)
end

--- A gauge for the whole process. Labels as of a counter.
---@param name string
---@param help string
---@param labels? (string|{[1]: string, [2]: string})[]
---@param options? { max?: integer }
---@return LunaGauge gauge with :set(value, ...), :add(n, ...), :inc(...) and :dec(...)
function Server:gauge(name, help, labels, options)
  return metrics.gauge(self, name, help, labels, options)
end

--- A histogram; buckets in what is shown, observations in what is fed: unit 1e-9 feeds nanoseconds and shows seconds. Labels as
--- of a counter.
---@param name string
---@param help string
---@param labels? (string|{[1]: string, [2]: string})[]
---@param buckets number[] upper bounds, rising
---@param unit? number 1 unless given
---@param options? { max?: integer }
---@return LunaHistogram histogram with :observe(value, ...)
function Server:histogram(name, help, labels, buckets, unit, options)
  return metrics.histogram(self, name, help, labels, buckets, unit, options)
end

---@alias LunaLevel "debug"|"info"|"warning"|"error"

--- Writes one line "[LEVEL] plugin/NAME: text".
---@param level LunaLevel
---@param format string as string.format's, when there is more
---@param ... any
function Server:log(level, format, ...)
  local text = ("plugin/%s: "):format(self.name) .. (select("#", ...) > 0 and format:format(...) or format)
  C.luna_log(self.state, LEVELS[level], text, #text)
end

--- Gives a value of each query a name, for q:metadata and for {/PLUGIN/NAME} in a format of `log`. For setup. fn is called each
--- time the value is read, and only then, in blocks that have the directive `metadata`; a query is as it is at that moment. An
--- error in it costs a line of the log the value, a handler that reads it the query.
---@param label string "PLUGIN/NAME"
---@param fn fun(q: DnsQuery): string|number|nil nil: this query has no such value
function Server:metadata(label, fn)
  metadata.check(label, "server:metadata")
  if type(fn) ~= "function" then error(("server:metadata: expected a function, found a %s"):format(type(fn)), 2) end
  local own = self.block.metadata
  if own then own:provide(label, fn) end
end

--- Compiles code that stands elsewhere than in the plugin's own file, with globals of its own.
---@param text string
---@param file string where it stands: its first line is the file's first
---@return function|nil chunk
---@return string|nil err with file and line
function Server:compile(text, file)
  local instance = self.owner.instance
  local chunk, owner = self.loader:compile({ text = text, file = file, embedded = false }, self.name)
  if not chunk then return nil, owner --[[@as string]] end
  owner.instance, instance.owner, self.owner = instance, owner, owner
  return chunk
end

--- Loads the configuration anew when the content of a file changes, as for options of type `file`. From setup.
---@param path string
function Server:watch(path) self.watcher(path) end

--- Runs fn when the generation ends: to close what setup opened.
---@param fn fun()
function Server:on_close(fn)
  table.insert(self.closers, fn)
end

--- Runs fn(q) beside the queries, in a slot of its own that is given back when fn ends. q carries a question, by
--- default `. NS`; fn may wait.
--- From handlers and timers; in setup it begins when the generation takes over.
---@param fn fun(q: DnsQuery)
---@param q? DnsQuery|ffi.cdata* of luna_query_new or luna_query_copy
---@return boolean started false when all slots are in use
function Server:spawn(fn, q)
  local site = self.sites[1]
  return self.spawner(fn, q, nil, site and site.number)
end

---@class LunaTimerOptions
---@field once? boolean on one worker for all; without it, on every worker
---@field now? boolean the first call at once, when the generation begins to serve; without it, after the first period
---@field jitter? number|string a random time up to this is added to each period

---@class LunaTimer
---@field stop fun(self: LunaTimer) no further call

local TIMER_OPTIONS = { once = true, now = true, jitter = true }

local function seconds_of(what, given)
  local number, why = given, nil
  if type(given) == "string" then number, why = duration.parse(given) end
  if type(number) ~= "number" or number ~= number or number < 0 then
    error(("server:every: %s: '%s' %s"):format(what, tostring(given), why or "is not a number of seconds"), 3)
  end
  return number * 1e9
end

--- Calls fn again and again, from when the generation begins to serve until the next one takes over. fn may wait; it is not
--- entered again meanwhile, and what it missed is left out. An error in it is logged, with the plugin and the line, and the
--- next call comes all the same.
---@param period number|string seconds, or a duration such as "5m"
---@param fn fun(q: DnsQuery) q is a query of the timer's own
---@param options? LunaTimerOptions
---@return LunaTimer
function Server:every(period, fn, options)
  options = options or {}
  for key in pairs(options) do
    if not TIMER_OPTIONS[key] then error(("server:every: unknown option '%s'"):format(tostring(key)), 2) end
  end
  if type(fn) ~= "function" then error(("server:every: expected a function, found a %s"):format(type(fn)), 2) end
  local ns, jitter = seconds_of("period", period), seconds_of("jitter", options.jitter or 0)
  if ns < SHORTEST then error(("server:every: period: '%s' is shorter than a millisecond"):format(tostring(period)), 2) end
  local timer = { stopped = false, stop = function(own) own.stopped = true end }
  if self.role ~= "worker" or options.once and self.state.worker_index ~= 0 then return timer end
  local state = self.state
  local runner = require "lunadns.runner"
  local wait, site = runner.wait, self.sites[1]

  local function pause() return ns + (jitter > 0 and jitter * C.luna_random_below(1000000) / 1e6 or 0) end

  self.spawner(function(q)
    local contain = runner.running().driver.contain
    local due = tonumber(state.now) + (options.now and 0 or pause())
    local first = options.now
    while true do
      if not first then
        -- Never nothing: a call that takes longer than its period must not keep the worker.
        C.luna_query_sleep(q, math.max(due - tonumber(state.now), SHORTEST))
        if wait(q) < 0 then return end
      end
      first = false
      if timer.stopped or C.luna_state_current(state) == 0 then return end
      C.luna_reply_clear(q)
      local ok, err = xpcall(fn, contain.trace, q)
      if not ok then contain.failed(q, err, "timer") end
      due = math.max(due + pause(), tonumber(state.now) --[[@as number]])
    end
  end, nil, "timer", site and site.number)
  return timer
end

return Server
