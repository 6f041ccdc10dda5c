--- What the Corefile reader asks of the file system: read a file, expand a glob pattern, make a path absolute.
local ffi = require "ffi"

ffi.cdef [[
typedef struct luna_corefile_dir luna_corefile_dir;
struct luna_corefile_dirent { uint64_t ino; int64_t off; unsigned short reclen; unsigned char type; char name[256]; };
luna_corefile_dir *luna_corefile_opendir(const char *path) __asm__("opendir");
struct luna_corefile_dirent *luna_corefile_readdir(luna_corefile_dir *dir) __asm__("readdir");
int luna_corefile_closedir(luna_corefile_dir *dir) __asm__("closedir");
int luna_corefile_access(const char *path, int mode) __asm__("access");
long luna_corefile_readlink(const char *path, char *buf, size_t size) __asm__("readlink");
char *luna_corefile_getcwd(char *buf, size_t size) __asm__("getcwd");
]]

local C = ffi.C
local files = {}

-- A Corefile is text written by people; a device or a runaway file must not fill the memory.
local MAX_SIZE = 64 * 1024 * 1024

-- "PATH: No such file or directory" -> "no such file or directory", the way CoreDNS prints it.
local function reason(err, path)
  if err:sub(1, #path + 2) == path .. ": " then err = err:sub(#path + 3) end
  return (err:gsub("^%u", string.lower))
end

--- Reads a whole file.
---@param path string
---@return string? text
---@return string? err  "open PATH: no such file or directory"; "is a directory" for a directory
function files.read(path)
  if path:find("%z") then return nil, "open " .. path .. ": invalid argument" end
  local handle, err = io.open(path, "rb")
  if not handle then return nil, "open " .. path .. ": " .. reason(err, path) end
  local text, read_err, code = handle:read(MAX_SIZE + 1)
  handle:close()
  if text and #text > MAX_SIZE then return nil, "larger than 64 MiB" end
  if text then return text end
  if code == 21 then return nil, "is a directory" end
  if read_err then return nil, "read " .. path .. ": " .. reason(read_err, path) end
  return ""
end

--- The current directory, "/" if it cannot be told.
---@return string
function files.cwd()
  local buf = ffi.new("char[?]", 4096)
  if C.luna_corefile_getcwd(buf, 4096) == nil then return "/" end
  return ffi.string(buf)
end

--- Makes a path absolute against `base` and removes `.`, `..` and repeated slashes.
---@param path string
---@param base string  an absolute directory
---@return string
function files.absolute(path, base)
  if path:sub(1, 1) ~= "/" then path = base .. "/" .. path end
  local parts = {}
  for part in path:gmatch("[^/]+") do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return "/" .. table.concat(parts, "/")
end

--- The directory of an absolute path.
---@param path string
---@return string
function files.dirname(path)
  local dir = path:match("^(.*)/[^/]*$")
  return (dir == nil or dir == "") and "/" or dir --[[@as string]]
end

-- A dangling link counts as there: opening it then says what is wrong.
local function exists(path)
  return C.luna_corefile_access(path, 0) == 0 or C.luna_corefile_readlink(path, ffi.new("char[1]"), 1) >= 0
end

-- One component of a shell pattern (`*`, `?`, `\x`) as a Lua pattern.
local function component_pattern(text)
  local out = text:gsub("\\?[%z\1-\255]", function(c)
    if c == "*" then return ".*" end
    if c == "?" then return "[%z\1-\127\192-\255][\128-\191]*" end
    return (c:gsub("^\\(.)", "%1"):gsub("%W", "%%%0"))
  end)
  return "^" .. out .. "$"
end

local function list(dir)
  local names = {}
  local handle = C.luna_corefile_opendir(dir)
  if handle == nil then return names end
  while true do
    local entry = C.luna_corefile_readdir(handle)
    if entry == nil then break end
    local name = ffi.string(entry.name)
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  C.luna_corefile_closedir(handle)
  table.sort(names)
  return names
end

--- Expands an absolute shell pattern. Names with a leading dot match `*` too, as in Go. A directory that cannot
--- be read holds nothing.
---@param pattern string  with `*`, `?` and `\`; `[` is refused
---@return string[]? paths  sorted in each directory
---@return string? err
function files.glob(pattern)
  if pattern:find("[", 1, true) or #pattern:match("\\*$") % 2 == 1 then return nil, "syntax error in pattern" end
  if pattern:find("%z") then return {} end
  if not pattern:find("[*?\\]") then return exists(pattern) and { pattern } or {} end
  local found = { "" }
  for part in pattern:gmatch("[^/]+") do
    local nextfound = {}
    local magic = part:find("[*?\\]") and component_pattern(part)
    for _, base in ipairs(found) do
      if magic then
        for _, name in ipairs(list(base == "" and "/" or base)) do
          if name:find(magic) then nextfound[#nextfound + 1] = base .. "/" .. name end
        end
      elseif exists(base .. "/" .. part) then
        nextfound[#nextfound + 1] = base .. "/" .. part
      end
    end
    found = nextfound
  end
  return found
end

return files
