--- assert.hot: runs questions some 10,000 times and fails on what a hot handler must not do: abort a trace, be
--- given up by the compiler, or
--- grow the heap.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local reply_text = require "dns.test.reply"
local C = boundary.C

local BATCH = 32
local WARM, ROUNDS = 400, 320 -- batches
local ATTEMPTS = 10

local function describe(func, pc, code, reason)
  local info = require("jit.util").funcinfo(func, pc)
  local text = tostring(code)
  local ok, vmdef = pcall(require, "jit.vmdef")
  if ok and vmdef.traceerr and vmdef.traceerr[code] then
    local good, shown = pcall(string.format, vmdef.traceerr[code], reason)
    text = good and shown or vmdef.traceerr[code]
  end
  return ("%s:%d: %s"):format(tostring(info.source):gsub("^@", ""), info.currentline or 0, text)
end

---@param s DnsTestServer
---@param questions (string|table)[] questions, or { question, options }
---@return boolean ok
---@return string|nil why
return function(s, questions)
  local state, entry = s.state, s.made.entry
  local packets, lens = ffi.new("const uint8_t *[?]", BATCH), ffi.new("uint32_t[?]", BATCH)
  local client = assert(boundary.addr("10.240.0.1:40212", 40212))
  local held = {} -- packets points into these strings
  local transport = C.LUNA_UDP
  for i = 0, BATCH - 1 do
    local question = questions[i % #questions + 1]
    if type(question) == "string" then question = { question, {} } end
    if question[2].transport == "tcp" then transport = C.LUNA_TCP end
    local packet = reply_text.question(question[1], question[2])
    held[i] = packet
    packets[i], lens[i] = ffi.cast("const uint8_t *", packet), #packet
  end
  local taken = ffi.new "char[4096]"
  local waiting = 0
  local function run(batches)
    for _ = 1, batches do
      C.luna_offline_load(state, packets, lens, BATCH, client, transport)
      entry()
      state.batch_len, state.woken_len = 0, 0
      waiting = waiting + C.luna_offline_sweep(state)
      repeat until C.luna_log_take(taken, 4096) < 4095
    end
  end

  local aborts, steady = {}, false
  local function on_trace(what, _, func, pc, code, reason)
    if what ~= "abort" then return end
    local text = describe(func, pc, code, reason)
    if steady or text:find("blacklisted", 1, true) then aborts[#aborts + 1] = text end
  end
  s:turn()
  entry = s.made.entry
  jit.flush()
  s.made.runner.cool()
  jit.attach(on_trace, "trace")
  run(WARM)
  steady = true
  local grown
  -- The compiler itself may still be at work on a rare side path; a handler that is not hot stays so.
  for _ = 1, ATTEMPTS do
    for i = #aborts, 1, -1 do
      if not aborts[i]:find("blacklisted", 1, true) then table.remove(aborts, i) end
    end
    collectgarbage "collect"
    collectgarbage "stop"
    local before = collectgarbage "count"
    run(ROUNDS)
    grown = (collectgarbage "count" - before) * 1024 / (ROUNDS * BATCH)
    collectgarbage "restart"
    if #aborts == 0 and grown <= 1 then break end
  end
  jit.attach(on_trace)
  assert(#held >= 0) -- the packets had to live until here
  if waiting > 0 then
    return false, "a question waits for an upstream: only what is answered at once can be hot"
  end
  if #aborts > 0 then
    return false, "left compiled code:\n" .. table.concat(aborts, "\n", 1, math.min(#aborts, 10))
  end
  -- Less than an octet a query is what compiling itself leaves behind.
  if grown > 1 then return false, ("allocates: the heap grew by %.1f octets per query"):format(grown) end
  return true
end
