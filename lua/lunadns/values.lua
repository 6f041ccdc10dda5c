--- What shared dictionaries and tables hand out: a luna_value of this state's own, and what it is in Lua.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local NUMBER, TEXT = C.LUNA_VALUE_NUMBER, C.LUNA_VALUE_TEXT

-- As large as the largest text so far.
local value = ffi.new "luna_value"
local room = ffi.new("uint8_t[?]", 4096)
value.text, value.text_cap = room, 4096

local values = { value = value }

--- After LUNA_E_SPACE: makes room for the text that did not fit.
function values.grow()
  local size = value.text_len * 2
  room = ffi.new("uint8_t[?]", size)
  value.text, value.text_cap = room, size
end

--- The result as Lua has it. Makes a string when it is one, and nothing else.
---@return number|string|boolean
function values.result()
  local kind = value.type
  if kind == NUMBER then return value.number end
  if kind == TEXT then return ffi.string(room, value.text_len) end
  return value.number ~= 0
end

return values
