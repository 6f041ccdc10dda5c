--- Serves a page about the process where CoreDNS serves Go's profiles.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

return dns.plugin {
  name = "pprof",
  doc = "Serves /debug/pprof/: memory, CPU and thread figures of the process and how to profile it. There are no Go "
    .. "profiles.",
  options = {
    { "address", type = "listen", default = "localhost:6053", doc = "Where to listen." },
    block = {
      type = "int", empty = 1, arg = "RATE", doc = "Accepted for CoreDNS's sake: there is no Go scheduler to profile.",
    },
  },
  configure = function(conf, server)
    if server.role ~= "control" then return end
    local err = ffi.new "char[512]"
    if C.luna_config_endpoint(server.generation, C.LUNA_HTTP_PPROF, conf.address, err, 512) < 0 then
      error(ffi.string(err), 0)
    end
  end,
}
