--- What an error in a plugin costs: its query an error reply (or what `on_error` says), one line in the log, a metric.
--- A plugin that fails again and again is left out, so that one bad file does not take the server's service down.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local containment = {}

local SERVFAIL = 2
local SECOND = 1e9

---@class LunaFailure what a plugin threw, and where
---@field text string
---@field owner? { name: string, instance: table? }
local Failure = {}
Failure.__index = Failure
Failure.__tostring = function(self) return self.text end

-- What LuaJIT says when a function of C has called what waits.
local BOUNDARY = "attempt to yield across C%-call boundary"
local NO_WAIT = "nothing can wait in what a function of C calls (table.sort, string.gsub with a function): wait before or after"

local function named(err)
  if type(err) == "string" then return (err:gsub(BOUNDARY, NO_WAIT)) end
  local ok, text = pcall(tostring, err)
  return ok and text or "an error that has no text"
end

---@class LunaContainment
---@field left? fun(q: ffi.cdata*, rcode: integer) counts a query that its chain has not answered
---@field stacktrace? boolean the calls that led to an error are logged too
---@field trace fun(err: any): LunaFailure for xpcall
---@field failed fun(q: ffi.cdata*, err: any, hook: string): integer?

local DEFAULT = { action = "servfail", count = 100, period = 10 }
local OUTCOME = {
  servfail = "answered SERVFAIL", skip = "went on without this plugin", drop = "not answered",
}

--- What a state does with errors.
---@param state ffi.cdata* luna_state
---@param owners table<table, table> of the loader
---@return LunaContainment
function containment.new(state, owners)
  local type_text = ffi.new "char[16]"
  local panics = C.luna_series(C.luna_metric("coredns_panics_total", "A metrics that counts the number of panics.",
    C.LUNA_COUNTER, "", nil, 0, 1), "")
  local errors = C.luna_metric("lunadns_plugin_errors_total", "Errors that plugins threw.", C.LUNA_COUNTER, "plugin,hook",
    nil, 0, 1)
  local skipped = C.luna_metric("lunadns_plugin_skipped", "Workers that leave a plugin out because it failed too often.",
    C.LUNA_GAUGE, "plugin", nil, 0, 1)
  local self = {}

  local function log(text) C.luna_log(state, C.LUNA_ERROR, text, #text) end

  local function now() return tonumber(state.now) end

  -- Who called whom, the innermost first, on one line: a line of the log is one event.
  local function calls()
    local places = {}
    for level = 3, 60 do
      local info = debug.getinfo(level, "Sl")
      if not info then break end
      if info.currentline > 0 then places[#places + 1] = ("%s:%d"):format(info.short_src, info.currentline) end
    end
    return (" (calls: %s)"):format(table.concat(places, " < "))
  end

  -- Called where an error is thrown, with the stack still there: whose code is it?
  function self.trace(err)
    if getmetatable(err) == Failure then return err end
    local failure = setmetatable({ text = named(err) }, Failure)
    if self.stacktrace then failure.text = failure.text .. calls() end
    for level = 2, 60 do
      local info = debug.getinfo(level, "f")
      if not info then break end
      local owner = owners[debug.getfenv(info.func)]
      if owner and owner.instance then
        failure.owner = owner
        break
      end
    end
    return failure
  end

  -- At most one line a second for each plugin; the next one says how many are not shown.
  local function report(held, text, outcome)
    local second = math.floor(now() / SECOND)
    if held.second == second then
      held.unseen = (held.unseen or 0) + 1
      return
    end
    held.second = second
    local more = held.unseen and held.unseen > 0 and ("; %d more like it before"):format(held.unseen) or ""
    held.unseen = 0
    log(("%s: %s%s"):format(text, outcome, more))
  end

  local function leave_out(instance, rule)
    instance.switch[0] = 1
    local slot = C.luna_series(skipped, instance.plugin.name .. "\31")
    C.luna_counter_add(slot, 1)
    instance.server:on_close(function() C.luna_counter_add(slot, -1ULL) end)
    log(("plugin/%s: %d errors within %g s: left out from now on, until the next reload; its queries go to the next plugin")
      :format(instance.plugin.name, rule.count, rule.period))
  end

  local function count_towards_leaving(instance, rule)
    if rule.count == 0 or not instance.switch then return end
    local time = now()
    if not instance.since or time - instance.since > rule.period * SECOND then
      instance.since, instance.failures = time, 0
    end
    instance.failures = instance.failures + 1
    if instance.failures >= rule.count and instance.switch[0] == 0 then leave_out(instance, rule) end
  end

  local unknown = {}

  --- A plugin's code ended with an error while it served q, or in a timer or spawned function (hook).
  --- Returns the rcode for q, or nil: its chain is to run again, without the plugin.
  function self.failed(q, err, hook)
    if getmetatable(err) ~= Failure then err = setmetatable({ text = named(err) }, Failure) end
    local instance = err.owner and err.owner.instance
    local name = instance and instance.plugin.name or "server"
    local slot = C.luna_series(errors, ("%s\31%s\31"):format(name, hook))
    state.metrics[slot] = state.metrics[slot] + 1
    local rule = instance and instance.on_error or DEFAULT
    local action = rule.action
    if hook ~= "handler" then
      report(instance or unknown, ("plugin/%s: %s (%s)"):format(name, err.text, hook), "ended")
      return SERVFAIL
    end
    state.metrics[panics] = state.metrics[panics] + 1
    -- The reply may have been written already: what fails a second time has nothing to fall back to.
    if action == "skip" and (not instance.number or q.skip ~= 0) then action = "servfail" end
    local client = q.client.family ~= 0 and ("%s:%d"):format(boundary.addr_text(q.client), q.client.port) or "the server"
    report(instance or unknown, ("plugin/%s: %s (question %s %s, client %s)"):format(name, err.text, q:name_text(),
      ffi.string(C.luna_type_text(q.qtype, type_text)), client), OUTCOME[action])
    if instance then count_towards_leaving(instance, rule) end
    C.luna_query_again(q)
    if action == "skip" then
      q.skip = instance.number
      return nil
    end
    if action == "drop" then q.dropped = 1 end
    if self.left then self.left(q, SERVFAIL) end
    return SERVFAIL
  end

  return self
end

return containment
