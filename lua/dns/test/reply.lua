--- Questions and replies of specs: from text to packets and back.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local registry = require "lunadns.options.registry"
local C = boundary.C

local reply = {}

local function u16(n) return string.char(math.floor(n / 256) % 256, n % 256) end

local next_id = 0

--- A query packet from "name type [class]".
---@param question string
---@param options table see Server:send
---@return string packet
function reply.question(question, options)
  local name, qtype, qclass = question:match "^(%S+)%s+(%S+)%s*(%S*)$"
  assert(name, question .. ": expected NAME TYPE")
  local parsed = ffi.new "luna_name"
  assert(C.luna_name_parse(name, #name, parsed) == 0, name .. " is not a name")
  local number = C.luna_type_number(qtype)
  assert(number >= 0, qtype .. " is not a type")
  local class = qclass == "" and 1 or assert(registry.classes[qclass], qclass .. " is not a class")
  next_id = (next_id + 1) % 65536
  local flags = (options.rd == false and 0 or 0x100) + (options.cd and 0x10 or 0) + (options.ad and 0x20 or 0)
  local edns = options.edns or options["do"] and 1232
  -- The wire form keeps the letter case of the text, as long as no escapes are in it.
  local wire = ffi.string(parsed.wire, parsed.len)
  if not name:find("\\", 1, true) then
    wire = (name:gsub("%.$", "") .. "."):gsub("([^.]*)%.", function(label) return string.char(#label) .. label end) .. "\0"
    if name == "." then wire = "\0" end
  end
  local head = u16(options.id or next_id) .. u16(flags) .. u16(1) .. u16(0) .. u16(0) .. u16(edns and 1 or 0)
  local tail = wire .. u16(number) .. u16(class)
  if edns then
    local opts = options.edns_options or ""
    tail = tail .. "\0" .. u16(41) .. u16(edns) .. "\0\0" .. u16(options["do"] and 0x8000 or 0) .. u16(#opts) .. opts
  end
  return head .. tail
end

---@class DnsTestReply
---@field rcode string "NXDOMAIN"
---@field flags table<string, boolean> aa, tc, rd, ra, ad, cd
---@field id integer
---@field answer string[] records as text: "name. 60 IN A 192.0.2.1"
---@field authority string[]
---@field additional string[] without OPT
---@field opt? string
---@field size integer octets
---@field packet string

local SECTIONS = { ANSWER = "answer", AUTHORITY = "authority", ADDITIONAL = "additional" }
local text_size = 262144
local buffer = ffi.new("char[?]", text_size)

---@param data ffi.cdata* uint8_t*
---@param len integer
---@return DnsTestReply
function reply.read(data, len)
  local packet = ffi.string(data, len)
  local self = { answer = {}, authority = {}, additional = {}, flags = {}, size = len, packet = packet }
  local bits = packet:byte(3) * 256 + packet:byte(4)
  for name, bit in pairs { aa = 0x400, tc = 0x200, rd = 0x100, ra = 0x80, ad = 0x20, cd = 0x10 } do
    self.flags[name] = math.floor(bits / bit) % 2 == 1
  end
  self.id = packet:byte(1) * 256 + packet:byte(2)
  local code = ffi.new "char[16]"
  self.rcode = ffi.string(C.luna_rcode_text(bits % 16, code))
  local n = C.luna_message_text(data, len, buffer, text_size)
  assert(n >= 0, "the reply is not a message")
  local text, section = ffi.string(buffer, n), nil
  for line in text:gmatch "[^\n]+" do
    local title = line:match "^;; (%u+) SECTION"
    if title then
      section = SECTIONS[title]
    elseif line:find "^;" then
      if line:find "EDNS" then self.opt = line end
    elseif section then
      table.insert(self[section], (line:gsub("%s+", " "):gsub(" $", "")))
    end
  end
  return self
end

return reply
