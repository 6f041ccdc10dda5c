--- Runs questions through a server many times, where the harness itself costs nothing: for assert.hot and `lunadns bench`.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local question_of = require "dns.test.question"
local C = boundary.C

local measure = {}

measure.BATCH = 32

--- Where a trace ended and why: "sinkhole.lua:12: NYI: bytecode FNEW".
local function describe(func, pc, code, reason)
  local info = require("jit.util").funcinfo(func, pc)
  local text = tostring(code)
  local ok, vmdef = pcall(require, "jit.vmdef")
  if ok and vmdef.traceerr and vmdef.traceerr[code] then
    local bytecode = tonumber(reason)
    if vmdef.traceerr[code]:find("bytecode", 1, true) and bytecode then
      reason = vmdef.bcnames:sub(bytecode * 6 + 1, bytecode * 6 + 6):gsub("%s+$", "")
    elseif type(reason) == "function" then
      local called = require("jit.util").funcinfo(reason)
      reason = called.loc or vmdef.ffnames[called.ffid] or "a function"
    end
    local good, shown = pcall(string.format, vmdef.traceerr[code], reason)
    text = good and shown or vmdef.traceerr[code]
  end
  local at = info.source and ("%s:%d"):format(info.source:gsub("^@", ""), info.currentline or 0) or tostring(info.loc)
  return ("%s: %s"):format(at, text)
end

---@class DnsTestMeasure
---@field aborts string[] "FILE:LINE: reason", since they were last emptied
---@field waiting integer queries that were not answered at once
---@field run fun(batches: integer) BATCH questions each
---@field stop fun()

--- Prepares questions for running. stop() ends the watch over traces.
---@param s DnsTestServer
---@param questions (string|table)[] questions, or { question, options }
---@param upstreams? boolean exchanges are answered, by an empty reply
---@return DnsTestMeasure
function measure.new(s, questions, upstreams)
  local batch = measure.BATCH
  local packets, lens = ffi.new("const uint8_t *[?]", batch), ffi.new("uint32_t[?]", batch)
  local client = assert(boundary.addr("10.240.0.1:40212", 40212))
  local transport = C.LUNA_UDP
  local self = { aborts = {}, waiting = 0, held = {} } -- packets points into held
  for i = 0, batch - 1 do
    local question = questions[i % #questions + 1]
    if type(question) == "string" then question = { question, {} } end
    if question[2].transport == "tcp" then transport = C.LUNA_TCP end
    if question[2].client then client = assert(boundary.addr(question[2].client, 40212)) end
    local packet = question_of.packet(question[1], question[2])
    self.held[i] = packet
    packets[i], lens[i] = ffi.cast("const uint8_t *", packet), #packet
  end
  s:turn()
  local state, entry = s.state, s.made.entry
  local taken = ffi.new "char[4096]"
  function self.run(batches)
    local waiting = 0
    for _ = 1, batches do
      C.luna_offline_load(state, packets, lens, batch, client, transport)
      entry()
      state.batch_len, state.woken_len = 0, 0
      if upstreams and C.luna_offline_answer_all(state) > 0 then entry() end
      waiting = waiting + C.luna_offline_sweep(state)
      repeat until C.luna_log_take(taken, 4096) < 4095
    end
    self.waiting = self.waiting + waiting
  end
  local function on_trace(what, _, func, pc, code, reason)
    if what ~= "abort" then return end
    self.aborts[#self.aborts + 1] = describe(func, pc, code, reason)
  end
  jit.flush()
  s.made.runner.cool()
  jit.attach(on_trace, "trace")
  function self.stop() jit.attach(on_trace) end
  return self
end

--- Octets that the heap grows by for each query, while batches run.
---@param batches integer
---@return number
function measure.growth(self, batches)
  collectgarbage "collect"
  collectgarbage "stop"
  local before = collectgarbage "count"
  self.run(batches)
  local grown = (collectgarbage "count" - before) * 1024 / (batches * measure.BATCH)
  collectgarbage "restart"
  return grown
end

return measure
