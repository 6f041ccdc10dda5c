--- Answers the names of a Kubernetes cluster from a live watch of its API server. As CoreDNS's plugin kubernetes.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local open = require "lunadns.kubernetes.open"
local sync = require "lunadns.kubernetes.sync"

local C = boundary.C
local LINKS = 16 -- more CNAMEs than C writes in a row

local function setup(conf, next, server)
  local cluster = open(conf, server)
  sync(cluster, conf, server)
  local behind = server.behind
  local records, target, wire = ffi.new("luna_rr[?]", LINKS), ffi.new "luna_name", ffi.new "uint8_t[256]"
  local OK, NONE, PASS, CHASE = C.LUNA_OK, C.LUNA_NONE, C.LUNA_KUBE_PASS, C.LUNA_KUBE_CHASE
  local ANSWERS, TC = bit.lshift(1, dns.ANSWER), C.LUNA_TC
  local NOERROR, REFUSED = dns.NOERROR, dns.REFUSED

  --- The last CNAME of the reply leads out of the zone: what the server itself answers there comes behind it. A failure
  --- leaves the CNAME alone, as in CoreDNS.
  local function chase(q)
    local last = records[C.luna_reply_read(q, records, LINKS) - 1]
    C.luna_name_set(wire, C.luna_reply_name(q, last.rdata, wire), target)
    local reply = dns.resolve(target, q.qtype)
    if reply then
      C.luna_reply_add_message(q, reply.data, reply.len, ANSWERS)
      if reply.tc then C.luna_reply_flags(q, TC, 0) end
    end
    return NOERROR
  end

  return function(q)
    local code = C.luna_kubernetes_answer(cluster, q)
    if code == OK then return NOERROR end
    if code == NONE then return next(q) end
    if code == PASS then return behind(q) end
    if code == CHASE then return chase(q) end
    return REFUSED
  end
end

return dns.plugin {
  name = "kubernetes",
  doc = "Answers the names of services, endpoints and pods of a Kubernetes cluster.",
  options = require "lunadns.kubernetes.options",
  live = function(conf) return conf.zones end,
  setup = setup,
}
