--- Methods of q: EDNS of the query (RFC 6891), client subnet (RFC 7871), extended errors (RFC 8914).
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local check = require "lunadns.query.check"
local numbers = require "lunadns.numbers"

local C = boundary.C

---@class (partial) DnsQuery
local q = {}

--- Whether the query has an EDNS option.
---@param code integer 3 = NSID, 8 = client subnet, 10 = cookie ... (IANA: DNS EDNS0 Option Codes)
---@return boolean
function q:has_option(code)
  check(self)
  return C.luna_query_option(self, code) ~= 0
end

--- The data of an EDNS option, nil when the query has none. Makes a string.
---@param code integer
---@return string|nil bytes
function q:option(code)
  check(self)
  local at = C.luna_query_option(self, code)
  if at == 0 then return nil end
  return ffi.string(self.packet + at, (self.packet[at - 2] * 256 + self.packet[at - 1]) --[[@as integer]])
end

---@class DnsSubnet
---@field addr DnsAddr the network's address, port 0
---@field source integer bits of it that the client (or the resolver that asks for it) tells; 0 = it wants no tailored answer

local subnet = ffi.new "luna_subnet"

--- The client subnet of the query, nil without one or with one that is not well-formed. What is returned is valid until the
--- next call in this worker, for whichever query: copy what a wait has to outlive.
---@return DnsSubnet|nil
function q:client_subnet()
  check(self)
  if C.luna_query_subnet(self, subnet) ~= 0 then return nil end
  return subnet --[[@as DnsSubnet]]
end

--- Tells in the reply for how many bits of the client subnet it is meant; 0 = for everyone. Replies that depend on the subnet
--- must say so. Does nothing when the query has no client subnet.
---@param bits integer
function q:set_subnet_scope(bits)
  check(self)
  C.luna_query_subnet_scope(self, bits)
end

--- Adds an extended error to the reply, if the query has EDNS. The last call counts.
---@param code integer|string 15 or "Blocked": a number or name of RFC 8914
---@param text? string a few words for people, at most 128 octets of UTF-8
function q:ede(code, text)
  check(self)
  C.luna_query_ede(self, numbers.extended_error(code), text, text and #text or 0)
end

return q
