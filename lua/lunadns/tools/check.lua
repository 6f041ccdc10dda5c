--- `lunadns check`: does everything that a start does, short of listening.
local arguments = require "lunadns.arguments"
local boot = require "lunadns.boot"
local boundary = require "lunadns.boundary"
local log = require "dns.test.log"
local tools = require "lunadns.tools"
local C = boundary.C

local check = {
  usage = "check [-conf FILE] [-dns.port N]",
  summary = "read a Corefile, load its plugins, run their setup; serve nothing",
  doc = [[
Reads the Corefile (default "Corefile"; "stdin" reads standard input), loads every plugin it names and runs setup as a start
would, in a state that is thrown away: no port is opened, no watch is started, nothing is sent, no query is served. A setup that
asks somebody (dns.http, dns.resolve, dns.exchange, sockets) is checked up to there, and a warning says so. A pod's own
credentials for the API server count within a pod only. Prints warnings and the first error with file and line.
Exit code 0: the server would start; 1: it would not; 2: wrong arguments.]],
}

--- Everything up to serving. Returns nil and the error, or what was made.
---@param source table { conf, text, port }
---@return table|nil made
---@return string|nil err
function check.load(source)
  C.luna_log_capture(1)
  local state = C.luna_shadow_open()
  state.checking = 1
  local control, err = boot.control(state, source)
  local made
  if control then made, err = boot.worker(state, source, control.source) end
  if made then boot.close(made) end
  if control then boot.close(control) end
  C.luna_offline_close(state)
  return made, err
end

function check.run(list)
  local given, why = arguments.read(list, arguments.COREFILE)
  if given and given[1] then given, why = nil, ("'%s' is too much"):format(given[1]) end
  if not given then return tools.misused("check", why) end
  local source
  source, why = arguments.corefile(given)
  if not source then
    io.stderr:write("lunadns check: ", why --[[@as string]], "\n")
    return 1
  end
  local made, err = check.load(source)
  -- The control state and a worker's say the same.
  local told = {}
  for line in log.take():gmatch "[^\n]*\n" do
    if not told[line] then io.stdout:write(line) end
    told[line] = true
  end
  if not made then
    io.stderr:write(err --[[@as string]], "\n")
    return 1
  end
  local plugins = 0
  for _, block in ipairs(made.blocks) do plugins = plugins + #block.instances end
  io.stdout:write(("%s: %d server block%s, %d plugin%s: good\n"):format(source.conf, #made.blocks,
    #made.blocks == 1 and "" or "s", plugins, plugins == 1 and "" or "s"))
end

return check
