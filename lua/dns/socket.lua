--- dns.tcp, dns.udp, dns.unix: sockets for protocols that nothing here speaks.
local ffi = require "ffi"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local host = require "dns.host"
local strand = require "lunadns.strand"

local C = boundary.C

local socket = {}

local TIMEOUT = 5 -- s
local LINE_MAX = 65536
local RECEIVE_MAX = 16 * 1048576
local KINDS = { tcp = C.LUNA_SOCKET_TCP, udp = C.LUNA_SOCKET_UDP, unix = C.LUNA_SOCKET_UNIX }

local error_buffer = ffi.new "char[128]"
local data = ffi.new "const char *[1]"

---@class DnsSocket
---@field text string "tcp 192.0.2.1:6379", as messages name it
---@field private ref ffi.cdata* luna_socket_ref
---@field private seconds number
local Socket = {}
Socket.__index = Socket

--- Why an operation failed.
local function reason(ref, code, timeout)
  if code == C.LUNA_E_TIMEOUT then return ("timed out after %g s"):format(timeout / 1e9) end
  if code == C.LUNA_E_CANCEL then return "cancelled" end
  if code == C.LUNA_E_BUSY then return strand.BUSY end
  return ffi.string(error_buffer, C.luna_socket_error(ref, error_buffer, 128))
end

local function failure(self, what, code, timeout)
  if code == C.LUNA_E_FORMAT then
    error(("%s: %s: another strand waits for this socket"):format(self.text, what), 3)
  end
  return ("%s: %s: %s"):format(self.text, what, reason(self.ref, code, timeout))
end

--- Waits when the core says so.
local function settle(own, code)
  if code == C.LUNA_WAIT then
    code = strand.wait(own.q)
    if code < 0 then C.luna_socket_leave(own.q) end
  end
  return code
end

