--- What dns.http and sockets get in a spec in place of a network.
--
-- s:http {
--   ["https://api.test/v1"]      = "body",                                    -- GET, status 200
--   ["POST https://api.test/v1"] = { status = 201, body = "...", headers = { ["content-type"] = "text/plain" } },
--   ["https://slow.test/"]       = { delay = "300ms", body = "late" },
--   ["https://moved.test/"]      = { status = 302, location = "https://api.test/v1" },
--   ["https://down.test/"]       = { error = "connection refused" },
--   ["https://lost.test/"]       = { drop = true },                           -- silence: the request times out
--   default                      = function(request) return { ... } end,      -- request: method, url, headers, body ...
-- }
-- A value may be a function(request).
--
-- s:sockets {
--   ["tcp redis.test:6379"] = function(text, peer) return "+PONG\r\n" end,      -- text: what the plugin sent
--   ["unix /run/app.sock"]  = { greeting = "hello\n", answer = function(text, peer) peer:close() end, delay = "10ms" },
--   ["udp 192.0.2.1:514"]   = { error = "Connection refused" },
-- }
-- What is not scripted fails the spec.
local strand = require "lunadns.strand"
local tasks = require "dns.tasks"

local scripted = {}

---@param value string|number
---@return number
local function seconds(value)
  if type(value) == "number" then return value end
  return (assert(require("lunadns.options.duration").parse(value), tostring(value) .. " is not a duration"))
end

--- Fails the spec, and the handler on the way.
---@param s DnsTestServer
---@param text string
local function unscripted(s, text)
  s.unscripted = s.unscripted or text
  error(text, 0)
end

--- Waits as long as a script says. Returns true, or nil and the error when the time of the call is over.
---@param answer table { delay, drop, error }
---@param left number ns that the call may take
local function pace(answer, left)
  local delay = answer.drop and math.huge or seconds(answer.delay or 0)
  if delay * 1e9 >= left then
    local ok, err = tasks.sleep(left / 1e9)
    return nil, ok and ("timed out after %g s"):format(left / 1e9) or err
  end
  if delay > 0 then
    local ok, err = tasks.sleep(delay)
    if not ok then return nil, err end
  end
  if answer.error then return nil, answer.error end
  return true
end

local function http(s, own, request, left)
  strand.current "dns.http"
  s.requested = s.requested or {}
  local seen = { method = request.method, url = request.url, headers = request.headers, body = request.body or nil }
  table.insert(s.requested, seen)
  local script, key = s.http_script or {}, request.method .. " " .. request.url
  local answer = script
  if type(script) == "table" then
    answer = script[key]
    if answer == nil and request.method == "GET" then answer = script[request.url] end
    if answer == nil then answer = script.default end
  end
  if type(answer) == "function" then answer = answer(seen) end
  if type(answer) == "string" then answer = { body = answer } end
  if answer == nil then
    unscripted(s, ("%s is not scripted: s:http { [%q] = \"body\" }"):format(key, request.method == "GET" and request.url or key))
  end
  local ok, err = pace(answer, left)
  if not ok then return nil, err end
  local body, headers = answer.body or "", {}
  if #body > request.max_size then return nil, ("the response is larger than %d octets"):format(request.max_size) end
  for name, value in pairs(answer.headers or {}) do headers[name:lower()] = value end
  if own.driver.state.dry ~= 0 then return nil, "cancelled" end
  return { status = answer.status or 200, headers = headers, body = body, url = request.url,
    location = answer.location or headers.location }
end

-- A socket whose other end is a script: as DnsSocket.
local Peer = {}
Peer.__index = Peer

--- For scripts: sends, and ends the connection.
function Peer:push(text) self.datagrams[#self.datagrams + 1] = text end
function Peer:close() self.closed = true end

local Scripted = {}
Scripted.__index = Scripted

function Scripted:close() self.peer.gone = true end

function Scripted:fail(what, why) return nil, ("%s: %s: %s"):format(self.text, what, why) end

function Scripted:send(text, opts)
  strand.current "socket:send"
  local peer = self.peer ---@type table
  table.insert(self.sent, text)
  if peer.gone or peer.closed then return self:fail("send", "closed") end
  local ok, err = pace({ delay = self.script.delay }, (opts and opts.timeout or self.seconds) * 1e9)
  if not ok then return self:fail("send", err) end
  local answer = self.script.answer and self.script.answer(text, peer)
  if answer then peer:push(answer) end
  return true
end

function Scripted:receive(what, opts)
  strand.current "socket:receive"
  local peer = self.peer
  if peer.gone then return self:fail("receive", "closed") end
  local text
  if self.scheme == "udp" then
    text = table.remove(peer.datagrams, 1)
    if text then return text end
  else
    self.buffer = self.buffer .. table.concat(peer.datagrams)
    peer.datagrams = {}
    local len = #self.buffer ---@type integer|nil
    if what == "line" then
      len = self.buffer:find("\n", 1, true)
    elseif what then
      len = what <= #self.buffer and what or nil
    elseif len == 0 then
      len = nil
    end
    if len then
      text, self.buffer = self.buffer:sub(1, len), self.buffer:sub(len + 1)
      return what == "line" and text:gsub("\r?\n$", "") or text
    end
  end
  if peer.closed then return self:fail("receive", "closed") end
  local ok, err = pace({ drop = true }, (opts and opts.timeout or self.seconds) * 1e9)
  return self:fail("receive", ok or err)
end

local function socket(s, _, scheme, target, timeout)
  local key = scheme .. " " .. target
  local script = (s.socket_script or {})[key]
  if script == nil then
    unscripted(s, ("dns.%s %q is not scripted: s:sockets { [%q] = function(text) return \"reply\" end }")
      :format(scheme, target, key))
  end
  if type(script) == "function" then script = { answer = script } end
  s.sent = s.sent or {}
  s.sent[key] = s.sent[key] or {}
  local peer = setmetatable({ datagrams = {} }, Peer)
  local self = setmetatable({ text = key, scheme = scheme, script = script, peer = peer, buffer = "", seconds = timeout,
    sent = s.sent[key] }, Scripted)
  local ok, err = pace({ delay = script.delay, error = script.error, drop = script.drop }, timeout * 1e9)
  if not ok then return self:fail("connect", err) end
  if script.greeting then peer:push(script.greeting) end
  return self
end

--- What a driver of this server has as `scripted`.
---@param s DnsTestServer
---@return table
function scripted.new(s)
  return {
    http = function(own, request, left) return http(s, own, request, left) end,
    socket = function(own, scheme, target, timeout) return socket(s, own, scheme, target, timeout) end,
  }
end

return scripted
