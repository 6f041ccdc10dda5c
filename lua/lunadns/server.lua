--- What a plugin's setup and configure receive as `server`: its server block, metrics, log, background work.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

ffi.cdef [[
typedef struct { luna_state *state; int slot; } luna_counter;
typedef struct { luna_state *state; int slot; } luna_histogram;
typedef struct { int slot; } luna_gauge;
]]

local counter = ffi.metatype("luna_counter", {
  __index = {
    inc = function(self)
      local metrics = self.state.metrics
      metrics[self.slot] = metrics[self.slot] + 1
    end,
    add = function(self, n)
      local metrics = self.state.metrics
      metrics[self.slot] = metrics[self.slot] + n
    end,
  },
})
local histogram = ffi.metatype("luna_histogram", {
  __index = {
    -- value in units of the declaration: nanoseconds for durations, octets for sizes.
    observe = function(self, value) C.luna_observe(self.state.metrics, self.slot, value) end,
  },
})
local gauge = ffi.metatype("luna_gauge", {
  __index = { set = function(self, value) C.luna_gauge_set(self.slot, value) end },
})

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
local Server = { time_buckets = TIME_BUCKETS }
Server.__index = Server

local function family(self, kind, name, help, labels, buckets, unit)
  local full = name
  if not (name:find "^coredns_" or name:find "^lunadns_") then full = ("coredns_%s_%s"):format(self.name, name) end
  local names, values = {}, {}
  for i, label in ipairs(labels or {}) do
    names[i], values[i] = label[1], label[2] .. "\31"
  end
  local bounds = buckets and ffi.new("double[?]", #buckets, buckets)
  local number = C.luna_metric(full, help or "", kind, table.concat(names, ","), bounds, buckets and #buckets or 0,
    unit or 1)
  if number < 0 then error(("metric %s: declared before with another kind, help or labels"):format(full), 3) end
  local slot = C.luna_series(number, table.concat(values))
  if slot < 0 then error(("metric %s: too many series"):format(full), 3) end
  return slot
end

--- A counter `coredns_PLUGIN_name` (a name that begins with coredns_ or lunadns_ is taken whole).
---@param name string
---@param help string
---@param labels? {[1]: string, [2]: string}[] label names and values
---@return ffi.cdata* counter with :inc() and :add(n)
function Server:counter(name, help, labels)
  return counter(self.state, family(self, C.LUNA_COUNTER, name, help, labels))
end

--- A gauge for the whole process.
---@return ffi.cdata* gauge with :set(value)
function Server:gauge(name, help, labels)
  return gauge(family(self, C.LUNA_GAUGE, name, help, labels))
end

--- A histogram; buckets in what is shown, observations in what is fed: unit 1e-9 feeds nanoseconds and shows seconds.
---@return ffi.cdata* histogram with :observe(value)
function Server:histogram(name, help, labels, buckets, unit)
  return histogram(self.state, family(self, C.LUNA_HISTOGRAM, name, help, labels, buckets, unit))
end

--- Writes one line "[LEVEL] plugin/NAME: text".
---@param level "debug"|"info"|"warning"|"error"
---@param format string
function Server:log(level, format, ...)
  local text = ("plugin/%s: "):format(self.name) .. (select("#", ...) > 0 and format:format(...) or format)
  C.luna_log(self.state, LEVELS[level], text, #text)
end

--- Compiles code that stands elsewhere than in the plugin's own file, with globals of its own.
---@param text string
---@param file string where it stands: its first line is the file's first
---@return function|nil chunk
---@return string|nil err with file and line
function Server:compile(text, file)
  local instance = self.owner.instance
  local chunk, owner = self.loader:compile({ text = text, file = file, embedded = false }, self.name)
  if not chunk then return nil, owner end
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
---@param fn fun(q: ffi.cdata*)
---@param q? ffi.cdata* of luna_query_new or luna_query_copy
---@return boolean started false when all slots are in use
function Server:spawn(fn, q)
  local site = self.sites[1]
  return self.spawner(fn, q, nil, site and site.number)
end

--- Calls fn every so many seconds on the first worker, for all workers. fn may wait; it is not entered again
--- meanwhile.
---@param seconds number
---@param fn fun(q: ffi.cdata*)
function Server:every(seconds, fn)
  if self.role ~= "worker" or self.state.worker_index ~= 0 then return end
  local wait = require("lunadns.runner").wait
  self:spawn(function(q)
    while true do
      C.luna_query_sleep(q, seconds * 1e9)
      if wait(q) < 0 then return end
      local ok, err = pcall(fn, q)
      if not ok then self:log("error", "timer: %s", tostring(err)) end
    end
  end)
end

return Server
