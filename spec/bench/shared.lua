-- What shared data costs, from Lua as a plugin uses it: nanoseconds a call and octets an entry.
-- luajit spec/bench/shared.lua [NAMES] [NETWORKS]
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
local ffi = require "ffi"
local dns = require "dns"
local C = require("lunadns.boundary").C

local state = C.luna_offline_open() -- a reader, as a worker is during a turn

local NAMES, NETS = tonumber(arg[1]) or 1000000, tonumber(arg[2]) or 100000
local ASKED, ROUNDS = 4096, 16 -- few enough for the cache: a query's own name and address are there already

math.randomseed(1)
local function random(n) return math.random(0, n - 1) end

local function now() return tonumber(C.luna_clock()) end

--- CPU time, the least of several runs over all that is asked for: the machine may be busy with other things. The cost of
--- the loop itself is in it.
local function measure(what, fn)
  local best = math.huge
  for _ = 1, 15 do
    local from = os.clock()
    for _ = 1, ROUNDS do fn() end
    best = math.min(best, (os.clock() - from) * 1e9 / ASKED / ROUNDS)
  end
  print(("%-58s %6.0f ns"):format(what, best))
end

local function addresses(make)
  local list = ffi.new("luna_addr[?]", ASKED)
  for i = 0, ASKED - 1 do make(list[i], i) end
  return list
end

local function names(make)
  local list = ffi.new("luna_name[?]", ASKED)
  for i = 0, ASKED - 1 do
    local text = make(i)
    C.luna_name_parse(text, #text, list[i])
  end
  return list
end

--- Lets other threads finish what waits for this reader: a larger table of a dictionary.
local function settle()
  local till = now() + 1e8
  while now() < till do C.luna_offline_advance(state, 1) end
end

-- ---- dictionaries

for _, clients in ipairs { 1024, 65536 } do
  local d = dns.shared("bench" .. clients, { bytes = "64MB" })
  for i = 0, clients - 1 do d:set(dns.addr(("10.%d.%d.%d"):format(i / 65536, i / 256 % 256, i % 256)), 0) end
  settle()
  local list = addresses(function(a)
    a.family = 4
    local n = random(clients)
    a.ip[0], a.ip[1], a.ip[2], a.ip[3] = 10, n / 65536, n / 256 % 256, n % 256
  end)
  measure(("dict:incr(addr), %d clients"):format(clients), function()
    for i = 0, ASKED - 1 do d:incr(list[i], 1, 0, 60) end
  end)
  measure(("dict:get(addr), %d clients"):format(clients), function()
    local sum = 0
    for i = 0, ASKED - 1 do sum = sum + (d:get(list[i]) or 0) end
    assert(sum > 0)
  end)
  local keys, bytes = d:count()
  print(("%-58s %6.1f octets"):format("an entry of an address and a number", bytes / keys))
end
local d = dns.shared("bench", { bytes = "64MB" })
d:set("limit", 5)
measure("dict:get('limit')", function() for _ = 1, ASKED do d:get "limit" end end)
measure("dict:incr('count')", function() for _ = 1, ASKED do d:incr "count" end end)
local flood = dns.shared("flood", { bytes = "1MB" })
local n = 0
measure("dict:incr(number), all new, in a full dictionary", function()
  for _ = 1, ASKED do
    n = n + 1
    flood:incr(n)
  end
end)

-- ---- names

local lines, octets = {}, 0
for i = 1, NAMES do
  local text = ("h%d.zone%d.%s"):format(random(1e6), random(NAMES / 4), ({ "com", "net", "example" })[i % 3 + 1])
  lines[i], octets = text, octets + #text
end
local set = dns.names "bench"
local from = now()
assert(set:load_text(table.concat(lines, "\n")))
local built = (now() - from) / 1e6
local count, bytes = set:count()
print(("%-58s %6.0f ms"):format(("build a set of %d names of %.0f characters"):format(count, octets / NAMES), built))
print(("%-58s %6.1f octets"):format("a name", bytes / count))
for _, case in ipairs {
  { "below a listed name", function() return "www." .. lines[random(NAMES) + 1] end },
  { "listed", function() return lines[random(NAMES) + 1] end },
  { "not listed, three labels", function(i) return ("www.other%d.com"):format(i) end },
  { "not listed, six labels", function(i) return ("a.b.c.www.other%d.com"):format(i) end },
} do
  local list = names(case[2])
  measure("names:match, " .. case[1], function() for i = 0, ASKED - 1 do set:match(list[i]) end end)
end
local list = names(function() return lines[random(NAMES) + 1] end)
measure("names:get, listed", function() for i = 0, ASKED - 1 do set:get(list[i]) end end)
local small = dns.suffixes { "ads.example", "tracker.example" }
local one = dns.name "www.example.org"
measure("names:match, a set of two, not listed", function() for _ = 1, ASKED do small:match(one) end end)

-- ---- networks

local four, six = {}, {}
for i = 1, NETS do
  four[i] = ("%d.%d.%d.0/%d %d"):format(1 + random(223), random(256), random(256), 16 + random(9), i)
  six[i] = ("2a%02x:%x:%x::/%d %d"):format(random(16), random(65536), random(65536), 29 + random(20), i)
end
for _, case in ipairs {
  { "IPv4", four, function(a)
    a.family = 4
    a.ip[0], a.ip[1], a.ip[2], a.ip[3] = 1 + random(223), random(256), random(256), random(256)
  end },
  { "IPv6", six, function(a)
    a.family = 6
    a.ip[0], a.ip[1] = 0x2a, random(16)
    for i = 2, 15 do a.ip[i] = random(256) end
  end },
} do
  local nets = dns.networks("bench" .. case[1])
  from = now()
  assert(nets:load_text(table.concat(case[2], "\n")))
  built = (now() - from) / 1e6
  count, bytes = nets:count()
  print(("%-58s %6.0f ms, %.1f octets each"):format(("build %d networks, %s"):format(count, case[1]), built, bytes / count))
  local asked = addresses(case[3])
  measure("networks:match, " .. case[1], function() for i = 0, ASKED - 1 do nets:match(asked[i]) end end)
end
local few = dns.networks { "10.0.0.0/8", "192.168.0.0/16", "2001:db8::/32" }
local client = dns.addr "10.1.2.3"
measure("networks:match, three networks", function() for _ = 1, ASKED do few:match(client) end end)
C.luna_offline_close(state)
