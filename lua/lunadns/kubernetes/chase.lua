--- What a CNAME leads to that a cluster's answer ends with.
local bit = require "bit"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local ffi = require "ffi"

local C = boundary.C
local LINKS = 16 -- more CNAMEs than the core writes in a row

--- Makes a handler's last step for LUNA_KUBE_CHASE: the last CNAME of the reply leads out of the zone; what the server
--- itself answers there comes behind it. A failure leaves the CNAME alone, as in CoreDNS. Waits.
---@return fun(q: DnsQuery): integer rcode
return function()
  local records, target, wire = ffi.new("luna_rr[?]", LINKS), ffi.new "luna_name", ffi.new "uint8_t[256]"
  local ANSWERS, TC = bit.lshift(1, dns.ANSWER), C.LUNA_TC

  return function(q)
    local last = records[C.luna_reply_read(q, records, LINKS) - 1]
    C.luna_name_set(wire, C.luna_reply_name(q, last.rdata, wire), target)
    local reply = dns.resolve(target, q.qtype)
    if reply then
      C.luna_reply_add_message(q, reply.data, reply.len, ANSWERS)
      if reply.tc then C.luna_reply_flags(q, TC, 0) end
    end
    return dns.NOERROR
  end
end
