--- dns.resolve and dns.addresses: questions to this server itself.
local boundary = require "lunadns.boundary"
local bit = require "bit"
local exchange = require "dns.exchange"
local question = require "dns.question"
local reply = require "dns.reply"
local strand = require "lunadns.strand"

local C = boundary.C

local resolve = {}

local TIMEOUT = 5 -- s
local DEPTH_MAX = 8
local NOERROR, NXDOMAIN, REFUSED = 0, 3, 5
local A, AAAA = 1, 28

---@class DnsResolveOptions
---@field timeout? number seconds, 5 unless given
---@field dnssec? boolean asks for DNSSEC records

--- Runs the chain of the block that serves q, as for a client. A cut reply is asked for again the way that has room.
local function serve(q, job)
  local chain = job.driver.chains[q.block]
  local rcode = chain(q)
  if q.reply_len > 0 and bit.band(C.luna_reply_get_flags(q), C.LUNA_TC) ~= 0 then
    q.transport = C.LUNA_TCP
    C.luna_reply_clear(q)
    rcode = chain(q)
  end
  if q.reply_len == 0 and q.dropped == 0 then C.luna_reply_start(q, rcode) end
end

--- The same, as a client sees it: what a plugin throws is contained.
local function serve_contained(q, job)
  local contain = job.driver.contain
  local ok, err = xpcall(serve, contain.trace, q, job)
  while not ok do
    local rcode = contain.failed(q, err, "handler")
    if rcode then
      if q.dropped == 0 then C.luna_reply_start(q, rcode) end
      return
    end
    ok, err = xpcall(serve, contain.trace, q, job) -- without that plugin
  end
end

--- The listener that questions of the server's own come to: the caller's.
local function listener_of(driver, site)
  driver.listeners = driver.listeners or {}
  local number = driver.listeners[site]
  if not number then
    number = C.luna_site_listener(driver.state, site)
    driver.listeners[site] = number
  end
  return number
end

--- Sends a question into the chain. Returns the job, or nil and why not.
local function begin(own, group, name, qtype, opts)
  local driver = own.driver
  if own.depth >= DEPTH_MAX then
    return nil, ("%s: questions of the server's own are %d deep: a handler asks for what it is asked for"):format(
      question.text(name, qtype), DEPTH_MAX)
  end
  local q = C.luna_query_new(driver.state, name.wire, name.len, qtype, 1, C.LUNA_RD, opts and opts.dnssec and 1 or 2)
  if q == nil then return nil, ("%s: %s"):format(question.text(name, qtype), strand.NO_SLOT) end
  local job = { fn = serve_contained, q = q, driver = driver }
  local from = own.q
  local listener = listener_of(driver, from.block)
  if listener < 0 or C.luna_query_route(q, listener, from.client.family ~= 0 and from or nil) < 0 then
    C.luna_reply_start(q, REFUSED)
    job.done, job.ok = true, true
    return job
  end
  strand.start(own, group, job, own.depth + 1)
  return job
end

--- What became of it. Frees its slot.
local function finish(own, job, name, qtype, code, timeout)
  local q = job.q
  if not job.done then
    local why = "cancelled"
    if code == C.LUNA_E_TIMEOUT then why = ("no answer after %g s"):format(timeout / 1e9) end
    if code == C.LUNA_E_BUSY then why = strand.BUSY end
    if own.q.hash == q.hash and own.q.qtype == qtype then
      why = why .. "; the question that is being answered asks for itself"
    end
    return nil, ("%s: %s"):format(question.text(name, qtype), why)
  end
  local result, err
  if q.dropped == 0 and q.reply_len > 0 then
    result = reply.take(q)
  else
    err = ("%s: the plugins of its server block gave no reply"):format(question.text(name, qtype))
  end
  strand.free(job)
  return result, err
end

