--- The order in which plugins run, whatever their order in the Corefile: CoreDNS's of 1.14.7 and later.
local order = {}

--- Every directive CoreDNS knows; those without a file here are refused with a text of their own.
order.names = {
  "root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts", "multisocket",
  "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed", "prometheus", "errors",
  "log", "dnstap", "local", "dns64", "any", "chaos", "loadbalance", "tsig", "rewrite", "autopath", "acl", "cache",
  "header", "dnssec", "tls", "minimal", "template", "transfer", "hosts", "route53", "azure", "clouddns", "k8s_external",
  "kubernetes", "file", "auto", "secondary", "etcd", "loop", "forward", "grpc", "erratic", "whoami", "on", "sign", "view",
  "nomad",
}

local rank = {}
for i, name in ipairs(order.names) do rank[name] = i end

---@param name string
---@return boolean
function order.builtin(name) return rank[name] ~= nil end

--- The place of a plugin. One of a user's runs just before `cache`, or where its before or after says.
---@param plugin { name: string, before?: string, after?: string }
---@return number
function order.rank(plugin)
  if plugin.before and rank[plugin.before] then return rank[plugin.before] - 0.5 end
  if plugin.after and rank[plugin.after] then return rank[plugin.after] + 0.5 end
  return rank[plugin.name] or rank.cache - 0.5
end

return order
