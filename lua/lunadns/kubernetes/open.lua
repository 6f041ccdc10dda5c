--- From the options of plugin kubernetes to the cluster as the core shows it.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local interfaces = require "lunadns.interfaces"

local C = boundary.C
local PODS = { disabled = C.LUNA_PODS_DISABLED, insecure = C.LUNA_PODS_INSECURE, verified = C.LUNA_PODS_VERIFIED }
local TTL = 5

local function names(list)
  local out = ffi.new("luna_name[?]", math.max(#list, 1))
  for i, text in ipairs(list) do out[i - 1] = dns.name(text) end
  return out
end

--- Where this server is reached: the addresses it is bound to, or all of this host but the loopback's and those that are
--- good on one link only.
local function local_addresses(server)
  local texts = server.block.binds
  if not texts or texts[1] == "" then
    texts = {}
    for _, list in pairs(interfaces.addresses()) do
      for _, text in ipairs(list) do texts[#texts + 1] = text end
    end
  end
  local found = {}
  for _, text in ipairs(texts) do
    local loopback = text == "::1" or text:find "^127%."
    if not loopback and not text:find("%", 1, true) then found[#found + 1] = assert(boundary.addr(text)) end
  end
  local out = ffi.new("luna_addr[?]", math.max(#found, 1))
  for i, addr in ipairs(found) do out[i - 1] = addr end
  return out, #found
end

--- The zones of a cluster set must be among the directive's.
local function check_multicluster(conf)
  local known = {}
  for _, zone in ipairs(conf.zones) do known[zone] = true end
  for _, zone in ipairs(conf.multicluster or {}) do
    if not known[zone] then
      error(("is not authoritative for the multicluster zone %s (authoritative zones: [%s])"):format(zone,
        table.concat(conf.zones, " ")), 0)
    end
  end
end

local function warn(conf, server)
  if server.role == "control" and #(conf.endpoint or {}) > 1 then
    server:log("warning", "Multiple endpoints have been deprecated, only the first specified endpoint '%s' is used",
      conf.endpoint[1])
  end
end

---@param conf table
---@param server LunaServer
---@return ffi.cdata* luna_kubernetes closed with the generation; also in server.block.kubernetes
return function(conf, server)
  check_multicluster(conf)
  warn(conf, server)
  local held = {} -- what config points into
  local function texts(list)
    held[#held + 1] = list
    return ffi.new("const char *[?]", math.max(#list, 1), list)
  end
  local config = ffi.new "luna_kubernetes_config"
  local zones, multicluster, through = names(conf.zones), names(conf.multicluster or {}), names(conf.fallthrough or {})
  local namespaces = texts(conf.namespaces or {})
  local addresses, naddresses = local_addresses(server)
  config.zones, config.nzones = zones, #conf.zones
  config.multicluster, config.nmulticluster = multicluster, #(conf.multicluster or {})
  config.through, config.nthrough = through, #(conf.fallthrough or {})
  config.namespaces, config.nnamespaces = namespaces, #(conf.namespaces or {})
  config["local"], config.nlocal = addresses, naddresses
  config.ttl = conf.ttl or TTL
  config.pods = PODS[conf.pods or "disabled"]
  config.noendpoints = conf.noendpoints and 1 or 0
  config.ignore_empty = conf.ignore and 1 or 0
  config.zonal = conf.zonal and 1 or 0
  config.endpoint_pod_names = conf.endpoint_pod_names and 1 or 0
  local tls, kubeconfig = conf.tls or {}, conf.kubeconfig or {}
  config.endpoint = conf.endpoint and conf.endpoint[1]
  config.cert, config.key, config.ca = tls.cert, tls.key, tls.ca
  config.kubeconfig, config.context = kubeconfig.file, kubeconfig.context
  config.labels, config.namespace_labels = conf.labels, conf.namespace_labels
  config.qps = conf.apiserver_qps or 0
  config.burst = conf.apiserver_burst or 0
  config.max_inflight = conf.apiserver_max_inflight or 0
  local err = ffi.new "char[1024]"
  local cluster = C.luna_kubernetes_open(server.generation, config, err, 1024)
  if cluster == nil then error(ffi.string(err), 0) end
  server:on_close(function() C.luna_kubernetes_close(cluster) end)
  server.block.kubernetes = cluster
  return cluster
end
