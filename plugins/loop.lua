--- Stops the server when its own questions come back to it. As CoreDNS's plugin loop.
local ffi = require "ffi"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local wait = require("lunadns.runner").wait

local C = boundary.C
local GIVE_UP, PAUSE, TIMEOUT, STAY = 30e9, 1e9, 2e9, 2e9 -- ns
local ARRIVALS = 2 -- the server's own question, and one chance

--- A number that all states of this generation share.
---@param server LunaServer
local function shared(server, what)
  local generation = tostring(ffi.cast("uintptr_t", ffi.cast("void *", server.generation)))
  local counter = C.luna_shared_counter(("loop %s %d %s"):format(generation, server.sites[1].number, what))
  if counter == nil then error("out of memory", 0) end
  server:on_close(function() C.luna_shared_release(counter) end)
  return counter
end

--- The name that is asked for: two labels which nobody can guess. The control state draws them for all workers.
---@param server LunaServer
local function secret_name(server)
  local labels, random = {}, ffi.new "uint64_t[1]"
  for i = 1, 2 do
    local number = shared(server, "label" .. i)
    if server.role == "control" then
      C.luna_random(random, 8)
      C.luna_shared_swap(number, random[0] / 4) -- 62 bits
    end
    labels[i] = tostring(C.luna_shared_get(number)):match "%d+"
  end
  local zone = server.zones[1]
  return ("%s.%s.%s"):format(labels[1], labels[2], zone == "." and "" or zone)
end

--- Where the server listens: as it is shown, and as it can be asked from here.
---@param server LunaServer
local function own_address(server)
  local scheme, host, port = server.sites[1].server:match "^(%w+)://(.*):(%d+)$"
  host = host:match "^%[(.*)%]$" or host
  local target = (host == "" or host == "0.0.0.0") and "127.0.0.1" or host == "::" and "::1" or host
  local shown = host == "" and ":" .. port or address.join(host, tonumber(port) --[[@as integer]])
  return shown, assert(boundary.addr(target, tonumber(port) --[[@as integer]])), scheme
end

---@param server LunaServer
local function open(target, server)
  local config, err = ffi.new "luna_upstream_config", ffi.new "char[256]"
  config.addr, config.transport, config.max_idle, config.expire = target, C.LUNA_UDP, 1, 1e9
  local upstream = C.luna_upstream_open(config, err, 256)
  if upstream == nil then error(ffi.string(err), 0) end
  server:on_close(function() C.luna_upstream_close(upstream) end)
  return upstream
end

---@param server LunaServer
local function setup(_, next, server)
  local state = server.state
  local text = secret_name(server)
  local name = dns.name(text)
  local arrivals, off = shared(server, "arrivals"), shared(server, "off")
  local shown, target, scheme = own_address(server)
  local HINFO, len = dns.HINFO, name.len

  --- Asks until the server answers itself; a loop shows on the way.
  ---@param q DnsQuery
  local function ask(q, upstream)
    local deadline = tonumber(state.now) + GIVE_UP
    repeat
      local code = C.luna_exchange(q, upstream, C.LUNA_UDP, TIMEOUT)
      if code == C.LUNA_WAIT then code = wait(q) end
      q:clear()
      if code ~= 0 then C.luna_shared_swap(arrivals, 0) end
      C.luna_query_sleep(q, code == 0 and STAY or PAUSE)
      if wait(q) < 0 then break end
    until code == 0 or tonumber(state.now) >= deadline
    C.luna_shared_swap(off, 1)
  end

  if server.role == "worker" and state.worker_index == 0 then
    if scheme == "dns" then
      local upstream = open(target, server)
      -- A slot for the question is there when the first turn begins.
      server:spawn(function()
        local own = C.luna_query_new(state, name.wire, len, HINFO, 1, C.LUNA_RD, 0)
        if own ~= nil then server:spawn(function(q) ask(q, upstream) end, own) end
      end)
    else
      C.luna_shared_swap(off, 1)
    end
  end

  --- One of ours arrived.
  ---@param q DnsQuery
  local function arrived(q)
    if state.dry ~= 0 or tonumber(C.luna_shared_get(off)) ~= 0 then return end
    if tonumber(C.luna_shared_add(arrivals, 1)) <= ARRIVALS then return end
    C.luna_fatal(('plugin/loop: Loop (%s -> %s) detected for zone "%s", see ' ..
      'https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO %s"'):format(
      address.join(boundary.addr_text(q.client), q.client.port), shown, server.zones[1], text))
  end

  ---@param q DnsQuery
  return function(q)
    if q.qtype == HINFO and q:is(name) then arrived(q) end
    return next(q)
  end
end

return dns.plugin {
  name = "loop",
  doc = "Asks itself a random question at start and stops the process when that comes back: a forwarding loop.",
  writes = false,
  options = {},
  setup = setup,
}
