--- A server beside no server, for tools: the Corefile as it is, real time, real upstreams; nothing listens.
local Server = require "dns.test.server"
local boundary = require "lunadns.boundary"
local C = boundary.C

---@class LunaShadow: DnsTestServer
local Shadow = setmetatable({ real = true }, { __index = Server }) -- nothing is scripted
Shadow.__index = Shadow

--- Begins one.
---@param given table of arguments.corefile; wrap as in LunaBoot
---@return LunaShadow|nil
---@return string|nil err
function Shadow.new(given)
  given.state, given.class = C.luna_shadow_open(), Shadow
  local self, err = Server.open(given)
  return self --[[@as LunaShadow?]], err
end

--- As Server:send, at the time it is now.
function Shadow:send(question, options)
  C.luna_shadow_run(self.state, 0)
  return Server.send(self, question, options)
end

--- Waits until something happens, at most so many seconds.
---@param seconds number
---@return number passed
function Shadow:step(seconds)
  local began = C.luna_clock()
  C.luna_shadow_run(self.state, math.max(1, seconds * 1000))
  self:turn()
  return tonumber(C.luna_clock() - began) / 1e9
end

--- The listener of a port of the Corefile; without a port the first one.
---@param port? integer
---@return integer|nil listener
---@return string|nil err
function Shadow:listener(port)
  local seen = {}
  for _, block in ipairs(self.control.blocks) do
    for _, site in ipairs(block.sites) do
      if not port or site.key.port == port then return site.rest.listener end
      seen[#seen + 1] = tostring(site.key.port)
    end
  end
  return nil, ("nothing listens on port %s; the Corefile has: %s"):format(port, table.concat(seen, ", "))
end

local asked = require("ffi").new "luna_asked"
local TRANSPORTS = { "UDP", "TCP", "TLS" }
local CODES = {
  LUNA_E_TIMEOUT = "no reply", LUNA_E_CONNECT = "refused", LUNA_E_CLOSED = "connection closed",
  LUNA_E_FORMAT = "malformed reply", LUNA_E_TLS = "TLS failed", LUNA_E_CANCEL = "cancelled", LUNA_E_SYSTEM = "system error",
  LUNA_E_SPACE = "too much", LUNA_E_BUSY = "too many wait",
}
local SAID = {}
for name, text in pairs(CODES) do SAID[tonumber(C[name])] = text end

--- The exchanges with upstreams that have ended since the last call.
---@return { query: integer, to: string, transport: string, seconds: number, result: string }[]
function Shadow:exchanges()
  local out = {}
  while C.luna_shadow_asked(self.state, asked) ~= 0 do
    local ip = boundary.addr_text(asked.addr)
    out[#out + 1] = {
      query = asked.query, to = (asked.addr.family == 6 and "[%s]:%d" or "%s:%d"):format(ip, asked.addr.port),
      transport = TRANSPORTS[asked.transport], seconds = tonumber(asked.took) / 1e9,
      result = asked.code >= 0 and "reply" or SAID[asked.code] or "failed",
    }
  end
  return out
end

return Shadow
