--- Puts a plugin of this server block elsewhere in the chain than it is by itself.
local dns = require "dns"

return dns.plugin {
  name = "order",
  doc = "Overrules a plugin's place in the chain of this server block.",
  many = "merge",
  options = {
    { "plugin", required = true, doc = "The plugin to move." },
    { "place", values = { "before", "after" }, required = true, doc = "On which side." },
    { "other", required = true, doc = "Of this plugin, which need not be in the block when it is one of CoreDNS's." },
  },
  -- The chain reads these lines itself, before it sorts: see lua/lunadns/order.lua.
  configure = function() end,
}
