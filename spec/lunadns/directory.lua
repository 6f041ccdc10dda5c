--- For specs: a directory with files, gone with the spec.
local directory = {}

local made = {}

--- Makes a directory that holds these files (path below it -> text).
---@param files table<string, string>
---@return string path
---@return fun(name: string, text: string|nil) write writes one of them again, or removes it
function directory.new(files)
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute(("mkdir -p '%s/plugins'"):format(path)) == 0)
  made[#made + 1] = path
  local function write(name, text)
    if not text then return os.remove(path .. "/" .. name) end
    local below = name:match "^(.*)/"
    if below then assert(os.execute(("mkdir -p '%s/%s'"):format(path, below)) == 0) end
    local f = assert(io.open(path .. "/" .. name, "wb"))
    f:write(text)
    f:close()
  end
  for name, text in pairs(files) do write(name, text) end
  return path, write
end

function directory.remove_all()
  for _, path in ipairs(made) do os.execute(("rm -rf '%s'"):format(path)) end
  made = {}
end

return directory
