--- Answers a name with one of several addresses, by weight, and leaves out those that fail their HTTP check.
local bit = require "bit"
local dns = require "dns"

local A, AAAA = dns.A, dns.AAAA

local function check_url(url)
  if url:find "^https?://%*[:/]" or url:find "^https?://%*$" then return true end
  return nil, ("'%s': expected a URL with * in the place of the address, such as http://*:8080/health"):format(url)
end

local function check_endpoint(endpoint, conf)
  local times = 0
  for _, other in ipairs(conf.endpoint) do
    if other.address == endpoint.address then times = times + 1 end
  end
  if times > 1 then
    return nil, ("%s is given %d times: its weight says how often it is answered"):format(endpoint.address, times)
  end
  if #conf.endpoint > 31 then return nil, ("expected at most 31 endpoints, found %d"):format(#conf.endpoint) end
  return true
end

--- Asks one endpoint for its health. Returns true, or false and why.
local function healthy(conf, address)
  local host = address:find(":", 1, true) and "[" .. address .. "]" or address
  local response, why = dns.http.get((conf.check:gsub("%*", host, 1)), {
    timeout = conf.timeout, redirects = 0, max_size = 65536, verify = not conf.insecure, headers = { Host = conf.host },
  })
  if not response then return false, why end
  if response.status >= 200 and response.status < 400 then return true end
  return false, "status " .. response.status
end

---@param server LunaServer
local function setup(conf, next, server)
  local zone, endpoints, ttl = dns.name(conf.name), conf.endpoint, conf.ttl
  -- What timers find and handlers read; by address, so that it is right after an edit of the list.
  local state = dns.shared("service " .. conf.name, { bytes = "64KB" })
  local listed = {}
  for i, endpoint in ipairs(endpoints) do listed[i] = endpoint.address end
  local key = "down " .. table.concat(listed, " ")
  local addresses = {}
  for i, endpoint in ipairs(endpoints) do
    addresses[i] = { addr = dns.addr(endpoint.address), answers = server:counter("answers_total", "Answers made, by address.",
      { { "name", conf.name }, { "address", endpoint.address } }) }
  end
  local soa = dns.soa(conf.name, { minimum = ttl })
  local up = server:gauge("up", "1 while an endpoint passes its check.", { { "name", conf.name }, "address" })
  local failures = server:counter("check_failures_total", "Checks that failed.", { { "name", conf.name }, "address" })

  --- Counts a check's outcome; says when it changes what is answered. Returns whether the endpoint is down.
  local function judge(address, ok, why)
    local failed = 0
    if not ok then
      failed = (state:get("failed " .. address) or 0) + 1
      failures:inc(address)
    end
    local before, down = state:get("down " .. address) or false, failed >= conf.failures
    state:set("failed " .. address, failed)
    state:set("down " .. address, down)
    if down and not before then server:log("warning", "%s: %s is left out: %s", conf.name, address, why) end
    if before and not down then server:log("info", "%s: %s is back", conf.name, address) end
    up:set(down and 0 or 1, address)
    return down
  end

  if conf.check then
    server:every(conf.interval, function()
      local checks, found, reasons = {}, {}, {}
      for i, endpoint in ipairs(endpoints) do
        checks[i] = function() found[i], reasons[i] = healthy(conf, endpoint.address) end
      end
      local _, errors = dns.all(checks, { timeout = conf.timeout + 1 })
      local down = 0 -- bit i - 1: endpoint i
      for i, endpoint in ipairs(endpoints) do
        if judge(endpoint.address, found[i], reasons[i] or errors and errors[i]) then
          down = bit.bor(down, bit.lshift(1, i - 1))
        end
      end
      state:set(key, down)
    end, { once = true, now = true })
  end

  --- The addresses that are answered while some are down, each as often as its weight says. Made once for each case.
  local function choices(down, family)
    local out, all = { n = 0 }, { n = 0 } ---@type table<any, any>, table<any, any>
    for i, endpoint in ipairs(endpoints) do
      if addresses[i].addr.family == family then
        for _ = 1, endpoint.weight do
          for _, list in ipairs { all, bit.band(down, bit.lshift(1, i --[[@as integer]] - 1)) == 0 and out or nil } do
            list.n = list.n + 1
            list[list.n] = addresses[i]
          end
        end
      end
    end
    -- None is left: more likely the check is wrong than all of them.
    if out.n == 0 and conf.all_down == "all" then return all end
    out.failed = out.n == 0 and all.n > 0
    return out
  end

  local made = { [A] = {}, [AAAA] = {} }
  local random = math.random
  ---@param q DnsQuery
  return function(q)
    if not q:is(zone) then return next(q) end
    local own = made[q.qtype]
    if not own then return q:nodata(soa) end
    local down = state:get(key) or 0
    local list = own[down]
    if not list then
      list = choices(down, q.qtype == A and 4 or 6)
      own[down] = list
    end
    if list.n == 0 then
      if list.failed and conf.all_down == "servfail" then return dns.SERVFAIL, "no endpoint passes its check" end
      return q:nodata(soa)
    end
    local chosen = list[random(list.n)]
    chosen.answers:inc()
    return q:answer_address(chosen.addr, ttl)
  end
end

return dns.plugin {
  name = "service",
  doc = "Answers a name with one of several addresses, by weight, leaving out those that fail an HTTP check.",
  many = "chain",
  options = {
    { "name", type = "name", required = true, doc = "The name that is answered." },
    endpoint = { args = { { "address", type = "ip" }, { "weight", type = "int", default = 1, min = 0, max = 100 } },
      repeatable = true, required = true, check = check_endpoint,
      doc = "An address, and how often it is answered beside the others; 0: never." },
    check = { type = "string", arg = "URL", check = check_url,
      doc = "A GET of it must give a status from 200 to 399; * stands for the address: http://*:8080/health." },
    host = { type = "string", doc = "Host header of the check." },
    insecure = { type = "flag", doc = "Takes any certificate in a check by https." },
    interval = { type = "duration", default = "5s", min = "100ms", max = "1h", doc = "How often is checked." },
    timeout = { type = "duration", default = "2s", min = "10ms", max = "20s", doc = "A check that takes longer has failed." },
    failures = { type = "int", default = 2, min = 1, max = 100,
      doc = "So many in a row leave an address out; one success is enough." },
    all_down = { type = "enum", values = { "all", "nodata", "servfail" }, default = "all",
      doc = "What is answered when no address passes its check; `all`: as if all did." },
    ttl = { type = "duration", default = "5s", max = "1h", doc = "TTL of the answers." },
  },
  setup = setup,
}
