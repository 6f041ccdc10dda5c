--- Methods of q: the reply that came back from the rest of the chain, read and changed: `local rcode, err = next(q)`.
local bit = require "bit"
local ffi = require "ffi"
local blame = require "lunadns.query.blame"
local boundary = require "lunadns.boundary"
local check = require "lunadns.query.check"
local numbers = require "lunadns.numbers"
local values = require "lunadns.query.values"
require "lunadns.query.record"

local C = boundary.C
local band = bit.band
local RECORDS_MAX, NONE, FOREVER = 5957, 65535, 4294967295

---@class (partial) DnsQuery
local q = {}

--- The rcode of the reply, nil when there is none.
---@return integer|nil
function q:reply_rcode()
  check(self)
  if self.reply_len == 0 then return nil end
  return C.luna_reply_rcode(self)
end

--- Changes the rcode and leaves the records; begins a reply when there is none.
---@param rcode DnsRcode
---@return integer rcode
function q:set_rcode(rcode)
  check(self)
  rcode = numbers.rcode(rcode)
  C.luna_reply_set_rcode(self, rcode)
  return rcode
end

--- Whether a header flag of the reply is set.
---@param flag DnsFlag
---@return boolean
function q:reply_flag(flag)
  check(self)
  return band(C.luna_reply_get_flags(self), numbers.flag(flag)) ~= 0
end

--- Sets a header flag of the reply, or clears it.
---@param flag DnsFlag
---@param on boolean
function q:set_flag(flag, on)
  check(self)
  local mask = numbers.flag(flag)
  if on then C.luna_reply_flags(self, mask, 0) else C.luna_reply_flags(self, 0, mask) end
end

--- How many records a section of the reply has.
---@param section DnsSection
---@return integer
function q:count(section)
  check(self)
  return C.luna_reply_count(self, numbers.section(section))
end

--- Drops the reply, as if nobody had written one.
function q:clear()
  check(self)
  C.luna_reply_clear(self)
end

-- ---- record by record

local walking = {} -- slot index -> luna_record

local function step(self, record)
  if C.luna_reply_next(self, record) == 0 then return nil end
  return record
end

--- The records of the reply, one after another, OPT left out: `for record in q:records "answer" do ... end`. The record is the
--- same object each time: one loop over a query at a time. In the loop TTLs and addresses may be changed; to remove or reorder
--- there is q:remove and q:sort. Allocates nothing. LuaJIT may give up a loop of few rounds, and the handler with it: where every
--- query passes, let assert.hot look at it, or use q:each, which has no loop.
---@param section? DnsSection all without it
---@return fun(self: DnsQuery, record: DnsReplyRecord): DnsReplyRecord|nil
---@return DnsQuery
---@return DnsReplyRecord
function q:records(section)
  check(self)
  local record = walking[self.index]
  if not record then
    record = ffi.new "luna_record"
    walking[self.index] = record
  end
  record["end"] = 0
  record.wanted = section and numbers.section(section) or 0
  return step, self, record --[[@as DnsReplyRecord]]
end

-- Calls fn for each record. Replies have few, and LuaJIT may give up a loop that has few rounds, with what is around it: the
-- first 64 records are walked through without one. `what` is done with what fn returns; it ends the walk by returning.
local WALK = [[
local next = ...
local function four(q, record, fn, out)
  %s
  return true
end
local function sixteen(q, record, fn, out)
  return four(q, record, fn, out) and four(q, record, fn, out) and four(q, record, fn, out) and four(q, record, fn, out)
end
local function more(q, record, fn, out)
  repeat until not sixteen(q, record, fn, out)
end
return function(q, record, fn, out)
  if four(q, record, fn, out) and four(q, record, fn, out) and four(q, record, fn, out) and four(q, record, fn, out)
    and sixteen(q, record, fn, out) and sixteen(q, record, fn, out) and sixteen(q, record, fn, out) then
    more(q, record, fn, out)
  end
end]]

