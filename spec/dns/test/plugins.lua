--- Plugins that specs of the harness need, by file name: for t.files.
return {
  -- Says in TXT records what it sees of a query.
  ["mirror.lua"] = [[
local dns = require "dns"
local boundary = require "lunadns.boundary"
return dns.plugin { name = "mirror", options = {}, setup = function(_, next)
  return function(q)
    if q.qtype ~= dns.TXT then return next(q) end
    q:respond(0)
    local function say(format, ...) q:add(dns.ANSWER, ('@ 0 IN TXT "' .. format .. '"'):format(...)) end
    say("client %s:%d", boundary.addr_text(q.client), q.client.port)
    say("to %s:%d", boundary.addr_text(q["local"]), q["local"].port)
    say("transport %d", q.transport)
    say("edns %d size %d do %d", q.edns, q.opt_size, q.do_bit)
    say("flags %04x opcode %d id %d class %d", q.flags, q.opcode, q.id, q.qclass)
    if q.opt_len > 0 then
      local octets = require("ffi").string(q.packet + q.packet_len - q.opt_len, q.opt_len)
      say("options %s", octets:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
    end
    return 0
  end
end }]],
  -- Counts in Lua, and in a metric; says hello in the log.
  ["count.lua"] = [[
local dns = require "dns"
return dns.plugin { name = "count", options = {}, setup = function(_, next, server)
  local seen, total = 0, server:counter("seen_total", "Seen.", { { "kind", "all" } })
  local level = server:gauge("level", "Level.")
  return function(q)
    seen = seen + 1
    total:inc()
    level:set(seen)
    server:log("info", "seen %d", seen)
    if q:under "count.test." then
      q:respond(0)
      q:add(dns.ANSWER, ('@ 0 IN TXT "%d"'):format(seen))
      return 0
    end
    return next(q)
  end
end }]],
  -- Changes what passes through it.
  ["meddle.lua"] = [[
local dns = require "dns"
return dns.plugin { name = "meddle", options = {}, setup = function(_, next)
  return function(q)
    if q:under "drop.test." then return q:drop() end
    if q:under "slow.test." then
      local t = {}
      for i = 1, 10 do t[i] = i end
    end
    if q:under "type.test." then q.qtype = dns.AAAA end
    local rcode, err = next(q)
    if q:under "back.test." then return q:answer_address("192.0.2.9", 5) end
    return rcode, err
  end
end }]],
  -- Wakes up every second and then some.
  ["tick.lua"] = [[
local dns = require "dns"
return dns.plugin { name = "tick", options = {}, setup = function(_, next, server)
  server:every(0.1, function() server:log("info", "tick") end)
  return next
end }]],
}
