--- What plugin kubernetes tells of a query: the names that CoreDNS has.
local boundary = require "lunadns.boundary"
local ffi = require "ffi"

local C = boundary.C

local NAMES = {
  ["client-namespace"] = C.LUNA_KUBE_CLIENT_NAMESPACE, ["client-pod-name"] = C.LUNA_KUBE_CLIENT_POD,
  cluster = C.LUNA_KUBE_CLUSTER, endpoint = C.LUNA_KUBE_ENDPOINT, kind = C.LUNA_KUBE_KIND,
  namespace = C.LUNA_KUBE_NAMESPACE, ["parse-error"] = C.LUNA_KUBE_PARSE_ERROR, ["port-name"] = C.LUNA_KUBE_PORT_NAME,
  protocol = C.LUNA_KUBE_PROTOCOL, service = C.LUNA_KUBE_SERVICE, zone = C.LUNA_KUBE_ZONE,
}

---@param cluster ffi.cdata* luna_kubernetes
---@param server LunaServer
return function(cluster, server)
  local out = ffi.new "char[1025]"
  for name, number in pairs(NAMES) do
    server:metadata("kubernetes/" .. name, function(q)
      local len = C.luna_kubernetes_metadata(cluster, q, number, out)
      return len >= 0 and ffi.string(out, len) or nil
    end)
  end
end
