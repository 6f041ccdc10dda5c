--- Addresses of the hosts that dns.http and sockets connect to.
local boundary = require "lunadns.boundary"
local exchange = require "dns.exchange"
local question = require "dns.question"
local resolve = require "dns.resolve"

local host = {}

local HOSTS_FILE = "/etc/hosts"
local A, AAAA, REFUSED = 1, 28, 5

local file ---@type table<string, table>|nil name -> addresses, of the hosts file as it was when it was first needed

local function hosts_file()
  if file then return file end
  file = { localhost = { assert(boundary.addr "127.0.0.1"), assert(boundary.addr "::1") } }
  local seen = {}
  for line in (boundary.read(HOSTS_FILE) or ""):gmatch "[^\n]+" do
    local ip, names = line:gsub("#.*", ""):match "^%s*(%S+)%s+(.*)$"
    local addr = ip and boundary.addr(ip)
    for name in (addr and names or ""):gmatch "%S+" do
      name = name:lower():gsub("%.$", "")
      if name ~= "localhost" then
        if not seen[name] then seen[name], file[name] = true, {} end
        table.insert(file[name], addr)
      end
    end
  end
  return file
end

--- The addresses of a host: an address itself, a name of /etc/hosts, or what this server resolves. A name that none of
--- its blocks serves, and every name in setup, is asked of the system's nameservers.
---@param own LunaStrand
---@param name string
---@param timeout number ns
---@return ffi.cdata*[]|nil addresses luna_addr, at least one
---@return string|nil err
function host.addresses(own, name, timeout)
  local literal = boundary.addr((name:gsub("^%[(.*)%]$", "%1")))
  if literal then return { literal } end
  local known = hosts_file()[name:lower():gsub("%.$", "")]
  if known then return known end
  local wire, err = boundary.name(name)
  if not wire then return nil, err end
  local list, ttl_or_err, rcode = resolve.lookup(own, wire, { A, AAAA }, timeout)
  if not list and rcode == REFUSED and not own.setup then
    list, ttl_or_err = {}, nil
    for _, qtype in ipairs { A, AAAA } do
      local reply, why = exchange.system(own, wire, qtype, timeout / 2)
      if reply then
        for _, addr in ipairs((reply:addresses())) do list[#list + 1] = addr end
      else
        ttl_or_err = why
      end
    end
  end
  if not list or (#list == 0 and ttl_or_err) then return nil, tostring(ttl_or_err) end
  if #list == 0 then return nil, ("%s has no address"):format(question.text(wire, A):match "^%S+") end
  return list
end

return host
