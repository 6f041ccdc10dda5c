--- Serves /ready for readiness probes. As CoreDNS's plugin ready.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

return dns.plugin {
  name = "ready",
  doc = "Answers GET /ready with 200 OK once every plugin is ready, with 503 and their names before.",
  options = {
    { "address", type = "listen", default = ":8181", doc = "Where to listen." },
    monitor = {
      values = { "until-ready", "continuously" }, default = "until-ready",
      doc = "`until-ready`: what was ready once stays ready; `continuously`: it may become not ready again.",
    },
  },
  configure = function(conf, server)
    if server.role ~= "control" then return end
    local err = ffi.new "char[512]"
    if C.luna_config_endpoint(server.generation, C.LUNA_HTTP_READY, conf.address, err, 512) < 0 then
      error(ffi.string(err), 0)
    end
    C.luna_config_set(server.generation, C.LUNA_SET_READY_CONTINUOUS, conf.monitor == "continuously" and 1 or 0)
  end,
}
