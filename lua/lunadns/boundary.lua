--- The C core as Lua sees it: declares core.h to FFI and checks that both sides agree on it.
local ffi = require "ffi"

local boundary = {}

---@param path string
---@return string|nil
local function read(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read "*a"
  f:close()
  return text
end

-- The server hands its own header over; a spec loads the shared library that the build made.
local declarations = package.loaded["lunadns.declarations"]
if declarations then
  ffi.cdef(declarations)
else
  local build = os.getenv "LUNADNS_BUILD" or "build"
  local text = assert(read(build .. "/core.cdef"), build .. "/core.cdef is missing: run `make` first")
  ffi.cdef(text)
  ffi.load(build .. "/liblunadns.so", true)
end

local C = ffi.C
boundary.C = C

local sizes = ffi.sizeof "luna_query" * 2 ^ 32 + ffi.sizeof "luna_state"
assert(tonumber(C.luna_abi()) == sizes, "core.h of Lua and of the core differ: build both from one tree")

local registry = debug.getregistry()

--- Gives a type of the core its methods. A type keeps its metatable as long as the Lua state lives, while busted loads modules
--- anew for each file of specs: then the methods in it are replaced.
---@param ctype string
---@param methods table<string, function>
function boundary.methods(ctype, methods)
  local key = "lunadns." .. ctype
  local kept = registry[key]
  if not kept then
    kept = {}
    registry[key] = kept
    ffi.metatype(ctype, { __index = kept })
  end
  for name in pairs(kept) do kept[name] = nil end
  for name, method in pairs(methods) do kept[name] = method end
end

--- A name for comparisons, from presentation format.
---@param text string
---@return ffi.cdata*|nil name luna_name
---@return string|nil err
function boundary.name(text)
  local name = ffi.new "luna_name"
  if C.luna_name_parse(text, #text, name) < 0 then
    return nil, ("'%s' is not a domain name"):format(text)
  end
  return name
end

---@param text string "192.0.2.1", "[2001:db8::1]:53"
---@param port integer taken when the text names none
---@return ffi.cdata*|nil addr luna_addr
---@return string|nil err
function boundary.addr(text, port)
  local addr = ffi.new "luna_addr"
  if C.luna_addr_parse(text, port or 0, addr) < 0 then
    return nil, ("'%s' is not an IP address"):format(text)
  end
  return addr
end

local text_buffer = ffi.new("char[?]", 1100)

--- Presentation format of a wire name. Makes a string: not for every query.
---@param wire ffi.cdata* uint8_t*
---@return string
function boundary.name_text(wire)
  return ffi.string(text_buffer, C.luna_name_text(wire, text_buffer))
end

---@param addr ffi.cdata* luna_addr
---@return string
function boundary.addr_text(addr)
  return ffi.string(text_buffer, C.luna_addr_text(addr, text_buffer))
end

--- A file that is part of the binary.
---@param path string
---@return string|nil
function boundary.embedded(path)
  local len = ffi.new "size_t[1]"
  local text = C.luna_embedded(path, len)
  if text == nil then return nil end
  return ffi.string(text, len[0])
end

boundary.read = read

return boundary
