--- Bounds how many queries one client may send.
local dns = require "dns"

---@param server LunaServer
local function setup(conf, next, server)
  local limit, window, action = conf.limit, conf.window, conf.action
  local site = server.sites[1]
  -- The name has in it what must not be mixed: counts of another window or of other prefixes.
  local counts = dns.shared(("ratelimit %s %s %g/%d/%d"):format(site.server, site.zone, window, conf.ipv4_prefix,
    conf.ipv6_prefix), { bytes = conf.memory, ipv4_prefix = conf.ipv4_prefix, ipv6_prefix = conf.ipv6_prefix })
  local exempt = dns.networks(conf.exempt)
  local limited = server:counter("limited_total", "Queries beyond a client's limit.", { { "action", action } })
  local UDP, INTERNAL = dns.UDP, dns.INTERNAL

  ---@param q DnsQuery
  return function(q)
    local transport = q.transport
    if transport == INTERNAL or exempt:match(q.client) then return next(q) end
    -- A client that came over TCP has done what a cut reply asks for: it has proved its address.
    if action == "truncate" and transport ~= UDP then return next(q) end
    local n = counts:incr(q.client, 1, 0, window)
    if not n or n <= limit then return next(q) end
    limited:inc()
    if action == "drop" then return q:drop() end
    if action == "truncate" then return q:truncate() end
    q:ede("Prohibited", "rate limit")
    return q:refuse()
  end
end

return dns.plugin {
  name = "ratelimit",
  doc = "Bounds how many queries a client may send in a time.",
  options = {
    { "limit", type = "int", min = 1, required = true, doc = "Queries of one client in each window." },
    window = { type = "duration", default = "1s", min = "100ms", max = "1h", doc = "The time that is counted." },
    action = { type = "enum", values = { "refuse", "drop", "truncate" }, default = "refuse",
      doc = "What the others get. `truncate` sends clients to TCP, which is not limited then." },
    exempt = { type = "cidr", bare = true, rest = true, repeatable = "append", default = {}, doc = "Clients without a limit." },
    ipv4_prefix = { type = "int", default = 32, min = 8, max = 32, doc = "Addresses with these bits in common are one client." },
    ipv6_prefix = { type = "int", default = 64, min = 16, max = 128, doc = "The same for IPv6." },
    memory = { type = "size", default = "16MB", min = "64KB", doc = "Bound of all counts; clients not seen lately go first." },
  },
  setup = setup,
}
