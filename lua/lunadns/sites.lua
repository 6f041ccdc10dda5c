--- Sites: a site is a zone on one address. The core sends each query to one by its number, which is how handlers and
--- metrics tell them apart. Each address has one more, for what none of its zones takes.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local corefile = require "lunadns.corefile"
local C = boundary.C

local sites = {}

local REFUSED = 5
local err_buffer = ffi.new("char[?]", 1024)

---@class LunaSite
---@field number integer from 0
---@field zone string "dropped" for what no zone takes, as CoreDNS's metrics call it
---@field server string "dns://:53", "dns://[::1]:53"
---@field key table of the Corefile
---@field bind string the address, "" = all
---@field port? integer
---@field listener? integer its number in the core, in the control state; of a rest site: that of the address
---@field rest? LunaSite of the same address
---@field any_class? boolean of a rest site: a plugin behind the address answers other classes than IN

local function server_name(key, bind)
  local host = bind:find(":", 1, true) and "[" .. bind .. "]" or bind
  return ("%s://%s:%d"):format(key.scheme, host, key.port)
end

--- Makes the sites of all blocks, in their order, and those for what is left: one for each address.
---@param blocks LunaBlock[] each gets its own in block.sites
---@return LunaSite[] rest
function sites.number(blocks)
  local number, rest, by_server = 0, {}, {}
  local function new(zone, key, bind)
    local site = { number = number, zone = zone, server = server_name(key, bind), key = key, bind = bind }
    number = number + 1
    return site
  end
  for _, block in ipairs(blocks) do
    for _, key in ipairs(block.keys) do
      for _, bind in ipairs(block.settings.binds or { "" }) do
        block.sites[#block.sites + 1] = new(key.zone, key, bind)
      end
    end
  end
  -- One after another: a handler that serves several finds its series by number.
  for _, block in ipairs(blocks) do
    for _, site in ipairs(block.sites) do
      if not by_server[site.server] then
        by_server[site.server] = new("dropped", site.key, site.bind)
        rest[#rest + 1] = by_server[site.server]
      end
      site.rest = by_server[site.server]
    end
  end
  return rest
end

local function any_class(block)
  for _, instance in ipairs(block.instances) do
    if instance.plugin.any_class then return true end
  end
  return false
end

local ANY = { [""] = true, ["0.0.0.0"] = true, ["::"] = true }

-- As in CoreDNS `bind ::` and `bind 0.0.0.0` are all addresses of both families, unless blocks on a port name them both.
---@return fun(site: LunaSite): boolean
local function all_addresses(blocks)
  local named = {}
  for _, block in ipairs(blocks) do
    for _, site in ipairs(block.sites) do
      local port = site.key.port
      named[port] = named[port] or {}
      named[port][site.bind] = true
    end
  end
  return function(site)
    local on = named[site.key.port]
    return ANY[site.bind] and (on[""] or not (on["0.0.0.0"] and on["::"]))
  end
end

--- Opens every address in the core and tells it which zones it serves.
---@param blocks LunaBlock[]
---@param generation ffi.cdata* luna_generation
---@return boolean|nil ok
---@return string|nil err
function sites.listen(blocks, generation)
  local claims = {}
  for _, block in ipairs(blocks) do
    for _, key in ipairs(block.keys) do
      claims[#claims + 1] = { zone = key.zone, scheme = key.scheme, port = key.port, binds = block.settings.binds or {} }
    end
  end
  local err = corefile.check_overlap(claims)
  if err then return nil, err end
  local all = all_addresses(blocks)
  for _, block in ipairs(blocks) do
    local times = block.settings.timeouts or {}
    for _, site in ipairs(block.sites) do
      local addr = ffi.new "luna_addr"
      if not all(site) then addr = assert(boundary.addr(site.bind)) end
      addr.port = site.key.port
      local listener = C.luna_config_listen(generation, addr, err_buffer, 1024)
      if listener < 0 then return nil, ffi.string(err_buffer) end
      C.luna_config_timeouts(generation, listener, times.read or 0, times.write or 0, times.idle or 0,
        times.max_queries or 0, times.max_connections or 0)
      site.port, site.listener, site.rest.listener = site.key.port, listener, listener
      site.rest.any_class = site.rest.any_class or any_class(block)
    end
  end
  -- One plugin for other classes than IN lets them in at the whole address, as in CoreDNS.
  for _, block in ipairs(blocks) do
    for _, site in ipairs(block.sites) do
      C.luna_config_site(generation, site.rest.listener, assert(boundary.name(site.zone)), site.number,
        site.rest.any_class and 1 or 0)
    end
  end
  return true
end

--- Lets the core send what no zone takes to the sites for it, instead of refusing it by itself.
---@param rest LunaSite[]
---@param generation ffi.cdata* luna_generation
function sites.listen_rest(rest, generation)
  for _, site in ipairs(rest) do C.luna_config_rest(generation, site.listener, site.number) end
end

--- The handler for what no zone takes: the plugin that says `unserved = true`, whatever block it is in, sees these
--- queries too.
---@param blocks LunaBlock[]
---@param rest LunaSite[]
---@param loader LunaLoader
---@return fun(q: ffi.cdata*, rcode?: integer)|nil handler answers with rcode, REFUSED when left out; nil: no plugin wants them
---@return string|nil err
function sites.unserved(blocks, rest, loader)
  for _, block in ipairs(blocks) do
    for _, instance in ipairs(block.instances) do
      if instance.plugin.unserved and instance.plugin.setup then
        local plugin = assert(loader:load(instance.plugin.name))
        local server = setmetatable({
          sites = rest, zones = {}, block = {}, chain = { names = { [-1] = "" }, instances = {} },
        }, { __index = instance.server })
        local rcode
        local ok, handler = pcall(plugin.setup --[[@as function]], instance.conf, function(q)
          C.luna_reply_start(q, rcode)
          return rcode
        end, server)
        if not ok then return nil, tostring(handler) end
        return function(q, wanted)
          rcode = wanted or REFUSED
          return handler(q)
        end
      end
    end
  end
  return nil
end

--- The handler of every site.
---@param blocks LunaBlock[]
---@param rest LunaSite[]
---@param handlers table<LunaBlock, function> blocks without a plugin that answers have none
---@param unserved? function of sites.unserved
---@param chains table<integer, function> takes them, by site number
---@return fun(q: ffi.cdata*, rcode?: integer) left for a query that its chain has left without an answer, an error say
function sites.chains(blocks, rest, handlers, unserved, chains)
  local refuse = unserved or function(_, rcode) return rcode or REFUSED end
  local rest_of = {}
  for _, site in ipairs(rest) do chains[site.number], rest_of[site.number] = refuse, site.number end
  local function left(q, rcode)
    q.block = rest_of[q.block]
    return refuse(q, rcode)
  end
  for _, block in ipairs(blocks) do
    for _, site in ipairs(block.sites) do
      chains[site.number], rest_of[site.number] = handlers[block] or left, site.rest.number
    end
  end
  return left
end

return sites
