--- Answers with the client's own address, port and transport: for finding out what a server sees. As CoreDNS's plugin
--- whoami.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

return dns.plugin {
  name = "whoami",
  doc = "Answers with the client's address, port and transport in the additional section.",
  many = "merge",
  options = {},
  setup = function()
    local owner = ffi.new("uint8_t[260]")
    local rdata = ffi.new("uint8_t[7]")
    local udp, tcp = "\4_udp", "\4_tcp"
    ---@param q DnsQuery
    return function(q)
      q:respond "NOERROR"
      q:set_flag("aa", true)
      C.luna_reply_address(q, C.LUNA_ADDITIONAL, q.client, 0)
      local asked = q.packet + 12
      -- No room for five octets more: the name would be none.
      if q.name_len <= C.LUNA_NAME_MAX - 5 then
        ffi.copy(owner, q.transport == C.LUNA_UDP and udp or tcp, 5)
        ffi.copy(owner + 5, asked, q.name_len)
        -- SRV, RFC 2782: priority and weight 0, the client's port, target ".".
        rdata[4], rdata[5], rdata[6] = q.client.port / 256, q.client.port % 256, 0
        C.luna_reply_add(q, C.LUNA_ADDITIONAL, owner, dns.SRV, 0, rdata, 7)
      end
      return dns.NOERROR
    end
  end,
}
