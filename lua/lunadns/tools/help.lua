--- `lunadns help [TOOL]`.
local help = {
  usage = "help [TOOL]",
  summary = "this list, or the help of one tool",
  doc = "",
}

function help.run(arguments)
  local tools = require "lunadns.tools"
  local name = arguments[1]
  if name then
    local tool = tools.find(name)
    if not tool then return tools.misused("help", ("there is no tool '%s'"):format(name)) end
    io.stdout:write(("Usage: lunadns %s\n%s\n"):format(tool.usage, tool.doc))
    return 0
  end
  io.stdout:write "lunadns [flags] serves; lunadns -help lists the flags. Tools:\n"
  for _, each in ipairs(tools.names) do
    io.stdout:write(("  %-8s %s\n"):format(each, tools.find(each).summary))
  end
  io.stdout:write "lunadns help TOOL says more.\n"
end

return help
