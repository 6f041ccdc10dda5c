--- dns.exchange: questions to a server of one's choice, over the core's pooled sockets and connections.
local ffi = require "ffi"
local bit = require "bit"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local question = require "dns.question"
local reply = require "dns.reply"
local strand = require "lunadns.strand"

local C = boundary.C

local exchange = {}

local TIMEOUT = 5 -- s
local IDLE = 10e9 -- an unused connection is kept so long
local KEPT = 256 -- upstreams of one state that are open; with more all are closed and opened again as needed
local RESOLV_CONF = "/etc/resolv.conf"
local SCHEMES = { dns = 53, udp = 53, tcp = 53, tls = 853 }

---@class DnsExchangeOptions
---@field timeout? number seconds, 5 unless given
---@field tls_name? string the name that the server's certificate must have; "tls://9.9.9.9%dns.quad9.net" says the same
---@field ca? string a PEM file of CAs to trust in place of the system's
---@field dnssec? boolean asks for DNSSEC records

---@class DnsUpstream
---@field handle ffi.cdata* luna_upstream
---@field tcp boolean not over UDP
---@field tls boolean
---@field text string "tls://9.9.9.9:853"

local addr_type, query_type, pointer_type = ffi.typeof "luna_addr", ffi.typeof "luna_query", ffi.typeof "luna_query *"
local error_buffer = ffi.new "char[512]"

local function parse(text)
  local scheme, rest = text:match "^(%w+)://(.*)$"
  if not scheme then scheme, rest = "dns", text end
  local port = SCHEMES[scheme]
  local name
  if port and scheme == "tls" then
    local head, tail
    head, name, tail = rest:match "^(.-)%%([%w%.%-_]+)(.*)$"
    if head then rest = head .. tail end
  end
  local addr = port and boundary.addr(rest, port)
  if not addr then
    error(("dns.exchange: upstream: expected \"192.0.2.1\", \"[2001:db8::1]:53\", \"tcp://...\" or \"tls://...\", found %q")
      :format(text), 5)
  end
  return addr, scheme, name
end

-- Apart from what finds it: a function that makes closures is not compiled.
local function open(driver, key, text, opts)
  local addr, scheme, name = parse(text)
  local config = ffi.new "luna_upstream_config"
  local tls_name, ca = opts and opts.tls_name or name, opts and opts.ca
  config.addr = addr
  config.transport = scheme == "tls" and C.LUNA_TLS or C.LUNA_UDP
  config.expire = IDLE
  if scheme == "tls" then
    config.tls_name, config.tls_ca = tls_name, ca
  end
  local handle = C.luna_upstream_open(config, error_buffer, 512)
  if handle == nil then error(("dns.exchange: %s: %s"):format(text, ffi.string(error_buffer)), 4) end
  if not driver.upstreams or driver.upstream_count >= KEPT then
    exchange.close(driver)
    driver.upstreams, driver.upstream_count = {}, 0
    if not driver.closes_upstreams then
      driver.closes_upstreams = true
      table.insert(driver.closers, function() exchange.close(driver) end)
    end
  end
  local shown = address.join(boundary.addr_text(addr), addr.port)
  local known = { handle = handle, tcp = scheme == "tcp", tls = scheme == "tls",
    text = scheme == "dns" and shown or scheme .. "://" .. shown }
  driver.upstreams[key], driver.upstream_count = known, driver.upstream_count + 1
  return known
end

--- Opens an upstream, or finds it.
---@return DnsUpstream
local function find(driver, text, opts)
  local key = text
  if opts and (opts.tls_name or opts.ca) then
    key = ("%s\0%s\0%s"):format(text, opts.tls_name or "", opts.ca or "")
  end
  local all = driver.upstreams
  return all and all[key] or open(driver, key, text, opts)
end

--- Closes what dns.exchange has opened.
---@param driver LunaRunner
function exchange.close(driver)
  for _, upstream in pairs(driver.upstreams or {}) do C.luna_upstream_close(upstream.handle) end
  driver.upstreams = nil
end

local function failure(q, upstream)
  return ("%s: %s"):format(upstream.text, ffi.string(error_buffer, C.luna_exchange_error(q, error_buffer, 512)))
end

