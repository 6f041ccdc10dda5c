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

--- The library for a Lua that is not the server's: LUNADNS_BUILD names a build, else it is found from where this file is,
--- PREFIX/share/lunadns/lunadns or lua/lunadns of the source.
local function load_library()
  local build = os.getenv "LUNADNS_BUILD"
  local here = debug.getinfo(1, "S").source:match "^@(.*)/lunadns/boundary%.lua$" or "."
  local candidates = build and { build } or { here .. "/../../lib", here .. "/../build", "build" }
  for _, directory in ipairs(candidates) do
    local path = directory .. "/liblunadns.so"
    local f = io.open(path, "rb")
    if f then
      f:close()
      local _ = ffi.load(path, true)
      boundary.library = path
      return
    end
  end
  error(("liblunadns.so is not in %s: `make install`, or `make` in the source tree, or set LUNADNS_BUILD to its directory")
    :format(table.concat(candidates, ", ")), 0)
end

-- The server hands its own header over; elsewhere the library does, which holds it too.
local declarations = package.loaded["lunadns.declarations"]
if not declarations then
  load_library()
  ffi.cdef "const char *luna_embedded(const char *path, size_t *len);"
  local len = ffi.new "size_t[1]"
  declarations = ffi.string(ffi.C.luna_embedded("core.cdef", len), len[0])
end
local C = ffi.C
for part in declarations:gmatch "[^%z]+" do
  ffi.cdef(part)
  C.luna_pace()
end

boundary.C = C ---@type table<string, any>

local sizes = ffi.sizeof "luna_query" * 2 ^ 32 + ffi.sizeof "luna_state"
assert(tonumber(C.luna_abi()) == sizes, "core.h of Lua and of the core differ: build both from one tree")

local registry = debug.getregistry()

--- Gives a type of the core its methods. A type keeps its metatable as long as the Lua state lives, while busted loads modules
--- anew for each file of specs: then the methods in it are replaced.
---@param ctype string
---@param methods table
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
---@param port? integer taken when the text names none; 0 unless given
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

---@param addr ffi.cdata*|DnsAddr luna_addr
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

--- Whether a file is part of the binary.
---@param path string
---@return boolean
function boundary.has(path) return C.luna_embedded(path, nil) ~= nil end

local chunk = package.loaded["lunadns.chunk"] --[[@as (fun(path: string): function?)|nil]] -- in the server it is kept compiled

--- A file that is part of the binary, as a function.
---@param path string
---@return function
function boundary.chunk(path)
  return chunk and chunk(path) or assert(loadstring(assert(boundary.embedded(path)), "@" .. path))
end

boundary.read = read

return boundary
