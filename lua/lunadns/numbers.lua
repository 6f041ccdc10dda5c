--- Text to number for what DNS numbers: types, classes, rcodes, sections, extended errors. A number is taken as it is.
local blame = require "lunadns.query.blame"
local boundary = require "lunadns.boundary"
local registry = require "lunadns.options.registry"
local C = boundary.C

local numbers = {}

local types = {}
for text, number in pairs(registry.rrtypes) do types[text] = number end

local function learn_type(text, level)
  local number = type(text) == "string" and C.luna_type_number(text) or -1
  if number < 0 then
    blame(("%s is not a record type; expected such as \"AAAA\", \"TYPE65\" or a number"):format(
      type(text) == "string" and ("%q"):format(text) or tostring(text)), level or 4)
  end
  types[text] = number
  return number
end

--- A mnemonic costs a look into a table, which is a constant on a trace.
---@param value DnsType
---@param level? integer whom an error is told, as in error; the caller's caller
---@return integer
function numbers.type(value, level)
  if type(value) == "number" then return value end
  return types[value] or learn_type(value, level)
end

local function chooser(what, table, expected)
  return function(value)
    if type(value) == "number" then return value end
    local number = table[value]
    if not number then blame(("%q is not %s; expected %s"):format(tostring(value), what, expected), 3) end
    return number
  end
end

---@alias DnsType integer|string "AAAA", "TYPE65" or the number
---@alias DnsRcode integer|"NOERROR"|"FORMERR"|"SERVFAIL"|"NXDOMAIN"|"NOTIMP"|"REFUSED"|string
---@alias DnsSection 1|2|3|"answer"|"authority"|"additional"
---@alias DnsFlag "aa"|"tc"|"rd"|"ra"|"ad"|"cd"

---@type fun(value: DnsRcode): integer
numbers.rcode = chooser("an rcode", registry.rcodes, "such as \"NXDOMAIN\" or a number")

---@type fun(value: DnsSection): integer
numbers.section = chooser("a section", { answer = 1, authority = 2, additional = 3 },
  "\"answer\", \"authority\" or \"additional\"")

---@type fun(value: DnsFlag): integer
numbers.flag = chooser("a flag", { aa = 0x400, tc = 0x200, rd = 0x100, ra = 0x80, ad = 0x20, cd = 0x10 },
  "\"aa\", \"tc\", \"rd\", \"ra\", \"ad\" or \"cd\"")

--- Extended DNS errors, RFC 8914 4 and what IANA has added.
numbers.extended_errors = {
  ["Other"] = 0, ["Unsupported DNSKEY Algorithm"] = 1, ["Unsupported DS Digest Type"] = 2, ["Stale Answer"] = 3,
  ["Forged Answer"] = 4, ["DNSSEC Indeterminate"] = 5, ["DNSSEC Bogus"] = 6, ["Signature Expired"] = 7,
  ["Signature Not Yet Valid"] = 8, ["DNSKEY Missing"] = 9, ["RRSIGs Missing"] = 10, ["No Zone Key Bit Set"] = 11,
  ["NSEC Missing"] = 12, ["Cached Error"] = 13, ["Not Ready"] = 14, ["Blocked"] = 15, ["Censored"] = 16,
  ["Filtered"] = 17, ["Prohibited"] = 18, ["Stale NXDOMAIN Answer"] = 19, ["Not Authoritative"] = 20,
  ["Not Supported"] = 21, ["No Reachable Authority"] = 22, ["Network Error"] = 23, ["Invalid Data"] = 24,
  ["Signature Expired before Valid"] = 25, ["Too Early"] = 26, ["Unsupported NSEC3 Iterations Value"] = 27,
  ["Unable to conform to policy"] = 28, ["Synthesized"] = 29, ["Invalid Query Type"] = 30,
}

---@type fun(value: integer|string): integer
numbers.extended_error = chooser("an extended DNS error", numbers.extended_errors,
  "its number or name, such as 15 or \"Blocked\" (RFC 8914)")

return numbers
