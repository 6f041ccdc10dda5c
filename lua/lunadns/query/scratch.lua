--- Methods of q: what plugins of a chain leave for each other. Tags and numbers have names that are declared in setup and cost
--- nothing per query; a table is there for everything else.
local bit = require "bit"
local blame = require "lunadns.query.blame"
local check = require "lunadns.query.check"

local band, bor, bnot, lshift, rshift = bit.band, bit.bor, bit.bnot, bit.lshift, bit.rshift

local scratch = {}

---@class (partial) DnsQuery
local q = {}

local TAGS, NUMBERS = 64, 8
local tags, numbers = {}, {} -- name -> index from 0
local tables = {} -- slot index -> { serial, data }

local function declare(names, most, what, name)
  if type(name) ~= "string" or name == "" then blame(("%s: expected a name"):format(what), 2) end
  if names[name] then return names[name] end
  local count = 0
  for _ in pairs(names) do count = count + 1 end
  if count == most then blame(("%s: all %d are taken; use q:data() for %q"):format(what, most, name), 2) end
  names[name] = count
  return count
end

--- Declares a tag: a mark that plugins of one chain set and look for. For setup. All who declare the same name mean the same
--- tag; a server has room for 64.
---@param name string
---@return integer tag for q:tag, which takes the name as well
function scratch.tag(name) return declare(tags, TAGS, "dns.tag", name) end

--- Declares a number that plugins of one chain share per query. For setup. All who declare the same name mean the same number;
--- a server has room for 8.
---@param name string
---@return integer number for q:get and q:set, which take the name as well
function scratch.number(name) return declare(numbers, NUMBERS, "dns.number", name) end

local function index(names, name, declaring)
  if type(name) == "number" then return name end
  local i = names[name]
  if not i then blame(("%q is not declared: call %s(%q) in setup"):format(tostring(name), declaring, tostring(name)), 3) end
  return i
end

--- Marks the query.
---@param tag string|integer declared by dns.tag
function q:tag(tag)
  check(self)
  local i = index(tags, tag, "dns.tag")
  local word = rshift(i, 5)
  self.tags[word] = bor(self.tags[word], lshift(1, band(i, 31)))
end

--- Takes a mark away.
---@param tag string|integer
function q:untag(tag)
  check(self)
  local i = index(tags, tag, "dns.tag")
  local word = rshift(i, 5)
  self.tags[word] = band(self.tags[word], bnot(lshift(1, band(i, 31))))
end

--- Whether the query is marked.
---@param tag string|integer
---@return boolean
function q:tagged(tag)
  check(self)
  local i = index(tags, tag, "dns.tag")
  return band(self.tags[rshift(i, 5)], lshift(1, band(i, 31))) ~= 0
end

--- Sets a number of this query, which is 0 at its start.
---@param number string|integer declared by dns.number
---@param value number
function q:set(number, value)
  check(self)
  self.user[index(numbers, number, "dns.number")] = value
end

--- A number of this query that q:set kept; 0 at first.
---@param number string|integer declared by dns.number
---@return number value
function q:get(number)
  check(self)
  return self.user[index(numbers, number, "dns.number")]
end

--- A table of this query, for all plugins of its chain; empty at first, gone when the query is answered. Allocates: not for a
--- plugin that every query passes.
---@return table
function q:data()
  check(self)
  local own = tables[self.index]
  if not own or own.serial ~= self.serial then
    own = { serial = self.serial, data = {} }
    tables[self.index] = own
    self.has_data = 1
  end
  return own.data
end

--- The runner's: the query's handler has returned.
---@param query DnsQuery|ffi.cdata*
function scratch.forget(query)
  tables[query.index] = nil
  query.has_data = 0
end

scratch.methods = q

return scratch
