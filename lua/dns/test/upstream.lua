--- Scripted upstreams: what an exchange gets instead of a network.
--
-- s:upstream {
--   ["example.org. A"] = "example.org. 60 IN A 192.0.2.1",          -- records, one a line
--   ["slow.test. A"]   = { answer = "...", delay = "300ms" },
--   ["gone.test. A"]   = { rcode = "NXDOMAIN", authority = "test. 60 IN SOA ..." },
--   ["cut.test. A"]    = { truncate = true },                       -- with TC, whatever else is in it
--   ["lost.test. A"]   = { drop = true },                           -- silence: the exchange times out
--   ["forged.test. A"] = { wrong_id = true, answer = "..." },       -- not the reply to this query: the same silence
--   ["other.test. A"]  = { question = "x.test. A", answer = "..." },-- a reply to something else: skipped
--   ["down.test. A"]   = { code = "connect" },                      -- connect, closed, format, tls, timeout
--   ["raw.test. A"]    = { packet = function(query) return octets end },
--   ["twice.test. A"]  = { { drop = true }, "..." },                -- one after another, the last one again and again
--   ["10.0.0.2:53"]    = { ["example.org. A"] = "...", default = ... },  -- of one upstream
--   default            = "...",                                     -- everything else; without it REFUSED
-- }
-- A value may be a function(question, exchange) that returns one of these. Fields of an answer, all optional: answer,
-- authority, additional (text or a list), rcode, aa, ad, truncate, delay, drop, wrong_id, question, code, packet.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local duration = require "lunadns.options.duration"
local question_of = require "dns.test.question"
local reply_of = require "dns.test.reply"
local registry = require "lunadns.options.registry"
local words = require "lunadns.options.words"
local C = boundary.C

local upstream = {}

---@class DnsTestExchange
---@field question string "www.example.org. A"
---@field to string "10.0.0.1:53"
---@field transport "udp"|"tcp"|"tls"
---@field packet string the query as it was sent

local FIELDS = { answer = true, authority = true, additional = true, rcode = true, aa = true, ad = true, truncate = true,
  delay = true, drop = true, wrong_id = true, question = true, code = true, packet = true }
local CODES = { timeout = "LUNA_E_TIMEOUT", connect = "LUNA_E_CONNECT", closed = "LUNA_E_CLOSED",
  format = "LUNA_E_FORMAT", tls = "LUNA_E_TLS" }

local TRANSPORTS = { "udp", "tcp", "tls" }

local packet_size = 65536
local packet = ffi.new("uint8_t[?]", packet_size)
local to = ffi.new "char[80]"
local transport = ffi.new "int[1]"
local err = ffi.new "char[256]"

local function complain(text, ...) error("scripted upstream: " .. text:format(...), 0) end

local function checked(answer)
  if type(answer) == "string" then return { answer = answer } end
  if type(answer) ~= "table" then complain("an answer is text or a table, found a %s", type(answer)) end
  for field in pairs(answer) do
    if not FIELDS[field] then complain("unknown field '%s'%s", tostring(field), words.suggest(tostring(field), FIELDS)) end
  end
  if answer.code and not CODES[answer.code] then
    complain("unknown code '%s'%s", answer.code, words.suggest(answer.code, CODES))
  end
  if answer.rcode and not registry.rcodes[answer.rcode] then complain("'%s' is not a response code", answer.rcode) end
  return answer
end

--- Questions of a script in one spelling.
---@param script table|function
---@return table|function
function upstream.compile(script)
  if type(script) ~= "table" then return script end
  local out = {}
  for key, value in pairs(script) do
    if key == "default" then
      out.default = value
    elseif type(key) == "string" and key:find "^%S+:%d+$" then
      out[key] = upstream.compile(value)
    else
      local ok, normal = pcall(question_of.normal, tostring(key))
      if not ok then complain("%s", normal) end
      out[normal] = value
    end
  end
  return out
end

