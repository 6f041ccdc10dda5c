--- Logs queries, one line each. As CoreDNS's plugin log.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local outcome = require "lunadns.log.outcome"

local C = boundary.C
local COMMON = "{common}"
local CLASSES = { success = C.LUNA_CLASS_SUCCESS, denial = C.LUNA_CLASS_DENIAL, error = C.LUNA_CLASS_ERROR }

--- One argument is a name, whatever it looks like; of several the last one is a format when it has a brace.
local function arguments(run)
  local words = {} ---@type string[]
  for i, token in ipairs(run.args) do words[i] = token.text end
  local format = COMMON
  if #words > 1 and words[#words]:find("{", 1, true) then format = table.remove(words) end
  if #words == 0 then words[1] = "." end
  return { names = words, format = format }
end

--- A rule is a handler of its own for the names of its scope; the first one that fits decides. Chunk text, so
--- that LuaJIT
--- folds what each one holds into constants.
local RULE = [[
local C, scope, format, wanted, fill, state, next, other = ...
local first, second, third = wanted[1] or false, wanted[2] or false, wanted[3] or false
local all, everywhere = first and second and third, scope.len == 1
return function(q)
  if not everywhere and not q:under(scope) then return other(q) end
  local rcode, err = next(q)
  if all then
    if fill then fill(q, rcode) end
    C.luna_log_query(state, format, q, rcode)
  else
    local class = C.luna_reply_class(q)
    if class == 1 and first or class == 2 and second or class == 3 and third then
      if fill then fill(q, rcode) end
      C.luna_log_query(state, format, q, rcode)
    end
  end
  return rcode, err
end]]

--- What gives a format the values of its {/PLUGIN/NAME} fields; false when it has none, or the block has no `metadata`. A table
--- and texts for each line.
local function filler(format, metadata)
  local labels = {}
  while C.luna_log_format_label(format, #labels) ~= nil do
    labels[#labels + 1] = ffi.string(C.luna_log_format_label(format, #labels))
  end
  if #labels == 0 or not metadata then return false end
  ---@param q DnsQuery
  return function(q, rcode)
    local texts = {}
    for i, label in ipairs(labels) do
      texts[i] = outcome[label] and outcome[label](q, rcode) or metadata:tell(q, label) or false
    end
    -- All first, because what tells may wait, and the format is that of other queries too.
    for i, text in ipairs(texts) do C.luna_log_format_value(format, i - 1, text or nil, text and #text or 0) end
  end
end

--- The classes that a line wants, by number. `all` is more than the three together in words only.
local function wanted_of(conf)
  local wanted = {}
  for _, word in ipairs(conf.class or { "all" }) do
    for name, number in pairs(CLASSES) do
      if word == name or word == "all" then wanted[number] = true end
    end
  end
  return wanted
end

---@param server LunaServer
local function setup(confs, next, server)
  local handler, err = next, ffi.new "char[256]"
  for i = #confs, 1, -1 do
    local conf = confs[i]
    local wanted, line = wanted_of(conf), conf.line
    local format = C.luna_log_format_new(line.format, err, 256)
    if format == nil then error(ffi.string(err), 0) end
    server:on_close(function() C.luna_log_format_free(format) end)
    local fill = filler(format, server.block.metadata)
    for k = #line.names, 1, -1 do
      local scope = boundary.name(line.names[k])
      if not scope then
        error(("'%s' is not a domain name; a format needs names before it, such as: log . \"%s\""):format(
          line.names[k], line.names[k]), 0)
      end
      handler = assert(loadstring(RULE, "=log"))(C, scope, format, wanted, fill, server.state, next, handler)
    end
  end
  return handler
end

return dns.plugin {
  name = "log",
  doc = "Writes a line to the log for each query.",
  many = "merge",
  writes = false,
  options = {
    {
      "line", rest = true, parse = arguments,
      doc = "[NAME...] [FORMAT]: queries for these names and those below, default all; FORMAT, which only counts after a " ..
        "NAME, has fields such as {type} {name} {rcode}, default {common}; {/PLUGIN/NAME} is a value of plugin `metadata`.",
    },
    class = {
      type = "enum", values = { "success", "denial", "error", "all" }, rest = true, min_args = 1, repeatable = "append",
      doc = "Only replies of these classes: data or a referral; NXDOMAIN or no such type; everything else.",
    },
  },
  setup = setup,
}
