--- `lunadns trace`: one query's way through the Corefile's plugins.
local Shadow = require "lunadns.tools.shadow"
local arguments = require "lunadns.arguments"
local boundary = require "lunadns.boundary"
local log = require "dns.test.log"
local tools = require "lunadns.tools"
local way = require "lunadns.tools.way"
local C = boundary.C

local trace = {
  usage = "trace [-conf FILE] [-dns.port N] [-port N] [-tcp] [-do] [-subnet NETWORK] NAME TYPE [CLIENT]",
  summary = "show the way of one query: each plugin, what it did, how long it took",
  doc = [[
Loads the Corefile beside the running server, asks NAME TYPE as if CLIENT (default 127.0.0.1) had, and shows each plugin on
the way with its outcome and its own time, every upstream that was asked, the log and the reply. Upstreams and
the Kubernetes API are really asked;
the cache is empty, and a first query runs before anything is compiled. -port chooses the Corefile's port when it has several.]],
}

local FLAGS = { port = "value", tcp = "flag", ["do"] = "flag", subnet = "value" }
for flag, kind in pairs(arguments.COREFILE) do FLAGS[flag] = kind end

local function time(ns)
  if not ns then return "" end
  if ns < 1e6 then return ("%.1f us"):format(ns / 1e3) end
  return ("%.1f ms"):format(ns / 1e6)
end

local function print_way(first, exchanges)
  local rows, width = {}, 0
  local step = first
  while step do
    rows[#rows + 1] = { step.plugin, way.outcome(step), time(way.own(step)) }
    width = math.max(width, #step.plugin)
    step = step.next
  end
  for _, row in ipairs(rows) do
    io.stdout:write(("  %-" .. width .. "s  %10s  %s\n"):format(row[1], row[3], row[2]))
  end
  for _, each in ipairs(exchanges) do
    io.stdout:write(("  asked %s over %s: %s in %s\n"):format(each.to, each.transport, each.result, time(each.seconds * 1e9)))
  end
end

local function print_log()
  local lines = log.take()
  if lines ~= "" then io.stdout:write("log:\n  ", (lines:gsub("\n(.)", "\n  %1"))) end
end

local function failed(why)
  io.stderr:write("lunadns trace: ", tostring(why), "\n")
  return 1
end

--- Asks, and shows what became of it.
local function show(s, recorder, given)
  local listener, why = s:listener(tonumber(given.port))
  if not listener then return failed(why) end
  local question = given[1] .. " " .. given[2]
  local ok, q = pcall(s.send, s, question, {
    client = given[3] or "127.0.0.1", listener = listener, transport = given.tcp and "tcp" or "udp", ["do"] = given["do"],
    subnet = given.subnet,
  })
  if not ok then return failed(q) end
  local deadline = C.luna_clock() + 30000000000ULL
  while C.luna_offline_done(q) == 0 and C.luna_clock() < deadline do s:step(0.25) end
  local index, done = q.index, C.luna_offline_done(q) ~= 0
  local exchanges = {}
  for _, each in ipairs(s:exchanges()) do
    if each.query == index then exchanges[#exchanges + 1] = each end
  end
  local block = s.control.blocks[1]
  for _, each in ipairs(s.control.blocks) do
    for _, site in ipairs(each.sites) do
      if site.number == q.block then block = each end
    end
  end
  local reply = s:finish(q)
  io.stdout:write(("%s from %s, server block at %s:%d\n"):format(question, given[3] or "127.0.0.1", block.file, block.line))
  if recorder.steps[index] then
    print_way(recorder.steps[index], exchanges)
  else
    io.stdout:write "  no plugin was asked: no zone of this address fits, or the query is malformed\n"
  end
  print_log()
  if reply then
    io.stdout:write(tostring(reply), "\n")
  else
    io.stdout:write(done and "no reply is sent\n" or "no reply within 30 s\n")
  end
  return reply and 0 or 1
end

function trace.run(list)
  local given, why = arguments.read(list, FLAGS)
  if given and (not given[2] or given[4]) then given, why = nil, "expected NAME TYPE, and a client perhaps" end
  if not given then return tools.misused("trace", why) end
  local recorder, s = way.new(), nil
  local source
  source, why = arguments.corefile(given)
  if source then
    source.wrap = recorder.wrap
    s, why = Shadow.new(source)
  end
  if not s then return failed(why) end
  local code = show(s, recorder, given)
  s:close()
  return code
end

return trace
