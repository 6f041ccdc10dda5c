--- Assertions of specs: assert.answer, assert.rcode, assert.passed, assert.corefile_error, assert.hot.
local registry = require "lunadns.options.registry"

--- A record's text with one space between fields and a lower-case owner.
local function normal(record)
  local owner, rest = record:gsub("%s+", " "):match "^(%S+) (.*)$"
  return owner and owner:lower() .. " " .. rest or record
end

local function lines_of(expected)
  local out = {}
  if type(expected) == "table" then
    for _, line in ipairs(expected) do out[#out + 1] = normal(line) end
  else
    for line in expected:gmatch "[^\n]+" do
      if line:find "%S" then out[#out + 1] = normal((line:gsub("^%s+", ""))) end
    end
  end
  table.sort(out)
  return table.concat(out, "\n")
end

local function describe(reply)
  if not reply then return "(no reply)" end
  return ("%s\nanswer:     %s\nauthority:  %s\nadditional: %s"):format(reply.rcode, table.concat(reply.answer, "\n"),
    table.concat(reply.authority, "\n"), table.concat(reply.additional, "\n"))
end

local function install(t)
  local ok, luassert = pcall(require, "luassert")
  if not ok then return end
  local say = require "say"

  local function add(name, fn)
    say:set("assertion." .. name .. ".positive", "%s")
    say:set("assertion." .. name .. ".negative", "unexpectedly so: %s")
    luassert:register("assertion", name, function(state, arguments)
      local good, why = fn(unpack(arguments, 1, arguments.n or #arguments))
      state.failure_message = why
      return good
    end, "assertion." .. name .. ".positive", "assertion." .. name .. ".negative")
  end

  --- assert.answer(records, reply): exactly these records in the answer section, in any order.
  add("answer", function(expected, reply)
    if not reply then return false, "no reply was sent" end
    local want, have = lines_of(expected), lines_of(reply.answer)
    return want == have, ("expected answer:\n%s\nfound:\n%s"):format(want, describe(reply))
  end)

  --- assert.rcode("NXDOMAIN", reply)
  add("rcode", function(expected, reply)
    if not reply then return false, "no reply was sent" end
    assert(registry.rcodes[expected], expected .. " is not an rcode")
    return reply.rcode == expected, ("expected %s, found:\n%s"):format(expected, describe(reply))
  end)

  --- assert.passed(server, question): the question reached an upstream.
  add("passed", function(s, question)
    local before = #(s.asked or {})
    s:query(question)
    for i = before + 1, #(s.asked or {}) do
      if s.asked[i].question == question then return true end
    end
    return false, question .. " was not passed on"
  end)

  --- assert.corefile_error(text, corefile): refused with a message that holds text.
  add("corefile_error", function(text, corefile, options)
    local s, err = t.try(corefile, options)
    if s then
      s:close()
      return false, "the Corefile was accepted; expected: " .. text
    end
    return err:find(text, 1, true) ~= nil, ("expected an error with:\n%s\nfound:\n%s"):format(text, err)
  end)

  --- assert.hot(server, questions): stays on compiled traces and allocates nothing.
  add("hot", function(s, questions, options) return require "dns.test.hot"(s, questions, options) end)

  -- Servers end with the file that made them.
  local busted_ok, busted = pcall(require, "busted")
  if busted_ok and busted.subscribe then busted.subscribe({ "file", "end" }, function() t.close_all() end) end
end

return install
