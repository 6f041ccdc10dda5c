--- Answers external and load balancer addresses of a cluster's services in zones of their own. As CoreDNS's plugin
--- k8s_external.
local boundary = require "lunadns.boundary"
local chase_of = require "lunadns.kubernetes.chase"
local dns = require "dns"
local ffi = require "ffi"

local C = boundary.C

local function names(list)
  local out = ffi.new("luna_name[?]", math.max(#list, 1))
  for i, text in ipairs(list) do out[i - 1] = dns.name(text) end
  return out
end

local function ttl(entry, fail, value)
  local token = entry.args[1]
  if not token then fail "Wrong argument count or unexpected line ending after 'ttl'" end
  local seconds = value("int", token)
  if seconds < 0 or seconds > 3600 then fail(("ttl must be in range [0, 3600]: %d"):format(seconds), token) end
  return seconds
end

---@param server LunaServer
local function open(conf, server)
  local cluster = server.block.kubernetes
  if not cluster then error("kubernetes plugin not loaded", 0) end
  local through = conf.fallthrough or {}
  local external = C.luna_external_open(cluster, names(conf.zones), #conf.zones, names(through), #through, conf.ttl or 5,
    conf.headless and 1 or 0, dns.name(conf.apex))
  if external == nil then error("out of memory", 0) end
  server:on_close(function() C.luna_external_close(external) end)
  return external
end

return dns.plugin {
  name = "k8s_external",
  doc = "Answers external and load balancer addresses of services as SERVICE.NAMESPACE.ZONE; needs kubernetes in the block.",
  options = {
    { "zones", type = "zone", rest = true, doc = "Zones to answer for; default: the server block's." },
    apex = {
      type = "name", default = "dns", doc = "The label below which the zone's own names are: ns1 and hostmaster.",
      check = function(value) return not value:find("%..", 1), "expected one label" end,
    },
    ttl = { arg = "SECONDS", parse = ttl, doc = "TTL of answers, 0 to 3600; default 5." },
    headless = { type = "flag", doc = "Headless services show their endpoints." },
    fallthrough = {
      type = "zone", rest = true, empty = { "." }, doc = "Unknown names in these zones (default: all) go to the next plugin.",
    },
  },
  live = function(conf) return conf.zones end,

  setup = function(conf, next, server)
    local external = open(conf, server)
    local behind, chase = server.behind, chase_of()
    local OK, NONE, PASS, CHASE = C.LUNA_OK, C.LUNA_NONE, C.LUNA_KUBE_PASS, C.LUNA_KUBE_CHASE
    local NOERROR, REFUSED = dns.NOERROR, dns.REFUSED

    ---@param q DnsQuery
    return function(q)
      local code = C.luna_external_answer(external, q)
      if code == OK then return NOERROR end
      if code == NONE then return next(q) end
      if code == PASS then return behind(q) end
      if code == CHASE then return chase(q) end
      return REFUSED
    end
  end,
}
