--- Turns on what plugins tell of a query under names. As CoreDNS's plugin metadata.
local dns = require "dns"
local metadata = require "lunadns.metadata"

return dns.plugin {
  name = "metadata",
  doc = "Turns on values that plugins give under names: {/kubernetes/service} in a format of `log`, q:metadata in a handler.",
  options = {
    { "zones", type = "zone", rest = true, doc = "Only queries for these zones have values; default: the server block's zones." },
  },
  configure = function(conf, server)
    local named, all = {}, true
    for _, zone in ipairs(conf.zones) do named[zone] = true end
    for _, zone in ipairs(server.zones) do all = all and (named["."] or named[zone]) end
    server.block.metadata = metadata.new(not all and dns.zones(conf.zones) or nil)
  end,
}
