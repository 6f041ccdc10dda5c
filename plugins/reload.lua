--- Looks whether the Corefile changed, and loads it then. As CoreDNS's plugin reload.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

return dns.plugin {
  name = "reload",
  doc = "Loads the Corefile, what it imports and plugin files anew when their content has changed; one for the process.",
  many = "merge",
  options = {
    { "interval", type = "duration", default = "30s", min = "2s", doc = "How often to look." },
    {
      "jitter", type = "duration", default = "15s",
      doc = "The interval varies by up to half of this either way; at most half the interval counts; 0 = not at all.",
      check = function(value) return value == 0 or value >= 1, "jitter value must be 0 or greater or equal to 1s" end,
    },
  },
  configure = function(confs, server)
    if server.role ~= "control" then return end
    local conf = confs[1]
    C.luna_config_set(server.generation, C.LUNA_SET_RELOAD_INTERVAL, conf.interval)
    C.luna_config_set(server.generation, C.LUNA_SET_RELOAD_JITTER, math.min(conf.jitter, conf.interval / 2))
  end,
}
