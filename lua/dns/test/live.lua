--- A server of `lunadns test --live`: a process of its own, asked over UDP and TCP by the same specs. It runs in a network
-- namespace where that is allowed (root, or a system with user namespaces): there it has its ports, clients have their
-- addresses, and scripted upstreams are at the addresses that the Corefile's `forward` and the script name. Without one it
-- gets a free port, and what needs more is pending, as is all that only a virtual clock can tell.
local Files = require "dns.test.files"
local Server = require "dns.test.server"
local Upstreams = require "dns.test.upstreams"
local boundary = require "lunadns.boundary"
local duration = require "lunadns.options.duration"
local ffi = require "ffi"
local metrics = require "dns.test.metrics"
local namespace = require "dns.test.namespace"
local process = require "dns.test.process"
local question_of = require "dns.test.question"
local reply_of = require "dns.test.reply"
local socket = require "dns.test.socket"
local upstream = require "dns.test.upstream"
local C = boundary.C

ffi.cdef [[
int symlink(const char *target, const char *path);
char *realpath(const char *path, char *resolved);
]]

---@class DnsTestLive: DnsTestServer
---@field draft DnsTestServer reads the Corefile, for errors as text
---@field space table|nil its network namespace
---@field upstreams DnsTestUpstreams
---@field port integer
---@field metrics_port integer
---@field files DnsTestFiles
---@field process table
local Live = { live = true }
Live.__index = Live

local PATIENCE = 30 -- seconds
local LONGEST = 3 -- seconds of real time that a spec may let pass
local METRICS = 59153

--- Ends the test as pending: it cannot be told of a live server.
local function pending(why)
  for level = 2, 40 do
    local info = debug.getinfo(level, "Sf")
    if not info then break end
    local fn = info.source:find "_spec%.lua$" and rawget(getfenv(info.func), "pending") or getfenv(info.func).pending
    if info.source:find "_spec%.lua$" and fn then fn("--live: " .. why) end
  end
  error("--live: " .. why, 0)
end

Live.pending = function(_, why) pending(why) end

--- A port that nobody has, outside of those that the kernel gives to clients.
local function free_port()
  for _ = 1, 1000 do
    local port = 10000 + C.luna_random_below(22000)
    local udp = socket.bound("udp", "0.0.0.0:" .. port)
    local tcp = udp and socket.bound("tcp", "0.0.0.0:" .. port)
    if udp then udp:close() end
    if tcp then
      tcp:close()
      return port
    end
  end
  error("no port is free", 0)
end

