--- Questions of specs: from text and options to packets.
local ffi = require "ffi"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local registry = require "lunadns.options.registry"
local C = boundary.C

local question = {}

local CLIENT_SUBNET = 8 -- RFC 7871
local OPCODES = { QUERY = 0, IQUERY = 1, STATUS = 2, NOTIFY = 4, UPDATE = 5 }

local next_id = 0

local function u16(n) return string.char(math.floor(n / 256) % 256, n % 256) end

--- "name type [class]" taken apart. Raises for what is none of that.
---@param text string
---@return ffi.cdata* name luna_name
---@return integer qtype
---@return integer qclass
---@return string wire the name in the letter case of the text
function question.parse(text)
  local name, qtype, qclass = text:match "^%s*(%S+)%s+(%S+)%s*(%S*)%s*$"
  if not name then error(("'%s' is no question: expected NAME TYPE, such as \"www.example.org. A\""):format(text), 0) end
  local parsed = ffi.new "luna_name"
  if C.luna_name_parse(name, #name, parsed) ~= 0 then error(("'%s' is not a domain name"):format(name), 0) end
  local number = C.luna_type_number(qtype)
  if number < 0 then error(("'%s' is not a record type"):format(qtype), 0) end
  local class = 1
  if qclass ~= "" then ---@cast qclass -?
    class = registry.classes[qclass:upper()] or error(("'%s' is not a class"):format(qclass), 0)
  end
  local wire = ffi.string(parsed.wire, parsed.len)
  -- Escapes aside, the text has the client's letter case.
  if name ~= "." and not name:find("\\", 1, true) then
    wire = (name:gsub("%.$", "") .. "."):gsub("([^.]*)%.", function(label) return string.char(#label) .. label end) .. "\0"
  end
  return parsed, number, class, wire
end

--- A question as scripts and s.asked have it: "www.example.org. A", lower case, absolute.
---@param text string
---@return string
function question.normal(text)
  local name, qtype, qclass = question.parse(text)
  local out = boundary.name_text(name.wire) .. " " .. ffi.string(C.luna_type_text(qtype, ffi.new "char[16]"))
  if qclass ~= 1 then out = out .. " " .. ffi.string(C.luna_class_text(qclass, ffi.new "char[16]")) end
  return out
end

local function client_subnet(text)
  local bytes, bits = address.prefix(text)
  if not bytes then error(("subnet: '%s' is not a network, such as 192.0.2.0/24"):format(text), 0) end
  return u16(#bytes == 4 and 1 or 2) .. string.char(bits --[[@as integer]], 0) .. bytes:sub(1, math.ceil(bits / 8))
end

local function edns(options)
  local own = {}
  for code, data in pairs(options.options or {}) do
    if type(code) ~= "number" or type(data) ~= "string" then
      error("options: expected octets by option code, such as { [3] = \"\" }", 0)
    end
    own[#own + 1] = { code, data }
  end
  if options.subnet then own[#own + 1] = { CLIENT_SUBNET, client_subnet(options.subnet) } end
  table.sort(own, function(a, b) return a[1] < b[1] end)
  if not (options.edns or options["do"] or options.version or #own > 0) then return nil end
  local parts = {}
  for i, option in ipairs(own) do parts[i] = u16(option[1]) .. u16(#option[2]) .. option[2] end
  local data = table.concat(parts)
  local size = type(options.edns) == "number" and options.edns or 1232
  return "\0" .. u16(41) .. u16(size) .. string.char(0, options.version or 0) .. u16(options["do"] and 0x8000 or 0)
    .. u16(#data) .. data
end

--- A query packet.
---@param text string "name type [class]"
---@param options DnsTestOptions
---@return string packet
function question.packet(text, options)
  local _, qtype, qclass, wire = question.parse(text)
  local opcode = options.opcode or 0
  if type(opcode) == "string" then opcode = OPCODES[opcode] or error(("'%s' is not an opcode"):format(opcode), 0) end
  next_id = (next_id + 1) % 65536
  local flags = opcode * 2048 + (options.rd == false and 0 or 0x100) + (options.cd and 0x10 or 0) + (options.ad and 0x20 or 0)
    + (options.aa and 0x400 or 0) + (options.tc and 0x200 or 0)
  local opt = edns(options)
  return u16(options.id or next_id) .. u16(flags) .. u16(1) .. u16(0) .. u16(0) .. u16(opt and 1 or 0)
    .. wire .. u16(qtype) .. u16(qclass) .. (opt or "")
end

return question
