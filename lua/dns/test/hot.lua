--- assert.hot: runs questions some 10,000 times and fails on what a hot handler must not do: abort a trace, be given up by
--- the compiler, or grow the heap.
local measure = require "dns.test.measure"

local WARM, ROUNDS = 400, 320 -- batches
local ATTEMPTS = 10

local function blacklisted(text) return text:find("blacklisted", 1, true) ~= nil end

--- Forgets what the compiler tried while it was warming up, but not what it gave up for good.
local function forget(aborts)
  for i = #aborts, 1, -1 do
    if not blacklisted(aborts[i]) then table.remove(aborts, i) end
  end
end

---@param s DnsTestServer
---@param questions (string|table)[] questions, or { question, options }
---@return boolean ok
---@return string|nil why
return function(s, questions)
  local m = measure.new(s, questions)
  m.run(WARM)
  local grown
  -- The compiler itself may still be at work on a rare side path; a handler that is not hot stays so.
  for _ = 1, ATTEMPTS do
    forget(m.aborts)
    grown = measure.growth(m, ROUNDS)
    if #m.aborts == 0 and grown <= 1 then break end
  end
  m.stop()
  if m.waiting > 0 then
    return false, "a question waits for an upstream: only what is answered at once can be hot"
  end
  if #m.aborts > 0 then
    return false, "left compiled code:\n" .. table.concat(m.aborts, "\n", 1, math.min(#m.aborts, 10))
  end
  -- Less than an octet a query is what compiling itself leaves behind.
  if grown > 1 then return false, ("allocates: the heap grew by %.1f octets per query"):format(grown) end
  return true
end
