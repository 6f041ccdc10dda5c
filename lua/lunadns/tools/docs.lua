--- `lunadns docs`: the reference page of plugins, from their options.
local arguments = require "lunadns.arguments"
local loader_of = require "lunadns.loader"
local plugins = require "lunadns.tools.plugins"
local tools = require "lunadns.tools"

local docs = {
  usage = "docs [PLUGIN...]",
  summary = "Markdown reference of plugins, from their options",
  doc = [[
Prints a section with the form of the directive and a table of its options for each PLUGIN; without one, the page of all
plugins that are in the binary. A PLUGIN of your own is looked for as for a Corefile in this directory.]],
}

local HEAD = [[
# Reference of the plugins

Made by `make docs` from the options in each plugin; `lunadns -plugins NAME` prints the same as text. `on_error
servfail|skip|drop [COUNT] [PERIOD]` is an option of every plugin that has none of that name itself: what a query gets when
the plugin fails, and how many failures within which time leave it out.

]]

--- The section of one plugin.
---@param loader LunaLoader
---@param name string
---@return string|nil markdown
---@return string|nil err
local function section(loader, name)
  local spec, err = loader:load(name)
  if not spec then return nil, tostring(err) end
  local schema = spec.schema
  local out = { ("## %s\n"):format(name) }
  if schema.doc then out[#out + 1] = schema.doc .. "\n" end
  out[#out + 1] = "```\n" .. schema:form() .. "```\n"
  out[#out + 1] = schema:reference()
  return table.concat(out, "\n")
end

function docs.run(list)
  local given, why = arguments.read(list, {})
  if not given then return tools.misused("docs", why) end
  local loader = loader_of.new "."
  local all = #given == 0
  local names = all and plugins.builtin() or given
  local parts = {}
  for i, name in ipairs(names) do
    local text, err = section(loader, name)
    if not text then
      io.stderr:write("lunadns docs: ", err --[[@as string]], "\n")
      return 1
    end
    parts[i] = text
  end
  io.stdout:write(all and HEAD or "", table.concat(parts, "\n"))
end

return docs
