--- Finds and loads plugins and their modules. A file NAME.lua or NAME/init.lua on the plugin path is the directive
--- NAME; `require "a.b"` in a plugin finds a/b.lua there. The path: the Corefile's directory, `plugins/` beside it, the
--- binary.
local blocking = require "lunadns.blocking"
local boundary = require "lunadns.boundary"
local environment = require "lunadns.environment"
local order = require "lunadns.order"
local words = require "lunadns.options.words"

local loader = {}

---@class LunaSource
---@field text? string of a file; the binary's own come compiled
---@field file string
---@field embedded boolean part of the binary
---@field checked? boolean its globals are known to be

---@class LunaOwner whose code it is
---@field name string
---@field file string
---@field embedded boolean
---@field env table its globals
---@field instance? table set by the chain; modules have none

---@class LunaLoader
---@field path string[]
---@field files table<string, string> what was read, by path
---@field modules table<string, any> what `require` gave in this state
---@field required table<string, string> every module that was asked for, with its path
---@field state? ffi.cdata* luna_state, for the log
---@field owners table<table, LunaOwner> who runs with these globals
---@field loading table<string, string> modules that are being loaded, with their file
---@field sources table<string, LunaSource|false> what was found, by name
---@field readfile fun(path: string): string?, string?
local Loader = {}
Loader.__index = Loader

-- LuaJIT's own modules, and ours.
local SYSTEM = { ffi = true, bit = true, jit = true, ["string.buffer"] = true, ["table.new"] = true, ["table.clear"] = true }
local function is_system(name)
  return SYSTEM[name] or name:find "^dns%f[.%z]" or name:find "^lunadns%f[.%z]" or name:find "^jit%."
end

--- A loader for one Corefile and one Lua state.
---@param directory string of the Corefile
---@param readfile? fun(path: string): string|nil
---@return LunaLoader
function loader.new(directory, readfile)
  return setmetatable({
    path = { directory .. "/", directory .. "/plugins/" }, readfile = readfile or boundary.read, sources = {}, files = {},
    modules = {}, loading = {}, owners = {}, required = {},
  }, Loader)
end

--- The first file of these forms on the path.
---@return LunaSource|nil
function Loader:search(base, builtin)
  for _, prefix in ipairs(self.path) do
    for _, form in ipairs { ".lua", "/init.lua" } do
      local file = prefix .. base .. form
      local text = self.readfile(file)
      if text then
        self.files[file] = text
        -- A copy of one of the binary's own is that one.
        return { text = text, file = file, embedded = builtin and text == boundary.embedded("plugins/" .. base .. ".lua") }
      end
    end
  end
  if not builtin then return nil end
  local file = "plugins/" .. base .. ".lua"
  return boundary.has(file) and { file = file, embedded = true } or nil
end

--- The text of a plugin and where it was found.
---@param name string
---@return LunaSource|nil
function Loader:source(name)
  local known = self.sources[name]
  if known == nil then
    known = name:find "^[%w_%-]+$" and self:search(name, true) or false
    self.sources[name] = known
  end
  return known or nil
end

--- Whether a directive exists at all, available here or not.
---@param name string
---@return boolean
function Loader:known(name) return order.builtin(name) or self:source(name) ~= nil end

