--- Debug lines in the log. As CoreDNS's plugin debug.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

return dns.plugin {
  name = "debug",
  doc = "Writes [DEBUG] lines to the log, those of the whole process.",
  many = "merge",
  options = {},
  configure = function(_, server)
    if server.role == "control" then C.luna_config_set(server.generation, C.LUNA_SET_DEBUG, 1) end
  end,
}
