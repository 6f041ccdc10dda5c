--- The test harness: the real core and chain in this process, without sockets, on a virtual clock.
--
--     local t = require "dns.test"
--     local s = t.server ". { whoami }"
--     assert.rcode("NOERROR", s:query "example.org. A")
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local boot = require "lunadns.boot"
local reply_text = require "dns.test.reply"
local scripted = require "dns.test.scripted"
local upstream = require "dns.test.upstream"
local C = boundary.C

local t = {}

---@class DnsTestOptions
---@field client? string "10.240.0.1:40212"
---@field transport? "udp"|"tcp"
---@field edns? integer UDP size of an OPT record
---@field do? boolean
---@field cd? boolean
---@field ad? boolean
---@field rd? boolean true unless false
---@field id? integer
---@field packet? string a whole message instead of the question
---@field listener? integer number of the address it comes to, from 0

---@class DnsTestServer
local Server = {}
Server.__index = Server

local LOG_SIZE = 1048576
local open = {}

--- Starts a server from the text of a Corefile. It ends with the spec's file, or with s:close().
---@param text string
---@param options? { port?: integer, directory?: string, upstream?: table|function, http?: table|function,
---sockets?: table } upstream, http, sockets: what they answer from the start, for a setup that asks
---@return DnsTestServer|nil server
---@return string|nil err what the user would see
function t.try(text, options)
  options = options or {}
  C.luna_log_capture(1)
  local state = C.luna_offline_open()
  local self = setmetatable({ state = state, script = options.upstream or {}, http_script = options.http,
    socket_script = options.sockets, log_text = "" }, Server)
  local given = { conf = (options.directory and options.directory .. "/" or "") .. "Corefile", text = text,
    port = options.port or 53, pump = function() self:pump() end, scripted = scripted.new(self) }
  local control, err = boot.control(state, given)
  if not control then
    C.luna_offline_close(state)
    return nil, err
  end
  local made
  made, err = boot.worker(state, given, control.source)
  if not made then
    boot.close(control)
    C.luna_offline_close(state)
    return nil, err
  end
  self.made, self.control = made, control
  self:turn()
  open[self] = true
  return self
end

--- As t.try, but a wrong Corefile fails the spec.
---@return DnsTestServer
function t.server(text, options)
  local self, err = t.try(text, options)
  return self or error(err, 2)
end

function Server:close()
  if not open[self] then return end
  open[self] = nil
  boot.close(self.made)
  boot.close(self.control)
  C.luna_offline_close(self.state)
end

function t.close_all()
  for s in pairs(open) do s:close() end
end

--- Runs the core's entries until nothing is left to do now; scripted upstreams answer.
function Server:turn()
  local state = self.state
  repeat
    self.made.entry()
    state.batch_len = 0
  until not upstream.serve(self) and state.woken_len == 0
  if self.unscripted then
    local text = self.unscripted
    self.unscripted = nil
    error(text, 0)
  end
end

--- While setup waits: scripted upstreams answer; when there is nothing to answer, time passes.
function Server:pump()
  while self.state.woken_len == 0 do
    if not upstream.serve(self) then C.luna_offline_advance(self.state, 0.25e9) end
  end
end

local function seconds(text)
  if type(text) == "number" then return text end
  return assert(require("lunadns.options.duration").parse(text), text .. " is not a duration")
end

--- Lets virtual time pass, in steps, so that timers set on the way fire too.
---@param duration string|number "30s"
function Server:advance(duration)
  local left = seconds(duration)
  while left > 0 do
    local step = math.min(left, 0.25)
    C.luna_offline_advance(self.state, step * 1e9)
    left = left - step
    self:turn()
  end
end

--- Scripts what upstreams answer. Keys are "name type" or a function; see dns/test/upstream.lua.
---@param script table|function
function Server:upstream(script)
  self.script = script
  self.asked = {}
end

--- Scripts what dns.http gets. Keys are URLs, or "METHOD URL"; see dns/test/scripted.lua. s.requested lists what was sent.
---@param script table|function
function Server:http(script)
  self.http_script = script
  self.requested = {}
end

--- Scripts what dns.tcp, dns.udp and dns.unix reach; see dns/test/scripted.lua. s.sent lists what was sent, by key.
---@param script table<string, function|table>
function Server:sockets(script)
  self.socket_script = script
  self.sent = {}
end

--- Sends a question in: "example.org. A", with options in a table beside it.
---@param question string
---@param options? DnsTestOptions
---@return ffi.cdata* q in flight; s:finish(q) takes its reply
function Server:send(question, options)
  options = options or {}
  local packet = options.packet or reply_text.question(question, options)
  local client = assert(boundary.addr(options.client or "10.240.0.1:40212", 40212))
  local q = C.luna_offline_submit(self.state, options.listener or 0, packet, #packet, client,
    options.transport == "tcp" and C.LUNA_TCP or C.LUNA_UDP)
  assert(q ~= nil, "the slab is full")
  self:turn()
  return q
end

---@return DnsTestReply|nil reply nil: none was sent, or not yet
function Server:finish(q) -- luacheck: no self
  if C.luna_offline_done(q) == 0 then return nil end
  local reply
  if q.dropped == 0 and q.reply_len > 0 then reply = reply_text.read(q.reply, q.reply_len) end
  C.luna_query_free(q)
  return reply
end

--- Asks and returns the reply; lets time pass while an upstream is silent, for at most 30 s.
---@return DnsTestReply|nil reply nil when none is sent
function Server:query(question, options)
  local q = self:send(question, options)
  for _ = 1, 120 do
    if C.luna_offline_done(q) ~= 0 then break end
    self:advance(0.25)
  end
  return self:finish(q)
end

local log_buffer = ffi.new("char[?]", LOG_SIZE)

--- What was logged since the last call.
---@return string
function Server:log() -- luacheck: no self
  return ffi.string(log_buffer, C.luna_log_take(log_buffer, LOG_SIZE))
end

--- A metric's value by its name, with labels in any order in braces: s:metric 'coredns_x_total{type="A"}'. Series
--- of one name
--- that fit are summed. Counts are of the whole process: compare with what was before.
---@param wanted string
---@return number|nil
function Server:metric(wanted) -- luacheck: no self
  local name, labels = wanted:match "^([%w_:]+)(.*)$"
  local text, sum = C.luna_metrics_text(ffi.new "size_t[1]"), nil
  local lines = ffi.string(text)
  C.free(text)
  for line in lines:gmatch "[^\n]+" do
    local own, rest, value = line:match "^([%w_:]+)(%b{}) (%S+)$"
    if not own then
      own, value = line:match "^([%w_:]+) (%S+)$"
      rest = ""
    end
    if own == name then
      local fits = true
      for label in labels:gmatch '[%w_]+="[^"]*"' do
        if not rest:find(label, 1, true) then fits = false end
      end
      if fits then sum = (sum or 0) + tonumber(value) end
    end
  end
  return sum
end

require("dns.test.asserts")(t)

return t
