--- Answers from a hosts file and from host lines in the Corefile. As CoreDNS's plugin hosts.
local ffi = require "ffi"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local dns = require "dns"

local C = boundary.C

--- A line that is no option is a host line, until fallthrough has been read.
local function host_line(entry, conf, fail)
  if conf.fallthrough then return false end
  if entry.block then fail "a host line takes no block" end
  local words = { entry.name.text }
  for i, token in ipairs(entry.args) do words[i + 1] = token.text end
  conf.lines = conf.lines or {}
  table.insert(conf.lines, { text = table.concat(words, " "), token = entry.name, names = #entry.args })
end

--- CoreDNS leaves out host lines without an address or a name in silence; a misspelt option is one too.
---@param server LunaServer
local function warn_of_bad_lines(lines, server)
  for _, line in ipairs(lines) do
    local first = line.token.text
    if not address.bytes((first:gsub("%%.*", ""))) then
      server:log("warning", "%s:%d: '%s' is neither an option nor an IP address; the line is left out", line.token.file,
        line.token.line, first)
    elseif line.names == 0 then
      server:log("warning", "%s:%d: no host name after '%s'; the line is left out", line.token.file, line.token.line,
        first)
    end
  end
end

--- The table of these options, shared by all workers and by the generations that have the same ones.
---@param server LunaServer
local function open(conf, server)
  local origins, texts = {}, {}
  for i, zone in ipairs(conf.zones) do
    local name = dns.name(zone)
    origins[i] = ffi.string(name.wire, name.len)
  end
  for i, line in ipairs(conf.lines or {}) do texts[i] = line.text end
  local wire = table.concat(origins)
  local err = ffi.new("char[?]", 1024)
  -- A part of a second is a second: a look at a file costs little, and no user waits for it.
  local seconds = math.min(math.ceil(conf.reload), 2 ^ 32 - 1)
  local hosts = C.luna_hosts_open("hosts", conf.file, table.concat(texts, "\n"), wire, #origins, seconds,
    conf.no_reverse and 1 or 0, err, 1024)
  if hosts == nil then error(ffi.string(err), 0) end
  server:on_close(function() C.luna_hosts_close(hosts) end)
  if server.role == "control" then
    if err[0] ~= 0 then server:log("warning", "%s", ffi.string(err)) end
    warn_of_bad_lines(conf.lines or {}, server)
  end
  return hosts
end

return dns.plugin {
  name = "hosts",
  doc = "Answers A, AAAA and PTR questions from a hosts file and from host lines in the block.",
  about = { other = "ADDRESS NAME..." },
  options = {
    { "file", type = "file", default = "/etc/hosts", doc = "The hosts file; relative to `root`." },
    { "zones", type = "zone", rest = true, doc = "Names outside them are left out; default: the server block's." },
    ttl = { type = "int", default = 3600, min = 1, max = 65535, doc = "TTL of the answers." },
    no_reverse = { type = "flag", doc = "No PTR answers." },
    reload = { type = "duration", default = "5s", doc = "How often to look whether the file changed; 0 = never." },
    fallthrough = {
      type = "zone", rest = true, empty = { "." },
      doc = "Unknown names in these zones go to the next plugin; without it they get SERVFAIL.",
    },
    fallthrough_unsupported = {
      type = "flag", doc = "With `fallthrough`: questions for other types than A, AAAA and PTR go to the next plugin.",
      check = function(_, conf) return conf.fallthrough ~= nil, "requires fallthrough" end,
    },
  },
  other = host_line,

  setup = function(conf, next, server)
    local hosts = open(conf, server)
    local zones = dns.zones(conf.zones)
    local through = dns.zones(conf.fallthrough or {})
    local unsupported = conf.fallthrough_unsupported
    local ttl = conf.ttl
    local A, AAAA, PTR, NOERROR, SERVFAIL = dns.A, dns.AAAA, dns.PTR, dns.NOERROR, dns.SERVFAIL
    local NONE = C.LUNA_NONE

    ---@param q DnsQuery
    return function(q)
      local qtype = q.qtype
      if qtype == PTR then
        -- The zones of addresses need not be listed, and another plugin may know more of them.
        if C.luna_hosts_answer(hosts, q, ttl) == NONE then return next(q) end
        return NOERROR
      end
      if not zones:match(q) then return next(q) end
      if unsupported and qtype ~= A and qtype ~= AAAA and through:match(q) then return next(q) end
      if C.luna_hosts_answer(hosts, q, ttl) ~= NONE then return NOERROR end
      if through:match(q) then return next(q) end
      -- An NXDOMAIN would need an SOA, which a hosts file does not have.
      return SERVFAIL
    end
  end,
}
