--- `lunadns bench`: what a plugin, or a Corefile's whole chain, costs for each query.
local Server = require "dns.test.server"
local arguments = require "lunadns.arguments"
local boundary = require "lunadns.boundary"
local measure = require "dns.test.measure"
local question_of = require "dns.test.question"
local tools = require "lunadns.tools"
local C = boundary.C

local bench = {
  usage = "bench [-conf FILE | DIRECTIVE] [QUESTION...]",
  summary = "time and memory of a plugin for each query, and what leaves compiled code",
  doc = [[
Runs questions ("www.example.org", or "www.example.org AAAA" in quotes; default www.example.org) through the real core without
sockets: of a DIRECTIVE alone in a server block (its line of a Corefile, in quotes: "sinkhole ads.example"; the plugin is
looked for here), or of a Corefile. Upstreams answer at once, with an empty reply. Prints nanoseconds for each query, with
those of a block that only refuses beside them; octets that the heap grows by; and every place where LuaJIT gave up
compiling.]],
}

local WARM, BATCHES, ROUNDS = 600, 1500, 7
local FLOOR = { conf = "floor", text = ". {\n}\n", port = 53, directory = "." }

--- Nanoseconds for each query: the best of some rounds, the others had company.
local function nanoseconds(m)
  local best = math.huge
  for _ = 1, ROUNDS do
    local began = C.luna_clock()
    m.run(BATCHES)
    best = math.min(best, tonumber(C.luna_clock() - began) / (BATCHES * measure.BATCH))
  end
  return best
end

--- Measures one server.
local function run(given, questions)
  local s, err = Server.open(given)
  if not s then return nil, err end
  local m = measure.new(s, questions, true)
  m.run(WARM)
  local early = m.aborts
  m.aborts, m.waiting = {}, 0
  local out = { ns = nanoseconds(m), grown = measure.growth(m, BATCHES), early = early, late = m.aborts }
  out.waiting = m.waiting > 0
  m.stop()
  s:close()
  return out
end

--- Texts that are the same, once each, with their count.
local function counted(list)
  local count, out = {}, {}
  for _, text in ipairs(list) do
    if not count[text] then out[#out + 1] = text end
    count[text] = (count[text] or 0) + 1
  end
  for i, text in ipairs(out) do out[i] = ("  %4d x %s"):format(count[text], text) end
  return out
end

local function report(title, list)
  io.stdout:write(title, "\n")
  for _, line in ipairs(counted(list)) do io.stdout:write(line, "\n") end
end

function bench.run(list)
  local given, why = arguments.read(list, arguments.COREFILE)
  if given and not given.conf and not given[1] then given, why = nil, "expected a directive, or -conf FILE" end
  if not given then return tools.misused("bench", why) end
  local source
  local first = 1
  if given.conf then
    source, why = arguments.corefile(given)
  else
    source, first = { conf = "directive", text = (". { %s\n}\n"):format(given[1]), port = 53, directory = "." }, 2
  end
  if not source then
    io.stderr:write("lunadns bench: ", why --[[@as string]], "\n")
    return 1
  end
  local questions = {}
  for i = first, #given do
    local text = given[i]:find "%s" and given[i] or given[i] .. " A"
    local ok, err = pcall(question_of.parse, text)
    if not ok then return tools.misused("bench", err) end
    questions[#questions + 1] = text
  end
  if #questions == 0 then questions[1] = "www.example.org A" end
  local floor = assert(run(FLOOR, questions))
  local result, err = run(source, questions)
  if not result then
    io.stderr:write(err, "\n")
    return 1
  end
  io.stdout:write(("%d ns per query, %d ns of them beside the plugins\n"):format(result.ns + 0.5, floor.ns + 0.5))
  io.stdout:write(("%.1f octets allocated per query\n"):format(math.max(result.grown, 0)))
  if result.waiting then io.stdout:write "some queries wait for something else than an upstream: measured up to there\n" end
  if #result.late == 0 then
    io.stdout:write "no trace aborts once warm\n"
  else
    report("trace aborts once warm: what is there runs in the interpreter", result.late)
  end
  if #result.early > 0 then report("trace aborts while warming up, some of which end well on another way", result.early) end
end

return bench
