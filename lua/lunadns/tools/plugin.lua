--- `lunadns plugin new`: a plugin, its spec and what editors and busted want, from nothing.
local ffi = require "ffi"
local order = require "lunadns.order"
local template = require "lunadns.tools.template"
local tools = require "lunadns.tools"

ffi.cdef [[
int mkdir(const char *path, unsigned mode);
long readlink(const char *path, char *buffer, size_t size);
]]

local plugin = {
  usage = "plugin new NAME",
  summary = "begin a plugin in a folder NAME: code, spec, README",
  doc = [[
Makes the folder NAME with NAME.lua, NAME_spec.lua, README.md, a Corefile to try it with, .luarc.json for editors and .busted
for plain busted. Nothing that is there already is overwritten. In the folder, `lunadns test` passes at once.]],
}

local function exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

--- Where this binary is.
local function own_directory()
  local buffer = ffi.new "char[4096]"
  local n = tonumber(ffi.C.readlink("/proc/self/exe", buffer, 4096)) --[[@as integer]]
  return n > 0 and ffi.string(buffer, n):match "^(.*)/[^/]*$" or "."
end

--- Where the Lua files of lunadns are, for editors and plain busted: installed beside the binary, or in the source tree.
---@return string
function plugin.home()
  local bin = own_directory()
  local prefix = bin:match "^(.*)/[^/]*$" or bin
  for _, home in ipairs { prefix .. "/share/lunadns", prefix .. "/lua" } do
    if exists(home .. "/dns/test.lua") then return home end
  end
  return "/usr/local/share/lunadns"
end

local function refused(why)
  io.stderr:write("lunadns plugin new: ", why, "\n")
  return 1
end

local function new(name)
  if not name:find "^%a[%w_%-]*$" then
    return refused(("'%s' is no name for a plugin: expected a letter, then letters, digits, _ and -"):format(name))
  end
  if order.builtin(name) then
    return refused(("'%s' is a directive of CoreDNS's; a plugin of that name would stand in its place"):format(name))
  end
  local files = template.files(name, plugin.home())
  for _, file in ipairs(files) do
    local path = name .. "/" .. file[1]
    if exists(path) then return refused(path .. " is there already; nothing was changed") end
  end
  ffi.C.mkdir(name, tonumber("755", 8))
  for _, file in ipairs(files) do
    local f, err = io.open(name .. "/" .. file[1], "wb")
    if not f then return refused(err) end
    f:write(file[2])
    f:close()
  end
  io.stdout:write(template.said(name))
  return 0
end

function plugin.run(list)
  if list[1] ~= "new" or not list[2] or list[3] then return tools.misused("plugin", "expected `new` and a name") end
  return new(list[2])
end

return plugin
