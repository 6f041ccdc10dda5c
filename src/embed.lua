-- Writes the C source that holds files of this tree, so that the binary needs none at run time.
-- Usage: luajit src/embed.lua OUT FILE...
local out = assert(io.open(arg[1], "w"))
out:write '#include "embedded.h"\n\nluna_file luna_files[] = {\n'
for i = 2, #arg do
  local f = assert(io.open(arg[i], "rb"))
  local text = f:read "*a"
  f:close()
  local bytes = {}
  for k = 1, #text do bytes[k] = text:byte(k) .. (k % 24 == 0 and ",\n" or ",") end
  local path = arg[i]:find "core%.cdef$" and "core.cdef" or arg[i]
  out:write(('{"%s", %d, (const char[]){%s0}, 0},\n'):format(path, #text, table.concat(bytes)))
end
out:write "{0, 0, 0, 0},\n};\n"
out:close()
