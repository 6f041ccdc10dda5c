--- Methods of q: the reply that came back from the rest of the chain, read and changed: `local rcode, err = next(q)`.
local bit = require "bit"
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local check = require "lunadns.query.check"
local numbers = require "lunadns.numbers"
local values = require "lunadns.query.values"
require "lunadns.query.record"

local C = boundary.C
local band = bit.band
local OPT, RECORDS_MAX, FOREVER = 41, 5957, 4294967295

---@class DnsQuery
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

---@param flag DnsFlag
---@return boolean
function q:reply_flag(flag)
  check(self)
  return band(C.luna_reply_get_flags(self), numbers.flag(flag)) ~= 0
end

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
--- same object each time, so that nothing is allocated: one loop over a query at a time. In the loop TTLs and addresses may be
--- changed; to remove or reorder there is q:remove and q:sort.
---@param section? DnsSection all without it
---@return fun(self: DnsQuery, record: DnsRecord): DnsRecord|nil
---@return DnsQuery
---@return DnsRecord
function q:records(section)
  check(self)
  local record = walking[self.index]
  if not record then
    record = ffi.new "luna_record"
    walking[self.index] = record
  end
  record["end"] = 0
  record.wanted = section and numbers.section(section) or 0
  return step, self, record
end

-- Lists of the records of a reply. More than one only when a function of a plugin waits; one that raises loses its.
local pool, pooled = {}, 0

local function take()
  if pooled == 0 then
    return { list = ffi.new("luna_rr[?]", RECORDS_MAX), keys = ffi.new("double[?]", RECORDS_MAX),
      record = ffi.new "luna_record", held = ffi.new "luna_rr" }
  end
  local own = pool[pooled]
  pooled = pooled - 1
  return own
end

local function give(own)
  pooled = pooled + 1
  pool[pooled] = own
end

local function look(self, own, rr)
  ffi.copy(own.record, rr, ffi.sizeof "luna_rr")
  own.record.query = self
  return own.record
end

--- Puts the first n of the list into the place of the reply's records.
local function arrange(self, own, n)
  local code = C.luna_reply_arrange(self, own.list, n)
  give(own)
  if code < 0 then error("the reply could not be written anew", 3) end
end

local function remove_by(self, fits, section)
  local own = take()
  local list, kept = own.list, 0
  local n = C.luna_reply_read(self, list, RECORDS_MAX)
  for i = 0, n - 1 do
    local rr = list[i]
    if rr.type == OPT or section ~= 0 and rr.section ~= section or not fits(look(self, own, rr)) then
      if kept ~= i then list[kept] = rr end
      kept = kept + 1
    end
  end
  if kept == n or n < 0 then
    give(own)
    return 0
  end
  arrange(self, own, kept)
  return n - kept
end

--- Removes records from the reply: those of a type, or those for which a function says so. The function is made once, in setup.
---@param what DnsType|fun(record: DnsRecord): boolean|nil nil = all
---@param section? DnsSection all without it
---@return integer count how many went
function q:remove(what, section)
  check(self)
  section = section and numbers.section(section) or 0
  if type(what) == "function" then return remove_by(self, what, section) end
  local n = C.luna_reply_remove(self, section, what and numbers.type(what) or 0)
  if n < 0 then error("the reply could not be written anew", 2) end
  return n
end

--- Reorders the records of each section: those with a lower key come first, those with the same key stay in their order. The
--- function is made once, in setup. Meant for replies of usual size: the time grows with the square of their records.
---@param key fun(record: DnsRecord): number
---@param section? DnsSection all without it
function q:sort(key, section)
  check(self)
  section = section and numbers.section(section) or 0
  local own = take()
  local list, keys, held, moved = own.list, own.keys, own.held, false
  local n = C.luna_reply_read(self, list, RECORDS_MAX)
  for i = 0, n - 1 do
    local rr = list[i]
    local value = 0
    if rr.type ~= OPT and (section == 0 or rr.section == section) then value = key(look(self, own, rr)) end
    keys[i] = value
    local k = i
    while k > 0 and keys[k - 1] > value and list[k - 1].section == rr.section do k = k - 1 end
    if k < i then
      ffi.copy(held, rr, ffi.sizeof "luna_rr")
      for j = i, k + 1, -1 do
        list[j] = list[j - 1]
        keys[j] = keys[j - 1]
      end
      list[k] = held
      keys[k] = value
      moved = true
    end
  end
  if moved then arrange(self, own, n) else give(own) end
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
