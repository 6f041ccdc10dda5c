--- Asks another server what clients ask, for a part of the queries, and compares. The client never waits for it.
local dns = require "dns"

local SCHEMES = { dns = true, udp = true, tcp = true, tls = true }

local function check_upstream(text)
  local scheme, rest = text:match "^(%w+)://(.*)$"
  local address = (rest or text):gsub("%%[%w%.%-_]+", "")
  if (not scheme or SCHEMES[scheme]) and pcall(dns.addr, address, 53) then return true end
  return nil, ("'%s' is no server: expected 192.0.2.1, [2001:db8::1]:53, tcp://192.0.2.1 or tls://192.0.2.1%%NAME"):format(text)
end

---@param server LunaServer
local function setup(conf, next, server)
  local upstream, share, most = conf.upstream, conf.sample / 100, conf.max
  local zones = dns.zones(#conf.zones > 0 and conf.zones or server.zones)
  local options = { timeout = conf.timeout, tls_name = conf.tls_name, ca = conf.ca }
  local signed = { timeout = conf.timeout, tls_name = conf.tls_name, ca = conf.ca, dnssec = true }
  local results = server:counter("queries_total",
    "Mirrored queries: the rcode was the same, different, none came (failed), or too many were under way (skipped).",
    { { "to", upstream }, "result" })
  local under_way = 0 -- in this worker
  local INTERNAL, random = dns.INTERNAL, math.random

  --- Starts the question to the other server and returns.
  ---@param q DnsQuery
  local function send(q, rcode)
    if under_way >= most then return results:inc "skipped" end
    -- q is another's when the answer comes: what is needed then is copied now.
    local name, qtype, opts = q:name_text(), q.qtype, q:dnssec_ok() and signed or options
    under_way = under_way + 1
    local started = dns.spawn(function()
      local ok, reply, why = pcall(dns.exchange, upstream, name, qtype, opts)
      under_way = under_way - 1
      if not ok then error(reply, 0) end
      if not reply then
        results:inc "failed"
        return server:log("debug", "%s", why)
      end
      results:inc(reply.rcode == rcode and "same" or "different")
    end)
    if not started then
      under_way = under_way - 1
      results:inc "skipped"
    end
  end

  ---@param q DnsQuery
  return function(q)
    if q.transport == INTERNAL or q.qclass ~= dns.IN or not zones:match(q) or random() >= share then return next(q) end
    local rcode, err = next(q)
    send(q, q:reply_rcode() or rcode)
    return rcode, err
  end
end

return dns.plugin {
  name = "mirror",
  doc = "Sends a part of the questions to another server as well and counts how often its rcode is the same.",
  writes = false,
  options = {
    { "upstream", type = "string", required = true, check = check_upstream,
      doc = "The other server: 192.0.2.1, 192.0.2.1:5353, tcp://192.0.2.1 or tls://192.0.2.1%NAME." },
    sample = { type = "number", default = 1, min = 0, max = 100, arg = "PERCENT", doc = "Percent of the queries; 0.1 is fine." },
    zones = { type = "zone", rest = true, repeatable = "append", default = {},
      doc = "Only names in these; the block's without it." },
    timeout = { type = "duration", default = "2s", min = "10ms", max = "30s", doc = "How long the other server may take." },
    max = { type = "int", default = 100, min = 1, max = 1000,
      doc = "So many under way at once in each worker; others are skipped." },
    tls_name = { type = "string", doc = "The name in the other server's certificate." },
    ca = { type = "file", doc = "PEM file of CAs to trust in place of the system's." },
  },
  setup = setup,
}
