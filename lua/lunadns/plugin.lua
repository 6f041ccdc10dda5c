--- What a plugin is: the table that `dns.plugin` checks.
local options = require "lunadns.options"

local plugin = {}

---@class LunaPlugin
---@field name string the directive
---@field doc? string one sentence
---@field options? table see lunadns.options
---@field other? function lines of the block that are no option
---@field many? "chain"|"merge" several in one block: one handler each, in order; or one setup with the list of their confs
---@field before? string
---@field after? string
---@field writes? boolean false: never writes the reply itself (it only passes, counts or reorders)
---@field about? { other?: string } how a line that is no option looks, for help
---@field unserved? boolean its setup is called once more, for the queries that no zone takes (server.sites: one per address)
---@field any_class? boolean answers classes other than IN
---@field live? fun(conf: table): string[] zones whose answers change from one question to the next: `cache` stays out of
---@field schema? table the options, compiled
---them, and is in `server.behind` for what the plugin passes on there
---@field configure? fun(conf: table, server: LunaServer) settings of the block or the process, in plugin order, before any setup
---@field setup? fun(conf: table, next: function, server: LunaServer): function?

local FIELDS = {
  name = "string", doc = "string", options = "table", other = "function", many = "string", before = "string",
  after = "string", writes = "boolean", any_class = "boolean", configure = "function", setup = "function",
  about = "table", unserved = "boolean", live = "function",
}

--- Checks a plugin's table; what `dns.plugin` returns.
---@param spec LunaPlugin
---@return LunaPlugin
function plugin.define(spec)
  if type(spec) ~= "table" then error("dns.plugin: expected a table", 3) end
  for field, value in pairs(spec) do
    local want = FIELDS[field]
    if not want then error(("dns.plugin: unknown field '%s'"):format(tostring(field)), 3) end
    if type(value) ~= want then
      error(("dns.plugin: %s must be a %s, found a %s"):format(field, want, type(value)), 3)
    end
  end
  if not spec.name then error("dns.plugin: name is missing", 3) end
  if not spec.setup and not spec.configure then error("dns.plugin: setup is missing", 3) end
  spec.schema = options.compile(spec.name, spec.options, spec.other, { doc = spec.doc, other = spec.about and spec.about.other })
  return spec
end

return plugin
