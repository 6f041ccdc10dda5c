--- Functions of Lua's libraries that stop the whole worker while they wait, and with it every query it has: plugins get
--- an error in their place that names the way. Reading a file with io.open also waits for the disk; it stays, because
--- setup needs it, but a handler should have read the file before.
local blocking = {}

local DNS = "it stops every query of this worker while it waits"

-- Field of a library -> what to do in its place.
local REFUSED = {
  os = {
    execute = "no program can be run from a plugin: " .. DNS .. "; ask a service with dns.http, dns.tcp or dns.unix",
    exit = "a plugin cannot end the server: return an error, or raise one with error()",
  },
  io = {
    popen = "no program can be run from a plugin: " .. DNS .. "; ask a service with dns.http, dns.tcp or dns.unix",
    read = "the server has no standard input: " .. DNS .. "; read a file with io.open, in setup",
    lines = false, -- with a file it is allowed
    stdin = "the server has no standard input: " .. DNS .. "; read a file with io.open, in setup",
  },
}

-- Modules whose functions block, by the first part of their name.
local MODULES = {
  socket = "dns.tcp, dns.udp, dns.unix or dns.http", ssl = "dns.http", mime = "dns.http", ltn12 = "dns.http",
  http = "dns.http", cqueues = "dns.tcp or dns.http", copas = "dns.tcp or dns.http", lanes = "dns.spawn",
  luv = "dns.tcp, dns.sleep or server:every", uv = "dns.tcp, dns.sleep or server:every",
  posix = "dns.sleep, dns.tcp or dns.unix", resty = "dns.http or dns.tcp", curl = "dns.http", cURL = "dns.http",
  lcurl = "dns.http", redis = "dns.tcp", pgmoon = "dns.tcp",
}

local function refuse(name, text)
  return function() error(("%s: %s"):format(name, text), 2) end
end

--- Replaces the functions that block in a table of libraries (os, io), or in the globals of a plugin. Tables are
--- changed in place: give copies.
---@param env table<string, table>
---@return table env
function blocking.apply(env)
  for library, fields in pairs(REFUSED) do
    local own = env[library]
    if own then
      for field, text in pairs(fields) do
        if text then own[field] = refuse(library .. "." .. field, text) end
      end
    end
  end
  local io_lines = env.io and env.io.lines
  if io_lines then
    env.io.lines = function(file, ...)
      if file == nil then error("io.lines: " .. REFUSED.io.read, 2) end
      return io_lines(file, ...)
    end
  end
  if env.io then
    -- io.stdin is a value, not a function: whatever is done with it says why not.
    local function no() error("io.stdin: " .. REFUSED.io.stdin, 2) end
    env.io.stdin = setmetatable({}, { __index = no, __newindex = no, __metatable = false })
  end
  return env
end

--- Whether `require` of a module is refused.
---@param name string "socket.http"
---@return string|nil why
function blocking.refused(name)
  local way = MODULES[name:match "^[^.]+"]
  return way and ("require '%s': its functions block: %s; use %s"):format(name, DNS, way)
end

return blocking