---@return function
local function walker(what)
  local one = "if next(q, record) == 0 then return false end\n" .. what .. "\n"
  return assert(loadstring(WALK:format(one:rep(4)), "=records"))(function(self, record)
    return C.luna_reply_next(self, record)
  end)
end

local walk = walker "if fn(record) then return false end"
local walk_marks = walker "out[record.index] = fn(record) and 1 or 0"
local walk_keys = walker "out[record.index] = fn(record)"

-- What a walk needs. More than one only when the function of a plugin waits, or walks itself; one that raises loses its.
local pool, pooled = {}, 0

local function take(section)
  local own
  if pooled == 0 then
    own = { record = ffi.new "luna_record", marks = ffi.new("uint8_t[?]", RECORDS_MAX), keys = ffi.new("double[?]", RECORDS_MAX) }
  else
    own = pool[pooled]
    pooled = pooled - 1
  end
  own.record["end"], own.record.index, own.record.wanted = 0, NONE, section
  return own
end

--- Gives it back. Returns how many records the walk came upon.
local function give(own)
  pooled = pooled + 1
  pool[pooled] = own
  local last = own.record.index
  return last == NONE and 0 or last + 1
end

local function written(code)
  if code < 0 then blame("the reply could not be written anew", 3) end
  return code
end

--- Calls a function for each record of the reply, OPT left out; it may change TTLs and addresses, and ends the walk by returning
--- true. The function is made once, in setup.
---@param fn fun(record: DnsReplyRecord): boolean?
---@param section? DnsSection all without it
function q:each(fn, section)
  check(self)
  local own = take(section and numbers.section(section) or 0)
  walk(self, own.record, fn)
  give(own)
end

--- Removes records from the reply: those of a type, or those for which a function says so. The function is made once, in setup.
---@param what? DnsType|fun(record: DnsReplyRecord): boolean all without it
---@param section? DnsSection all without it
---@return integer count how many went
function q:remove(what, section)
  check(self)
  local number = section and numbers.section(section) or 0
  if type(what) == "function" then
    local own = take(number)
    walk_marks(self, own.record, what, own.marks)
    return written(C.luna_reply_remove_marked(self, number, own.marks, give(own)))
  end
  return written(C.luna_reply_remove(self, number, what and numbers.type(what) or 0))
end

--- Reorders the records of each section: those with a lower key come first, those with the same key stay in their order. The
--- function is made once, in setup.
---@param key fun(record: DnsReplyRecord): number
---@param section? DnsSection all without it
function q:sort(key, section)
  check(self)
  local number = section and numbers.section(section) or 0
  local own = take(number)
  walk_keys(self, own.record, key, own.keys)
  written(C.luna_reply_sort(self, number, own.keys, give(own)))
end

--- Puts addresses of the answer and additional sections into random order, aliases before them, as plugin loadbalance does.
function q:shuffle()
  check(self)
  C.luna_reply_round_robin(self)
end

-- ---- all records at once

--- Sets the TTL of all records.
---@param ttl integer seconds
function q:set_ttl(ttl)
  check(self)
  C.luna_reply_set_ttl(self, ttl)
end

--- Sets TTLs that are lower to min, and those that are higher to max.
---@param min integer|nil seconds
---@param max? integer seconds
---@param section? DnsSection all without it
function q:limit_ttl(min, max, section)
  check(self)
  C.luna_reply_limit_ttl(self, section and numbers.section(section) or 0, min or 0, max or FOREVER)
end

--- The lowest TTL, nil when there is no record.
---@param section? DnsSection all without it
---@return integer|nil
function q:min_ttl(section)
  check(self)
  local ttl = C.luna_reply_min_ttl(self, section and numbers.section(section) or 0)
  if ttl == FOREVER then return nil end
  return ttl
end

--- Puts one address into the place of another of its family, wherever it stands in the reply.
---@param from DnsAddress
---@param to DnsAddress
---@return integer count how often
function q:replace_address(from, to)
  check(self)
  return C.luna_reply_replace_address(self, values.addr(from), values.addr(to))
end

return q