--- The addresses that `forward` of the Corefile asks, "10.0.0.1:53".
local function upstreams_of(server)
  local list = {}
  for _, block in ipairs(server.control.config.blocks) do
    for _, directive in ipairs(block.directives) do
      for _, run in ipairs(directive.name == "forward" and directive.runs or {}) do
        for i = 2, #run.args do
          local text = run.args[i].text:gsub("^dns://", ""):gsub("%%.*$", "")
          local addr = boundary.addr(text, 53)
          if addr then
            list[#list + 1] = (addr.family == 6 and "[%s]:%d" or "%s:%d"):format(boundary.addr_text(addr), addr.port)
          end
        end
      end
    end
  end
  return list
end

local function within(self, fn, ...)
  if self.space then return self.space:within(fn, ...) end
  return fn(...)
end

--- See t.try. What is wrong with a Corefile is told without a process, in the same words.
---@param given table
---@return DnsTestLive|nil
---@return string|nil err
function Live.open(given)
  local draft, err = Server.open(given)
  if not draft then return nil, err end
  local self = setmetatable({ given = given, text = given.text, script = {}, asked = {}, state = draft.state, draft = draft },
    Live)
  self.space = namespace.new()
  self.upstreams = Upstreams.new(self, function(...) return within(self, ...) end)
  self.port = self.space and given.port or free_port()
  self.metrics_port = self.space and METRICS or free_port()
  self.files = Files.new {}
  self:link(given.directory)
  self:write(given.text)
  if self.space then
    for _, address in ipairs(upstreams_of(draft)) do self.upstreams:open(address) end
  end
  local scripts = given.scripts or {}
  if scripts.upstream then self:upstream(scripts.upstream) end
  if scripts.http or scripts.sockets then
    self:close()
    pending "web servers and sockets are scripted in the process of the spec only"
  end
  self.process = within(self, process.start, { process.binary(), "-conf", self.files.path .. "/Corefile", "-dns.port",
    tostring(self.port) }, self.files.path .. "/.output")
  self.files.names[".output"] = true
  if not self.process:wait_for "\nlinux/%w+, [^\n]+\n" then
    local output = self.process:output()
    self:close()
    return nil, output
  end
  self.taken = #self.process:output() + 1
  return self
end

--- Puts what is beside the Corefile beside the live one.
function Live:link(directory)
  local buffer, resolved = ffi.new "char[1048576]", ffi.new "char[4096]"
  local n = C.luna_glob(directory .. "/*", buffer, 1048576)
  for path in ffi.string(buffer, math.max(n, 0)):gmatch "[^\n]+" do
    local name = path:match "[^/]+$"
    local target = C.realpath(path, resolved)
    if name ~= "Corefile" and target ~= nil and C.symlink(target, self.files.path .. "/" .. name) == 0 then
      self.files.names[name] = true
    end
  end
end

-- A server block more shows the metrics of the process.
function Live:write(text)
  self.files:write("Corefile", ("%s\nmetrics.lunadns.invalid:%d {\n prometheus 127.0.0.1:%d\n}\n"):format(text,
    self.space and METRICS + 1 or free_port(), self.metrics_port))
end

function Live:close()
  if self.closed then return end
  self.closed = true
  if self.process then self.process:close() end
  self.upstreams:close()
  if self.space then self.space:close() end
  self.draft:close()
  self.files:close()
end

function Live:try_reload(text)
  local ok, err = self.draft:try_reload(text)
  if not ok then return nil, err end
  self.text, self.state = text or self.text, self.draft.state
  self:write(self.text)
  local from = #self.process:output() + 1
  self.process:signal(process.USR1)
  local told = self.process:wait_for("(Reloading complete)\n", from) or self.process:output():sub(from)
  if told ~= "Reloading complete" then return nil, told end
  return true
end

Live.reload = Server.reload

function Live:upstream(script)
  if not self.space then pending "scripted upstreams need a network namespace, which is not allowed here" end
  self.script, self.asked = upstream.compile(script), {}
  for key in pairs(type(script) == "table" and script or {}) do
    if type(key) == "string" and key:find "^%S+:%d+$" then self.upstreams:open(key) end
  end
end

function Live:http() -- luacheck: no self
  pending "web servers are scripted in the process of the spec only"
end

function Live:sockets() -- luacheck: no self
  pending "sockets are scripted in the process of the spec only"
end

local function now() return tonumber(C.luna_clock()) / 1e9 end

--- Real time, upstreams served, until fn says so or it is over.
local function pass(self, seconds, fn, own)
  local deadline = now() + seconds
  while true do
    local due = self.upstreams:serve()
    local result = fn and fn()
    if result ~= nil then return result end
    local left = deadline - now()
    if left <= 0 then return nil end
    socket.wait(self.upstreams:readable(own), math.min(left, due, 0.05))
  end
end

function Live:advance(time)
  local seconds = type(time) == "string" and assert(duration.parse(time)) or time --[[@as number]]
  if seconds > LONGEST then pending(("%s of real time is too long"):format(duration.text(seconds))) end
  pass(self, seconds)
end

function Live:send(question, options)
  options = options or {}
  local kind = options.transport or "udp"
  local client = options.client or (options.to and options.to:find "^%[" and "[::1]:0")
    or (self.space and "10.240.0.1:0" or "127.0.0.1:0")
  if not self.space and options.client then pending "a client's address needs a network namespace" end
  if options.listener and options.listener ~= 0 and not options.to then pending "which listener is asked is named by `to`" end
  if not client:find ":%d+$" then client = client:find ":" and "[" .. client .. "]:0" or client .. ":0" end
  local s, err = within(self, socket.bound, kind, client)
  if not s then error(err, 0) end
  local to = assert(boundary.addr(options.to or (s.family == 6 and "[::1]" or "127.0.0.1"), self:port_of()))
  if to.family ~= s.family then error("client and `to` are not of one address family", 2) end
  local target = (to.family == 6 and "[%s]:%d" or "%s:%d"):format(boundary.addr_text(to), to.port)
  within(self, s.connect, s, target)
  if kind == "tcp" then pass(self, 0.02) end
  s:send(options.packet or question_of.packet(question, options))
  return { socket = s }
end

--- The port of the Corefile's first key.
function Live:port_of()
  local port = self.draft.control.blocks[1].sites[1].key.port
  return port == self.given.port and self.port or port
end

function Live:finish(q) -- luacheck: no self
  if q.done == nil then
    local message = q.socket:receive()
    if message == nil then return nil end
    q.done = message
    q.socket:close()
  end
  return q.done and reply_of.read(q.done, #q.done) or nil
end

function Live:query(question, options)
  if self.given.mode.reload and self.queried then self:reload() end
  self.queried = true
  local q = self:send(question, options)
  local waits = options and options.packet and 0.5 or PATIENCE
  if self.expects_silence then waits = 0.5 end
  local reply = pass(self, waits, function() return self:finish(q) end, q.socket)
  q.socket:close()
  return reply
end

-- The writer of the log comes after the reply.
function Live:peek_log()
  local before
  for _ = 1, 40 do
    local output = self.process:output():sub(self.taken)
    if output ~= "" and output == before then break end
    before = output
    pass(self, 0.02)
  end
  return before
end

function Live:log()
  local text = self:peek_log()
  self.taken = self.taken + #text
  return text
end

function Live:metrics_text()
  local s = assert(within(self, socket.bound, "tcp", "127.0.0.1:0"))
  s:connect(("127.0.0.1:%d"):format(self.metrics_port))
  pass(self, 0.02)
  local request = "GET /metrics HTTP/1.0\r\n\r\n"
  C.sendto(s.fd, request, #request, 0, nil, 0)
  local parts, data = {}, ffi.new "uint8_t[65536]"
  for _ = 1, 500 do
    socket.wait({ s }, 0.01)
    local n = tonumber(C.recvfrom(s.fd, data, 65536, 0, nil, nil)) --[[@as integer]]
    if n == 0 then break end
    if n > 0 then parts[#parts + 1] = ffi.string(data, n) end
  end
  s:close()
  return table.concat(parts):match "\r\n\r\n(.*)$" or ""
end

function Live:metric(name, labels) return metrics.value(self:metrics_text(), "", name, labels) end

return Live
