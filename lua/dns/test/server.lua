--- A server of a spec: what t.server returns.
local boundary = require "lunadns.boundary"
local boot = require "lunadns.boot"
local duration = require "lunadns.options.duration"
local log = require "dns.test.log"
local metrics = require "dns.test.metrics"
local question_of = require "dns.test.question"
local reply_of = require "dns.test.reply"
local scripted = require "dns.test.scripted"
local upstream = require "dns.test.upstream"
local C = boundary.C

---@class DnsTestOptions
---@field client? string "10.240.0.1:40212"; a port of its own when none is named
---@field to? string the server's address that was asked, "127.0.0.1:53"
---@field transport? "udp"|"tcp"
---@field edns? integer|true UDP size of an OPT record; true: 1232
---@field do? boolean DNSSEC OK
---@field version? integer of EDNS
---@field subnet? string client subnet, "192.0.2.0/24"
---@field options? table<integer, string> octets of EDNS options by code
---@field cd? boolean
---@field ad? boolean
---@field rd? boolean true unless false
---@field aa? boolean
---@field tc? boolean
---@field opcode? integer|string "NOTIFY"
---@field id? integer
---@field packet? string a whole message instead of the question
---@field listener? integer number of the address it comes to, from 0

---@class DnsTestServer
---@field asked DnsTestExchange[] what upstreams were asked since s:upstream
---@field given table what it was opened with
---@field state ffi.cdata* luna_state
---@field text string the Corefile
---@field generations table[] one for each load; the last serves
---@field pending table[] replies of upstreams on their way
---@field made table what boot.worker made
---@field control table what boot.control made
---@field baseline? string metrics when it began
---@field busy? boolean
---@field expects_silence? boolean
---@field live? boolean it is a process
local Server = {}
Server.__index = Server

local CLIENT = "10.240.0.1:40212"
local PATIENCE = 30 -- seconds that a query may wait for an upstream

