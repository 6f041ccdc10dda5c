--- For specs of the query API: a server whose chain has one handler of the spec's own.
local dns = require "dns"
local t = require "dns.test"

local directory = os.tmpname()
os.remove(directory)
assert(os.execute("mkdir " .. directory) == 0)
local file = assert(io.open(directory .. "/probe.lua", "w"))
file:write [[
local dns = require "dns"
return dns.plugin {
  name = "probe", many = "chain", any_class = true,
  options = { { "which", type = "int", default = 1 } },
  setup = function(conf, next, server) return dns.spec_handlers[conf.which](next, server) end,
}
]]
file:close()

local probe = {}

--- A server with these handlers one after another, and `forward` behind them. Each is what setup does: it gets next and
--- returns the handler.
---@param rest? string directives beside them
---@return DnsTestServer
function probe.server(handlers, rest)
  if type(handlers) == "function" then handlers = { handlers } end
  dns.spec_handlers = handlers
  local lines = {}
  for i = 1, #handlers do lines[i] = " probe " .. i end
  local s = t.server(". {\n" .. table.concat(lines, "\n") .. "\n" .. (rest or " forward . 192.0.2.53\n") .. "}",
    { directory = directory })
  return s
end

--- What fn(q) returns for one question.
---@param fn fun(q: DnsQuery, next: function): any
---@param question string
---@param options? DnsTestOptions
---@return any seen
---@return DnsTestReply|nil reply
function probe.ask(fn, question, options)
  local seen
  local s = probe.server(function(next)
    return function(q)
      seen = fn(q, next)
      if q.reply_len > 0 or q.dropped ~= 0 then return 0 end
      return 5
    end
  end)
  local reply = s:query(question, options)
  s:close()
  return seen, reply
end

function probe.done()
  os.execute("rm -rf " .. directory)
end

return probe
