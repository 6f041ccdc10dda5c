--- Finds and loads plugins. A file NAME.lua on the plugin path is the directive NAME.
local boundary = require "lunadns.boundary"
local options = require "lunadns.options"
local order = require "lunadns.order"

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
---@field any_class? boolean answers classes other than IN
---@field configure? fun(conf: table, server: LunaServer) settings of the block or the process, in plugin order, before any setup
---@field setup? fun(conf: table, next: function, server: LunaServer): function?

local FIELDS = {
  name = "string", doc = "string", options = "table", other = "function", many = "string", before = "string",
  after = "string", writes = "boolean", any_class = "boolean", configure = "function", setup = "function",
  about = "table",
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

local Loader = {}
Loader.__index = Loader

--- A loader for one Corefile.
---@param directory string of the Corefile
---@return table loader
function plugin.loader(directory)
  return setmetatable({ path = { directory .. "/", directory .. "/plugins/" }, sources = {}, files = {} }, Loader)
end

--- The text of a plugin and where it was found.
---@param name string
---@return string|nil text
---@return string|nil file
function Loader:source(name)
  local known = self.sources[name]
  if known then return known.text, known.file end
  local text, file
  if name:find "^[%w_%-]+$" then
    for _, prefix in ipairs(self.path) do
      file = prefix .. name .. ".lua"
      text = boundary.read(file)
      if text then
        self.files[file] = text
        break
      end
    end
    if not text then
      file = "plugins/" .. name .. ".lua"
      text = boundary.embedded(file)
    end
  end
  if not text then return nil end
  self.sources[name] = { text = text, file = file }
  return text, file
end

--- Whether a directive exists at all, available here or not.
---@param name string
---@return boolean
function Loader:known(name) return order.builtin(name) or self:source(name) ~= nil end

--- Loads a plugin anew: LuaJIT folds a handler's upvalues into constants only while its prototype has few
--- closures, so that
--- each instance gets a chunk of its own.
---@param name string
---@return LunaPlugin|nil
---@return string|nil err
function Loader:load(name)
  local text, file = self:source(name)
  if not text then
    return nil, ("plugin '%s' is not part of lunadns yet; remove the directive, or put %s.lua beside the Corefile")
      :format(name, name)
  end
  local chunk, err = loadstring(text, "@" .. file)
  if not chunk then return nil, err end
  local ok, spec = pcall(chunk)
  if not ok then return nil, tostring(spec) end
  if type(spec) ~= "table" or not spec.schema then
    return nil, ("%s: the file must end with `return dns.plugin { ... }`"):format(file)
  end
  if spec.name ~= name then
    return nil, ("%s: the plugin calls itself '%s'; file and name must agree"):format(file, spec.name)
  end
  return spec
end

return plugin
