--- The public API: what a plugin requires.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local exchange = require "dns.exchange"
local http = require "dns.http"
local numbers = require "lunadns.numbers"
local plugin = require "lunadns.plugin"
local records = require "lunadns.records"
local resolve = require "dns.resolve"
local rewriting = require "lunadns.query.rewriting"
local scratch = require "lunadns.query.scratch"
local socket = require "dns.socket"
local tasks = require "dns.tasks"
require "lunadns.query"

local C = boundary.C

---@class Dns
local dns = {
  NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5,
  ANSWER = 1, AUTHORITY = 2, ADDITIONAL = 3,
  A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, HINFO = 13, MX = 15, TXT = 16, AAAA = 28, SRV = 33, DS = 43, IXFR = 251,
  AXFR = 252, ANY = 255, IN = 1, CH = 3,
  -- What a name leads to in a table that was read from a response policy zone; a text is local data.
  RPZ_NXDOMAIN = 1, RPZ_NODATA = 2, RPZ_PASSTHRU = 3, RPZ_DROP = 4, RPZ_TCP_ONLY = 5,
  UDP = C.LUNA_UDP, TCP = C.LUNA_TCP, TLS = C.LUNA_TLS, INTERNAL = C.LUNA_INTERNAL,
}

dns.plugin = plugin.define
dns.shared = require "dns.shared"
dns.names = require "dns.names"
dns.suffixes = dns.names
dns.networks = require "dns.networks"

dns.resolve, dns.addresses = resolve.resolve, resolve.addresses
dns.exchange = exchange.exchange
dns.tcp, dns.udp, dns.unix = socket.tcp, socket.udp, socket.unix
dns.http = { get = http.get, request = http.request }
dns.json = require "dns.json"
dns.sleep, dns.all, dns.spawn = tasks.sleep, tasks.all, tasks.spawn

-- What setup prepares for the methods of q, see lua/lunadns/query/.
dns.records, dns.soa = records.new, records.soa
dns.rewrite = rewriting.rule
dns.tag, dns.number = scratch.tag, scratch.number

--- The number of a record type, for tables by q.qtype. Raises for what is none.
---@param text DnsType
---@return integer
function dns.type(text) return (numbers.type(text)) end

--- A name to compare with. Raises when the text is no name.
---@param text string
---@return ffi.cdata* luna_name
function dns.name(text)
  local name, err = boundary.name(text)
  return name or error(err, 2)
end

--- An address. Raises when the text is none.
---@param text string
---@param port? integer
---@return ffi.cdata* luna_addr
function dns.addr(text, port)
  local addr, err = boundary.addr(text, port)
  return addr or error(err, 2)
end

ffi.cdef [[
typedef struct { int count; int root; luna_name *list; } luna_zones;
]]

local anchors = {}
local zones = ffi.metatype("luna_zones", {
  __index = {
    --- Whether the question is at or below one of the zones.
    match = function(self, q)
      return self.root ~= 0 or C.luna_query_under_any(q, self.list, self.count) ~= 0
    end,
  },
})

--- A list of zones to match questions with: `zones:match(q)`.
---@param list string[]
---@return ffi.cdata* luna_zones
function dns.zones(list)
  local names = ffi.new("luna_name[?]", math.max(#list, 1))
  local root = 0
  for i, text in ipairs(list) do
    names[i - 1] = dns.name(text)
    if text == "." then root = 1 end
  end
  local self = zones(#list, root, names)
  anchors[#anchors + 1] = names -- luna_zones points into it
  return self
end

return dns
