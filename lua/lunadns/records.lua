--- Records made in setup and added to replies per query without allocating: dns.records, dns.soa.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local values = require "lunadns.query.values"

local C = boundary.C
local DEFAULT_TTL = 3600

local records = {}

---@class DnsRecords: ffi.cdata* records for q:answer and q:add; #records says how many
ffi.metatype("luna_records", { __len = function(self) return C.luna_records_count(self) end })

---@class DnsRecordOptions
---@field origin? DnsName what relative names are below; without it owners are below the question name, and names in the data
---must be absolute
---@field ttl? integer of records that name none; 3600

--- A record as a list: its type, then its data in the order of presentation format: { "MX", 10, "mail.example.org." }.
---@class DnsRecordValues
---@field [integer] string|number|ffi.cdata*
---@field owner? DnsName the question name without it
---@field ttl? integer

-- Types whose data are character strings: always quoted.
local STRINGS = { TXT = true, SPF = true, HINFO = true, AVC = true, ["X25"] = true, ISDN = true }
local WORD = "^[%w%.%-_:/+=*@\\]+$"

local function quoted(text)
  local out = {}
  for at = 1, math.max(#text, 1), 255 do
    out[#out + 1] = '"' .. text:sub(at, at + 254):gsub('[%z\1-\31"\\\127-\255]', function(c)
      if c == '"' or c == "\\" then return "\\" .. c end
      return ("\\%03d"):format(c:byte())
    end) .. '"'
  end
  return table.concat(out, " ")
end

local function field(value, strings)
  if ffi.istype("luna_name", value) then return boundary.name_text(value.wire) end
  if ffi.istype("luna_addr", value) then return boundary.addr_text(value) end
  if type(value) == "number" then return ("%.0f"):format(value) end
  if type(value) ~= "string" then error(("dns.records: a %s is no field of a record"):format(type(value)), 0) end
  if strings or not value:find(WORD) then return quoted(value) end
  return value
end

--- Presentation format of a record that is given as a list.
local function line_of(given)
  local rrtype = given[1]
  if type(rrtype) ~= "string" then error("dns.records: a record begins with its type, such as { \"A\", \"192.0.2.1\" }", 0) end
  local strings = STRINGS[rrtype:upper()]
  local owner = given.owner or "@"
  local parts = { type(owner) == "string" and owner or field(owner) }
  if given.ttl then parts[2] = ("%.0f"):format(given.ttl) end
  parts[#parts + 1] = "IN"
  parts[#parts + 1] = rrtype:upper()
  for i = 2, #given do parts[#parts + 1] = field(given[i], strings) end
  return table.concat(parts, " ")
end

local function text_of(given)
  if type(given) == "string" then return given end
  if type(given) ~= "table" then
    error("dns.records: expected text, a record such as { \"A\", \"192.0.2.1\" }, or a list of these", 0)
  end
  if type(given[1]) ~= "table" then return line_of(given) end
  local lines = {}
  for i, own in ipairs(given) do lines[i] = line_of(own) end
  return table.concat(lines, "\n")
end

local err_buffer = ffi.new("char[?]", 512)

--- Records for q:answer and q:add. For setup: allocates. Raises with what is wrong.
---
---     local mail = dns.records "@ 300 IN MX 10 mail.example.org."
---     local host = dns.records { { "A", "192.0.2.1", ttl = 60 }, { "TXT", "made here" } }
---
--- An owner that is @ or not given is the question name, in the client's letter case; a relative one is below it.
---@param given string|DnsRecordValues|DnsRecordValues[] presentation format of any type, one record a line; or values
---@param options? DnsRecordOptions
---@return DnsRecords
function records.new(given, options)
  options = options or {}
  local ok, text = pcall(text_of, given)
  if not ok then error(text, 2) end
  local origin = options.origin and values.name(options.origin) or nil
  local made = C.luna_records_parse(text, origin, options.ttl or DEFAULT_TTL, err_buffer, 512)
  if made == nil then error("dns.records: " .. ffi.string(err_buffer), 2) end
  return ffi.gc(made, C.luna_records_free) --[[@as DnsRecords]]
end

---@class DnsSoaOptions
---@field mname? string primary server; ns.dns.ZONE
---@field rname? string who is responsible; hostmaster.ZONE
---@field serial? integer the time of this call
---@field refresh? integer 7200
---@field retry? integer 1800
---@field expire? integer 86400
---@field minimum? integer how long "does not exist" may be kept; 30
---@field ttl? integer of the record; as minimum

--- The SOA record of a zone, for q:nxdomain, q:nodata and q:answer. For setup: allocates.
---@param zone DnsName
---@param options? DnsSoaOptions
---@return DnsRecords
function records.soa(zone, options)
  options = options or {}
  local name = boundary.name_text(values.name(zone).wire)
  local below = name == "." and "" or name
  local minimum = options.minimum or 30
  return records.new {
    "SOA", options.mname or "ns.dns." .. below, options.rname or "hostmaster." .. below, options.serial or os.time(),
    options.refresh or 7200, options.retry or 1800, options.expire or 86400, minimum,
    owner = name, ttl = options.ttl or minimum,
  }
end

return records
