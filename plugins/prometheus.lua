--- Serves /metrics and counts queries and replies. As CoreDNS's plugin prometheus.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

local SIZE_BUCKETS = { 0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000 }

-- Types with a label of their own; what is not here is "other".
local TYPES = { "A", "AAAA", "CNAME", "DNSKEY", "DS", "MX", "NSEC3", "NSEC", "NS", "PTR", "RRSIG", "SOA", "SRV", "TXT",
  "HTTPS", "SVCB", "IXFR", "AXFR", "ANY" }
TYPES[0] = "other"
local PROTOS, FAMILIES = { [0] = "udp", "tcp" }, { [0] = "1", "2" }
local NTYPES, NRCODES = #TYPES + 1, 16
local UNSET = -1

local type_index = ffi.new "uint8_t[256]"
for i, text in ipairs(TYPES) do type_index[C.luna_type_number(text)] = i end

local function family(name, help, kind, labels, buckets, unit)
  local bounds = buckets and ffi.new("double[?]", #buckets, buckets)
  local number = C.luna_metric("coredns_" .. name, help, kind, labels, bounds, buckets and #buckets or 0, unit or 1)
  if number < 0 then error(("metric coredns_%s is declared elsewhere with other labels"):format(name), 0) end
  return number
end

---@param server LunaServer
local function families(server)
  local site = "server,zone,view"
  return {
    requests = family("dns_requests_total", "Counter of DNS requests made per zone, protocol and family.",
      C.LUNA_COUNTER, site .. ",proto,family,type"),
    durations = family("dns_request_duration_seconds", "Histogram of the time (in seconds) each request took per zone.",
      C.LUNA_HISTOGRAM, site, server.time_buckets, 1e-9),
    sizes_in = family("dns_request_size_bytes",
      "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.", C.LUNA_HISTOGRAM, site .. ",proto",
      SIZE_BUCKETS),
    sizes_out = family("dns_response_size_bytes", "Size of the returned response in bytes.", C.LUNA_HISTOGRAM,
      site .. ",proto", SIZE_BUCKETS),
    dnssec = family("dns_do_requests_total", "Counter of DNS requests with DO bit set per zone.", C.LUNA_COUNTER, site),
    responses = family("dns_responses_total", "Counter of response status codes.", C.LUNA_COUNTER,
      site .. ",rcode,plugin"),
    enabled = family("plugin_enabled",
      "A metric that indicates whether a plugin is enabled on per server and zone basis.", C.LUNA_GAUGE,
      site .. ",name"),
  }
end

--- Slot numbers by index, each found when it is first needed: a big Corefile has more series than it ever counts.
local function slots(count)
  local array = ffi.new("int32_t[?]", count)
  for i = 0, count - 1 do array[i] = UNSET end
  return array
end

--- One for each plugin that handles queries, from when this generation begins to serve until it ends.
---@param server LunaServer
local function show_plugins(number, sites, server)
  if server.role ~= "worker" or server.state.worker_index ~= 0 then return end
  local shown = {}
  server:spawn(function()
    for _, labels in ipairs(sites) do
      local seen = {}
      for _, instance in ipairs(server.chain.instances) do
        local name = instance.plugin.name
        if instance.plugin.setup and not seen[name] then
          seen[name] = true
          local slot = C.luna_series(number, labels .. name .. "\31")
          C.luna_counter_add(slot, 1)
          shown[#shown + 1] = slot
        end
      end
    end
  end)
  server:on_close(function()
    for _, slot in ipairs(shown) do C.luna_counter_add(slot, -1ULL) end
    shown = {}
  end)
end

return dns.plugin {
  name = "prometheus",
  doc = "Serves the metrics of the process at /metrics, and counts the queries of its server block.",
  writes = false,
  unserved = true,
  options = {
    { "address", type = "listen", default = "localhost:9153", doc = "Where to listen." },
    runtime_metrics = { type = "flag", doc = "Accepted for CoreDNS's sake: there is no Go runtime to show." },
    tls = {
      type = "string", arg = "FILE", doc = "Not available: metrics are served in plain HTTP.",
      check = function()
        return nil, "metrics are served in plain HTTP only; remove the line, and put a TLS proxy before the address "
          .. "if it must be encrypted"
      end,
    },
  },

  configure = function(conf, server)
    if server.role ~= "control" then return end
    local err = ffi.new "char[512]"
    if C.luna_config_endpoint(server.generation, C.LUNA_HTTP_METRICS, conf.address, err, 512) < 0 then
      error(ffi.string(err), 0)
    end
  end,

  setup = function(_, next, server)
    local all = families(server)
    local first, nsites = server.sites[1].number, #server.sites
    local sites = {}
    for i, site in ipairs(server.sites) do
      sites[i] = ("%s\31%s\31%s\31"):format(site.server, site.zone, server.block.view or "")
    end
    show_plugins(all.enabled, sites, server)

    -- The authors of this block have the highest numbers so far; 0 stands for the server itself.
    local names = server.chain.names
    local nauthors = #server.chain.instances
    local before = math.max(#names - nauthors, 0)
    nauthors = nauthors + 1

    local durations, dnssec = slots(nsites), slots(nsites)
    local sizes_in, sizes_out = slots(nsites * 2), slots(nsites * 2)
    local requests, responses = slots(nsites * 4 * NTYPES), slots(nsites * NRCODES * nauthors)

    -- Slot 0 is nobody's: it takes what has no room.
    local function found(array, index, number, values)
      array[index] = math.max(C.luna_series(number, values), 0)
      return array[index]
    end
    local function new_site(array, site, number) return found(array, site, number, sites[site + 1]) end
    local function new_proto(array, index, number)
      return found(array, index, number, sites[math.floor(index / 2) + 1] .. PROTOS[index % 2] .. "\31")
    end
    local function new_request(index, site, proto, fam, kind)
      return found(requests, index, all.requests,
        ("%s%s\31%s\31%s\31"):format(sites[site + 1], PROTOS[proto], FAMILIES[fam], TYPES[kind]))
    end
    local function new_response(index, site, rcode, author)
      local text = ffi.string(C.luna_rcode_text(rcode, ffi.new "char[16]"))
      return found(responses, index, all.responses,
        ("%s%s\31%s\31"):format(sites[site + 1], text, author < 0 and "" or names[author]))
    end

    local state = server.state
    local number_durations, number_dnssec = all.durations, all.dnssec
    local number_in, number_out = all.sizes_in, all.sizes_out
    local age, observe, reply_rcode, reply_size = C.luna_query_age, C.luna_observe, C.luna_reply_rcode, C.luna_reply_size
    local TCP, TLS = C.LUNA_TCP, C.LUNA_TLS
    local FORMERR, SERVFAIL, NOTIMP, REFUSED = dns.FORMERR, dns.SERVFAIL, dns.NOTIMP, dns.REFUSED

    ---@param q DnsQuery
    return function(q)
      local size = q.packet_len
      local rcode, err = next(q)

      local metrics = state.metrics
      local site = q.block - first
      local transport = q.transport
      local proto = (transport == TCP or transport == TLS) and 1 or 0
      local fam = q.client.family == 6 and 1 or 0
      local qtype = q.qtype
      local kind = qtype < 256 and type_index[qtype] or 0

      local index = ((site * 2 + proto) * 2 + fam) * NTYPES + kind
      local slot = requests[index]
      if slot < 0 then slot = new_request(index, site, proto, fam, kind) end
      metrics[slot] = metrics[slot] + 1

      if q.do_bit ~= 0 then
        slot = dnssec[site]
        if slot < 0 then slot = new_site(dnssec, site, number_dnssec) end
        metrics[slot] = metrics[slot] + 1
      end

      slot = durations[site]
      if slot < 0 then slot = new_site(durations, site, number_durations) end
      observe(metrics, slot, age(q))

      index = site * 2 + proto
      slot = sizes_in[index]
      if slot < 0 then slot = new_proto(sizes_in, index, number_in) end
      observe(metrics, slot, size)
      slot = sizes_out[index]
      if slot < 0 then slot = new_proto(sizes_out, index, number_out) end
      observe(metrics, slot, reply_size(q))

      -- As CoreDNS: the reply's rcode, unless the server itself is to write an error reply.
      local shown = 0
      if rcode == SERVFAIL or rcode == REFUSED or rcode == FORMERR or rcode == NOTIMP then
        shown = rcode
      elseif q.reply_len > 0 then
        shown = reply_rcode(q)
      end
      local author = q.author
      index = (site * NRCODES + shown) * nauthors + (author < 0 and 0 or author - before)
      slot = responses[index]
      if slot < 0 then slot = new_response(index, site, shown, author) end
      metrics[slot] = metrics[slot] + 1

      return rcode, err
    end
  end,
}