--- What to do about a directive that does not exist: the near one, or where directives come from.
---@param name string
---@param glob fun(pattern: string): string[]
---@return string
function Loader:hint(name, glob)
  local names = order.directives()
  for _, prefix in ipairs(self.path) do
    for _, form in ipairs { "*.lua", "*/init.lua" } do
      for _, path in ipairs(glob(prefix .. form)) do
        names[#names + 1] = path:sub(#prefix + 1):gsub("/init%.lua$", ""):gsub("%.lua$", "")
      end
    end
  end
  local near = words.suggest(name, names)
  if near ~= "" then return near end
  local own = name:find "^[%w_%-]+$" and (", and %s.lua beside the Corefile would be this one"):format(name) or ""
  return "; `lunadns -plugins` lists the directives" .. own
end

local function quote_paths(self, base)
  local tried = {}
  for _, prefix in ipairs(self.path) do tried[#tried + 1] = prefix .. base .. ".lua" end
  return table.concat(tried, ", ")
end

-- `require` as a plugin has it.
function Loader:require(name)
  if type(name) ~= "string" then error("require: expected a module's name, found a " .. type(name), 2) end
  if is_system(name) then return require(name) end
  if self.modules[name] ~= nil then return self.modules[name] end
  if self.loading[name] then error(("require '%s': it requires itself, through %s"):format(name, self.loading[name]), 2) end
  local base = name:gsub("%.", "/")
  local source = base:find "^[%w_%-/]+$" and self:search(base, false)
  self.required[name] = base
  if not source then
    local why = blocking.refused(name)
    if why then error(why, 2) end
    error(("module '%s' not found: looked for %s"):format(name, quote_paths(self, base)), 2)
  end
  local chunk, err = self:compile(source, name)
  if not chunk then error(err, 0) end
  self.loading[name] = source.file
  local ok, value = pcall(chunk, name)
  self.loading[name] = nil
  if not ok then error(value, 0) end
  value = value == nil or value -- nothing given is true, as in Lua's own
  self.modules[name] = value
  return value
end

--- Compiles a source with globals of its own. Unknown globals are an error.
---@param source LunaSource
---@param name string whose code it is
---@param chunkname? string where it stands, `source.file` unless given
---@return function|nil chunk
---@return string|table err_or_env
function Loader:compile(source, name, chunkname)
  local chunk, err
  if source.text then
    chunk, err = loadstring(source.text, "@" .. (chunkname or source.file))
    if not chunk then return nil, err end
  else
    chunk = boundary.chunk(source.file)
  end
  if not source.checked and not source.embedded then
    err = environment.check(chunk, chunkname or source.file)
    if err then return nil, err end
    source.checked = true
  end
  local owner = { name = name, file = source.file, embedded = source.embedded }
  owner.env = environment.new {
    require = function(module) return self:require(module) end,
    print = function(...)
      local parts = {}
      for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
      local line = ("plugin/%s: %s"):format(name, table.concat(parts, "\t"))
      boundary.C.luna_log(self.state, boundary.C.LUNA_INFO, line, #line)
    end,
  }
  self.owners[owner.env] = owner
  return setfenv(chunk, owner.env), owner
end

--- Loads a plugin anew: LuaJIT folds a handler's upvalues into constants only while its prototype has few closures, so
--- that each instance gets a chunk of its own.
---@param name string
---@return LunaPlugin|nil
---@return string|table err_or_owner whose `instance` the chain sets
function Loader:load(name)
  local source = self:source(name)
  if not source then
    return nil, ("there is no plugin '%s': `lunadns -plugins` lists those of the binary, %s.lua beside the Corefile would be one")
      :format(name, name)
  end
  local chunk, owner = self:compile(source, name)
  if not chunk then return nil, owner end
  local ok, spec = pcall(chunk)
  if not ok then return nil, tostring(spec) end
  if type(spec) ~= "table" or not spec.schema then
    return nil, ("%s: the file must end with `return dns.plugin { ... }`"):format(source.file)
  end
  if spec.name ~= name then
    return nil, ("%s: the plugin calls itself '%s'; file and name must agree"):format(source.file, spec.name)
  end
  return spec, owner
end

--- What a reload compares beside the Corefile: all files that plugins were made of, as they are now.
---@param names string[] plugins
---@param required table<string, string> modules that were required, with their paths
---@return table<string, string> files
function Loader:fingerprint(names, required)
  for _, name in ipairs(names) do self:source(name) end
  for _, base in pairs(required) do self:search(base, false) end
  return self.files
end

return loader
