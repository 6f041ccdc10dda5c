--- Walks a client's search list in the server: the first answer comes behind a CNAME, and the client need not ask again. As
--- CoreDNS's plugin autopath.
local bit = require "bit"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local ffi = require "ffi"
local running = require("lunadns.runner").running
local search_of = require "lunadns.autopath.search"

local C = boundary.C
local band, bor, lshift = bit.band, bit.bor, bit.lshift
local LENGTH_MAX = 255

--- [ZONE...] RESOLV-CONF|@PLUGIN
local function source(run, fail, value)
  local n = #run.args
  if n == 0 then fail "no resolv-conf specified" end
  local zones = {}
  for i = 1, n - 1 do
    for _, zone in ipairs(value("zone", run.args[i])) do zones[#zones + 1] = zone end
  end
  local text = run.args[n].text
  if text:sub(1, 1) == "@" then return { plugin = text:sub(2), zones = zones } end
  return { file = value("file", run.args[n]), zones = zones }
end

---@param server LunaServer
local function setup(conf, next, server)
  local own = conf.source
  local zones = dns.zones(#own.zones > 0 and own.zones or server.zones)
  local search = search_of(own, server)
  local state, success = server.state, {}
  for _, site in ipairs(server.sites) do
    success[site.number] = server:counter("success_total", "Counter of requests that did autopath.",
      { { "server", site.server } })
  end
  local wire, first = ffi.new "uint8_t[256]", ffi.new "luna_rr[1]"
  local NXDOMAIN, CNAME, ANSWER = dns.NXDOMAIN, dns.CNAME, dns.ANSWER
  local ASKED = bor(C.LUNA_RD, C.LUNA_CD, C.LUNA_AD)
  local TAKEN = bor(C.LUNA_AA, C.LUNA_TC, C.LUNA_RA, C.LUNA_AD)
  local SECTIONS = bor(lshift(1, dns.ANSWER), lshift(1, dns.AUTHORITY), lshift(1, dns.ADDITIONAL))

  --- q's question with another name, down the rest of the chain. The caller frees it.
  ---@param q DnsQuery
  local function ask(q, name)
    local other = C.luna_query_new(state, name, #name, q.qtype, q.qclass, band(q.flags, ASKED),
      q.edns == 0 and 0 or q.do_bit ~= 0 and 1 or 2)
    if other == nil then return nil, dns.SERVFAIL, "all query slots of this worker are in use" end
    other.client, other["local"], other.block = q.client, q["local"], q.block
    local ok, rcode, err = xpcall(next, running().driver.contain.trace, other)
    if not ok then
      C.luna_query_free(other)
      error(rcode, 0)
    end
    return other, rcode, err
  end

  --- The other's reply as q's own.
  ---@param q DnsQuery
  local function take(q, other)
    C.luna_reply_start(q, C.luna_reply_rcode(other))
    C.luna_reply_flags(q, band(C.luna_reply_get_flags(other), TAKEN), 0)
    if C.luna_reply_count(other, ANSWER) > 0 then
      C.luna_reply_read(other, first, 1)
      C.luna_reply_add(q, ANSWER, nil, CNAME, first[0].ttl, wire, C.luna_reply_name(other, first[0].owner, wire))
    end
    C.luna_reply_add_message(q, other.reply, other.reply_len, SECTIONS)
    success[q.block]:inc()
    return dns.NOERROR
  end

  --- The names behind the first, one after another, until one is there. When none is, the first reply stays.
  ---@param q DnsQuery
  local function walk(q, list, base)
    for i = 2, #list do
      local name = base .. list[i]
      if #name <= LENGTH_MAX then
        local other, rcode, err = ask(q, name)
        local found = other and not err and other.reply_len > 0 and C.luna_reply_rcode(other) ~= NXDOMAIN
        if found then take(q, other) end
        if other then C.luna_query_free(other) end
        if found then return dns.NOERROR end
        if err then
          C.luna_reply_clear(q)
          return rcode, err
        end
      end
    end
    return dns.NOERROR
  end

  ---@param q DnsQuery
  return function(q)
    if not zones:match(q) then return next(q) end
    local labels = search:labels(q)
    if labels == 0 then return next(q) end
    local list = search:list(q) -- before anything waits
    local rcode, err = next(q)
    if err or q.reply_len == 0 then return rcode, err end
    if C.luna_reply_rcode(q) ~= NXDOMAIN then
      success[q.block]:inc()
      return rcode
    end
    return walk(q, list, ffi.string(q.packet + 12, q.label[q.labels - labels]))
  end
end

return dns.plugin {
  name = "autopath",
  doc = "Walks the search list of a client in the server, so that it need not ask for each name by itself.",
  options = {
    {
      "source", rest = true, parse = source,
      doc = "[ZONE...] RESOLV-CONF: names in the zones (default: the server block's), by the search list of a file; or \z
        @kubernetes: by that of the pod that asks, with `pods verified`.",
    },
  },
  setup = setup,
}
