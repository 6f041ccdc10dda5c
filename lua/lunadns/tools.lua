--- The subcommands of the binary: what src/server/tool.c calls.
local tools = {}

--- In the order of `lunadns help`. Each is a file in tools/ that returns { usage, doc, run = function(arguments) }.
tools.names = { "check", "test", "plugin", "trace", "repl", "bench", "docs", "help" }

---@class LunaTool
---@field usage string the form of its command line, behind "lunadns "
---@field summary string one line for `lunadns help`
---@field doc string
---@field run fun(arguments: string[]): integer? exit code, 0 when nothing is returned

--- Code of a command line that was not understood.
tools.USAGE = 2

local known = { plugins = true } -- the flag of that name
for _, name in ipairs(tools.names) do known[name] = true end

---@param name string
---@return LunaTool|nil
function tools.find(name) return known[name] and require("lunadns.tools." .. name) or nil end

--- Writes to stderr what is wrong with a command line, and how it should look.
---@return integer code
function tools.misused(name, why)
  io.stderr:write(("lunadns %s: %s\nUsage: lunadns %s\n"):format(name, why, tools.find(name).usage))
  return tools.USAGE
end

--- Runs one. Returns its exit code, -1 when there is none of that name.
---@param name string
---@param ... string
---@return integer
local function main(name, ...)
  local tool = tools.find(name)
  if not tool then return -1 end
  return tool.run { ... } or 0
end

return setmetatable(tools, { __call = function(_, ...) return main(...) end })
