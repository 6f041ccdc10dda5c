--- From a Corefile to serving: what the core calls to make a generation.
local ffi = require "ffi"
local banner = require "lunadns.banner"
local boundary = require "lunadns.boundary"
local chain = require "lunadns.chain"
local containment = require "lunadns.containment"
local corefile = require "lunadns.corefile"
local loader_of = require "lunadns.loader"
local runner = require "lunadns.runner"
local scope = require "lunadns.scope"
local setup = require "lunadns.setup"
local sites = require "lunadns.sites"
local traces = require "lunadns.traces"

local C = boundary.C
local boot = {}

---@param state ffi.cdata* luna_state
---@param level integer
---@param text string
local function log(state, level, text) C.luna_log(state, level, text, #text) end

--- Files as they were read for this generation, so that every worker sees the same.
local function reader()
  local files, globs = {}, {}
  return {
    files = files,
    globs = globs,
    readfile = function(path)
      if files[path] == nil then
        local f, err = io.open(path, "rb")
        if not f then
          files[path] = false
          return nil, err
        end
        local text, why = f:read "*a"
        f:close()
        if not text then return nil, why end
        files[path] = text
      end
      return files[path] or nil, "no such file"
    end,
    glob = function(pattern)
      if not globs[pattern] then
        local paths, buffer = {}, ffi.new("char[?]", 1048576)
        local len = C.luna_glob(pattern, buffer, 1048576)
        if len > 0 then
          for path in ffi.string(buffer, len):gmatch "[^\n]+" do paths[#paths + 1] = path end
        end
        globs[pattern] = paths
      end
      return globs[pattern]
    end,
  }
end

--- Everything that making a generation needs to know, beside the Corefile itself.
---@class LunaBoot
---@field conf string path of the Corefile, or what stands for it ("stdin")
---@field text? string its text when it is no file
---@field port integer default port
---@field pump? fun(): boolean? specs: waits in place of luna_setup_pump
---@field scripted? table specs: what dns.http and sockets get in place of a network (dns/test/scripted.lua)
---@field directory? string where plugins are looked for; without it the directory of conf
---@field last? fun(text: string): function specs: what stands behind the last plugin of a block
---@field wrap? fun(handler: function, instance: table): function tools: around each plugin's handler

local function read(source, given, warn)
  local directory = given.directory or given.conf:match "^(.*)/[^/]*$" or "."
  local loader = loader_of.new(directory, source.readfile)
  local config, err = corefile.read(given.conf, given.text, {
    known = function(name) return loader:known(name) end, default_port = given.port, readfile = source.readfile,
    glob = source.glob, warn = warn, one_line = true, hint = function(name) return loader:hint(name, source.glob) end,
  })
  if not config then return nil, err end
  return config, nil, loader, directory
end

local function build(config, env, drive)
  local generation, role = env.generation, env.role
  local blocks, err = chain.read(config, env)
  if not blocks then return nil, err end
  local rest, ok = sites.number(blocks), true ---@type table, boolean|nil
  if role == "control" then ok, err = sites.listen(blocks, generation) end
  if not ok then return nil, err end
  local handlers, names = {}, { [-1] = "" }
  env.names = names
  for _, block in ipairs(blocks) do
    block.names = names
    for _, site in ipairs(block.sites) do drive.metadata[site.number] = block.settings.metadata end
    drive.contain.stacktrace = drive.contain.stacktrace or block.settings.stacktrace
    handlers[block], err = chain.build(block, names, env)
    if err then return nil, err end
  end
  local unserved
  unserved, err = sites.unserved(blocks, rest, env.loader)
  if err then return nil, err end
  if unserved and role == "control" then sites.listen_rest(rest, generation) end
  drive.contain.left = sites.chains(blocks, rest, handlers, unserved, drive.chains)
  return { runner = drive, env = env, config = config, blocks = blocks, loader = env.loader }
end

local function make(state, given, source, role)
  local function warn(text)
    if role == "control" then log(state, C.LUNA_WARNING, text) end
  end
  local config, err, loader, directory = read(source, given, warn)
  if not config then return nil, err end
  loader.state = state
  local drive = runner.new(state, {}, containment.new(state, loader.owners))
  drive.scripted = given.scripted
  local settle, watched = setup.new(drive, given.pump), {}
  scope.enter(state, drive.closers)
  local made
  made, err = build(config, {
    loader = loader, state = state, generation = state.generation, role = role, directory = directory,
    workers = state.workers, closers = drive.closers, warn = warn, spawner = settle.spawn, run = settle.run,
    watch = function(path) watched[path] = true end, last = given.last, wrap = given.wrap,
  }, drive)
  settle.finish()
  if not made then return nil, err end
  made.source, made.starters, made.watched = source, settle.starters, watched
  return made
end

--- In the control state: reads, checks, opens what listens.
---@param state ffi.cdata* luna_state
---@param given LunaBoot
---@return table|nil made
---@return string|nil err
function boot.control(state, given)
  local made, err = make(state, given, reader(), "control")
  if not made then return nil, err end
  made.json = corefile.to_json(made.config)
  return made
end

--- In a worker's state: the same Corefile, from the texts that the control state read.
---@param state ffi.cdata* luna_state
---@param given LunaBoot
---@param source table made.source of the control state
---@return table|nil made with entry, the function the core calls each turn
---@return string|nil err
function boot.worker(state, given, source)
  local made, err = make(state, given, source, "worker")
  if not made then return nil, err end
  local drive = made.runner
  local contain = drive.contain
  local root = ffi.new("uint8_t[1]")
  local function task(q, fn)
    local ok, failure = xpcall(fn, contain.trace, q)
    if not ok then contain.failed(q, failure, runner.running().hook) end
    C.luna_query_free(q)
  end
  local function start(fn, q, hook, site)
    if q == nil then
      q = C.luna_query_new(state, root, 1, 2, 1, 0, 0)
      if q == nil then return false end
      q.block = site or 0
    end
    local from = runner.running()
    drive.start(task, q, hook or "spawn", fn, from and from.depth)
    return true
  end
  local entry = drive.entry
  -- What setup spawned begins with the first turn, on the worker's own thread.
  function made.entry()
    made.env.spawner = start
    for _, block in ipairs(made.blocks) do
      for _, instance in ipairs(block.instances) do instance.server.spawner = start end
    end
    for _, starter in ipairs(made.starters) do start(unpack(starter, 1, 4)) end
    made.entry = entry
    entry()
  end
  return made
end

function boot.close(made)
  for _, close in ipairs(made.env.closers) do pcall(close) end
end

--- Hash input of the Corefile as it is on disk now, with the plugin files and modules it uses: the reload plugin compares
--- it.
---@param given LunaBoot
---@param running { loader: LunaLoader, watched: table<string, boolean> }|nil what serves now
---@param source? table|false made.source: what a generation was made of, instead of Corefile and plugins on disk
---@return string|nil json
---@return string|nil err
function boot.fingerprint(given, running, source)
  source = source or reader()
  local config, err, loader = read(source, given, function() end)
  if not config then return nil, err end
  local names = {}
  for _, block in ipairs(config.blocks) do
    for _, directive in ipairs(block.directives) do names[#names + 1] = directive.name end
  end
  local files = loader:fingerprint(names, running and running.loader.required or {})
  local parts, paths = { corefile.to_json(config) }, {}
  for path in pairs(files) do paths[#paths + 1] = path end
  table.sort(paths)
  for _, path in ipairs(paths) do parts[#parts + 1] = path .. "\n" .. files[path] end
  local data, digest = {}, ffi.new "char[129]"
  for path in pairs(running and running.watched or {}) do data[#data + 1] = path end
  table.sort(data)
  for _, path in ipairs(data) do
    parts[#parts + 1] = path .. "\n" .. (C.luna_sha512_file(path, digest) == 0 and ffi.string(digest) or "unreadable")
  end
  return table.concat(parts, "\n")
end

local function quote(t)
  local out = {}
  for key, value in pairs(t) do
    if type(value) == "table" then
      value = "{" .. quote(value) .. "}"
    elseif type(value) == "string" then
      value = ("%q"):format(value)
    end
    out[#out + 1] = ("[%s]=%s"):format(type(key) == "number" and key or ("%q"):format(key), tostring(value))
  end
  return table.concat(out, ",")
end

local function unquote(text) return assert(loadstring("return {" .. text .. "}"))() end

-- The core's side: strings and pointers only, because the states are different.

local made_here ---@type any what boot.control or boot.worker made
local first_here ---@type function the first entry of a worker

---@param pointer lightuserdata luna_state
---@return boolean|nil
---@return string|nil text the snapshot for workers, or the error
---@return string|nil json
---@return string|nil banner
function boot.core_control(pointer, conf, text, port)
  local given = { conf = conf, text = text, port = port }
  local made, err = boot.control(ffi.cast("luna_state *", pointer), given)
  if not made then return nil, err end
  made_here = made
  return true, quote { files = made.source.files, globs = made.source.globs }, made.json, banner(made.blocks)
end

---@return function|nil entry
---@return string|nil err
function boot.core_worker(pointer, conf, text, port, snapshot)
  local source, stored = reader(), unquote(snapshot)
  for path, content in pairs(stored.files) do source.files[path] = content end
  for pattern, paths in pairs(stored.globs) do source.globs[pattern] = paths end
  local state = ffi.cast("luna_state *", pointer)
  local made, err = boot.worker(state, { conf = conf, text = text, port = port }, source)
  if not made then return nil, err end
  traces.watch(state, made.loader.owners, made.runner.cool)
  jit.opt.start "hotloop=56" -- LuaJIT's own; it was more while the state was made
  made_here = made
  first_here = made.entry
  return function() made.entry() end
end

--- While it is warmed, a state starts nothing that setup spawned. All slots are new to it again, as when its worker changes.
---@param on boolean
function boot.core_warm(on)
  made_here.entry = on and made_here.runner.entry or first_here
  made_here.runner.reset()
end

---@param loaded boolean what made this generation, not what is on disk now
function boot.core_fingerprint(conf, text, port, loaded)
  return boot.fingerprint({ conf = conf, text = text, port = port }, made_here, loaded and made_here.source)
end

function boot.core_close()
  if made_here then boot.close(made_here) end
  made_here = nil
end

return boot
