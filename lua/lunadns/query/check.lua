--- check(q): the first thing that each method of a query does. Costs two loads and a comparison on a trace.
local blame = require "lunadns.query.blame"
local serving = require "lunadns.query.serving"

local function stale(q)
  if q.runner == -1 then return end -- of luna_query_new: still whose who made it
  blame("q is not the query that is served here: it has been answered, or another handler or task has it; "
    .. "copy what you need of a query (its name, client ...) before you keep it or call dns.spawn", 4)
end

---@param q DnsQuery
return function(q)
  if q.runner ~= serving.runner then stale(q) end
end
