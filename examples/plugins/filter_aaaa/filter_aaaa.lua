--- Takes IPv6 addresses out of replies, for clients or sites whose IPv6 does not work.
local dns = require "dns"

local ANSWER, AUTHORITY, NOERROR, AAAA = dns.ANSWER, dns.AUTHORITY, dns.NOERROR, dns.AAAA

---@param server LunaServer
local function setup(conf, next, server)
  local except, clients = dns.names(conf.except), dns.networks(conf.clients)
  local everyone, only_with_a, dnssec = #conf.clients == 0, conf.only_with_a, conf.break_dnssec
  local soa = dns.soa(".", { minimum = conf.ttl })
  local filtered = server:counter("filtered_total", "Replies that lost IPv6 addresses.")

  --- Whether an IPv4 address is there instead. Asks the server itself, and waits when that has to ask.
  ---@param q DnsQuery
  local function has_a(q)
    local reply = dns.resolve(q:name_text(), "A")
    if not reply or reply.rcode ~= NOERROR then return false end
    for _, record in ipairs(reply.answer) do
      if record.type == "A" then return true end
    end
    return false
  end

  ---@param q DnsQuery
  return function(q)
    if except:match(q) or not (everyone or clients:match(q.client)) then return next(q) end
    -- What a client that validates gets must be as it was signed.
    if q:dnssec_ok() and not dnssec then return next(q) end
    local rcode, err = next(q)
    if q:reply_rcode() ~= NOERROR then return rcode, err end
    if q.qtype == AAAA then
      if q:count(ANSWER) == 0 or (only_with_a and not has_a(q)) then return rcode, err end
      if q:remove(AAAA, ANSWER) > 0 then
        filtered:inc()
        q:remove(nil, AUTHORITY)
        q:add(AUTHORITY, soa) -- so that "no such record" may be cached
      end
    elseif not only_with_a and q:remove(AAAA) > 0 then
      filtered:inc()
    end
    return rcode, err
  end
end

return dns.plugin {
  name = "filter_aaaa",
  doc = "Takes IPv6 addresses (AAAA records) out of replies; names may be excepted.",
  writes = false,
  options = {
    except = { type = "name", rest = true, repeatable = "append", default = {},
      doc = "Names that keep their addresses, with all below them." },
    clients = { type = "cidr", bare = true, rest = true, repeatable = "append", default = {},
      doc = "Only replies to these clients are changed; all without it." },
    only_with_a = { type = "flag", doc = "Only where the name has an IPv4 address instead." },
    break_dnssec = { type = "flag", doc = "Also for clients that ask for DNSSEC records, which may find the reply bogus." },
    ttl = { type = "duration", default = "60s", max = "24h", doc = "How long \"no IPv6 address\" may be cached." },
  },
  setup = setup,
}
