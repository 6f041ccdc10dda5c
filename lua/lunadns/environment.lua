--- What a plugin's code sees as globals: Lua's own, read-only. State belongs into locals of `setup`, `q.data` or
--- `dns.shared`: a global would be one per worker, and lost with a reload.
local blocking = require "lunadns.blocking"
local globals = require "lunadns.globals"
local runner = require "lunadns.runner"
local words = require "lunadns.options.words"

local environment = {}

-- Names that authors look for as globals, and where they are.
local ELSEWHERE = {
  resolve = "dns.resolve", sleep = "dns.sleep", http = "dns.http", exchange = "dns.exchange", spawn = "dns.spawn",
  shared = "dns.shared", log = "server:log", counter = "server:counter", every = "server:every", next = "next",
  ffi = 'require "ffi"', dns = 'local dns = require "dns"', server = "the third argument of setup",
  ngx = "dns", dofile = "require", loadfile = "require",
}

local LIBRARIES = { "string", "table", "math", "os", "io", "bit", "jit", "coroutine", "debug" }
local FUNCTIONS = {
  "assert", "error", "getmetatable", "setmetatable", "ipairs", "next", "pairs", "pcall", "xpcall", "rawequal", "rawget",
  "rawset", "select", "tonumber", "tostring", "type", "unpack", "collectgarbage", "_VERSION",
}

local function unknown(name)
  local hint = ELSEWHERE[name] and ("; did you mean %s?"):format(ELSEWHERE[name])
    or words.suggest(name, environment.names)
  return ("unknown global '%s'%s"):format(tostring(name), hint)
end

local function read_only(name)
  return ("globals are read-only: write `local %s`, or keep the value in a local of setup"):format(tostring(name))
end

--- A view of a table that cannot be written to.
local function frozen(values, on_read, on_write)
  if on_read then setmetatable(values, { __index = on_read }) end
  return setmetatable({}, { __index = values, __newindex = on_write, __metatable = false })
end

--- The functions of the libraries that plugins have, by library; may be changed before the first environment is made.
environment.libraries = {}
for _, name in ipairs(LIBRARIES) do
  local copy = {}
  for key, value in pairs(_G[name] or require(name)) do copy[key] = value end
  environment.libraries[name] = copy
end
environment.libraries.debug = { traceback = debug.traceback, getinfo = debug.getinfo }
blocking.apply(environment.libraries)
runner.keep_apart(environment.libraries.coroutine)

-- Every name that is known, for suggestions and the check before running.
environment.names = { _G = true, require = true, print = true, loadstring = true, load = true }
for _, name in ipairs(LIBRARIES) do environment.names[name] = true end
for _, name in ipairs(FUNCTIONS) do environment.names[name] = true end

local libraries

local function shared_libraries()
  if libraries then return libraries end
  libraries = {}
  for name, functions in pairs(environment.libraries) do
    libraries[name] = frozen(functions, nil, function(_, key)
      error(("%s.%s cannot be set: the libraries are read-only"):format(name, tostring(key)), 2)
    end)
  end
  return libraries
end

--- Makes the globals of one plugin or module.
---@param own { require: function, print: function }
---@return table env for setfenv
function environment.new(own)
  local values = {}
  for name, library in pairs(shared_libraries()) do values[name] = library end
  for _, name in ipairs(FUNCTIONS) do values[name] = _G[name] end
  values.require, values.print = own.require, own.print
  local env = frozen(values, function(_, name) error(unknown(name), 2) end,
    function(_, name) error(read_only(name), 2) end)
  values._G = env
  function values.loadstring(text, name)
    local chunk, err = loadstring(text, name)
    if not chunk then return nil, err end
    return setfenv(chunk, env)
  end
  function values.load(source, name)
    local chunk, err = load(source, name)
    if not chunk then return nil, err end
    return setfenv(chunk, env)
  end
  return env
end

--- Looks for globals in a chunk that are unknown or set.
---@param chunk function
---@param file string for the message
---@return string|nil err "sinkhole.lua:12: unknown global 'strng'; did you mean 'string'?"
function environment.check(chunk, file)
  for _, use in ipairs(globals.used(chunk)) do
    if use.set then return ("%s:%d: %s"):format(file, use.line, read_only(use.name)) end
    if not environment.names[use.name] then return ("%s:%d: %s"):format(file, use.line, unknown(use.name)) end
  end
end

return environment
