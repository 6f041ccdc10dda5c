--- How long connections may take, and how many a client may have. As CoreDNS's plugin timeouts, but for
--- `maxtcpconnections`, which CoreDNS does not have.
local dns = require "dns"

local function not_zero(n) return n ~= 0, "0 is no limit: expected -1 (unlimited) or a positive number" end
local function timeout(doc) return { type = "duration", bare = "s", min = "1s", max = "24h", doc = doc } end

return dns.plugin {
  name = "timeouts",
  doc = "Limits on the connections of TCP and TLS clients.",
  many = "merge",
  options = {
    read = timeout "A query must have arrived so long after its connection was accepted; 3s when left out.",
    write = timeout "A client must take its reply within; 5s when left out.",
    idle = timeout "A connection without a query ends after; 10s when left out.",
    maxtcpqueries = {
      type = "int", min = -1, arg = "N", doc = "Queries of one connection; -1, as when left out, is no limit.",
      check = not_zero,
    },
    maxtcpconnections = {
      type = "int", min = -1, max = 1048576, arg = "N", check = not_zero,
      doc = "Connections of one client address at once, more are closed; 4096 when left out, or half of what the "
        .. "process has descriptors for; -1 is no limit.",
    },
  },
  configure = function(confs, server)
    local times = server.block.timeouts or {}
    for _, conf in ipairs(confs) do
      if not next(conf) then
        error("timeouts block with no timeouts specified; expected read, write, idle, maxtcpqueries or maxtcpconnections",
          0)
      end
      times.read, times.write = conf.read or times.read, conf.write or times.write
      times.idle, times.max_queries = conf.idle or times.idle, conf.maxtcpqueries or times.max_queries
      times.max_connections = conf.maxtcpconnections or times.max_connections
    end
    server.block.timeouts = times
  end,
}
