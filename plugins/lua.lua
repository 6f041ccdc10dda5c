--- A handler written in the Corefile, for a few lines that are not worth a file.
local ffi = require "ffi"
local dns = require "dns"
local C = ffi.C

local function code(entry, fail)
  if #entry.args ~= 1 or entry.block then
    fail(("%s takes one argument: Lua code in double quotes"):format(entry.name.text))
  end
  return entry.args[1]
end

--- The texts as one chunk whose lines are those of the Corefile.
local function assemble(setup, handler)
  local first = setup or handler
  local parts = { ("\n"):rep(first.line --[[@as integer]] - 1), "local next, server, dns = ... " }
  if setup then
    local _, lines = setup.text:gsub("\n", "")
    parts[#parts + 1] = setup.text .. ("\n"):rep(math.max(handler.line - setup.line - lines, 1) --[[@as integer]])
  end
  -- What does not return passes the query on.
  parts[#parts + 1] = "return function(q) do " .. handler.text .. "\nend return next(q) end"
  return table.concat(parts)
end

return dns.plugin {
  name = "lua",
  doc = "A handler in place: the body of a function of q and next. What does not return passes the query on.",
  many = "chain",
  options = {
    {
      "code", rest = true, max_args = 1, parse = function(entry) return entry.args[1] end,
      doc = "The handler's body, in double quotes.",
    },
    handler = { arg = "CODE", parse = code, once = true, doc = "The same, as a line of the block." },
    setup = {
      arg = "CODE", parse = code, once = true,
      doc = "Runs once, before it; its locals are the handler's. Has server, dns and next.",
    },
    memory = {
      type = "size", min = "8MB", default = "64MB",
      doc = "The most that one worker's Lua state may hold; for the whole process. Beyond it queries fail.",
    },
  },
  configure = function(conf, server)
    if server.role == "control" then C.luna_config_set(server.generation, C.LUNA_SET_LUA_MEMORY, conf.memory) end
  end,
  setup = function(conf, next, server)
    local handler = conf.handler or conf.code
    if conf.handler and conf.code then
      error({ text = server.where(conf, "handler") .. ": lua: there is a handler already, behind the directive" }, 0)
    end
    if not handler then
      if conf.setup then error({ text = server.where(conf, "setup") .. ": lua: setup without a handler" }, 0) end
      return nil
    end
    if conf.setup and conf.setup.line > handler.line then
      error({ text = server.where(conf, "setup") .. ": lua: setup must stand before the handler" }, 0)
    end
    local chunk, err = server:compile(assemble(conf.setup, handler), handler.file)
    if not chunk then error({ text = err }, 0) end
    return chunk(next, server, dns)
  end,
}