local function pick(script, question, exchange)
  if type(script) == "table" and script[exchange.to] then script = script[exchange.to] end
  local answer = script
  if type(script) == "table" then
    answer = script[question]
    if answer == nil then answer = script.default end
  end
  if type(answer) == "table" and answer[1] ~= nil then
    local list = answer
    list.used = math.min((list.used or 0) + 1, #list)
    answer = list[list.used]
  end
  if type(answer) == "function" then answer = answer(question, exchange) end
  if answer == nil then return { rcode = "REFUSED" } end
  return checked(answer)
end

--- The message for one answer of the script.
---@return string
local function build(state, asked, name, qtype, answer)
  if answer.packet then return answer.packet(asked) end
  local wire = asked:sub(13, 12 + name.len)
  if answer.question then
    name, qtype = question_of.parse(answer.question)
    wire = ffi.string(name.wire, name.len)
  end
  local q = C.luna_query_new(state, name.wire, name.len, qtype, 1, C.LUNA_RD, 0)
  assert(q ~= nil, "no slot for a scripted answer")
  C.luna_reply_start(q, registry.rcodes[answer.rcode or "NOERROR"])
  for section, field in ipairs { "answer", "authority", "additional" } do
    local text = answer[field]
    if type(text) == "table" then text = table.concat(text, "\n") end
    if text and C.luna_reply_text(q, section, text, err, 256) < 0 then
      C.luna_query_free(q)
      complain("%s", ffi.string(err))
    end
  end
  C.luna_reply_flags(q, C.LUNA_RA + (answer.aa and C.LUNA_AA or 0) + (answer.ad and C.LUNA_AD or 0)
    + (answer.truncate and C.LUNA_TC or 0), 0)
  local message = ffi.string(q.reply, q.reply_len)
  C.luna_query_free(q)
  -- The asker's own id and letter case.
  local id = asked:sub(1, 2)
  if answer.wrong_id then id = string.char((id:byte(1) + 1) % 256, id:byte(2)) end
  return id .. message:sub(3, 12) .. wire .. message:sub(13 + name.len)
end

--- What is asked and what the script says to it.
---@param s DnsTestServer
---@param asked string the query packet
---@param address string "10.0.0.1:53"
---@param by string "udp"
---@return table answer
---@return fun(): string message builds the reply
function upstream.answer(s, asked, address, by)
  local length = 13
  while asked:byte(length) ~= 0 do length = length + asked:byte(length) + 1 end
  length = length - 12
  local name = ffi.new "luna_name"
  assert(C.luna_name_set(asked:sub(13, 12 + length), length, name) == 0)
  local qtype = asked:byte(13 + length) * 256 + asked:byte(14 + length)
  local text = boundary.name_text(name.wire) .. " " .. ffi.string(C.luna_type_text(qtype, ffi.new "char[16]"))
  local exchange = { question = text, to = address, transport = by, packet = asked }
  table.insert(s.asked, exchange)
  local answer = pick(s.script, text, exchange)
  return answer, function() return build(s.state, asked, name, qtype, answer) end
end

---@param answer table
---@return number seconds
function upstream.delay(answer)
  local value = answer.delay or 0
  if type(value) == "number" then return value end
  local seconds, why = duration.parse(value --[[@as string]])
  if not seconds then complain("delay: '%s' %s", value, why) end ---@cast seconds -?
  return seconds
end

local function now(s) return tonumber(s.state.now) / 1e9 end

--- Seconds until the next answer of the script is due, nil when none is pending.
---@param s DnsTestServer
---@return number|nil
function upstream.due(s)
  local first
  for _, pending in ipairs(s.pending) do first = math.min(first or pending.at, pending.at) end
  return first and math.max(first - now(s), 0)
end

--- Takes what the server wants to ask and answers what is due.
---@param s DnsTestServer
---@return boolean did something was answered
function upstream.serve(s)
  local state, did = s.state, false
  while true do
    local number = C.luna_offline_next(state, packet, packet_size, to, 80, transport)
    if number <= 0 then break end
    local asked = ffi.string(packet, packet_size)
    asked = asked:sub(1, reply_of.length(asked))
    local answer, message = upstream.answer(s, asked, ffi.string(to), TRANSPORTS[transport[0]])
    -- A socket never hands over what has another id.
    if not answer.drop and not answer.wrong_id then
      table.insert(s.pending, { at = now(s) + upstream.delay(answer), number = number, code = answer.code, message = message })
    end
  end
  for i = #s.pending, 1, -1 do
    local pending = s.pending[i]
    if now(s) + 1e-9 >= pending.at then
      table.remove(s.pending, i)
      if pending.code then
        C.luna_offline_answer(state, pending.number, nil, 0, C[CODES[pending.code]])
      else
        local octets = pending.message()
        C.luna_offline_answer(state, pending.number, octets, #octets, 0)
      end
      did = true
    end
  end
  return did
end

return upstream
