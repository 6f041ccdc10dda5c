--- How long connections may take. As CoreDNS's plugin timeouts.
local dns = require "dns"

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
      check = function(n) return n ~= 0, "0 is no limit: expected -1 (unlimited) or a positive number" end,
    },
  },
  configure = function(confs, server)
    local times = server.block.timeouts or {}
    for _, conf in ipairs(confs) do
      if not (conf.read or conf.write or conf.idle or conf.maxtcpqueries) then
        error("timeouts block with no timeouts specified; expected read, write, idle or maxtcpqueries", 0)
      end
      times.read, times.write = conf.read or times.read, conf.write or times.write
      times.idle, times.max_queries = conf.idle or times.idle, conf.maxtcpqueries or times.max_queries
    end
    server.block.timeouts = times
  end,
}
