--- The query API: methods of q. Backed by the core; nothing here allocates per query unless its comment says so.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local query = {}
local q = {}

--- 1 name below or at a zone.
---@param zone ffi.cdata* luna_name, of dns.name
---@return boolean
function q:under(zone) return C.luna_query_under(self, zone) ~= 0 end

---@param qtype integer
---@return boolean
function q:is(qtype) return self.qtype == qtype end

--- The question name in presentation format, lower case. Makes a string.
---@return string
function q:name_text() return boundary.name_text(self.name) end

--- Begins a reply.
---@param rcode integer
---@return integer rcode
function q:answer(rcode)
  C.luna_reply_start(self, rcode)
  return rcode
end

--- Adds one record to the answer from an address (luna_addr).
---@return integer rcode NOERROR
function q:answer_address(addr, ttl)
  if self.reply_len == 0 then C.luna_reply_start(self, 0) end
  C.luna_reply_flags(self, C.LUNA_AA, 0)
  C.luna_reply_address(self, C.LUNA_ANSWER, addr, ttl)
  return 0
end

local err_buffer = ffi.new("char[?]", 256)

--- Adds records given as text to a section. Allocates.
---@param section integer dns.ANSWER, dns.AUTHORITY, dns.ADDITIONAL
---@param text string
function q:add(section, text)
  if C.luna_reply_text(self, section, text, err_buffer, 256) < 0 then error(ffi.string(err_buffer), 2) end
end

--- No reply is sent.
---@return integer rcode
function q:drop()
  self.dropped = 1
  return 0
end

ffi.metatype("luna_query", { __index = q })

query.methods = q

return query
