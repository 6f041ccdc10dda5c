--- For specs: objects as the API server has them, and a server whose store is filled with them.
local boundary = require "lunadns.boundary"
local ffi = require "ffi"
local t = require "dns.test"

local C = boundary.C
local cluster = {}

local KINDS = { Service = 0, EndpointSlice = 1, Namespace = 2, Pod = 3, ServiceImport = 4, ImportSlice = 5 }
local VERSIONS = {
  Service = "v1", Namespace = "v1", Pod = "v1", EndpointSlice = "discovery.k8s.io/v1", ImportSlice = "discovery.k8s.io/v1",
  ServiceImport = "multicluster.x-k8s.io/v1alpha1",
}

local function json(value)
  if type(value) == "string" then return ("%q"):format(value):gsub("\\\n", "\\n") end
  if type(value) ~= "table" then return tostring(value) end
  local out = {}
  if #value > 0 or next(value) == nil then
    for i, one in ipairs(value) do out[i] = json(one) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for key, one in pairs(value) do out[#out + 1] = json(key) .. ":" .. json(one) end
  return "{" .. table.concat(out, ",") .. "}"
end

local function object(kind, place, own, labels)
  local space, name = place:match "^(.*)/(.*)$"
  own.kind, own.of = kind == "ImportSlice" and "EndpointSlice" or kind, kind
  own.apiVersion = VERSIONS[kind]
  own.metadata = { name = name or place, namespace = space, resourceVersion = "1", labels = labels }
  return own
end

local function ports(list)
  local out = {}
  for i, text in ipairs(list) do
    local name, number, protocol = text:match "^(%S+) (%d+)/(%u+)$"
    if not name then number, protocol = text:match "^(%d+)/(%u+)$" end
    out[i] = { name = name, port = tonumber(number), protocol = protocol }
  end
  return out
end

--- A service: cluster.service("ns-a/web", "10.96.1.1", { "http 80/TCP" }).
---@param address string|string[] the cluster's; "None"
---@param more? table of spec, or status
function cluster.service(place, address, port_list, more)
  local addresses = type(address) == "table" and address or { address }
  local own = {
    spec = { type = "ClusterIP", clusterIP = addresses[1], clusterIPs = addresses, ports = ports(port_list or {}) },
  }
  for key, value in pairs(more or {}) do
    if key == "status" then own.status = value else own.spec[key] = value end
  end
  return object("Service", place, own)
end

function cluster.external(place, name)
  return object("Service", place, { spec = { type = "ExternalName", externalName = name } })
end

--- A slice: cluster.slice("ns-a/web-1", "web", { "10.244.1.1 pod-0", "10.244.1.2 - notready" }, { "http 80/TCP" }).
--- An endpoint is ADDRESS [HOSTNAME|-] and words: notready, unset (ready is not sent), pod=NAME, zone=NAME.
function cluster.slice(place, service, endpoints, port_list, more)
  more = more or {}
  local list = {}
  for i, text in ipairs(endpoints) do
    local words = {}
    for word in text:gmatch "%S+" do words[#words + 1] = word end
    local own = { addresses = { words[1] }, conditions = { ready = true } }
    if words[2] and words[2] ~= "-" then own.hostname = words[2] end
    for k = 3, #words do
      local key, value = words[k]:match "^(%a+)=(.*)$"
      if words[k] == "notready" then own.conditions.ready = false end
      if words[k] == "unset" then own.conditions = nil end
      if key == "pod" then own.targetRef = { kind = "Pod", name = value } end
      if key == "zone" then own.zone = value end
    end
    list[i] = own
  end
  local family = more.family or (endpoints[1] or ""):find(":", 1, true) and "IPv6" or "IPv4"
  local key = more.cluster and "multicluster.kubernetes.io/service-name" or "kubernetes.io/service-name"
  local labels = { [key] = service }
  if more.cluster then labels["multicluster.kubernetes.io/source-cluster"] = more.cluster end
  local own = object(more.cluster and "ImportSlice" or "EndpointSlice", place,
    { addressType = family, endpoints = list, ports = ports(port_list or {}) }, labels)
  if more.trigger then
    own.metadata.annotations = { ["endpoints.kubernetes.io/last-change-trigger-time"] = more.trigger }
  end
  return own
end

function cluster.import(place, kind, ips, port_list)
  return object("ServiceImport", place, { spec = { type = kind, ips = ips, ports = ports(port_list or {}) } })
end

function cluster.namespace(name) return object("Namespace", name, {}) end

function cluster.pod(place, phase, ...)
  local all = {}
  for i, ip in ipairs { ... } do all[i] = { ip = ip } end
  return object("Pod", place, { status = { phase = phase, podIP = ..., podIPs = all } })
end

local err = ffi.new "char[4096]"

local function handle(s) return s.made.blocks[1].settings.kubernetes end

local function feed(s, kind, list, text)
  local code = C.luna_kubernetes_feed(handle(s), KINDS[kind], list, text, #text, err, 4096)
  assert(code >= 0, ffi.string(err))
  return code, ffi.string(err)
end

--- Lists every kind that is watched: the store is synced then.
function cluster.list(s, objects)
  local kinds = C.luna_kubernetes_kinds(handle(s))
  for kind, number in pairs(KINDS) do
    if bit.band(kinds, bit.lshift(1, number)) ~= 0 then
      local items = {}
      for _, own in ipairs(objects) do
        if own.of == kind then items[#items + 1] = json(own) end
      end
      local name = kind == "ImportSlice" and "EndpointSlice" or kind
      feed(s, kind, 1, ('{"kind":"%sList","apiVersion":"%s","metadata":{"resourceVersion":"9"},"items":[%s]}'):format(name,
        VERSIONS[kind], table.concat(items, ",")))
    end
  end
end

--- An event of a watch. Returns whether an answer changed, and what was said of the object.
---@param event "ADDED"|"MODIFIED"|"DELETED"
function cluster.event(s, event, own)
  local changed, said = feed(s, own.of, 0, ('{"type":"%s","object":%s}\n'):format(event, json(own)))
  return changed > 0, said
end

--- A server with kubernetes in its block and, unless unsynced, these objects in its store.
---@param options string lines of the directive
---@param objects table[]|nil nil: nothing is listed
---@param more? { zones?: string, before?: string, after?: string } other plugins' lines
function cluster.server(options, objects, more)
  more = more or {}
  local corefile = ". {\n bind 10.244.0.53\n%s\n kubernetes %s {\n  startup_timeout 0s\n%s\n }\n%s\n}"
  local s = t.server(corefile:format(more.before or "", more.zones or "cluster.local in-addr.arpa ip6.arpa", options,
    more.after or ""))
  if objects then cluster.list(s, objects) end
  return s
end

return cluster
