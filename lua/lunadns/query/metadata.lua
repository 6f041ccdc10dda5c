--- Methods of q: what other plugins tell of the query.
local blame = require "lunadns.query.blame"
local check = require "lunadns.query.check"
local metadata = require "lunadns.metadata"
local runner = require "lunadns.runner"

local running = runner.running

---@class (partial) DnsQuery
local q = {}

--- What a plugin of the block tells of this query: q:metadata("kubernetes/service"). nil where it tells nothing, and without the
--- directive `metadata` in the block. The value is made now, by the plugin's function: keep it in a local.
---@param label string "PLUGIN/NAME"
---@return string|nil value "" for what is there and empty
function q:metadata(label)
  check(self)
  metadata.check(label, "q:metadata")
  local strand = running()
  if not strand then blame("q:metadata: not in a coroutine that the plugin made itself: read it before", 2) end
  local own = strand.driver.metadata[self.block]
  return own and own:read(self, label)
end

return q
