--- Asks other servers. As CoreDNS's plugin forward.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local policy = require "lunadns.forward.policy"
local targets = require "lunadns.forward.targets"
local upstreams = require "lunadns.forward.upstreams"
local wait = require("lunadns.runner").wait

local C = boundary.C
local DEADLINE = 5e9 -- no further upstream is tried after so many ns

local function set_of(list)
  local set = {}
  for _, value in ipairs(list or {}) do set[value] = true end
  return set
end

---@param server LunaServer
local function setup(conf, next, server)
  local from, except = dns.name(conf.from), dns.zones(conf.except or {})
  local all_names = conf.from == "." and not conf.except
  conf.health_check = conf.health_check or { interval = 0.5, domain = "." }
  local list = targets.read(conf.to, conf.resolver or {}, conf.tls_servername)
  local ups, n = upstreams.open(list, conf, server)
  local start, at = policy.new(conf.policy, n)
  local attempts_max = conf.max_connect_attempts or 2 * n
  local max_fails, timeout = conf.max_fails, conf.read_timeout * 1e9
  local force_tcp, prefer_udp = conf.force_tcp, conf.prefer_udp
  local failfast, on_nodata = conf.failfast_all_unhealthy_upstreams, conf.next_on_nodata
  local failover, hand_over = set_of(conf.failover), set_of(conf.next)
  local simple = #(conf.failover or {}) == 0 and #(conf.next or {}) == 0 and not on_nodata and not prefer_udp
  local max = conf.max_concurrent
  local too_many = ("concurrent queries exceeded maximum %d"):format(max)
  local broken = server:counter("coredns_forward_healthcheck_broken_total",
    "Counter of the number of complete failures of the healthchecks.")
  local rejects = server:counter("coredns_forward_max_concurrent_rejects_total",
    "Counter of the number of queries rejected because the concurrent queries were at maximum.")
  local state = server.state
  local text = ffi.new "char[512]"
  local UDP, TCP, WAIT = C.LUNA_UDP, C.LUNA_TCP, C.LUNA_WAIT
  local CANCEL, BUSY, ANSWER = C.LUNA_E_CANCEL, C.LUNA_E_BUSY, dns.ANSWER
  local NOERROR, SERVFAIL, REFUSED = dns.NOERROR, dns.SERVFAIL, dns.REFUSED

  -- Setup runs from the end of the chain: a forward that was set up in this block is the one after this.
  local number = (server.block.forwards or 0) + 1
  server.block.forwards = number
  if number == 1 then hand_over, on_nodata = {}, false end

  local gate
  if max > 0 then
    gate = C.luna_gate_open(("%s %s %d"):format(table.concat(server.zones, " "), conf.from, number))
    if gate == nil then error("out of memory", 0) end
    server:on_close(function() C.luna_gate_close(gate) end)
  end

  -- Of the plugins of a block the last one that asked counts: it is the query that knows.
  local asked = ffi.new "luna_addr"
  if server.block.metadata then
    server.block.metadata:provide("forward/upstream", function(q)
      if C.luna_exchange_upstream(q, asked) == 0 then return nil end
      return (asked.family == 6 and "[%s]:%d" or "%s:%d"):format(boundary.addr_text(asked), asked.port)
    end, true)
  end

  --- One exchange; q.wait is not read when it ends at once.
  ---@param q DnsQuery
  local function exchange(q, up, transport)
    local code = C.luna_exchange(q, up.handle, transport, timeout)
    if code == WAIT then code = wait(q) end
    if code == 0 then
      local rcode = q:reply_rcode()
      local histogram = up.durations[rcode] or up:duration(rcode)
      C.luna_exchange_observe(q, histogram.slot)
    end
    return code
  end

  --- Asks until a reply may be given to the client. Returns true, false when none came, nil to hand over to the next
  --- forward; and the code of the exchange that failed when this was the last thing to happen.
  --- `code` is what the first upstream's exchange has brought already, if there was one.
  ---@param q DnsQuery
  local function ask(q, order, transport, code)
    local i, fails, tries, others = 0, 0, 0, 0
    local failed
    local deadline -- known once it may matter: a 64-bit time is an object where code is not compiled
    while (not deadline or tonumber(state.now) < deadline) and (attempts_max == 0 or tries < attempts_max) do
      if i >= n then i, fails = 0, 0 end
      local up = ups[at(order, i)]
      i = i + 1
      local down = not code and C.luna_upstream_down(up.handle) ~= 0
      if down then
        fails = fails + 1
        if fails >= n then
          broken:inc()
          if failfast then break end
          -- The checks themselves may be what is broken.
          up, down = ups[C.luna_random_below(n)], false
        end
      end
      if not down then
        code = code or exchange(q, up, transport)
        if code == 0 and prefer_udp and transport == UDP and q.reply_len > 0
          and q:reply_flag "tc" then
          code = exchange(q, up, TCP)
        end
        failed = code < 0 and code
        if failed then
          if code == CANCEL or code == BUSY then break end
          if max_fails ~= 0 then C.luna_upstream_suspect(state, up.handle) end
          tries = tries + 1
          if fails >= n then break end
        else
          local rcode = q:reply_rcode()
          if failover[rcode] then others = others + 1 end
          if not failover[rcode] or others >= n then
            if hand_over[rcode] or on_nodata and rcode == NOERROR and q:count(ANSWER) == 0 then
              return nil, false
            end
            return true, false
          end
          q:clear()
        end
        if not deadline then deadline = tonumber(state.now - C.luna_exchange_time(q)) + DEADLINE end
        code = nil
      end
    end
    return false, failed
  end

  ---@param q DnsQuery
  return function(q)
    if not all_names and (not q:under(from) or q.name_len ~= from.len and except:match(q)) then
      return next(q)
    end
    if gate and C.luna_gate_enter(gate, state, max) == 0 then
      rejects:inc()
      return REFUSED, too_many
    end
    local order = start()
    local up = ups[at(order, 0)]
    local transport = (force_tcp or (q.transport == TCP or q.transport == C.LUNA_TLS) and not prefer_udp) and TCP or UDP
    -- The first upstream nearly always answers: that way has no loop, which the compiler would not follow into.
    local code
    if C.luna_upstream_down(up.handle) == 0 then
      code = exchange(q, up, transport)
      if code == 0 and simple then
        if gate then C.luna_gate_leave(gate, state) end
        return NOERROR
      end
    end
    local answered, failed = ask(q, order, transport, code)
    if gate then C.luna_gate_leave(gate, state) end
    if answered then return NOERROR end
    q:clear()
    if answered == nil then return next(q) end
    if not failed then return SERVFAIL, "no healthy proxies" end
    if failed == BUSY then return SERVFAIL end -- counted; a line for each would be one more flood
    return SERVFAIL, ffi.string(text, C.luna_exchange_error(q, text, 512))
  end
end

return dns.plugin {
  name = "forward",
  doc = "Asks other servers, over UDP, TCP or TLS.",
  many = "chain",
  any_class = true,
  options = require "lunadns.forward.options",
  setup = setup,
}