--- The last handler of a block without one that always answers: a query that comes here was passed on.
local function last_of(self)
  return function(text)
    return function(q)
      local watch = self.watch
      if watch then watch[#watch + 1] = { name = q:name_text(), qtype = q.qtype, replied = q.reply_len > 0 } end
      return 2, text
    end
  end
end

--- While setup waits: scripted upstreams answer; when there is nothing to answer, time passes.
local function pump(self)
  local state = self.loading or self.state
  while state.woken_len == 0 do
    if not upstream.serve(self) then C.luna_offline_pass(state, 0.25e9) end
  end
end

--- A generation on this state, or what is wrong with the Corefile.
local function load(self, state, text)
  local given = { conf = self.given.conf, text = text, port = self.given.port, directory = self.given.directory,
    last = last_of(self), wrap = self.given.wrap, pump = not self.real and function() pump(self) end or nil,
    scripted = not self.real and scripted.new(self) or nil }
  local control, err = boot.control(state, given)
  if not control then return nil, err end
  local made
  made, err = boot.worker(state, given, control.source)
  if not made then
    boot.close(control)
    return nil, err
  end
  return { state = state, made = made, control = control, text = text }
end

local function serve(self, generation)
  self.state, self.made, self.control, self.text = generation.state, generation.made, generation.control, generation.text
  table.insert(self.generations, generation)
  self:turn()
end

--- See t.try.
---@param given table { conf, text, port, directory, mode, scripts, wrap, state, class }
---@return DnsTestServer|nil
---@return string|nil err
function Server.open(given)
  C.luna_log_capture(1)
  local state = given.state or C.luna_offline_open()
  local self = setmetatable({ given = given, state = state, generations = {}, asked = {}, pending = {} },
    given.class or Server)
  local scripts = given.scripts or {}
  self:upstream(scripts.upstream or {})
  self.http_script, self.socket_script = scripts.http, scripts.sockets
  self.baseline = metrics.text()
  local generation, err = load(self, state, given.text)
  if not generation then
    C.luna_offline_close(state)
    return nil, err
  end
  serve(self, generation)
  return self
end

local function close_generation(generation)
  boot.close(generation.made)
  boot.close(generation.control)
end

--- Ends it. What is in flight gets no reply.
function Server:close()
  if self.closed then return end
  self.closed = true
  for i, generation in ipairs(self.generations) do
    close_generation(generation)
    if i < #self.generations then C.luna_offline_drop(generation.state) end
  end
  C.luna_offline_close(self.state)
end

--- Reloads, as SIGUSR1 does: plugin files are read anew, queries in flight end where they began. A Corefile that is wrong
--- changes nothing.
---@param text? string a new Corefile; without it the one that is served
---@return true|nil ok
---@return string|nil err what the log would say
function Server:try_reload(text)
  local state = C.luna_offline_next_generation(self.state)
  self.loading = state
  local generation, err = load(self, state, text or self.text)
  self.loading = nil
  if not generation then
    C.luna_offline_drop(state)
    return nil, err
  end
  C.luna_offline_take_over(state)
  serve(self, generation)
  return true
end

--- As s:try_reload, but an error fails the spec.
---@param text? string
function Server:reload(text)
  local ok, err = self:try_reload(text)
  if not ok then error(err, 2) end
end

--- Generations that answered all of theirs end.
local function sweep(self)
  for i = #self.generations - 1, 1, -1 do
    local old = self.generations[i]
    if C.luna_offline_held(old.state) == 0 then
      close_generation(old)
      C.luna_offline_drop(old.state)
      table.remove(self.generations, i)
      jit.flush() -- compiled code of the harness would keep the handlers that it ran
      self.made.runner.cool()
    end
  end
end

--- Runs the core's entries until nothing is left to do now; scripted upstreams answer.
function Server:turn()
  local more
  repeat
    for _, generation in ipairs(self.generations) do
      generation.made.entry()
      generation.state.batch_len = 0
    end
    more = upstream.serve(self)
    for _, generation in ipairs(self.generations) do
      if generation.state.woken_len > 0 then more = true end
    end
  until not more
  if #self.generations > 1 and not self.busy then sweep(self) end
  if self.unscripted then
    local text = self.unscripted
    self.unscripted = nil
    error(text, 0)
  end
end

--- Time that passes until something happens, at most so many seconds.
---@param seconds number
---@return number passed
function Server:step(seconds)
  local due = upstream.due(self)
  if due and due < seconds then seconds = math.max(due, 1e-9) end
  local passed = tonumber(C.luna_offline_pass(self.state, seconds * 1e9)) / 1e9
  self:turn()
  return passed
end

--- Lets virtual time pass; timers set on the way fire too, each at its time.
---@param time string|number "30s", or seconds
function Server:advance(time)
  local left = time --[[@as number]]
  if type(time) == "string" then
    local seconds, why = duration.parse(time)
    left = seconds or error(("'%s' %s"):format(time, why), 2)
  end
  while left > 1e-9 do left = left - self:step(left) end
end

--- Scripts what upstreams answer and forgets what they were asked; see dns/test/upstream.lua.
---@param script table|function
function Server:upstream(script)
  self.script = upstream.compile(script)
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

--- Sends a question in, without waiting for the reply.
---@param question string "example.org. A"
---@param options? DnsTestOptions
---@return ffi.cdata*|table q in flight; s:finish(q) takes its reply
function Server:send(question, options)
  options = options or {}
  local packet = options.packet or question_of.packet(question, options)
  local client = assert(boundary.addr(options.client or CLIENT, 40212))
  if client.port == 0 then client.port = 40212 end
  local transport = options.transport or "udp"
  if transport ~= "udp" and transport ~= "tcp" then error(("transport '%s' is neither udp nor tcp"):format(transport), 2) end
  local q = C.luna_offline_submit(self.state, options.listener or 0, packet, #packet, client,
    transport == "tcp" and C.LUNA_TCP or C.LUNA_UDP)
  if q == nil then error("more queries are in flight than the server takes", 2) end
  if options.to then q["local"] = assert(boundary.addr(options.to, 53)) end
  self:turn()
  return q
end

--- The reply to a query of s:send.
---@param q ffi.cdata*|table
---@return DnsTestReply|nil reply nil: none was sent, or not yet
function Server:finish(q)
  if C.luna_offline_done(q) == 0 then return nil end
  local reply
  if q.dropped == 0 and q.reply_len > 0 then
    reply = reply_of.read(q.reply, q.reply_len)
    reply.plugin = self.made.env.names[q.author] or ""
  end
  C.luna_query_free(q)
  return reply
end

--- Asks and returns the reply; lets time pass while an upstream is silent, for at most 30 s.
---@param question string "example.org. A", with a class behind it when it is not IN
---@param options? DnsTestOptions
---@return DnsTestReply|nil reply nil when none is sent
function Server:query(question, options)
  if self.given.mode and self.given.mode.reload and self.queried then self:reload() end
  self.queried = true
  local q = self:send(question, options)
  local left = PATIENCE ---@type number
  while left > 0 and C.luna_offline_done(q) == 0 do left = left - self:step(math.min(left, 0.25)) end
  return self:finish(q)
end

--- What was logged since the last call, one line each.
---@return string
function Server:log() return log.take() end -- luacheck: no self

--- The same, to be read again by the next call.
---@return string
function Server:peek_log() return log.peek() end -- luacheck: no self

--- A metric's value: a counter's since this server began (the process has one set for all), a gauge's as it is. Series of
--- the name with these labels are summed.
---@param name string "coredns_x_total", or with labels in braces: 'coredns_x_total{type="A"}'
---@param labels? table<string, string>
---@return number|nil value nil when there is no such series
function Server:metric(name, labels) return metrics.value(self:metrics_text(), self.baseline --[[@as string]], name, labels) end

--- All metrics as a scrape shows them.
---@return string
function Server:metrics_text() return metrics.text() end -- luacheck: no self

return Server