--- Asks this server itself: the question goes through the plugins of the server block that would serve it, at the
--- address and port where the caller's own question came in (in a timer: where its server block is served). In setup
--- there is no chain yet; there the nameservers of /etc/resolv.conf are asked.
---
---     local reply, err = dns.resolve("db.example.org", "A")
---     if not reply then server:log("warning", "%s", err) end
---@param name string|ffi.cdata* "db.example.org", or a luna_name of dns.name
---@param qtype string|integer "A", dns.A
---@param opts? DnsResolveOptions
---@return DnsReply|nil reply whatever its rcode
---@return string|nil err why there is none
function resolve.resolve(name, qtype, opts)
  local own = strand.current "dns.resolve"
  local timeout = strand.timeout(opts, TIMEOUT, "dns.resolve")
  local wire, number, err = question.read(name, qtype, "dns.resolve")
  if not wire then return nil, err end
  if own.setup then return exchange.system(own, wire, number, timeout) end
  local group = strand.group(own)
  local job
  job, err = begin(own, group, wire, number, opts)
  if not job then return nil, err end
  local code = strand.join(own, group, timeout)
  return finish(own, job, wire, number, code, timeout)
end

--- The addresses of a name, all types asked for at the same time. One type's answer is an answer.
---@param own LunaStrand
---@param wire ffi.cdata* luna_name
---@param types integer[] A, AAAA
---@param timeout number ns
---@return ffi.cdata*[]|nil addresses luna_addr
---@return integer|string|nil ttl the least; the error text when addresses is nil
---@return integer|nil rcode with an error text: that of the reply
function resolve.lookup(own, wire, types, timeout)
  local all, least, replies, err, rcode = {}, nil, 0, nil, nil
  local function add(answer, why)
    if not answer then
      err = why
    elseif answer.rcode ~= NOERROR and answer.rcode ~= NXDOMAIN then
      err, rcode = ("%s: %s"):format(question.text(wire, types[1]), answer.rcode_text), answer.rcode
    else
      replies = replies + 1
      local found, ttl = answer:addresses()
      for _, addr in ipairs(found) do all[#all + 1] = addr end
      if ttl and (not least or ttl < least) then least = ttl end
    end
  end
  if own.setup then
    for _, qtype in ipairs(types) do add(exchange.system(own, wire, qtype, timeout / #types)) end
  else
    local group, jobs = strand.group(own), {}
    for i, qtype in ipairs(types) do
      local why
      jobs[i], why = begin(own, group, wire, qtype)
      if not jobs[i] then add(nil, why) end
    end
    local code = strand.join(own, group, timeout)
    for i, qtype in ipairs(types) do
      if jobs[i] then add(finish(own, jobs[i], wire, qtype, code, timeout)) end
    end
  end
  if replies == 0 or (#all == 0 and err) then return nil, err, rcode end
  return all, least
end

--- The IPv4 and IPv6 addresses of a name, asked for at the same time in the way of dns.resolve.
---
---     local list, ttl = dns.addresses "db.example.org"
---     if list and list[1] then return q:answer_address(list[1], ttl) end
---@param name string|ffi.cdata*
---@param opts? { timeout?: number, family?: 4|6 } family: only these
---@return ffi.cdata*[]|nil addresses luna_addr; empty when the name has none
---@return integer|string|nil ttl the least TTL, nil without an address; the error text when addresses is nil
function resolve.addresses(name, opts)
  local own = strand.current "dns.addresses"
  local timeout = strand.timeout(opts, TIMEOUT, "dns.addresses")
  local wire, _, err = question.read(name, A, "dns.addresses")
  if not wire then return nil, err end
  local family = opts and opts.family
  if family ~= nil and family ~= 4 and family ~= 6 then
    error(("dns.addresses: family: expected 4 or 6, found %s"):format(tostring(family)), 2)
  end
  local types = family == 4 and { A } or family == 6 and { AAAA } or { A, AAAA }
  local list, ttl = resolve.lookup(own, wire, types, timeout)
  return list, ttl
end

return resolve
