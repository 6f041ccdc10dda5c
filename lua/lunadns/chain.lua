--- Builds the handler of each server block: one closure around the next, which LuaJIT inlines into one trace.
local Server = require "lunadns.server"
local guard = require "lunadns.guard"
local options = require "lunadns.options"
local order = require "lunadns.order"

local chain = {}

local SERVFAIL = 2

---@class LunaBlock
---@field zones string[]
---@field keys table[] of the Corefile
---@field settings table what configure functions share
---@field instances table[] { plugin, confs, server, rank } in order
---@field sites table[]
---@field names table<integer, string> plugins of the generation by their number

--- Where an error of a directive stands, in CoreDNS's words.
local function located(directive, text)
  return ("%s:%d - Error during parsing: %s"):format(directive.file, directive.line, text)
end

local function where_of(instance, err)
  if type(err) == "table" then return err.text end
  return ("%s:%d: plugin/%s: %s"):format(instance.directive.file, instance.directive.line, instance.plugin.name,
    tostring(err))
end

--- Reads the directives of a block: plugins loaded, options typed. Returns the block, or nil and the error.
local function read_block(block, env)
  local zones, seen = {}, {}
  for _, key in ipairs(block.keys) do
    if not seen[key.zone] then
      seen[key.zone] = true
      zones[#zones + 1] = key.zone
    end
  end
  local self = { zones = zones, keys = block.keys, settings = {}, instances = {}, sites = {}, file = block.file,
    line = block.line }
  local first = {}
  for _, directive in ipairs(block.directives) do
    local spec, owner = env.loader:load(directive.name)
    if not spec then return nil, located(directive, owner) end
    first[#first + 1] = { plugin = spec, owner = owner, directive = directive }
  end
  local sorted, err = order.sort(first)
  if not sorted then return nil, err end
  for _, found in ipairs(sorted) do
    local runs, plugin = found.directive.runs, found.plugin
    if #runs > 1 and not plugin.many then
      return nil, located(runs[2], "this plugin can only be used once per Server Block: " .. plugin.name)
    end
    if plugin.many == "merge" then
      self.instances[#self.instances + 1] =
        { plugin = plugin, owner = found.owner, directive = found.directive, runs = runs, rank = found.rank, merge = true }
    else
      for i, run in ipairs(runs) do
        -- A chunk of its own for every instance, see loader.lua.
        local own, owner = plugin, found.owner
        if i > 1 then own, owner = env.loader:load(plugin.name) end
        self.instances[#self.instances + 1] = { plugin = own, owner = owner, directive = run, runs = { run }, rank = found.rank }
      end
    end
  end
  for _, instance in ipairs(self.instances) do instance.owner.instance = instance end
  return self
end

local function parse_options(block, instance, env)
  local confs = {}
  for i, run in ipairs(instance.runs) do
    local ctx = { zones = block.zones, root = block.settings.root, file = run.file }
    -- Plugins of the binary look after their files themselves.
    if not instance.owner.embedded then ctx.watch = env.watch end
    local own, rule, wrong = guard.rule(run, instance.plugin)
    if wrong then return nil, wrong end
    instance.on_error = rule or instance.on_error
    local conf, err, warnings = instance.plugin.schema:parse(own, ctx)
    if not conf then return nil, err end
    for _, warning in ipairs(warnings or {}) do env.warn(warning) end
    confs[i] = conf
  end
  instance.conf = instance.merge and confs or confs[1]
  return true
end

local function new_server(block, instance, env)
  return setmetatable({
    name = instance.plugin.name, zones = block.zones, sites = block.sites, block = block.settings, chain = block,
    directory = env.directory, state = env.state, generation = env.generation, role = env.role, workers = env.workers,
    closers = env.closers, spawner = env.spawner, where = options.where, loader = env.loader, owner = instance.owner,
    watcher = env.watch,
  }, Server)
end

--- Reads all blocks and runs the configure functions: plugin order outside, blocks inside, as CoreDNS.
---@param config table of lunadns.corefile
---@param env table { loader, state, generation, role, directory, workers, closers, spawner, warn, run, last, wrap }
---@return LunaBlock[]|nil
---@return string|nil err
function chain.read(config, env)
  local blocks, steps = {}, {}
  for i, block in ipairs(config.blocks) do
    local self, err = read_block(block, env)
    if not self then return nil, err end
    blocks[i] = self
    for _, instance in ipairs(self.instances) do
      steps[#steps + 1] = { instance.rank, i, #steps, self, instance }
    end
  end
  table.sort(steps, function(a, b)
    for k = 1, 3 do
      if a[k] ~= b[k] then return a[k] < b[k] end
    end
    return false
  end)
  for _, step in ipairs(steps) do
    local block, instance = step[4], step[5]
    local ok, err = parse_options(block, instance, env)
    if not ok then return nil, err end
    instance.server = new_server(block, instance, env)
    if instance.plugin.configure then
      ok, err = env.run(instance.plugin.configure, instance.conf, instance.server)
      if not ok then return nil, where_of(instance, err) end
    end
  end
  return blocks
end

--- What a live plugin passes on: the cache before it has left names in its zones alone, so that for them it stands behind
--- the plugin, as another handler on the same entries.
---@param block LunaBlock
---@param i integer the plugin's place
---@param handler function what is behind it
---@return function handler
local function cached(block, i, handler, names)
  for k = i - 1, 1, -1 do
    local cache = block.instances[k]
    if cache.plugin.name == "cache" then
      local own, owner = assert(cache.server.loader:load "cache")
      owner.instance = cache
      -- As the one before, but for its place.
      local server = setmetatable({ place = i }, { __index = cache.server })
      local number = #names + 1
      names[number] = "cache"
      return guard.sign(own.setup(cache.conf, handler, server), number)
    end
  end
  return handler
end

--- Runs every setup and returns the handler of a block.
---@param block LunaBlock
---@param names table<integer, string> plugin names by author number; grows
---@param env table
---@return function|nil handler nil: the block has no plugin that handles queries
---@return string|nil err
function chain.build(block, names, env)
  local last
  local handler
  for i = #block.instances, 1, -1 do
    local instance = block.instances[i]
    if instance.plugin.setup then
      if not handler then
        local text = ("plugin/%s: no next plugin found"):format(instance.plugin.name)
        handler = env.last and env.last(text) or function() return SERVFAIL, text end
      end
      instance.server.place = i
      instance.server.behind = instance.plugin.live and cached(block, i, handler, names)
      local ok, own = env.run(instance.plugin.setup, instance.conf, handler, instance.server)
      if not ok then return nil, where_of(instance, own) end
      if own and own ~= handler then
        last = true
        -- A plugin of the binary has its place in the chain for a reason: it is not left out, unless the user says so.
        local guarded = not instance.owner.embedded or instance.on_error ~= nil
        if guarded or instance.plugin.writes ~= false then
          local number = #names + 1
          names[number] = instance.plugin.name
          instance.number = number
          if guarded then
            own, instance.switch = guard.wrap(own, handler, number, instance.owner.env)
          else
            own = guard.sign(own, number)
          end
        end
        handler = env.wrap and env.wrap(own, instance) or own
      end
    end
  end
  return last and handler or nil
end

return chain