--- Sends all of a text; over UDP as one datagram.
---@param text string
---@param opts? { timeout?: number }
---@return true|nil sent
---@return string|nil err
function Socket:send(text, opts)
  local own = strand.current "socket:send"
  if type(text) ~= "string" then error(("socket:send: expected a text, found a %s"):format(type(text)), 2) end
  local timeout = strand.timeout(opts, self.seconds, "socket:send")
  local code = settle(own, C.luna_socket_send(own.q, self.ref, text, #text, timeout))
  if code < 0 then return nil, failure(self, "send", code, timeout) end
  return true
end

--- Receives: without a number whatever is there, at least an octet (over UDP a datagram); with a number exactly so
--- many octets; with "line" what comes before the next line end, which is taken off.
---
---     local status = sock:receive "line"
---     local body = sock:receive(tonumber(length))
---@param what? integer|"line"
---@param opts? { timeout?: number }
---@return string|nil text
---@return string|nil err "...: closed" at the end of the connection
---@return string|nil partial what came before it failed; it stays, to be received later, unless the connection is closed
function Socket:receive(what, opts)
  local own = strand.current "socket:receive"
  local mode, n = C.LUNA_RECEIVE_SOME, 0
  if what == "line" then
    mode, n = C.LUNA_RECEIVE_LINE, LINE_MAX
  elseif type(what) == "number" and what >= 0 and what <= RECEIVE_MAX and what % 1 == 0 then
    mode, n = C.LUNA_RECEIVE_EXACT, what
  elseif what ~= nil then
    error(("socket:receive: expected a number of octets, at most 16 MiB, or \"line\", found %s"):format(tostring(what)), 2)
  end
  local timeout = strand.timeout(opts, self.seconds, "socket:receive")
  local ref = self.ref
  local code = settle(own, C.luna_socket_receive(own.q, ref, mode, n, timeout))
  local len = C.luna_socket_data(ref, data)
  local text = len > 0 and ffi.string(data[0], len) or ""
  if code >= 0 then
    C.luna_socket_take(ref, len)
    if mode == C.LUNA_RECEIVE_LINE then text = text:gsub("\r?\n$", "") end
    return text
  end
  if code == C.LUNA_E_SPACE then
    return nil, ("%s: receive: a line is longer than %d octets"):format(self.text, LINE_MAX), text
  end
  return nil, failure(self, "receive", code, timeout), text
end

--- Closes it. One that is forgotten is closed by the garbage collector, all with their generation.
function Socket:close() C.luna_socket_close(self.ref) end

local function connect(own, kind, text, addr, path, seconds, timeout)
  local ref = ffi.gc(ffi.new "luna_socket_ref", C.luna_socket_close)
  ref.state = own.driver.state
  local self = setmetatable({ text = text, ref = ref, seconds = seconds }, Socket)
  local code = settle(own, C.luna_socket_open(own.q, kind, addr, path, timeout, ref))
  if code >= 0 then return self end
  local err
  if ref.serial ~= 0 then
    err = reason(ref, code, timeout)
  elseif code == C.LUNA_E_CANCEL then
    err = "cancelled"
  elseif code == C.LUNA_E_FORMAT then
    err = "the path is too long"
  else
    err = "too many sockets are open"
  end
  C.luna_socket_close(ref)
  return nil, ("%s: connect: %s"):format(text, err)
end

local function open(scheme, target, opts)
  local what = "dns." .. scheme
  local own = strand.current(what, 4)
  local timeout = strand.timeout(opts, TIMEOUT, what, 4)
  local seconds, state = timeout / 1e9, own.driver.state
  if type(target) ~= "string" then error(("%s: expected a text, found a %s"):format(what, type(target)), 3) end
  if scheme == "unix" then
    if not target:find "^/" then error(("dns.unix: expected the path of a socket, found %q"):format(target), 3) end
  else
    local name, port = address.split(target)
    if not name or not port or not address.port(port) then
      error(("%s: expected \"host:port\", found %q"):format(what, target), 3)
    end
  end
  if own.driver.scripted then return own.driver.scripted.socket(own, scheme, target, seconds) end
  if state.dry + state.checking ~= 0 then strand.stay(own, own.q --[[@as ffi.cdata*]], scheme .. " " .. target) end
  if scheme == "unix" then return connect(own, KINDS.unix, "unix " .. target, nil, target, seconds, timeout) end
  local name, digits = address.split(target)
  ---@cast name -?
  ---@cast digits -?
  local deadline = state.now + timeout
  local list, err = host.addresses(own, name, timeout)
  if not list then return nil, ("%s %s: %s"):format(scheme, target, err) end
  local failures = {}
  for i, found in ipairs(list) do
    local left = tonumber(deadline - state.now)
    if state.now >= deadline then break end
    local addr = ffi.new("luna_addr", found)
    addr.port = address.port(digits)
    local shown = ("%s %s"):format(scheme, address.join(boundary.addr_text(addr), addr.port --[[@as integer]]))
    -- The last address has all the time that is left, the others a share of it.
    local self
    self, err = connect(own, KINDS[scheme], shown, addr, nil, seconds, left / (#list - i + 1))
    if self then return self end
    failures[#failures + 1] = err
  end
  return nil, table.concat(failures, "; ")
end

--- Connects over TCP.
---
---     local sock, err = dns.tcp("redis.example.org:6379", { timeout = 1 })
---     if not sock then return dns.SERVFAIL, err end
---     sock:send "PING\r\n"
---     local pong, why = sock:receive "line"
---     sock:close()
---@param target string "host:port"; a name is resolved as dns.http does it, and each address is tried
---@param opts? { timeout?: number } seconds for connecting, and for each send and receive; 5 unless given
---@return DnsSocket|nil socket
---@return string|nil err what was tried and why it failed
function socket.tcp(target, opts)
  local sock, err = open("tcp", target, opts)
  return sock, err
end

--- A UDP socket that sends to, and receives from, one address.
---@param target string "host:port"
---@param opts? { timeout?: number }
---@return DnsSocket|nil socket
---@return string|nil err
function socket.udp(target, opts)
  local sock, err = open("udp", target, opts)
  return sock, err
end

--- Connects to a unix stream socket.
---@param path string "/run/app.sock"
---@param opts? { timeout?: number }
---@return DnsSocket|nil socket
---@return string|nil err
function socket.unix(path, opts)
  local sock, err = open("unix", path, opts)
  return sock, err
end

return socket
