--- Blocks the names of a list that is fetched from a URL again and again.
local dns = require "dns"

local ACTIONS = { nxdomain = true, nodata = true, drop = true, refuse = true, address = true }
-- What a response policy zone says, and what is not in it.
local RPZ = {
  [dns.RPZ_NXDOMAIN] = "nxdomain", [dns.RPZ_NODATA] = "nodata", [dns.RPZ_PASSTHRU] = "pass", [dns.RPZ_DROP] = "drop",
  [dns.RPZ_TCP_ONLY] = "truncate",
}
local REMEMBERED = 1000 -- local data of so many names, per worker

--- A URL as logs and metrics may show it: without user, password and query.
local function shown(url) return (url:gsub("^%a+://", ""):gsub("^[^/@]*@", ""):gsub("[?#].*$", "")) end

local function check_url(url)
  if url:find "^https?://[^/]" then return true end
  return nil, ("'%s' is no URL: expected http://... or https://..."):format(url)
end

local function check_action(action, conf)
  if action ~= "address" or #conf.address > 0 then return true end
  return nil, "needs the option 'address' with what to answer"
end

--- Fetches the list. Whatever goes wrong, the list that is there stays.
local function refresh(conf, list, seen)
  local headers = {}
  for _, each in ipairs(conf.header) do headers[each.name] = each.value end
  headers["If-None-Match"] = seen:get "etag"
  local response, why = dns.http.get(conf.url,
    { timeout = conf.timeout, max_size = conf.max_size, ca = conf.ca, headers = headers })
  if not response then return nil, why end
  if response.status == 304 then return false end
  if response.status ~= 200 then return nil, ("GET %s: status %d"):format(shown(conf.url), response.status) end
  local changed, note = list:load_text(response.body, conf.format)
  if changed == nil then return nil, ("GET %s: %s"):format(shown(conf.url), note) end
  seen:set("etag", response.headers.etag)
  return changed, note
end

---@param server LunaServer
local function setup(conf, next, server)
  local name = conf.name or shown(conf.url)
  local list = dns.names(("blocklist %s %s"):format(conf.format, name))
  -- The tag of what is in the list: it comes and goes with it.
  local seen = dns.shared(("blocklist %s %s"):format(conf.format, name), { bytes = "64KB" })
  local allowed, ttl, default = dns.names(conf.allow), conf.ttl, conf.action
  local soa = dns.soa(".", { minimum = ttl })
  local lines = {}
  for i, address in ipairs(conf.address) do
    lines[i] = ("@ %d IN %s %s"):format(ttl, address:find(":", 1, true) and "AAAA" or "A", address)
  end
  local addresses = dns.records(table.concat(lines, "\n"))
  local blocked = server:counter("blocked_total", "Queries that were not let through.", { { "list", name }, "action" })
  local failures = server:counter("fetch_failures_total", "Fetches that failed.", { { "list", name } })
  local names = server:gauge("names", "Names in the list.", { { "list", name } })

  local wait = 0 ---@type number s until the next attempt
  server:every(math.min(conf.retry, conf.refresh), function()
    wait = wait - math.min(conf.retry, conf.refresh)
    if wait > 1e-3 then return end
    local changed, why = refresh(conf, list, seen)
    local count = list:count()
    names:set(count)
    if changed == nil then
      failures:inc()
      server:log("error", "%s; the list of before stays, %d names", why, count)
      return
    end
    wait = conf.refresh
    if changed then server:log("info", "%s: %d names%s", name, count, why and "; " .. why or "") end
  end, { once = true, now = true })

  local made, remembered = {}, 0 ---@type table<string, DnsRecords>, integer
  --- Records of a response policy zone's local data.
  local function local_data(text)
    local records = made[text]
    if records then return records end
    if remembered == REMEMBERED then made, remembered = {}, 0 end
    records = dns.records((text:gsub("[^\n]+", "@ %0")))
    made[text], remembered = records, remembered + 1
    return records
  end

  local rpz = conf.format == "rpz"
  ---@param q DnsQuery
  return function(q)
    local found = list:match(q)
    if not found or allowed:match(q) then return next(q) end
    local action = default
    if rpz then
      action = RPZ[found] or "local"
    elseif ACTIONS[found] or found == "pass" then
      action = found --[[@as string]]
    end
    if action == "pass" or (action == "truncate" and q.transport ~= dns.UDP) then return next(q) end
    blocked:inc(action)
    if action == "drop" then return q:drop() end
    if action == "truncate" then return q:truncate() end
    if action == "local" then return q:answer(local_data(found), soa) end
    q:ede("Blocked", name)
    if action == "address" then return q:answer(addresses, soa) end
    if action == "nodata" then return q:nodata(soa) end
    if action == "refuse" then return q:refuse() end
    return q:nxdomain(soa)
  end
end

return dns.plugin {
  name = "blocklist",
  doc = "Blocks the names of a list from a URL, which is fetched again and again; a fetch that fails leaves the list as it is.",
  many = "chain",
  options = {
    { "url", type = "string", required = true, check = check_url,
      doc = "Where the list is: domains, a hosts file, ||ad^ rules or an RPZ." },
    name = { type = "string",
      doc = "Name in logs and metrics; lists of one name are one list. The URL without query unless given." },
    format = { type = "enum", values = { "list", "rpz" }, default = "list",
      doc = "`rpz`: a response policy zone, which names actions itself." },
    action = { type = "enum", values = { "nxdomain", "nodata", "drop", "refuse", "address" }, default = "nxdomain",
      check = check_action,
      doc = "What a query for a listed name gets, where the list does not say so behind the name." },
    address = { type = "ip", rest = true, repeatable = "append", default = {}, doc = "What the action `address` answers." },
    allow = { type = "name", rest = true, repeatable = "append", default = {}, doc = "Names that pass, with all below them." },
    ttl = { type = "duration", default = "60s", max = "24h", doc = "TTL of what is answered." },
    refresh = { type = "duration", default = "1h", min = "1s", doc = "How often the list is fetched." },
    retry = { type = "duration", default = "1m", min = "1s", doc = "When to try again after a failure." },
    timeout = { type = "duration", default = "30s", min = "1s", max = "10m", doc = "How long a fetch may take." },
    max_size = { type = "size", default = "32MB", min = 1, max = "64MB", doc = "A larger list is refused." },
    header = { args = { { "name", type = "string" }, { "value", type = "string" } }, repeatable = true, default = {},
      doc = "HTTP header to send." },
    ca = { type = "file", doc = "PEM file of CAs to trust in place of the system's." },
  },
  setup = setup,
}
