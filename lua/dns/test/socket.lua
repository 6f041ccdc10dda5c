--- Sockets of `lunadns test --live`: the client's and the scripted upstreams'. Blocking is avoided, waiting is in poll.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"

ffi.cdef [[
int socket(int domain, int type, int protocol);
int bind(int fd, const void *address, unsigned length);
int connect(int fd, const void *address, unsigned length);
int listen(int fd, int backlog);
int accept4(int fd, void *address, unsigned *length, int flags);
int setsockopt(int fd, int level, int name, const void *value, unsigned length);
long sendto(int fd, const void *data, size_t length, int flags, const void *address, unsigned address_length);
long recvfrom(int fd, void *data, size_t length, int flags, void *address, unsigned *address_length);
int close(int fd);
struct luna_pollfd { int fd; short events, revents; };
int poll(struct luna_pollfd *fds, unsigned long n, int timeout);
char *strerror(int number);
]]

local C = ffi.C
local AF_INET, AF_INET6 = 2, 10
local STREAM, DGRAM, NONBLOCK, CLOEXEC = 1, 2, 2048, 524288
local SOL_SOCKET, REUSEADDR, REUSEPORT = 1, 2, 15
local IPPROTO_IPV6, V6ONLY, IPV6_FREEBIND = 41, 26, 78
local NOSIGNAL, POLLIN = 16384, 1

local socket = {}

---@class DnsTestSocket
---@field fd integer
---@field stream boolean
---@field family integer 4, 6
---@field listens? boolean a TCP listener
---@field address? string that upstreams have it for
---@field kind? "udp"|"tcp"
local Socket = {}
Socket.__index = Socket

local function put16(n) return string.char(math.floor(n / 256), n % 256) end

--- A sockaddr_in or sockaddr_in6 of a luna_addr.
local function sockaddr(addr)
  local family = ffi.string(ffi.new("uint16_t[1]", addr.family == 4 and AF_INET or AF_INET6), 2)
  if addr.family == 4 then return family .. put16(addr.port) .. ffi.string(addr.ip, 4) .. ("\0"):rep(8) end
  return family .. put16(addr.port) .. "\0\0\0\0" .. ffi.string(addr.ip, 16) .. "\0\0\0\0"
end

local function failed(what, text) return nil, ("%s %s: %s"):format(what, text, ffi.string(C.strerror(ffi.errno()))) end

local one = ffi.new("int[1]", 1)

--- A socket bound to an address.
---@param kind "udp"|"tcp"
---@param text string "192.0.2.1:53"; port 0 for any
---@param serves? boolean it listens, beside another socket of a wider address
---@return DnsTestSocket|nil
---@return string|nil err
function socket.bound(kind, text, serves)
  local addr = assert(boundary.addr(text, 0))
  local stream = kind == "tcp"
  local fd = C.socket(addr.family == 4 and AF_INET or AF_INET6, (stream and STREAM or DGRAM) + NONBLOCK + CLOEXEC, 0)
  if fd < 0 then return failed("socket", kind) end
  local self = setmetatable({ fd = fd, stream = stream, family = addr.family }, Socket)
  if addr.family == 6 then
    C.setsockopt(fd, IPPROTO_IPV6, V6ONLY, one, 4)
    C.setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, one, 4) -- the namespace routes every address here, but has none of them
  end
  C.setsockopt(fd, SOL_SOCKET, REUSEADDR, one, 4)
  if serves then C.setsockopt(fd, SOL_SOCKET, REUSEPORT, one, 4) end
  local address = sockaddr(addr)
  if C.bind(fd, address, #address) ~= 0 or (serves and stream and C.listen(fd, 16) ~= 0) then
    local none, err = failed("bind", text)
    self:close()
    return none, err
  end
  return self
end

--- Sets the peer of a socket; a TCP connection on loopback is there at once, or is being made.
---@param text string
function Socket:connect(text)
  local address = sockaddr(assert(boundary.addr(text, 53)))
  C.connect(self.fd, address, #address)
end

--- The next connection, nil when none waits.
---@return DnsTestSocket|nil
function Socket:accept()
  local fd = C.accept4(self.fd, nil, nil, NONBLOCK + CLOEXEC)
  return fd >= 0 and setmetatable({ fd = fd, stream = true, family = self.family, buffer = "" }, Socket) or nil
end

local from, from_length = ffi.new "char[28]", ffi.new "unsigned[1]"
local data = ffi.new "uint8_t[65536]"

--- Sends one DNS message; `to` is what receive said of where one came from.
---@param message string
---@param to? string
function Socket:send(message, to)
  if self.stream then message = put16(#message) .. message end
  C.sendto(self.fd, message, #message, NOSIGNAL, to, to and #to or 0)
end

--- The next DNS message, nil when none is there yet; false at the end of a connection.
---@return string|nil|false message
---@return string|nil from where a datagram came from
function Socket:receive()
  from_length[0] = 28
  local n = tonumber(C.recvfrom(self.fd, data, 65536, 0, from, from_length)) --[[@as integer]]
  if not self.stream then
    if n < 0 then return nil end
    return ffi.string(data, n), ffi.string(from, from_length[0])
  end
  if n > 0 then self.buffer = (self.buffer or "") .. ffi.string(data, n) end
  local buffer = self.buffer or ""
  if #buffer >= 2 then
    local length = buffer:byte(1) * 256 + buffer:byte(2)
    if #buffer >= 2 + length then
      self.buffer = buffer:sub(3 + length)
      return buffer:sub(3, 2 + length)
    end
  end
  if n == 0 then return false end
  return nil
end

function Socket:close()
  if self.fd >= 0 then C.close(self.fd) end
  self.fd = -1
end

--- Waits until one of these has something to be read, at most so many seconds.
---@param list DnsTestSocket[]
---@param seconds number
function socket.wait(list, seconds)
  local fds = ffi.new("struct luna_pollfd[?]", math.max(#list, 1))
  for i, each in ipairs(list) do fds[i - 1].fd, fds[i - 1].events = each.fd, POLLIN end
  C.poll(fds, #list, math.max(1, math.ceil(seconds * 1000)))
end

return socket
