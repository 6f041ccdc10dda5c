--- What plugins tell of a query under names such as kubernetes/service: for a format of `log`, for handlers. A value is made when
--- something reads it; a query of which nothing is read costs nothing.
local blame = require "lunadns.query.blame"
local runner = require "lunadns.runner"

---@class LunaMetadata of one server block that has the directive `metadata`
---@field zones? ffi.cdata* of dns.zones: only queries for these have values; nil: all of the block
---@field labels table<string, { value: fun(q: DnsQuery): (string|number|nil), everywhere: boolean }>
local Metadata = {}
Metadata.__index = Metadata

local metadata = {}

---@param zones? ffi.cdata*
---@return LunaMetadata
function metadata.new(zones) return setmetatable({ zones = zones, labels = {} }, Metadata) end

--- Raises unless label is PLUGIN/NAME, at the caller's caller.
---@param label any
---@param what string the function that was given it
function metadata.check(label, what)
  if type(label) ~= "string" or not label:find "^[^/%s{}]+/[^%s{}]+$" then
    blame(("%s: label: expected \"PLUGIN/NAME\", found %s"):format(what,
      type(label) == "string" and ("%q"):format(label) or tostring(label)), 3)
  end
end

--- Setups run from the end of the chain: of two that give one label the later plugin's value counts, as in CoreDNS.
---@param label string
---@param value fun(q: DnsQuery): string|number|nil
---@param everywhere? boolean for queries out of zones too: what a handler has found out itself
function Metadata:provide(label, value, everywhere)
  self.labels[label] = self.labels[label] or { value = value, everywhere = everywhere or false }
end

---@param q DnsQuery
---@param label string
---@return string|nil
function Metadata:read(q, label)
  local source = self.labels[label]
  if not source or self.zones and not source.everywhere and not self.zones:match(q) then return nil end
  local value = source.value(q)
  if value == nil or type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  error(("metadata %q: the function returned a %s, expected a text, a number or nil"):format(label, type(value)), 0)
end

--- The same for a line about an answer that is made already: an error costs the value only, and is reported.
---@param q DnsQuery
---@param label string
---@return string|nil
function Metadata:tell(q, label)
  local strand = runner.running()
  if not strand then return self:read(q, label) end -- a coroutine of a plugin's own
  local contain = strand.driver.contain
  local ok, value = xpcall(self.read, contain.trace, self, q, label)
  if ok then return value end
  contain.failed(q --[[@as ffi.cdata*]], value, "metadata")
  return nil
end

return metadata
