--- Methods of q: the question rewritten for the rest of the chain.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local check = require "lunadns.query.check"
local numbers = require "lunadns.numbers"
local values = require "lunadns.query.values"

local C = boundary.C
local SERVFAIL = 2

ffi.cdef [[
typedef struct { luna_name to, from; int32_t qtype, restore; uint8_t named, suffix; } luna_rewrite_rule;
]]

local rewriting = {}

---@class (partial) DnsQuery
local q = {}

---@class DnsRewrite: ffi.cdata* made by dns.rewrite

---@class DnsRewriteOptions
---@field name? string the name to ask for
---@field from? string a zone: names in it are asked for in the zone `to`, what stands before it is kept
---@field to? string
---@field type? DnsType the type to ask for
---@field restore? "names"|"owners"|"none" which names of the reply are turned back: all (default), owner names only, or none

local RESTORE = { names = 3, owners = 1, none = 0 }
local FIELDS = { name = true, from = true, to = true, type = true, restore = true }

--- What to ask instead. For setup: `local rule = dns.rewrite { from = "old.example.", to = "new.example." }`.
---@param options DnsRewriteOptions
---@return DnsRewrite
function rewriting.rule(options)
  for field in pairs(options) do
    if not FIELDS[field] then error(("dns.rewrite: unknown field %q; expected name, from and to, type, restore"):format(
      tostring(field)), 2) end
  end
  if (options.from == nil) ~= (options.to == nil) or options.name and options.to then
    error("dns.rewrite: expected name, or from and to", 2)
  end
  local rule = ffi.new "luna_rewrite_rule"
  local target = options.name or options.to
  if target then
    rule.to, rule.named = values.name(target), 1
  elseif not options.type then
    error("dns.rewrite: expected name, from and to, or type", 2)
  end
  if options.from then rule.from, rule.suffix = values.name(options.from), 1 end
  if options.type then rule.qtype = numbers.type(options.type) end
  rule.restore = RESTORE[options.restore or "names"] or
    error(("dns.rewrite: restore: %q; expected names, owners or none"):format(tostring(options.restore)), 2)
  return rule --[[@as DnsRewrite]]
end

local function after(self, rcode, err)
  C.luna_query_restore(self)
  return rcode, err
end

local function failed(self, code)
  if code == C.LUNA_E_FORMAT then return SERVFAIL, "invalid name after rewrite of " .. boundary.name_text(self.name) end
  return SERVFAIL, "no buffer for a longer packet"
end

--- Asks the rest of the chain something else and turns its reply back into one to the question as it was: for plugins before
--- this one, and for the client, nothing has changed but the answer. Everything behind (cache, hosts, forward ...) sees the
--- new question only. Without a fit (a zone that the name is not in) it is next(q). May be done on top of another rewrite.
---@param rule DnsRewrite|DnsName of dns.rewrite, or a name to ask for
---@param next fun(q: DnsQuery): integer, string?
---@return integer rcode
---@return string|nil err
function q:rewrite(rule, next)
  check(self)
  local code
  if type(rule) == "string" then rule = values.name(rule) end
  if ffi.istype("luna_name", rule) then
    code = C.luna_query_rewrite(self, rule, 0, 0, 3)
  elseif rule.named == 0 then
    code = C.luna_query_rewrite(self, nil, 0, rule.qtype, rule.restore)
  elseif rule.suffix == 0 then
    code = C.luna_query_rewrite(self, rule.to, 0, rule.qtype, rule.restore)
  else
    if C.luna_query_under(self, rule.from) == 0 then return next(self) end
    code = C.luna_query_rewrite(self, rule.to, self.name_len - rule.from.len, rule.qtype, rule.restore)
  end
  if code < 0 then return failed(self, code) end
  return after(self, next(self))
end

rewriting.methods = q

return rewriting
