--- `lunadns repl`: a Lua prompt beside the server.
local Shadow = require "lunadns.tools.shadow"
local arguments = require "lunadns.arguments"
local dns = require "dns"
local ffi = require "ffi"
local log = require "dns.test.log"
local tools = require "lunadns.tools"

ffi.cdef "int isatty(int fd);"

local repl = {
  usage = "repl [-conf FILE] [-dns.port N]",
  summary = "a Lua prompt with the configuration at hand",
  doc = [[
Loads the Corefile beside the running server and reads Lua. s is that server, as in specs: s:query "example.org. A",
s:reload(), s:metric "coredns_cache_hits_total"; upstreams are really asked. dns is the API of plugins, and what waits there
may be called: lines run as a handler does. A value is shown; names that are set without `local` stay. "help" shows this,
"exit" or the end of the input ends it.]],
}

local function show(value)
  if type(value) == "table" and not (getmetatable(value) or {}).__tostring then
    local keys, parts = {}, {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for i, key in ipairs(keys) do
      if i > 40 then
        parts[#parts + 1] = "..."
        break
      end
      local one = value[key]
      parts[#parts + 1] = ("%s = %s"):format(tostring(key), type(one) == "string" and ("%q"):format(one) or tostring(one))
    end
    return "{ " .. table.concat(parts, ", ") .. " }"
  end
  return tostring(value)
end

--- What lines see: what they set themselves, s, dns, and Lua's own.
local function environment(s)
  local env = { s = s, dns = dns }
  return setmetatable(env, {
    __index = function(_, name)
      local value = _G[name]
      if value ~= nil then return value end
      if type(s[name]) == "function" then error(("unknown name '%s'; did you mean s:%s?"):format(name, name), 0) end
      if dns[name] ~= nil then error(("unknown name '%s'; did you mean dns.%s?"):format(name, name), 0) end
      error(("unknown name '%s'; there are s, dns, Lua's own and what was set here; type help"):format(tostring(name)), 0)
    end,
  })
end

--- A chunk: first as an expression.
local function compile(text, env)
  local chunk, err = loadstring("return " .. text, "=line")
  if not chunk then chunk, err = loadstring(text, "=line") end
  if not chunk then return nil, err end
  return setfenv(chunk, env)
end

-- Lines run as a task of the server, so that they may wait. What they call of the server itself must not run inside of it:
-- it is left to the loop that waits for the task.
local calls = {}

--- The server as lines see it.
local function outside(s)
  return setmetatable({}, {
    __index = function(_, name)
      local value = s[name]
      if type(value) ~= "function" then return value end
      return function(_, ...)
        local call = { fn = value, n = select("#", ...), ... }
        calls[#calls + 1] = call
        while not call.done do dns.sleep(0.01) end
        if not call.ok then error(call[1], 0) end
        return unpack(call, 1, call.n)
      end
    end,
  })
end

local function serve_calls(s)
  while calls[1] do
    local call = table.remove(calls, 1)
    local function keep(ok, ...)
      for i = 1, select("#", ...) do call[i] = select(i, ...) end
      call.ok, call.n, call.done = ok, select("#", ...), true
    end
    keep(pcall(call.fn, s, unpack(call, 1, call.n)))
  end
end

--- Runs a chunk to its end.
local function evaluate(s, chunk)
  local done, results, err = false, nil, nil
  local function note(ok, ...)
    done = true
    if ok then results = { n = select("#", ...), ... } else err = tostring((...)) end
  end
  local started = s.made.blocks[1].instances[1].server:spawn(function() note(pcall(chunk)) end)
  if not started then return nil, "all slots for queries are in use" end
  s.busy = true -- the line may reload, and ends in the generation where it began
  while not done do
    s:step(0.1)
    serve_calls(s)
  end
  s.busy = false
  return results, err
end

local function print_log()
  local lines = log.take()
  if lines ~= "" then io.stdout:write(lines) end
end

function repl.run(list)
  local given, why = arguments.read(list, arguments.COREFILE)
  if given and given[1] then given, why = nil, ("'%s' is too much"):format(given[1]) end
  if not given then return tools.misused("repl", why) end
  local source, s
  source, why = arguments.corefile(given)
  if source then s, why = Shadow.new(source) end
  if not s then
    io.stderr:write("lunadns repl: ", why --[[@as string]], "\n")
    return 1
  end
  local env = environment(outside(s))
  if ffi.C.isatty(0) == 1 then io.stdout:write('s is the server: s:query "example.org. A"; help says more, exit ends\n') end
  while true do
    print_log()
    io.stdout:write "> "
    io.stdout:flush()
    local line = io.read "*l"
    if not line or line:find "^%s*exit%s*$" then break end
    if line:find "^%s*help%s*$" then
      io.stdout:write(repl.doc, "\n")
    elseif line:find "%S" then
      local chunk, err = compile(line, env)
      local results
      if chunk then results, err = evaluate(s, chunk) end
      print_log()
      if err then io.stdout:write(err, "\n") end
      for i = 1, results and results.n or 0 do io.stdout:write(show(results[i]), "\n") end
    end
  end
  io.stdout:write "\n"
  s:close()
end

return repl
