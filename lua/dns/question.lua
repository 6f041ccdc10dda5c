--- Names and types as the functions that ask take them.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"

local C = boundary.C

local question = {}

local KNOWN_MAX = 256

local name_type = ffi.typeof "luna_name"
local type_buffer = ffi.new "char[16]"
local known, count = {}, 0 -- names read lately, by text

--- Reads them. A text that is no name is data of someone else's and gives nil; a wrong argument raises.
---@param name string|ffi.cdata*
---@param qtype string|integer
---@param what string the function's name
---@return ffi.cdata*|nil name luna_name
---@return integer qtype
---@return string|nil err
function question.read(name, qtype, what)
  local number = qtype --[[@as integer]]
  if type(qtype) == "string" then
    number = C.luna_type_number(qtype)
    if number < 0 then error(("%s: '%s' is not a record type"):format(what, qtype), 3) end
  elseif type(qtype) ~= "number" then
    error(("%s: type: expected a text or a number, found %s"):format(what, tostring(qtype)), 3)
  end
  if type(name) == "string" then
    local wire = known[name]
    if wire then return wire, number end
    local err
    wire, err = boundary.name(name)
    if not wire then return nil, number, what .. ": " .. err end
    if count == KNOWN_MAX then known, count = {}, 0 end
    known[name], count = wire, count + 1
    return wire, number
  elseif not ffi.istype(name_type, name) then
    error(("%s: name: expected a text or dns.name(...), found %s"):format(what, tostring(name)), 3)
  end
  return name, number
end

--- "example.org. A", for messages.
---@param name ffi.cdata* luna_name
---@param qtype integer
---@return string
function question.text(name, qtype)
  return boundary.name_text(name.wire) .. " " .. ffi.string(C.luna_type_text(qtype, type_buffer))
end

return question
