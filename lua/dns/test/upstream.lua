--- Scripted upstreams: what an exchange gets instead of a network.
--
-- s:upstream {
--   ["example.org. A"] = "example.org. 60 IN A 192.0.2.1",          -- records, one a line
--   ["slow.test. A"]   = { answer = "...", delay = "300ms" },
--   ["gone.test. A"]   = { rcode = "NXDOMAIN", authority = "test. 60 IN SOA ..." },
--   ["cut.test. A"]    = { truncate = true },
--   ["lost.test. A"]   = { drop = true },                           -- silence: the exchange times out
--   ["down.test. A"]   = { code = "connect" },                      -- connect, closed, format, tls
--   ["raw.test. A"]    = { packet = function(query) return bytes end },
--   default            = "...",                                     -- everything else; without it REFUSED
-- }
-- A value may be a function(question, exchange) that returns one of these. exchange: { to, transport, packet }.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local registry = require "lunadns.options.registry"
local C = boundary.C

local upstream = {}

local packet_size = 65536
local packet = ffi.new("uint8_t[?]", packet_size)
local to = ffi.new "char[80]"
local transport = ffi.new "int[1]"
local err = ffi.new "char[256]"
local CODES = { timeout = "LUNA_E_TIMEOUT", connect = "LUNA_E_CONNECT", closed = "LUNA_E_CLOSED",
  format = "LUNA_E_FORMAT", tls = "LUNA_E_TLS" }

local function seconds(value)
  if type(value) == "number" then return value end
  return assert(require("lunadns.options.duration").parse(value))
end

--- The message for one answer of the script.
local function build(state, asked, name, qtype, answer)
  if answer.packet then return answer.packet(asked) end
  local q = C.luna_query_new(state, name.wire, name.len, qtype, 1, C.LUNA_RD, 0)
  assert(q ~= nil, "no slot for a scripted answer")
  local rcode = registry.rcodes[answer.rcode or "NOERROR"]
  C.luna_reply_start(q, rcode)
  for section, field in ipairs { "answer", "authority", "additional" } do
    local text = answer[field]
    if type(text) == "table" then text = table.concat(text, "\n") end
    if text and C.luna_reply_text(q, section, text, err, 256) < 0 then
      C.luna_query_free(q)
      error("scripted upstream: " .. ffi.string(err), 0)
    end
  end
  C.luna_reply_flags(q, C.LUNA_RA + (answer.aa and C.LUNA_AA or 0) + (answer.ad and C.LUNA_AD or 0)
    + (answer.truncate and C.LUNA_TC or 0), 0)
  local message = ffi.string(q.reply, q.reply_len)
  C.luna_query_free(q)
  -- The asker's own id and letter case.
  return asked:sub(1, 2) .. message:sub(3, 12) .. asked:sub(13, 12 + name.len) .. message:sub(13 + name.len)
end

local function pick(script, question, exchange)
  local answer = script
  if type(script) == "table" then
    answer = script[question]
    if answer == nil then answer = script.default end
  end
  if type(answer) == "function" then answer = answer(question, exchange) end
  if answer == nil then answer = { rcode = "REFUSED" } end
  if type(answer) == "string" then answer = { answer = answer } end
  return answer
end

--- Takes what the server wants to ask and answers what is due.
---@param s DnsTestServer
---@return boolean did something was answered
function upstream.serve(s)
  local state = s.state
  local did = false
  s.pending = s.pending or {}
  while true do
    local number = C.luna_offline_next(state, packet, packet_size, to, 80, transport)
    if number <= 0 then break end
    local len = 12
    while packet[len] ~= 0 do len = len + packet[len] + 1 end
    len = len + 1
    local name = ffi.new "luna_name"
    assert(C.luna_name_set(packet + 12, len - 12, name) == 0)
    local qtype = packet[len] * 256 + packet[len + 1]
    local code = ffi.new "char[16]"
    local question = boundary.name_text(name.wire) .. " " .. ffi.string(C.luna_type_text(qtype, code))
    local exchange = { to = ffi.string(to), transport = ({ "udp", "tcp", "tls" })[transport[0]],
      packet = ffi.string(packet, len + 4), question = question }
    s.asked = s.asked or {}
    table.insert(s.asked, exchange)
    local answer = pick(s.script, question, exchange)
    if not answer.drop then
      local delay = answer.delay and seconds(answer.delay) or 0
      table.insert(s.pending, { at = tonumber(state.now) + delay * 1e9, number = number, name = name, qtype = qtype,
        answer = answer, packet = exchange.packet })
    end
  end
  for i = #s.pending, 1, -1 do
    local p = s.pending[i]
    if tonumber(state.now) >= p.at then
      table.remove(s.pending, i)
      if p.answer.code then
        C.luna_offline_answer(state, p.number, nil, 0, C[CODES[p.answer.code]])
      else
        local message = build(state, p.packet, p.name, p.qtype, p.answer)
        C.luna_offline_answer(state, p.number, message, #message, 0)
      end
      did = true
    end
  end
  return did
end

return upstream
