--- The query API: methods of q, by subject. Backed by the core; nothing allocates per query unless its comment says so.
local boundary = require "lunadns.boundary"
local scratch = require "lunadns.query.scratch"
local rewriting = require "lunadns.query.rewriting"

local query = {}

---@class (partial) DnsQuery
local q = {}

for _, methods in ipairs {
  require "lunadns.query.reading", require "lunadns.query.edns", require "lunadns.query.building", rewriting.methods,
  require "lunadns.query.reply", scratch.methods, require "lunadns.query.metadata",
} do
  for name, method in pairs(methods) do
    assert(not q[name], name)
    q[name] = method
  end
end

boundary.methods("luna_query", q)

query.methods = q

return query
