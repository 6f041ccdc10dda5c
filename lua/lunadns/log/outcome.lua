--- What plugin log itself tells of a reply, in its own lines: log/type and log/class, with CoreDNS's words.
local boundary = require "lunadns.boundary"
local dns = require "dns"

local C = boundary.C

local CLASSES = { [C.LUNA_CLASS_SUCCESS] = "success", [C.LUNA_CLASS_DENIAL] = "denial", [C.LUNA_CLASS_ERROR] = "error" }
local UPDATE, NOTIFY = 5, 4

local function refers(q)
  for record in q:records(dns.AUTHORITY) do
    if record.type == dns.NS then return true end
  end
  return false
end

--- rcode: what the handler returned, which is the reply's when there is none yet.
local function type_of(q, rcode)
  local class = C.luna_reply_class(q)
  if q.reply_len > 0 then rcode = q:reply_rcode() end
  if class == C.LUNA_CLASS_SUCCESS then
    return q:count(dns.ANSWER) == 0 and refers(q) and "DELEGATION" or "NOERROR"
  end
  if class == C.LUNA_CLASS_DENIAL then return rcode == dns.NXDOMAIN and "NXDOMAIN" or "NODATA" end
  if q.opcode == UPDATE then return "UPDATE" end
  if q.opcode == NOTIFY or q.qtype == dns.AXFR or q.qtype == dns.IXFR then return "META" end
  return (rcode == dns.SERVFAIL or rcode == dns.NOTIMP) and "SERVERERROR" or "OTHERERROR"
end

---@type table<string, fun(q: DnsQuery, rcode: integer): string>
return {
  ["log/class"] = function(q) return CLASSES[C.luna_reply_class(q)] end,
  ["log/type"] = type_of,
}
