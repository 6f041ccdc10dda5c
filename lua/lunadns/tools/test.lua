--- `lunadns test`: busted in this binary's own Lua, with the embedded dns.test.
local ffi = require "ffi"

ffi.cdef "int setenv(const char *name, const char *value, int overwrite);"

local test = {
  usage = "test [--reload] [--live] [PATH...] [flags of busted]",
  summary = "run the specs of plugins",
  doc = [[
Runs every file named *_spec.lua in the paths (default "."), with busted (Debian: lua-busted) in this binary's own Lua, where
dns.test is the real core without sockets. --reload reloads the configuration between every two queries, so that a plugin
that keeps state in Lua shows it. --live starts a real server on a free port for each t.server and asks it over UDP.
Other flags are busted's: -o TAP, --filter PATTERN, --verbose ... Exit code 0: all passed.]],
}

local MISSING = [[
lunadns test needs busted, which is not installed for LuaJIT or Lua 5.1:
  Debian, Ubuntu   apt-get install lua-busted
  elsewhere        luarocks --lua-version 5.1 install busted
It was looked for as the module 'busted.runner':%s
]]

-- Flags of busted that take the next word; what stands alone otherwise is a path.
local VALUED = {}
for flag in ("-p --pattern --exclude-pattern -e -o --output -C --directory -f --config-file --coverage-config-file -t --tags "
  .. "--exclude-tags --filter --filter-out -m --lpath --cpath -r --run --repeat --seed --lang --loaders --helper -Xoutput "
  .. "-Xhelper"):gmatch "%S+" do VALUED[flag] = true end

-- The name of this chunk is what busted calls itself in messages; it runs a file it is called from unless told otherwise.
local RUN = "local runner, options = ...; runner(options)"

function test.run(list)
  local found, runner = pcall(require, "busted.runner")
  if not found then
    io.stderr:write(MISSING:format(tostring(runner):match "not found:(.*)$" or "\n" .. tostring(runner)))
    return 1
  end
  local words, path, valued = {}, false, false
  for _, word in ipairs(list) do
    if word == "--reload" then
      ffi.C.setenv("LUNADNS_TEST_RELOAD", "1", 1)
    elseif word == "--live" then
      ffi.C.setenv("LUNADNS_TEST_LIVE", "1", 1)
    elseif word == "--help" or word == "-h" then
      io.stdout:write("Usage: lunadns ", test.usage, "\n", test.doc, "\n")
      return 0
    else
      words[#words + 1] = word
      path = path or not valued and word:sub(1, 1) ~= "-"
    end
    valued = VALUED[word]
  end
  if not path then words[#words + 1] = "." end
  -- A .busted of the directory may name another Lua.
  words[#words + 1] = "--ignore-lua"
  words[0] = "lunadns test"
  _G.arg = words
  local ok, err = pcall(assert(loadstring(RUN, "@lunadns test")), runner, { standalone = false })
  if ok then return 0 end
  -- busted ends with an empty error when it has told what failed.
  if err then io.stderr:write("lunadns test: ", tostring(err), "\n") end
  return 1
end

return test
