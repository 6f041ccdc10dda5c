--- Serves /health for liveness probes, and keeps serving for a while after SIGTERM. As CoreDNS's plugin health.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

return dns.plugin {
  name = "health",
  doc = "Answers GET /health with 200 OK while the process serves, and asks itself once a second.",
  many = "merge",
  options = {
    { "address", type = "listen", doc = "Where to listen; `:8080` when left out." },
    lameduck = { type = "duration", doc = "After SIGTERM keep answering for so long before stopping." },
  },
  configure = function(confs, server)
    if server.role ~= "control" then return end
    -- As in CoreDNS, of several lines in a block the last one that says something counts.
    local address, lameduck = ":8080", 0
    for _, conf in ipairs(confs) do
      address, lameduck = conf.address or address, conf.lameduck or lameduck
    end
    local err = ffi.new "char[512]"
    if C.luna_config_endpoint(server.generation, C.LUNA_HTTP_HEALTH, address, err, 512) < 0 then
      error(ffi.string(err), 0)
    end
    if lameduck > 0 then C.luna_config_set(server.generation, C.LUNA_SET_LAMEDUCK, lameduck) end
  end,
}