--- Sends what q asks and waits for the reply in q. Over UDP first; a cut reply is asked for again over TCP.
---@return boolean|nil ok
---@return string|nil err
local function ask(own, q, upstream, timeout)
  local state = own.driver.state
  if state.dry + state.checking ~= 0 then strand.stay(own, q, upstream.text) end
  local transport = upstream.tls and C.LUNA_TLS or upstream.tcp and C.LUNA_TCP or C.LUNA_UDP
  local code = C.luna_exchange(q, upstream.handle, transport, timeout)
  if code == C.LUNA_WAIT then code = strand.wait(q) end
  if code == 0 and transport == C.LUNA_UDP and bit.band(C.luna_reply_get_flags(q), C.LUNA_TC) ~= 0 then
    local left = timeout - tonumber(C.luna_exchange_time(q))
    if left <= 0 then return nil, ("%s: the reply was cut, and no time is left to ask over TCP"):format(upstream.text) end
    code = C.luna_exchange(q, upstream.handle, C.LUNA_TCP, left)
    if code == C.LUNA_WAIT then code = strand.wait(q) end
  end
  if code < 0 then return nil, failure(q, upstream) end
  return true
end

local function ask_new(own, upstream, name, qtype, timeout, edns)
  local q = C.luna_query_new(own.driver.state, name.wire, name.len, qtype, 1, C.LUNA_RD, edns)
  if q == nil then return nil, ("%s: %s"):format(question.text(name, qtype), strand.NO_SLOT) end
  local ok, err = ask(own, q, upstream, timeout)
  local result
  if ok then
    result = reply.take(q)
  else
    err = ("%s: %s"):format(question.text(name, qtype), err)
  end
  C.luna_query_free(q)
  return result, err
end

--- Asks a server: "192.0.2.1" (UDP, then TCP when the reply is cut), "tcp://192.0.2.1:53", "tls://192.0.2.1%dns.example"
--- (the name in the certificate). A name and a type give a reply object; a query `q` in their place is sent as the
--- client asked it, the reply is written into q, and its rcode is returned:
---
---     local reply, err = dns.exchange("192.0.2.1", "example.org", "MX")
---
---     local rcode, err = dns.exchange("tls://192.0.2.1%dns.example", q, { timeout = 2 })
---     if rcode then return rcode end
---@param upstream string|ffi.cdata*|DnsAddr or a luna_addr (port 0: 53)
---@param name string|ffi.cdata*|DnsQuery a name, or the query
---@param qtype? string|integer|DnsExchangeOptions or, after a query, the options
---@param opts? DnsExchangeOptions
---@return DnsReply|integer|nil reply
---@return string|nil err what was tried and why it failed
function exchange.exchange(upstream, name, qtype, opts)
  local own = strand.current "dns.exchange"
  if type(upstream) ~= "string" then
    if not ffi.istype(addr_type, upstream) then
      error(("dns.exchange: upstream: expected a text such as \"192.0.2.1\", found %s"):format(tostring(upstream)), 2)
    end
    upstream = address.join(boundary.addr_text(upstream), upstream.port ~= 0 and upstream.port or 53)
  end
  if type(name) == "cdata" and (ffi.istype(pointer_type, name) or ffi.istype(query_type, name)) then
    ---@cast qtype DnsExchangeOptions?
    opts = qtype
    local timeout = strand.timeout(opts, TIMEOUT, "dns.exchange")
    local ok, err = ask(own, name, find(own.driver, upstream, opts), timeout)
    if not ok then return nil, err end
    local rcode = C.luna_reply_rcode(name) -- no tail call: that is not compiled after a wait
    return rcode
  end
  local timeout = strand.timeout(opts, TIMEOUT, "dns.exchange")
  local wire, number, err = question.read(name --[[@as string|ffi.cdata*]], qtype --[[@as string|integer]], "dns.exchange")
  if not wire then return nil, err end
  return ask_new(own, find(own.driver, upstream, opts), wire, number, timeout, opts and opts.dnssec and 1 or 2)
end

local function nameservers()
  local list = {}
  for line in (boundary.read(RESOLV_CONF) or ""):gmatch "[^\r\n]+" do
    local server = line:match "^%s*nameserver%s+(%S+)"
    if server and #list < 3 and boundary.addr(server, 53) then list[#list + 1] = server end
  end
  if #list == 0 then list[1] = "127.0.0.1" end -- resolv.conf(5)
  return list
end

--- Asks the system's nameservers, one after the other: what dns.resolve does where there is no chain yet.
---@param own LunaStrand
---@param name ffi.cdata* luna_name
---@param qtype integer
---@param timeout number ns
---@return DnsReply|nil
---@return string|nil err
function exchange.system(own, name, qtype, timeout)
  local servers, tried = nameservers(), {}
  for _, server in ipairs(servers) do
    local found, err = ask_new(own, find(own.driver, server), name, qtype, timeout / #servers, 2)
    if found then return found end
    tried[#tried + 1] = err
  end
  return nil, table.concat(tried, "; ")
end

return exchange
