--- The query API: methods of q. Backed by the core; nothing here allocates per query unless its comment says so.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local query = {}
local q = {}

-- Options are text; what they mean to the core is looked up by that text, once made.
local names, addresses = {}, {}

local function name_of(text)
  local name = names[text]
  if not name then
    local err
    name, err = boundary.name(text)
    if not name then error(err, 3) end
    names[text] = name
  end
  return name
end

local function address_of(text)
  local address = addresses[text]
  if not address then
    local err
    address, err = boundary.addr(text)
    if not address then error(err, 3) end
    addresses[text] = address
  end
  return address
end

--- Whether the question is for a zone or below it.
---@param zone string|ffi.cdata* "example.org.", or a luna_name of dns.name
---@return boolean
function q:under(zone)
  if type(zone) == "string" then zone = name_of(zone) end
  return C.luna_query_under(self, zone) ~= 0
end

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

--- Answers an A or AAAA question with an address of its family; other questions get an empty answer. AA is set.
---@param addr string|ffi.cdata* "192.0.2.1", or a luna_addr of dns.addr
---@param ttl integer seconds
---@return integer rcode NOERROR
function q:answer_address(addr, ttl)
  if type(addr) == "string" then addr = address_of(addr) end
  if self.reply_len == 0 then C.luna_reply_start(self, 0) end
  C.luna_reply_flags(self, C.LUNA_AA, 0)
  if self.qtype == (addr.family == 4 and 1 or 28) then C.luna_reply_address(self, C.LUNA_ANSWER, addr, ttl) end
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
