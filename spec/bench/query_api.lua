-- What the methods of q cost, in ns per call: a chain of one handler on the offline core, with and without the call.
-- Usage: luajit spec/bench/query_api.lua [PATTERN]
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path
local ffi = require "ffi"
local dns = require "dns"

local probe = require "spec.query.probe"
local boundary = require "lunadns.boundary"
local question_of = require "dns.test.question"
local C = boundary.C

local BATCH, ROUNDS, RUNS = 32, 100, 200
local zone, other, rule = dns.name "never.test.", dns.name "b.test.", dns.rewrite { name = "new.test." }
local suffix = dns.rewrite { from = "test.", to = "much.longer.example." }
local one = dns.records "@ 60 IN A 192.0.2.1"
local mixed, soa = dns.records "@ 60 IN CNAME b.test.\nb.test. 60 IN A 192.0.2.1", dns.soa("test.", { serial = 1 })
local lines = {}
for i = 1, 6 do lines[i] = "@ 60 IN A 192.0.2." .. i end
local six = dns.records(table.concat(lines, "\n"))
local from, to, mark = dns.addr "192.0.2.1", dns.addr "192.0.2.9", dns.tag "bench"
dns.number "bench"
local function lower(record) if record:is "A" then record:set_ttl(5) end end
local function even(record) return record.ttl == 5 end
local function by_ttl(record) return record.ttl end
local function answer_one(q) return q:answer(one) end

-- Each with what it is compared with: a handler that refuses, or one that answers.
local function refuse(q) return q:refuse() end
local function answer(q) return q:answer(one) end
local function answer_six(q) return q:answer(six) end
local CASES = {
  { "q:under(zone)", refuse, function(q) return q:under(zone) and 1 or q:refuse() end },
  { "q:under \"never.test.\"", refuse, function(q) return q:under "never.test." and 1 or q:refuse() end },
  { "q:is \"AAAA\"", refuse, function(q) return q:is "AAAA" and 1 or q:refuse() end },
  { "q:is \"never.test.\"", refuse, function(q) return q:is "never.test." and 1 or q:refuse() end },
  { "q:rd()", refuse, function(q) return q:rd() and q:refuse() or 1 end },
  { "q:type_text()", refuse, function(q) return q:type_text() == "MX" and 1 or q:refuse() end },
  { "q:name_text()", refuse, function(q) return q:name_text() == "x" and 1 or q:refuse() end },
  { "q:client_text()", refuse, function(q) return q:client_text() == "x" and 1 or q:refuse() end },
  { "q:tag, q:tagged", refuse, function(q) q:tag(mark) return q:tagged(mark) and q:refuse() or 1 end },
  { "q:set, q:get", refuse, function(q) q:set("bench", 2) return q:get "bench" == 2 and q:refuse() or 1 end },
  { "q:data()", refuse, function(q) q:data().x = 1 return q:refuse() end },
  { "q:client_subnet()", refuse, function(q) return q:client_subnet() and 1 or q:refuse() end },
  { "q:ede \"Blocked\"", refuse, function(q) q:ede "Blocked" return q:refuse() end },
  { "q:answer_address", refuse, function(q) return q:answer_address(from, 60) end },
  { "q:answer(one A)", refuse, answer },
  { "q:answer(six A)", refuse, answer_six },
  { "q:answer(CNAME, A)", refuse, function(q) return q:answer(mixed) end },
  { "q:nxdomain(soa)", refuse, function(q) return q:nxdomain(soa) end },
  { "q:answer_name", refuse, function(q) return q:answer_name("CNAME", other, 60) end },
  { "q:add text, one A", refuse, function(q) q:add("answer", "@ 60 IN A 192.0.2.1") return 0 end },
  { "q:rewrite(name)", answer, function(q) return q:rewrite(rule, answer_one) end },
  { "q:rewrite(zone)", answer, function(q) return q:rewrite(suffix, answer_one) end },
  { "q:set_ttl, one A", answer, function(q) answer(q) q:set_ttl(5) return 0 end },
  { "q:limit_ttl, six A", answer_six, function(q) answer_six(q) q:limit_ttl(1, 5) return 0 end },
  { "q:each, one A", answer, function(q) answer(q) q:each(lower) return 0 end },
  { "q:each, six A", answer_six, function(q) answer_six(q) q:each(lower) return 0 end },
  { "q:remove type, six A", answer_six, function(q) answer_six(q) q:remove "A" return 0 end },
  { "q:remove function, none of six", answer_six, function(q) answer_six(q) q:remove(even) return 0 end },
  { "q:sort, six A as they are", answer_six, function(q) answer_six(q) q:sort(by_ttl) return 0 end },
  { "q:replace_address, six A", answer_six, function(q) answer_six(q) q:replace_address(from, to) return 0 end },
}

local client = assert(boundary.addr("10.240.0.1:40212", 40212))
local packets, lens, held = ffi.new("const uint8_t *[?]", BATCH), ffi.new("uint32_t[?]", BATCH), {}
for i = 0, BATCH - 1 do
  held[i] = question_of.packet("www.example" .. i .. ".test. A", {})
  packets[i], lens[i] = ffi.cast("const uint8_t *", held[i]), #held[i]
end

--- A handler that is ready to be measured: a function that returns ns per query, and one that ends it.
local function prepare(handler)
  local s = probe.server(function() return function(q) return handler(q) end end)
  local state = s.state
  s:turn()
  local entry = s.made.entry
  local function run(rounds)
    for _ = 1, rounds do
      C.luna_offline_load(state, packets, lens, BATCH, client, C.LUNA_UDP)
      entry()
      state.batch_len, state.woken_len = 0, 0
      C.luna_offline_sweep(state)
    end
  end
  run(600)
  return function()
    local before = C.luna_clock()
    run(ROUNDS)
    return tonumber(C.luna_clock() - before) / (ROUNDS * BATCH)
  end, function() s:close() end
end

-- With and without by turns, the least of many short runs each: others use the machine too.
for _, case in ipairs(CASES) do
  if case[1]:find(arg[1] or "", 1, true) then
    jit.flush()
    local without, with = math.huge, math.huge
    local run_without, close_without = prepare(case[2])
    local run_with, close_with = prepare(case[3])
    for _ = 1, RUNS do
      without, with = math.min(without, run_without()), math.min(with, run_with())
    end
    close_without()
    close_with()
    print(("%-32s %6.0f ns   (%.0f with, %.0f without)"):format(case[1], with - without, with, without))
  end
end
probe.done()
