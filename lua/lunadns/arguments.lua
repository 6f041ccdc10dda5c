--- Command lines of tools: flags as the server has them (one or two dashes, "=" or a space before the value), then words.
local boundary = require "lunadns.boundary"

local arguments = {}

--- Takes a command line apart.
---@param list string[]
---@param flags table<string, "value"|"flag"> those that are known
---@param rest? boolean unknown flags and what follows them are words: they are for somebody else
---@return table|nil given value or true by flag; words in the array part
---@return string|nil why
function arguments.read(list, flags, rest)
  local given, i = {}, 1
  while list[i] do
    local word = list[i]
    local name, value = word:match "^%-%-?([^=%-][^=]*)=?(.*)$"
    if not name or (rest and not flags[name]) then
      given[#given + 1] = word
    elseif not flags[name] then
      return nil, ("there is no flag %s"):format(word)
    elseif flags[name] == "flag" then
      given[name] = true
    else
      if not word:find("=", 1, true) then
        i = i + 1
        value = list[i]
      end
      if not value then return nil, ("flag -%s needs a value"):format(name) end
      given[name] = value
    end
    i = i + 1
  end
  return given
end

--- The flags that say which Corefile a tool is about.
arguments.COREFILE = { conf = "value", ["dns.port"] = "value", p = "value" }

--- What -conf and -dns.port say, as the server takes them.
---@param given table of arguments.read
---@return table|nil source { conf, text, port }
---@return string|nil why
function arguments.corefile(given)
  local port = tonumber(given["dns.port"] or given.p or 53)
  if not port or port < 0 or port > 65535 or port % 1 ~= 0 then return nil, "-dns.port is not a port, 0 to 65535" end
  local conf = given.conf or "Corefile"
  if conf == "stdin" then return { conf = "stdin", text = io.read "*a", port = port } end
  if not boundary.read(conf) then
    local _, err = io.open(conf)
    return nil, ("%s; name the Corefile with -conf FILE"):format(err or conf .. " cannot be read")
  end
  return { conf = conf, port = port }
end

return arguments
