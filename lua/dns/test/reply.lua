--- Replies of specs: from packets to text.
local ffi = require "ffi"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local C = boundary.C

local reply = {}

---@class DnsTestReply
---@field rcode string "NXDOMAIN"
---@field flags table<string, boolean> aa, tc, rd, ra, ad, cd
---@field id integer
---@field answer string[] records as text: "name. 60 IN A 192.0.2.1"
---@field authority string[]
---@field additional string[] without OPT
---@field edns? { size: integer, version: integer, do: boolean, options: table<integer, string>, subnet?: string }
---@field ede? { code: integer, text: string } the first extended DNS error
---@field opt? string the OPT record as text
---@field plugin string the plugin that wrote it, "" when it was the server itself
---@field size integer octets
---@field packet string
local Reply = {}
Reply.__index = Reply

local SECTIONS = { ANSWER = "answer", AUTHORITY = "authority", ADDITIONAL = "additional" }
local FLAGS = { aa = 0x400, tc = 0x200, rd = 0x100, ra = 0x80, ad = 0x20, cd = 0x10 }
local OPT, CLIENT_SUBNET, EDE = 41, 8, 15
local text_size = 1048576
local buffer = ffi.new("char[?]", text_size)

local function u16(packet, at) return packet:byte(at) * 256 + packet:byte(at + 1) end

local function skip_name(packet, at)
  while true do
    local length = packet:byte(at)
    if length == 0 then return at + 1 end
    if length >= 192 then return at + 2 end
    at = at + length + 1
  end
end

local function subnet_text(data)
  local full = u16(data, 1) == 1 and 4 or 16
  local bytes = data:sub(5)
  return ("%s/%d"):format(address.text(bytes .. ("\0"):rep(full - #bytes)), data:byte(3))
end

--- Calls visit(at, length) for each record, at: where its type stands, counted from 1. Returns the octet behind the last.
local function walk(packet, visit)
  local at = 13
  for _ = 1, u16(packet, 5) do at = skip_name(packet, at) + 4 end
  for _ = 1, u16(packet, 7) + u16(packet, 9) + u16(packet, 11) do
    at = skip_name(packet, at)
    local length = u16(packet, at + 8)
    visit(at, length)
    at = at + 10 + length
  end
  return at
end

--- Octets of a message at the beginning of a text.
---@param packet string
---@return integer
function reply.length(packet) return walk(packet, function() end) - 1 end

--- The OPT record, RFC 6891.
local function read_edns(self, packet)
  local extended = 0 ---@type number
  walk(packet, function(at, length)
    if u16(packet, at) == OPT then
      local options, from, to = {}, at + 10, at + 10 + length
      while from < to do
        local code, n = u16(packet, from), u16(packet, from + 2)
        local data = packet:sub(from + 4, from + 3 + n)
        options[code] = options[code] or data
        if code == EDE and not self.ede then self.ede = { code = u16(data, 1), text = data:sub(3) } end
        from = from + 4 + n
      end
      self.edns = { size = u16(packet, at + 2), version = packet:byte(at + 5), ["do"] = packet:byte(at + 6) >= 128,
        options = options, subnet = options[CLIENT_SUBNET] and subnet_text(options[CLIENT_SUBNET]) }
      extended = packet:byte(at + 4) * 16
    end
  end)
  return extended
end

---@param data ffi.cdata* uint8_t*
---@param len integer
---@return DnsTestReply
function reply.read(data, len)
  local packet = ffi.string(data, len)
  local self = setmetatable({ answer = {}, authority = {}, additional = {}, flags = {}, size = len, packet = packet,
    plugin = "" }, Reply)
  local bits = u16(packet, 3)
  for name, bit in pairs(FLAGS) do self.flags[name] = math.floor(bits / bit) % 2 == 1 end
  self.id = u16(packet, 1)
  local n = C.luna_message_text(packet, len, buffer, text_size)
  assert(n >= 0, "the reply is not a message")
  local text, section = ffi.string(buffer, n), nil ---@type string, string|nil
  local code = ffi.new "char[16]"
  self.rcode = ffi.string(C.luna_rcode_text(bits % 16 + read_edns(self, packet), code))
  -- 16 has two names; the core uses the one that CoreDNS logs, which is TSIG's.
  if self.rcode == "BADSIG" then self.rcode = "BADVERS" end
  for line in text:gmatch "[^\n]+" do
    local title = line:match "^;; (%u+) SECTION"
    if title then
      section = SECTIONS[title]
    elseif line:find "^;" then
      if line:find "EDNS" then self.opt = line end
    elseif section and line:find "\t" then -- what ldns says of EDNS options has none
      table.insert(self[section] --[[@as table]], (line:gsub("%s+", " "):gsub(" $", "")))
    end
  end
  return self
end

--- As dig shows it, but shorter: rcode, flags, sections.
---@return string
function Reply:__tostring()
  local flags = {}
  for _, name in ipairs { "aa", "tc", "rd", "ra", "ad", "cd" } do
    if self.flags[name] then flags[#flags + 1] = name end
  end
  local out = { ("%s, flags: %s, %d octets%s"):format(self.rcode, table.concat(flags, " "), self.size,
    self.plugin ~= "" and ", by " .. self.plugin or "") }
  if self.edns and self.edns.subnet then out[#out + 1] = "client subnet: " .. self.edns.subnet end
  if self.ede then out[#out + 1] = ("extended error %d: %s"):format(self.ede.code, self.ede.text) end
  for _, section in ipairs { "answer", "authority", "additional" } do
    for _, record in ipairs(self[section]) do out[#out + 1] = ("%-11s %s"):format(section .. ":", record) end
  end
  return table.concat(out, "\n")
end

return reply
