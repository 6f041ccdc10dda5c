--- Scripted upstreams of `lunadns test --live`: sockets at their addresses. What they answer is in dns/test/upstream.lua.
local boundary = require "lunadns.boundary"
local socket = require "dns.test.socket"
local upstream = require "dns.test.upstream"
local C = boundary.C

---@class DnsTestUpstreams
---@field server DnsTestLive
---@field within fun(fn: function, ...): any runs fn in the server's namespace
---@field sockets DnsTestSocket[]
---@field due table[] answers that wait for their time
---@field opened table<string, true> addresses that are listened on
local Upstreams = {}
Upstreams.__index = Upstreams

local PROBE = "\0\0\2" -- what a health check asks: ". NS"

---@param server DnsTestLive
---@param within function
---@return DnsTestUpstreams
function Upstreams.new(server, within)
  return setmetatable({ server = server, within = within, sockets = {}, opened = {}, due = {} }, Upstreams)
end

local function now() return tonumber(C.luna_clock()) / 1e9 end

--- Begins to answer at an address.
---@param address string "10.0.0.1:53"
function Upstreams:open(address)
  if self.opened[address] then return end
  self.opened[address] = true
  for _, kind in ipairs { "udp", "tcp" } do
    local s, err = self.within(socket.bound, kind, address, true)
    if not s then error("scripted upstream: " .. err, 0) end
    s.address, s.kind, s.listens = address, kind, kind == "tcp"
    table.insert(self.sockets, s)
  end
end

local function answer(self, s, message, from)
  if message:sub(13, 15) == PROBE then return end
  local given, build = upstream.answer(self.server, message, s.address, s.kind)
  if given.drop then return end
  if given.code then
    if s.stream then s:close() end -- nothing else can be shown of it
    return
  end
  table.insert(self.due, { at = now() + upstream.delay(given), socket = s, message = build(), from = from })
end

--- Answers what is asked, at its time.
---@return number seconds until the next answer is due
function Upstreams:serve()
  for i = #self.sockets, 1, -1 do
    local s = self.sockets[i]
    if s.listens then
      local connection = s:accept()
      if connection then
        connection.address, connection.kind = s.address, "tcp"
        table.insert(self.sockets, connection)
      end
    else
      local message, from = s:receive()
      while message do
        answer(self, s, message, from)
        message, from = s:receive()
      end
      if message == false then
        s:close()
        table.remove(self.sockets, i)
      end
    end
  end
  local soonest = math.huge
  for i = #self.due, 1, -1 do
    local each = self.due[i]
    if each.at > now() then
      soonest = math.min(soonest, each.at - now())
    else
      table.remove(self.due, i)
      if each.socket.fd >= 0 then each.socket:send(each.message, each.from) end
    end
  end
  return soonest
end

--- What to wait for.
---@param own? DnsTestSocket the client's
---@return DnsTestSocket[]
function Upstreams:readable(own)
  local list = { own } ---@type table
  for _, each in ipairs(self.sockets) do list[#list + 1] = each end
  return list
end

function Upstreams:close()
  for _, each in ipairs(self.sockets) do each:close() end
end

return Upstreams
