--- For specs: which settings of the process a Corefile makes. They are the core's, which only tells what it was told.
local ffi = require "ffi"
local t = require "dns.test"
local loader_of = require "lunadns.loader"

--- A core whose luna_config_set keeps what it gets, by the setting's name.
local function recorder(seen)
  return setmetatable({
    luna_config_set = function(_, what, value) seen[what] = value end,
  }, { __index = function(_, name) return name:find "^LUNA_SET_" and name or ffi.C[name] end })
end

---@param line string the directive
---@return table<string, number>
return function(line)
  local seen = {}
  local fake = setmetatable({ C = recorder(seen) }, { __index = ffi })
  local load = loader_of.new(".").load
  local loader = getmetatable(loader_of.new ".").__index
  loader.load = function(self, name)
    local own = package.loaded.ffi
    package.loaded.ffi = fake
    local spec, err = load(self, name)
    package.loaded.ffi = own
    return spec, err
  end
  local ok, s = pcall(t.server, (". {\n %s\n whoami\n}"):format(line))
  loader.load = load
  if not ok then error(s, 2) end
  s:close()
  return seen
end
