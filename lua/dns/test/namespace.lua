--- Network namespaces of `lunadns test --live`: in one of its own a server has every port, and every address is local, so that
-- clients ask from the address that the spec gives them and scripted upstreams are where the Corefile says.
local ffi = require "ffi"
require "dns.test.socket" -- declares what a socket needs

ffi.cdef [[
int unshare(int flags);
int setns(int fd, int kind);
int open(const char *path, int flags, ...);
unsigned geteuid(void);
unsigned getegid(void);
]]

local C = ffi.C
local NEWNET, NEWUSER = 0x40000000, 0x10000000
local RDONLY_CLOEXEC = 524288

local namespace = {}

---@class DnsTestNamespace
---@field fd integer
local Namespace = {}
Namespace.__index = Namespace

local function u16(n) return ffi.string(ffi.new("uint16_t[1]", n), 2) end
local function u32(n) return ffi.string(ffi.new("uint32_t[1]", n), 4) end

--- One request to the kernel's routing, rtnetlink(7). Returns whether it was done.
local function request(kind, flags, body)
  local NETLINK, RAW = 16, 3
  local fd = ffi.C.socket(NETLINK, RAW + RDONLY_CLOEXEC, 0)
  if fd < 0 then return false end
  local REQUEST_ACK = 5
  local message = u32(16 + #body) .. u16(kind) .. u16(REQUEST_ACK + flags) .. u32(1) .. u32(0) .. body
  local answer = ffi.new "int32_t[64]"
  local ok = ffi.C.sendto(fd, message, #message, 0, nil, 0) > 0 and ffi.C.recvfrom(fd, answer, 256, 0, nil, nil) >= 20
    and answer[4] == 0
  ffi.C.close(fd)
  return ok
end

local function write(path, text)
  local f = io.open(path, "w")
  if not f then return false end
  f:write(text)
  return f:close()
end

local LO = 1

-- Brings the loopback interface up and makes every address one of its own.
local function furnish()
  local NEWLINK, NEWROUTE, CREATE = 16, 24, 0x400
  local UP = 1
  if not request(NEWLINK, 0, "\0\0" .. u16(0) .. u32(LO) .. u32(UP) .. u32(UP)) then return false end
  -- rtmsg: lengths and tos 0, table local (255), protocol boot (3), scope host (254), type local (2); RTA_OIF (4).
  for _, family in ipairs { 2, 10 } do
    local ok = request(NEWROUTE, CREATE, string.char(family, 0, 0, 0, 255, 3, 254, 2) .. u32(0) .. u16(8) .. u16(4) .. u32(LO))
    if not ok and family == 2 then return false end -- a kernel without IPv6 is fine
  end
  -- Replies leave from the address that was asked.
  write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1")
  return true
end

local function current()
  local fd = C.open("/proc/self/ns/net", RDONLY_CLOEXEC)
  return fd >= 0 and fd or nil
end

-- A user without rights has all of them in a namespace of users, until a program is started: who is root there keeps them.
local function own_users()
  local user, group = C.geteuid(), C.getegid()
  if C.unshare(NEWUSER + NEWNET) ~= 0 then return false end
  return write("/proc/self/setgroups", "deny") and write("/proc/self/uid_map", ("0 %d 1"):format(user))
    and write("/proc/self/gid_map", ("0 %d 1"):format(group))
end

local outside

--- Makes a namespace, and leaves it again. nil where that is not allowed.
---@return DnsTestNamespace|nil
function namespace.new()
  outside = outside or current()
  if not outside then return nil end
  if C.unshare(NEWNET) ~= 0 and not own_users() then return nil end
  local fd = furnish() and current() or nil
  C.setns(outside, NEWNET)
  return fd and setmetatable({ fd = fd }, Namespace) or nil
end

--- Runs fn in the namespace.
---@param fn function
---@return any ...
function Namespace:within(fn, ...)
  C.setns(self.fd, NEWNET)
  local function leave(ok, ...)
    C.setns(outside, NEWNET)
    if not ok then error((...), 0) end
    return ...
  end
  return leave(pcall(fn, ...))
end

function Namespace:close() C.close(self.fd) end

return namespace
