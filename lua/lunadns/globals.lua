--- Finds the globals that a chunk uses, before it runs: a misspelt name is reported with its line when the file is
--- loaded, not when the first query reaches it.
local util = require "jit.util"
local bit = require "bit"

local globals = {}

-- Opcode numbers differ between LuaJIT versions: read them off code whose only global access is known.
local function opcode(source, pc) return bit.band(util.funcbc(assert(loadstring(source)), pc) --[[@as integer]], 0xff) end
local GET, SET = opcode("return x", 1), opcode("x = 1", 2)

local function visit(proto, found)
  local pc = 1
  while true do
    local instruction = util.funcbc(proto, pc)
    if not instruction then break end
    local op = bit.band(instruction, 0xff)
    if op == GET or op == SET then
      local name = util.funck(proto, -bit.rshift(instruction, 16) - 1)
      found[#found + 1] = { name = name, line = util.funcinfo(proto, pc).currentline, set = op == SET }
    end
    pc = pc + 1
  end
  local index = -1
  while true do
    local constant = util.funck(proto, index)
    if constant == nil then break end
    if type(constant) == "proto" then visit(constant, found) end
    index = index - 1
  end
end

--- Every place where a chunk reads or sets a global, by line.
---@param chunk function a Lua function; functions inside it count too
---@return { name: string, line: integer, set: boolean }[]
function globals.used(chunk)
  local found = {}
  visit(chunk, found)
  table.sort(found, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.name < b.name
  end)
  return found
end

return globals
