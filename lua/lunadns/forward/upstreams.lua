--- Opens the core's upstreams for a `forward`, with their metrics.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local upstreams = {}

local RCODES = {
  [0] = "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
  "NOTZONE", [16] = "BADSIG", [17] = "BADKEY", [18] = "BADTIME", [19] = "BADMODE", [20] = "BADNAME", [21] = "BADALG",
  [22] = "BADTRUNC", [23] = "BADCOOKIE",
}
local PROTOCOLS = { [C.LUNA_UDP] = "udp", [C.LUNA_TCP] = "tcp", [C.LUNA_TLS] = "tcp-tls" }

---@class ForwardUpstream
---@field handle ffi.cdata* luna_upstream
---@field to string
---@field durations table<integer, LunaHistogram> histogram by rcode
---@field server LunaServer
local Upstream = {}
Upstream.__index = Upstream

--- The histogram for an rcode; made when the upstream first answers with it.
---@param rcode integer
---@return LunaHistogram
function Upstream:duration(rcode)
  local labels = { { "proxy_name", "forward" }, { "to", self.to }, { "rcode", RCODES[rcode] or tostring(rcode) } } ---@type table
  local histogram = self.server:histogram("coredns_proxy_request_duration_seconds",
    "Histogram of the time each request took.", labels, self.server.time_buckets, 1e-9)
  self.durations[rcode] = histogram
  return histogram
end

local function count(server, config, target)
  local labels = { { "proxy_name", "forward" }, { "to", target.to } }
  config.fail_series = server:counter("coredns_proxy_healthcheck_failures_total",
    "Counter of the number of failed healthchecks.", labels).slot
  for transport, proto in pairs(PROTOCOLS) do
    -- A plain upstream has no TLS connections, and a TLS one no others.
    if (proto == "tcp-tls") == target.tls then
      labels[3] = { "proto", proto }
      config.hit_series[transport] = server:counter("coredns_proxy_conn_cache_hits_total",
        "Counter of connection cache hits per upstream and protocol.", labels).slot
      config.miss_series[transport] = server:counter("coredns_proxy_conn_cache_misses_total",
        "Counter of connection cache misses per upstream and protocol.", labels).slot
    end
  end
end

--- `tls` alone, with CA, with CERT KEY, with CERT KEY CA.
local function set_tls(config, files)
  if #files == 1 then
    config.tls_ca = files[1]
  else
    config.tls_cert, config.tls_key, config.tls_ca = files[1], files[2], files[3]
  end
end

--- Opens one upstream. Raises a text for the user.
---@param target ForwardTarget
---@param conf table the options of forward
---@param server LunaServer
---@return ForwardUpstream
local function open(target, conf, server)
  local config = ffi.new "luna_upstream_config"
  local files = conf.tls or {}
  local name = conf.tls_servername or target.tls_name -- kept here: config only points to it
  config.addr = target.addr
  if conf.source_address then config.source = assert(boundary.addr(conf.source_address, 0)) end
  -- LUNA_TCP: a plain upstream that is checked over TCP.
  config.transport = target.tls and C.LUNA_TLS or conf.force_tcp and C.LUNA_TCP or C.LUNA_UDP
  config.health_rd = conf.health_check.no_rec and 0 or 1
  config.health_name = assert(boundary.name(conf.health_check.domain))
  config.health_interval = conf.health_check.interval * 1e9
  config.max_idle = math.min(conf.max_idle_conns, 65535)
  config.max_fails = conf.max_fails
  config.expire = conf.expire * 1e9
  config.max_age = conf.max_age * 1e9
  if target.tls then
    config.tls_name = name
    set_tls(config, files)
  end
  count(server, config, target)
  local err = ffi.new "char[512]"
  local handle = C.luna_upstream_open(config, err, 512)
  if handle == nil then error(("tls: %s"):format(ffi.string(err)), 0) end
  server:on_close(function() C.luna_upstream_close(handle) end)
  return setmetatable({ handle = handle, to = target.to, durations = {}, server = server }, Upstream)
end

---@param list ForwardTarget[]
---@param conf table
---@param server LunaServer
---@return ForwardUpstream[] from 0
---@return integer n
function upstreams.open(list, conf, server)
  local opened = {}
  for i, target in ipairs(list) do opened[i - 1] = open(target, conf, server) end
  return opened, #list
end

return upstreams
