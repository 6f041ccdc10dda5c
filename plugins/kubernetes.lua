--- Answers the names of a Kubernetes cluster from a live watch of its API server. As CoreDNS's plugin kubernetes.
local boundary = require "lunadns.boundary"
local chase_of = require "lunadns.kubernetes.chase"
local dns = require "dns"
local metadata = require "lunadns.kubernetes.metadata"
local open = require "lunadns.kubernetes.open"
local sync = require "lunadns.kubernetes.sync"

local C = boundary.C

return dns.plugin {
  name = "kubernetes",
  doc = "Answers the names of services, endpoints and pods of a Kubernetes cluster.",
  options = require "lunadns.kubernetes.options",
  live = function(conf) return conf.zones end,

  setup = function(conf, next, server)
    local cluster = open(conf, server)
    sync(cluster, conf, server)
    metadata(cluster, server)
    local behind, chase = server.behind, chase_of()
    local OK, NONE, PASS, CHASE = C.LUNA_OK, C.LUNA_NONE, C.LUNA_KUBE_PASS, C.LUNA_KUBE_CHASE
    local NOERROR, REFUSED = dns.NOERROR, dns.REFUSED

    ---@param q DnsQuery
    return function(q)
      local code = C.luna_kubernetes_answer(cluster, q)
      if code == OK then return NOERROR end
      if code == NONE then return next(q) end
      if code == PASS then return behind(q) end
      if code == CHASE then return chase(q) end
      return REFUSED
    end
  end,
}
