--- Assertions of specs. What was expected comes first. Each has its opposite: assert.is_not.passed(...), assert.no.log(...).
--
--   assert.answer(records, reply)            exactly these records in the answer section, in any order
--   assert.authority(records, reply)         the same of the authority section
--   assert.additional(records, reply)        the same of the additional section, without OPT
--   assert.rcode("NXDOMAIN", reply)
--   assert.nodata(reply)                     NOERROR without an answer
--   assert.nxdomain(reply)
--   assert.passed(server, question)          went on to the next plugin, and nothing was changed on its way
--   assert.dropped(server, question)         no reply is sent
--   assert.log(text, server)                 a line logged since the last s:log() holds the text
--   assert.metric(value, server, name, labels)
--   assert.corefile_error(text, corefile)    refused with a message that holds the text
--   assert.hot(server, questions)            stays on compiled traces and allocates nothing; see dns/test/hot.lua
local difference = require "dns.test.difference"
local question_of = require "dns.test.question"
local registry = require "lunadns.options.registry"

local checks = {}

local function shown(reply)
  if not reply then return "  (no reply was sent)" end
  return "  " .. tostring(reply):gsub("\n", "\n  ")
end

local function section(name)
  return function(expected, reply)
    if not reply then return false, "no reply was sent; expected in its " .. name .. " section:\n  " ..
      table.concat(difference.records(expected), "\n  ") end
    if type(reply) ~= "table" or not reply[name] then error("expected a reply of s:query, found a " .. type(reply), 0) end
    local same, diff = difference.compare(difference.records(expected), difference.found(reply[name]))
    return same, ("%s section (- expected, + found):\n%s\nthe reply:\n%s"):format(name, diff == "" and "  (empty)" or diff,
      shown(reply))
  end
end

checks.answer = section "answer"
checks.authority = section "authority"
checks.additional = section "additional"

function checks.rcode(expected, reply)
  if not registry.rcodes[expected] then error(("'%s' is not a response code"):format(expected), 0) end
  if not reply then return false, "no reply was sent; expected " .. expected end
  return reply.rcode == expected, ("rcode (- expected, + found):\n- %s\n+ %s\nthe reply:\n%s"):format(expected, reply.rcode,
    shown(reply))
end

function checks.nxdomain(reply) return checks.rcode("NXDOMAIN", reply) end

function checks.nodata(reply)
  local good = reply and reply.rcode == "NOERROR" and #reply.answer == 0
  return good, "expected NOERROR without an answer, found:\n" .. shown(reply)
end

--- Passed on: it came to the end of the chain or to an upstream as it was asked.
function checks.passed(s, question, options)
  local before, wanted = #s.asked, question_of.normal(question)
  local name, qtype = question_of.parse(question)
  s.watch = {}
  local reply = s:query(question, options)
  local watch = s.watch
  s.watch = nil
  local asked = s.asked[before + 1]
  if asked then
    if asked.question == wanted then return true, question .. " was passed on to " .. asked.to end
    return false, ("%s was passed on changed:\n- %s\n+ %s"):format(question, wanted, asked.question)
  end
  -- Of a live server only its reply can be seen: that of a chain's end.
  if s.live and reply and reply.rcode == "SERVFAIL" and #reply.answer == 0 then return true, question .. " was passed on" end
  local seen = watch[1]
  if not seen then return false, ("%s was not passed on; the reply:\n%s"):format(question, shown(reply)) end
  local boundary = require "lunadns.boundary"
  if seen.name ~= boundary.name_text(name.wire) or seen.qtype ~= qtype then
    return false, ("%s was passed on changed:\n- %s\n+ %s type %d"):format(question, wanted, seen.name, seen.qtype)
  end
  if seen.replied then return false, question .. " was passed on with a reply already written" end
  if reply and (reply.rcode ~= "SERVFAIL" or #reply.answer > 0) then
    return false, ("%s was passed on, but what came back was changed; the reply:\n%s"):format(question, shown(reply))
  end
  return true, question .. " was passed on"
end

function checks.dropped(s, question, options)
  s.expects_silence = true
  local reply = s:query(question, options)
  s.expects_silence = nil
  return reply == nil, ("%s was answered:\n%s"):format(question, shown(reply))
end

function checks.log(text, s)
  local lines = s:peek_log()
  return lines:find(text, 1, true) ~= nil, ("log (- expected, + found):\n- ...%s...\n%s"):format(text,
    lines == "" and "  (nothing was logged)" or (("\n" .. lines:gsub("\n$", "")):gsub("\n", "\n+ "):sub(2)))
end

function checks.metric(expected, s, name, labels)
  local value = s:metric(name, labels)
  if value == nil and expected == 0 then return true end
  if value ~= nil then return value == expected, ("%s (- expected, + found):\n- %s\n+ %s"):format(name, expected, value) end
  local near = {}
  for line in s:metrics_text():gmatch "[^\n]+" do
    if line:find(name:match "^[%w_:]+", 1, true) and line:sub(1, 1) ~= "#" then near[#near + 1] = "+ " .. line end
  end
  return false, ("%s: no such series; expected %s\n%s"):format(name, expected, table.concat(near, "\n"))
end

--- assert.hot(server, questions)
function checks.hot(s, questions)
  if s.live then s:pending "what is compiled is known in the process of the spec only" end
  return require "dns.test.hot"(s, questions)
end

local function install(t)
  function checks.corefile_error(text, corefile, options)
    local s, err = t.try(corefile, options)
    if s then
      s:close()
      return false, "the Corefile was accepted; expected an error with:\n- " .. text
    end
    return err:find(text, 1, true) ~= nil, ("the error (- expected, + found):\n- ...%s...\n+ %s"):format(text, err)
  end

  local ok, luassert = pcall(require, "luassert")
  if not ok then return end
  for name, check in pairs(checks) do
    -- No message of luassert's own: what is to be said is said by the check.
    ---@diagnostic disable-next-line: missing-parameter
    luassert:register("assertion", name, function(state, arguments)
      local good, why = check(unpack(arguments, 1, arguments.n or #arguments))
      state.failure_message = state.mod and why or "did not expect that " .. tostring(why)
      return good
    end)
  end

  -- Servers end with the file that made them.
  local busted_ok, busted = pcall(require, "busted")
  if busted_ok and busted.subscribe then
    busted.subscribe({ "file", "end" }, function()
      t.close_all()
      return nil, true -- to who else has subscribed
    end)
  end
end

return install
