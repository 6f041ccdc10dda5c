--- Accepted so that CoreDNS's Corefiles work. As CoreDNS's plugin multisocket.
local dns = require "dns"

return dns.plugin {
  name = "multisocket",
  doc = "Changes nothing: every worker has a socket of its own for each address, always.",
  options = {
    { "sockets", type = "int", min = 1, max = 1024, doc = "How many sockets CoreDNS would open for each address." },
  },
  configure = function(conf, server)
    if server.role ~= "control" or not conf.sockets or conf.sockets == server.workers then return end
    server:log("info", "%d sockets for each address, one for each worker; %d were asked for", server.workers,
      conf.sockets)
  end,
}
