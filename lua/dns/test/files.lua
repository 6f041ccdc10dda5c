--- Temporary directories of specs.
local ffi = require "ffi"

ffi.cdef [[
char *mkdtemp(char *template);
int mkdir(const char *path, unsigned mode);
int rmdir(const char *path);
]]

---@class DnsTestFiles
---@field path string
---@field names table<string, true> files that were written
---@field folders table folders that were made: by name, and in order
local Files = {}
Files.__index = Files

function Files:__tostring() return self.path end

--- A directory with these files.
---@param files? table<string, string> text by name
---@return DnsTestFiles
function Files.new(files)
  local template = (os.getenv "TMPDIR" or "/tmp") .. "/lunadns-test-XXXXXX"
  local path = ffi.new("char[?]", #template + 1, template)
  if ffi.C.mkdtemp(path) == nil then error("cannot make a directory " .. template, 3) end
  local self = setmetatable({ path = ffi.string(path), names = {}, folders = {} }, Files)
  for name, text in pairs(files or {}) do self:write(name, text) end
  return self
end

--- Writes a file, or replaces it the way an editor does: by a new one under the same name.
---@param name string relative; folders on the way are made
---@param text string
function Files:write(name, text)
  if name:sub(1, 1) == "/" or ("/" .. name .. "/"):find("/../", 1, true) then
    error(("'%s' is not below the directory"):format(name), 2)
  end
  for to in name:gmatch "()/" do
    local folder = name:sub(1, to --[[@as integer]] - 1)
    if not self.folders[folder] then
      ffi.C.mkdir(self.path .. "/" .. folder, tonumber("755", 8))
      self.folders[folder] = true
      self.folders[#self.folders + 1] = folder
    end
  end
  local path = self.path .. "/" .. name
  local f = assert(io.open(path .. ".new", "wb"))
  f:write(text)
  f:close()
  assert(os.rename(path .. ".new", path))
  self.names[name] = true
end

--- Removes a file.
---@param name string
function Files:remove(name)
  os.remove(self.path .. "/" .. name)
  self.names[name] = nil
end

--- Removes the directory with what was written here.
function Files:close()
  for name in pairs(self.names) do os.remove(self.path .. "/" .. name) end
  for i = #self.folders, 1, -1 do ffi.C.rmdir(self.path .. "/" .. self.folders[i]) end
  ffi.C.rmdir(self.path)
end

return Files
