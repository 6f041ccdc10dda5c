--- Methods of q: the reply, and what else becomes of a query. Each returns the rcode that the handler returns:
--- `return q:answer(records)`.
local ffi = require "ffi"
local blame = require "lunadns.query.blame"
local boundary = require "lunadns.boundary"
local check = require "lunadns.query.check"
local numbers = require "lunadns.numbers"
local values = require "lunadns.query.values"

local C = boundary.C
local AA, TC, UDP, ANSWER, AUTHORITY = C.LUNA_AA, C.LUNA_TC, C.LUNA_UDP, C.LUNA_ANSWER, C.LUNA_AUTHORITY
local NOERROR, NXDOMAIN, REFUSED, A, AAAA, TXT = 0, 3, 5, 1, 28, 16

---@class (partial) DnsQuery
local q = {}

--- Begins the reply anew: this rcode, no records.
---@param rcode DnsRcode
---@return integer rcode
function q:respond(rcode)
  check(self)
  rcode = numbers.rcode(rcode)
  C.luna_reply_start(self, rcode)
  return rcode
end

local function begin(self)
  if self.reply_len == 0 then C.luna_reply_start(self, NOERROR) end
  C.luna_reply_flags(self, AA, 0)
end

local records_t = ffi.typeof "luna_records *"

local function check_records(records)
  if not ffi.istype(records_t, records) then
    blame(("expected records that dns.records has made in setup, found a %s"):format(type(records)), 3)
  end
end

local function no_room() blame("the reply would pass 65,535 octets", 3) end

local function add_soa(self, soa)
  if not soa then return end
  if not ffi.istype(records_t, soa) then blame("expected the SOA record that dns.soa has made in setup", 3) end
  C.luna_reply_records(self, AUTHORITY, soa, 0)
end

--- Adds to the answer those of the records that are of the question's type, and aliases; all for ANY. AA is set. When none
--- fits, the reply says that the name has no such type, with soa in its authority section.
---@param records DnsRecords of dns.records, made in setup
---@param soa? DnsRecords of dns.soa
---@return integer rcode NOERROR
function q:answer(records, soa)
  check(self)
  check_records(records)
  begin(self)
  local n = C.luna_reply_records(self, ANSWER, records, 1)
  if n < 0 then no_room() end
  if n == 0 then add_soa(self, soa) end
  return NOERROR
end

--- Adds an address to the answer of an A or AAAA question of its family; other questions get an empty answer. AA is set.
---@param addr DnsAddress
---@param ttl integer seconds
---@return integer rcode NOERROR
function q:answer_address(addr, ttl)
  check(self)
  addr = values.addr(addr)
  begin(self)
  if self.qtype == (addr.family == 4 and A or AAAA) then C.luna_reply_address(self, ANSWER, addr, ttl) end
  return NOERROR
end

--- Adds a record whose data is a name, such as CNAME, PTR or NS, for the question name. AA is set.
---@param rrtype DnsType
---@param name DnsName
---@param ttl integer seconds
---@return integer rcode NOERROR
function q:answer_name(rrtype, name, ttl)
  check(self)
  name = values.name(name)
  begin(self)
  if C.luna_reply_add(self, ANSWER, nil, numbers.type(rrtype), ttl, name.wire, name.len) < 0 then no_room() end
  return NOERROR
end

local text_data = ffi.new "uint8_t[256]"

--- Answers a TXT question with one string of at most 255 octets; other questions get an empty answer. AA is set.
---@param text string
---@param ttl integer seconds
---@return integer rcode NOERROR
function q:answer_text(text, ttl)
  check(self)
  local len = #text
  if len > 255 then blame(("a string of a TXT record has at most 255 octets, found %d"):format(len), 2) end
  begin(self)
  if self.qtype == TXT then
    text_data[0] = len
    ffi.copy(text_data + 1, text, len)
    C.luna_reply_add(self, ANSWER, nil, TXT, ttl, text_data, len + 1)
  end
  return NOERROR
end

--- The name does not exist. AA is set.
---@param soa? DnsRecords of dns.soa: without it nobody may keep the answer (RFC 2308)
---@return integer rcode NXDOMAIN
function q:nxdomain(soa)
  check(self)
  C.luna_reply_start(self, NXDOMAIN)
  C.luna_reply_flags(self, AA, 0)
  add_soa(self, soa)
  return NXDOMAIN
end

--- The name exists, but has no records of this type. AA is set.
---@param soa? DnsRecords of dns.soa: without it nobody may keep the answer (RFC 2308)
---@return integer rcode NOERROR
function q:nodata(soa)
  check(self)
  C.luna_reply_start(self, NOERROR)
  C.luna_reply_flags(self, AA, 0)
  add_soa(self, soa)
  return NOERROR
end

local err_buffer = ffi.new("char[?]", 512)

--- Adds records to a section of the reply, whatever the question's type; begins a NOERROR reply when there is none. Text, one
--- record a line, relative names below the question name, allocates: what is the same for many queries is better made by
--- dns.records in setup.
---@param section DnsSection
---@param records DnsRecords|string
function q:add(section, records)
  check(self)
  section = numbers.section(section) --[[@as 1|2|3]]
  if type(records) == "string" then
    if C.luna_reply_text(self, section, records, err_buffer, 512) < 0 then blame(ffi.string(err_buffer), 2) end
    return
  end
  check_records(records)
  if C.luna_reply_records(self, section, records, 0) < 0 then no_room() end
end

--- Adds a record from its data in wire format.
---@param section DnsSection
---@param owner DnsName|nil nil = the question name
---@param rrtype DnsType
---@param ttl integer seconds
---@param rdata string|ffi.cdata* names in it uncompressed
---@param len? integer octets of rdata, when it is no string
function q:add_data(section, owner, rrtype, ttl, rdata, len)
  check(self)
  local wire = nil
  if owner then wire = values.name(owner).wire end
  local code = C.luna_reply_add(self, numbers.section(section), wire, numbers.type(rrtype), ttl, rdata, len or #rdata)
  if code == C.LUNA_E_SPACE then no_room() end
  if code < 0 then blame("the data does not fit the record's type", 2) end
end

--- Refuses the query.
---@return integer rcode REFUSED
function q:refuse()
  check(self)
  C.luna_reply_start(self, REFUSED)
  return REFUSED
end

--- No reply is sent: the client runs into its timeout.
---@return integer rcode
function q:drop()
  check(self)
  self.dropped = 1
  return NOERROR
end

--- An empty reply with TC: the client asks again over TCP, which proves its address. For UDP queries only; raises for others,
--- whose clients have nowhere to go: look at q.transport first.
---@return integer rcode NOERROR
function q:truncate()
  check(self)
  if self.transport ~= UDP then
    blame("q:truncate() is for UDP queries; look first: if q.transport == dns.UDP then ...", 2)
  end
  C.luna_reply_start(self, NOERROR)
  C.luna_reply_flags(self, TC, 0)
  return NOERROR
end

--- Waits; other queries go on meanwhile. Where too many wait already it does not.
---@param seconds number
function q:delay(seconds)
  check(self)
  if C.luna_query_sleep(self, seconds * 1e9) == C.LUNA_WAIT then
    require("lunadns.runner").wait(self --[[@as ffi.cdata*]])
  end
end

return q
