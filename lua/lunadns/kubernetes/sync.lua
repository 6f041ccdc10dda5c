--- What plugin kubernetes does beside answering: waits for the first lists at a start, and opens the gates of `ready`.
local bit = require "bit"
local boundary = require "lunadns.boundary"
local dns = require "dns"

local C = boundary.C
local LOOK, SAY, TIMEOUT = 0.1, 0.5, 5 -- s

-- By number of the kind in the core; what a DNS pod needs the right to list and watch.
local KINDS = { [0] = "services", "endpointslices", "namespaces", "pods", "serviceimports", "imported endpointslices" }

--- A start waits for the names, so that the first answers are true; but not for ever.
local function wait(cluster, timeout, server)
  local since_said, left = 0, timeout ---@type number, number
  while C.luna_kubernetes_missing(cluster) ~= 0 do
    if left <= 0 then
      server:log("warning", "starting server with unsynced Kubernetes API")
      return
    end
    dns.sleep(LOOK)
    left, since_said = left - LOOK, since_said + LOOK
    if since_said > SAY - LOOK / 2 then
      since_said = 0
      server:log("info", "waiting for Kubernetes API before starting server")
    end
  end
end

--- One gate for each kind, so that /ready names what is missing.
local function gates(kinds, server)
  local list = {}
  for kind, name in pairs(KINDS) do
    if bit.band(kinds, bit.lshift(1, kind)) ~= 0 then
      local gate = C.luna_ready_gate(server.generation, "kubernetes/" .. name)
      if gate < 0 then error("too many gates of plugin ready", 0) end
      list[kind] = gate
    end
  end
  return list
end

local function open_gates(list, cluster)
  local missing = C.luna_kubernetes_missing(cluster)
  for kind, gate in pairs(list) do
    if bit.band(missing, bit.lshift(1, kind)) == 0 then
      C.luna_ready_open(gate)
      list[kind] = nil
    end
  end
  return missing == 0
end

---@param cluster ffi.cdata* luna_kubernetes
---@param conf table
---@param server LunaServer
return function(cluster, conf, server)
  if server.state.checking ~= 0 then return end -- nothing is watched
  if server.role == "control" then
    wait(cluster, conf.startup_timeout or TIMEOUT, server)
    return
  end
  if server.state.worker_index ~= 0 then return end
  local kinds = C.luna_kubernetes_kinds(cluster)
  local shut = gates(kinds, server)
  if not open_gates(shut, cluster) then
    server:spawn(function()
      repeat dns.sleep(LOOK) until open_gates(shut, cluster)
    end)
  end
end
