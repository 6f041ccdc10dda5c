--- A record of a reply, as q:records() hands them out.
local ffi = require "ffi"
local blame = require "lunadns.query.blame"
local boundary = require "lunadns.boundary"
local check = require "lunadns.query.check"
local numbers = require "lunadns.numbers"
local values = require "lunadns.query.values"

local C = boundary.C
local A, AAAA = 1, 28

--- One record. It is valid in the round of the loop, or in the call, that it was handed to.
---@class DnsReplyRecord
---@field type integer dns.A, dns.AAAA ...
---@field ttl integer seconds; set with record:set_ttl
---@field section 1|2|3 dns.ANSWER, dns.AUTHORITY, dns.ADDITIONAL
---@field query DnsQuery
---@field owner integer offset in the reply
---@field rdata integer offset in the reply
---@field end integer offset in the reply
---@field index integer
local record = {}

---@param rrtype DnsType
---@return boolean
function record:is(rrtype)
  check(self.query)
  return self.type == numbers.type(rrtype)
end

local owner_buffer = ffi.new "uint8_t[256]"
local owner_name = ffi.new "luna_name"

local function owner_of(self)
  local len = C.luna_reply_name(self.query, self.owner, owner_buffer)
  if len < 0 or C.luna_name_set(owner_buffer, len, owner_name) < 0 then blame("the reply has been changed", 3) end
  return owner_name
end

--- Whether the owner is a zone or below it.
---@param zone DnsName
---@return boolean
function record:under(zone)
  check(self.query)
  return C.luna_name_under(owner_of(self), values.name(zone)) ~= 0
end

--- The owner name, lower case. Makes a string.
---@return string
function record:owner_text()
  check(self.query)
  return boundary.name_text(owner_of(self).wire)
end

local address = ffi.new "luna_addr"

local function read_address(self)
  local family = self.type == A and 4 or self.type == AAAA and 6 or 0
  if family == 0 then return false end
  address.family = family
  ffi.copy(address.ip, self.query.reply + self.rdata, family == 4 and 4 or 16)
  return true
end

--- The address of an A or AAAA record, nil for others. Valid until the next call in this worker.
---@return DnsAddr|nil
function record:address()
  check(self.query)
  if not read_address(self) then return nil end
  return address --[[@as DnsAddr]]
end

--- The same as text. Makes a string.
---@return string|nil
function record:address_text()
  check(self.query)
  if not read_address(self) then return nil end
  return boundary.addr_text(address)
end

--- Replaces the address of an A or AAAA record by another of its family.
---@param addr DnsAddress
function record:set_address(addr)
  check(self.query)
  addr = values.addr(addr)
  if self.type ~= (addr.family == 4 and A or AAAA) then
    blame("record:set_address: the address must be of the record's family", 2)
  end
  ffi.copy(self.query.reply + self.rdata, addr.ip, addr.family == 4 and 4 or 16)
end

---@param ttl integer seconds
function record:set_ttl(ttl)
  check(self.query)
  self.ttl = ttl
  local p = (self.query.reply + self.rdata - 6) --[[@as ffi.cdata*]]
  local value = self.ttl
  p[0], p[1], p[2], p[3] = value / 16777216, value / 65536 % 256, value / 256 % 256, value % 256
end

--- The data in wire format; names in it may be compressed, so that they mean nothing outside the reply. Makes a string.
---@return string
function record:data()
  check(self.query)
  return ffi.string(self.query.reply + self.rdata, self["end"] - self.rdata)
end

local text_size = 131072
local text_buffer

--- The record in presentation format: "www.example.org. 60 IN A 192.0.2.1". Allocates.
---@return string
function record:text()
  check(self.query)
  text_buffer = text_buffer or ffi.new("char[?]", text_size)
  local len = C.luna_message_record_text(self.query.reply, self.query.reply_len, self.owner, text_buffer, text_size)
  if len < 0 then blame("the reply has been changed", 2) end
  return (ffi.string(text_buffer, len):gsub("\t", " "))
end

--- The data in presentation format: "192.0.2.1", "10 mail.example.org.". Allocates.
---@return string
function record:data_text() return (self:text():gsub("^%S+ %S+ %S+ %S+ ?", "")) end

boundary.methods("luna_record", record)

return record
