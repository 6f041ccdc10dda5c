-- Writes the declarations of core.h as ffi.cdef takes them: without comments and preprocessor lines, in parts of about 1 KB that end
-- with NUL, because a reload parses them once per Lua state and must not take long at a time.
-- Usage: luajit src/declare.lua core.h OUT
local PART = 1024

local f = assert(io.open(arg[1], "rb"))
local text = f:read("*a"):gsub("/%*.-%*/", ""):gsub("%f[^\n%z]#[^\n]*", ""):gsub("[ \t]+\n", "\n"):gsub("\n\n+", "\n")
f:close()

local out, size, depth = {}, 0, 0
for line in text:gmatch "[^\n]+\n?" do
  out[#out + 1] = line
  size = size + #line
  depth = depth + select(2, line:gsub("{", "")) - select(2, line:gsub("}", ""))
  if size > PART and depth == 0 and line:find ";%s*$" then
    out[#out + 1] = "\0"
    size = 0
  end
end

f = assert(io.open(arg[2], "wb"))
f:write(table.concat(out))
f:close()
