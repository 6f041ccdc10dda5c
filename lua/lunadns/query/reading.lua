--- Methods of q: what is asked, by whom, and how.
local bit = require "bit"
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local check = require "lunadns.query.check"
local numbers = require "lunadns.numbers"
local values = require "lunadns.query.values"

local C = boundary.C
local band = bit.band
local RD, AD, CD = C.LUNA_RD, C.LUNA_AD, C.LUNA_CD

-- Fields are the core's own: reading one costs nothing and is not checked. Plugins do not write them.

--- A query. It is its handler's until the handler returns: afterwards, and in what dns.spawn started meanwhile, its methods
--- raise. What ends in _text makes a string.
---@class (partial) DnsQuery
---@field qtype integer type asked for: dns.A, dns.AAAA ...
---@field qclass integer class asked for: dns.IN, dns.CH ...
---@field id integer of the message
---@field opcode integer 0 = QUERY, 4 = NOTIFY
---@field labels integer labels of the name, without the root
---@field name_len integer octets of the name in wire format
---@field client DnsAddr who asks
---@field transport integer dns.UDP, dns.TCP, dns.TLS; dns.INTERNAL for the server's own questions
---@field packet_len integer octets of the query
---@field edns 0|1 1 = the query has EDNS
---@field opt_size integer UDP size that it names there, 0 without EDNS
---@field udp_size integer octets that the client takes in a reply: 512 without EDNS, 65535 on streams
---@field reply_len integer octets of the reply so far, 0 = none
local q = {}

---@class DnsAddr
---@field ip ffi.cdata* 4 or 16 octets
---@field port integer
---@field family 4|6

--- Whether the question is for a zone or below it.
---@param zone DnsName
---@return boolean
function q:under(zone)
  check(self)
  return C.luna_query_under(self, values.name(zone)) ~= 0
end

-- What q:is means by a text: a number or a luna_name. A look into a table costs less than a look at the text.
local meanings, remembered = {}, 0

local function mean(text)
  local meaning
  if text:find(".", 1, true) then meaning = values.name(text, 5) else meaning = numbers.type(text, 5) end
  if remembered == 4096 then meanings, remembered = {}, 0 end
  meanings[text], remembered = meaning, remembered + 1
  return meaning
end

--- Whether the question is for this type, or for this name. Text with a dot in it is a name.
---@param what DnsType|DnsName "AAAA", 28, "www.example.org.", or a luna_name of dns.name
---@return boolean
function q:is(what)
  check(self)
  if type(what) == "string" then what = meanings[what] or mean(what) end
  if type(what) == "number" then return self.qtype == what end
  return self.name_len == what.len and C.luna_query_under(self, what) ~= 0
end

--- The question name in presentation format, lower case, with the final dot. Makes a string each time: keep it in a local.
---@return string
function q:name_text()
  check(self)
  return boundary.name_text(self.name)
end

--- Label number i of the name, from the left: 1 is the host, q.labels the top-level domain; -1 is the top-level domain too, -2
--- the one before. nil when there is none. Makes a string.
---@param i integer
---@return string|nil
function q:label_text(i)
  check(self)
  if i < 0 then i = self.labels + 1 + i end
  if i < 1 or i > self.labels then return nil end
  local at = self.label[i - 1] --[[@as integer]]
  return values.labels_text((self.name + at) --[[@as ffi.cdata*]], self.name[at] + 1)
end

local type_texts, class_texts = {}, {}
local buffer = ffi.new "char[16]"

--- Texts of numbers below 300, which nearly all are, are remembered.
local function text_of(known, number, make)
  local text = known[number]
  if not text then
    text = ffi.string(make(number, buffer))
    if number < 300 then known[number] = text end
  end
  return text
end

--- The type as text: "AAAA", "TYPE65280". Makes a string for types without a name only.
---@return string
function q:type_text()
  check(self)
  return text_of(type_texts, self.qtype, C.luna_type_text)
end

--- The class as text: "IN", "CH".
---@return string
function q:class_text()
  check(self)
  return text_of(class_texts, self.qclass, C.luna_class_text)
end

--- Whether the client wants recursion (RD).
---@return boolean
function q:rd()
  check(self)
  return band(self.flags, RD) ~= 0
end

--- Whether the client wants to know about authentic data (AD, RFC 6840 5.7).
---@return boolean
function q:ad()
  check(self)
  return band(self.flags, AD) ~= 0
end

--- Whether the client checks signatures itself (CD).
---@return boolean
function q:cd()
  check(self)
  return band(self.flags, CD) ~= 0
end

--- Whether the client wants DNSSEC records (DO, RFC 3225).
---@return boolean
function q:dnssec_ok()
  check(self)
  return self.do_bit ~= 0
end

--- The client's address without its port. Makes a string.
---@return string
function q:client_text()
  check(self)
  return boundary.addr_text(self.client)
end

--- The address that was asked: q:local_address().port, and for what takes a luna_addr.
---@return DnsAddr
function q:local_address()
  check(self)
  return self["local"]
end

--- The address that was asked, without its port. Makes a string.
---@return string
function q:local_text()
  check(self)
  return boundary.addr_text(self["local"])
end

--- What a set of networks says of the client's address: the value of the longest prefix that holds it, true when that has none,
--- nil when there is no such prefix.
---@param networks { match: fun(self: any, address: DnsAddr): any } of dns.networks
---@return any
function q:from(networks)
  check(self)
  return networks:match(self.client)
end

local TRANSPORTS = { "udp", "tcp", "tls", "internal" }

--- How the query came; "internal" is the server's own.
---@return "udp"|"tcp"|"tls"|"internal"
function q:transport_text()
  check(self)
  return TRANSPORTS[self.transport] --[[@as "udp"|"tcp"|"tls"|"internal"]]
end

return q
