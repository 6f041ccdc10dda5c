-- A key of the ConfigMap stands beside the Corefile, and is the directive `sinkhole` there.
local dns = require "dns"

return dns.plugin {
  name = "sinkhole",
  options = { { "zone", type = "zone", required = true } },
  setup = function(conf, next)
    ---@param q DnsQuery
    return function(q)
      if not q:under(conf.zone) then return next(q) end
      return q:answer_address("0.0.0.0", 60)
    end
  end,
}
