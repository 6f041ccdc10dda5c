--- What dns.resolve and dns.exchange return: a message, read when it is asked for.
local ffi = require "ffi"
local bit = require "bit"
local boundary = require "lunadns.boundary"

local C = boundary.C

local reply = {}

---@class DnsRecord
---@field name string owner in presentation format
---@field type string "A"
---@field ttl integer
---@field data string RDATA in presentation format: "10 mail.example.org."
---@field address? ffi.cdata* A, AAAA: luna_addr
---@field target? string CNAME, NS, PTR, DNAME, MX, SRV: the name in it
---@field preference? integer MX
---@field priority? integer SRV
---@field weight? integer SRV
---@field port? integer SRV
---@field private message ffi.cdata* uint8_t[]: the whole message
---@field len integer
---@field private offset integer

---@class DnsReply
---@field rcode integer dns.NXDOMAIN ...
---@field rcode_text string "NXDOMAIN"
---@field answer DnsRecord[]
---@field authority DnsRecord[]
---@field additional DnsRecord[] without OPT
---@field aa boolean authoritative
---@field tc boolean cut
---@field ad boolean validated by the upstream
---@field message string the message in wire format
---@field data ffi.cdata* uint8_t[]
---@field len integer
local Reply = {}

local OPT, A, AAAA = 41, 1, 28
local HEADER = 12
local TEXT_SIZE = 70000
local FLAGS = { aa = 0x04, tc = 0x02 } -- octet 2; RFC 1035 4.1.1
local SECTIONS = { "answer", "authority", "additional" }
local NAMES = { CNAME = "^(%S+)$", NS = "^(%S+)$", PTR = "^(%S+)$", DNAME = "^(%S+)$" }

local number_buffer = ffi.new "char[16]"
local text_buffer -- made when the first record is read
local list, list_size = nil, 0 ---@type any, integer

--- The records of a message in a buffer that all replies share.
local function records(self)
  local n = C.luna_message_records(self.data, self.len, list, list_size)
  if n > list_size then
    list_size = n + 32
    list = ffi.new("luna_rr[?]", list_size)
    n = C.luna_message_records(self.data, self.len, list, list_size)
  end
  return n
end

local function is_address(rr)
  local len = rr["end"] - rr.rdata
  return (rr.type == A and len == 4) or (rr.type == AAAA and len == 16)
end

local function address_of(data, rr)
  local addr = ffi.new "luna_addr"
  addr.family = rr.type == A and 4 or 6
  ffi.copy(addr.ip, data + rr.rdata, rr.type == A and 4 or 16)
  return addr
end

-- What is text of a record is made when it is first read: ldns takes its time.
local function spell(record)
  text_buffer = text_buffer or ffi.new("char[?]", TEXT_SIZE)
  local n = C.luna_message_record_text(record.message, record.len, record.offset, text_buffer, TEXT_SIZE)
  local text = n >= 0 and ffi.string(text_buffer, n) or ""
  local name, data = text:match "^([^\t]*)\t%d+\t[^\t]*\t[^\t]*\t?(.*)$" ---@cast data -?
  record.name, record.data = name, data
  if NAMES[record.type] then
    record.target = data
  elseif record.type == "MX" then
    local preference, target = data:match "^(%d+) (%S+)$"
    record.preference, record.target = tonumber(preference), target
  elseif record.type == "SRV" then
    local priority, weight, port, target = data:match "^(%d+) (%d+) (%d+) (%S+)$"
    record.priority, record.weight, record.port, record.target =
      tonumber(priority), tonumber(weight), tonumber(port), target
  end
end

local SPELT = { name = true, data = true, target = true, preference = true, priority = true, weight = true, port = true }

local Record = {
  __index = function(record, key)
    if not SPELT[key] or rawget(record, "name") then return nil end
    spell(record)
    return rawget(record, key)
  end,
}

---@return DnsRecord
local function read(self, rr)
  return setmetatable({
    type = ffi.string(C.luna_type_text(rr.type, number_buffer)), ttl = rr.ttl,
    address = is_address(rr) and address_of(self.data, rr) or nil, message = self.data, len = self.len, offset = rr.owner,
  }, Record)
end

local function read_all(self)
  for _, section in ipairs(SECTIONS) do rawset(self, section, {}) end
  for i = 0, records(self) - 1 do
    local rr = list[i]
    if rr.type ~= OPT then
      local section = self[SECTIONS[rr.section]]
      section[#section + 1] = read(self, rr)
    end
  end
end

local lazy = {
  answer = read_all, authority = read_all, additional = read_all,
  rcode_text = function(self) self.rcode_text = ffi.string(C.luna_rcode_text(self.rcode, number_buffer)) end,
  message = function(self) self.message = ffi.string(self.data, self.len) end,
  aa = function(self) self.aa = bit.band(self.data[2], FLAGS.aa) ~= 0 end,
  tc = function(self) self.tc = bit.band(self.data[2], FLAGS.tc) ~= 0 end,
  ad = function(self) self.ad = bit.band(self.data[3], 0x20) ~= 0 end,
}

function Reply.__index(self, key)
  local make = lazy[key]
  if not make then return Reply[key] end
  make(self)
  return rawget(self, key)
end

--- The addresses of the answer section. Makes no text.
---@param self DnsReply
---@return ffi.cdata*[] addresses luna_addr
---@return integer|nil ttl the least of the answer section, nil without an address
function Reply.addresses(self)
  local found, ttl = {}, nil
  for i = 0, records(self) - 1 do
    local rr = list[i]
    if rr.section == C.LUNA_ANSWER and rr.type ~= OPT then
      if not ttl or rr.ttl < ttl then ttl = rr.ttl end
      if is_address(rr) then found[#found + 1] = address_of(self.data, rr) end
    end
  end
  return found, #found > 0 and ttl or nil
end

--- The reply that q holds, as an object of its own.
---@param q ffi.cdata* luna_query
---@return DnsReply
function reply.take(q)
  local len = q.reply_len
  local data = ffi.new("uint8_t[?]", len)
  ffi.copy(data, q.reply, len)
  assert(len >= HEADER)
  return setmetatable({ rcode = C.luna_reply_rcode(q), data = data, len = len }, Reply)
end

return reply
