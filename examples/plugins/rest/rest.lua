--- Answers the names of a zone with what a REST endpoint says of them, from memory where it can.
local dns = require "dns"

-- What is remembered of a name: records as text behind "+", "-" for a name that does not exist, "!" and why it is not known.
local NONE, FAILED = ("-"):byte(), ("!"):byte()
local REMEMBERED = 10000 -- names whose records a worker keeps made
local NONE_TEXT = "-"

local function check_url(url)
  if url:find "^https?://[^/].*%*" then return true end
  return nil, ("'%s': expected a URL with * in the place of the name, such as https://api.example.org/names/*"):format(url)
end

local function word(value)
  local kind = type(value)
  return kind == "string" and value ~= "" and not value:find "[%c]" and value or nil
end

--- Text of the records in a response: { "records": [ { "type": "A", "data": "192.0.2.1", "ttl": 60 } ] }
---@return string|nil text records, nil when it is not what is expected
---@return any ttl the least, or why
local function records_of(body, default_ttl)
  local found, err = dns.json.decode(body)
  if type(found) ~= "table" or type(found.records) ~= "table" then
    return nil, err or "expected { \"records\": [ ... ] }"
  end
  local lines, ttl = {}, default_ttl
  for i, record in ipairs(found.records) do
    local rrtype, data = type(record) == "table" and word(record.type), type(record) == "table" and word(record.data)
    local own = type(record) == "table" and record.ttl or default_ttl
    if not rrtype or not data or type(own) ~= "number" or own < 0 then
      return nil, ("record %d: expected { \"type\": \"A\", \"data\": \"192.0.2.1\", \"ttl\": 60 }"):format(i)
    end
    lines[i] = ("@ 0 IN %s %s"):format(rrtype, data)
    ttl = math.min(ttl, math.floor(own))
    local ok, why = pcall(dns.records, lines[i])
    if not ok then return nil, ("record %d: %s"):format(i, (why:gsub("^.-dns%.records: ", ""))) end
  end
  return table.concat(lines, "\n"), ttl
end

---@param server LunaServer
local function setup(conf, next, server)
  local zone, soa = dns.name(conf.zone), dns.soa(conf.zone, { minimum = conf.negative })
  local key = conf.zone .. " " .. conf.url:gsub("^(%w+://)[^/@]*@", "%1")
  local known = dns.shared("rest " .. key, { bytes = conf.memory })
  local asked = dns.shared("rest asked " .. key, { bytes = "1MB" }) -- names that are asked for, or failed lately
  local stale, retry, timeout = conf.stale, conf.retry, conf.timeout
  local results = server:counter("requests_total", "Requests to the endpoint, by what came of them.",
    { { "zone", conf.zone }, "result" })
  local hits = server:counter("hits_total", "Answers from memory.", { { "zone", conf.zone } })
  local stales = server:counter("stale_total", "Answers older than their TTL.", { { "zone", conf.zone } })
  local headers = { Accept = "application/json" }
  for _, each in ipairs(conf.header) do headers[each.name] = each.value end

  --- Asks the endpoint.
  ---@return string|nil value what is to be remembered
  ---@return number|string|nil ttl for how long; or why there is no value
  local function fetch(name)
    local plain = name:gsub("%.$", "")
    local escaped = plain:gsub("[^%w%.%-_]", function(c) return ("%%%02X"):format(c:byte()) end)
    local response, why = dns.http.get((conf.url:gsub("%*", (escaped:gsub("%%", "%%%%")))),
      { timeout = timeout, headers = headers, ca = conf.ca, max_size = 65536 })
    if not response then return nil, why end
    if response.status == 404 then return NONE_TEXT, conf.negative end
    if response.status ~= 200 then return nil, ("GET %s: status %d"):format(key, response.status) end
    local text, ttl = records_of(response.body, conf.ttl)
    if not text then return nil, ("%s: %s"):format(name, ttl) end
    return "+" .. text, text == "" and conf.negative or math.max(ttl, 1)
  end

  --- Asks, and remembers what is said or that it failed.
  ---@param q DnsQuery
  local function renew(q)
    local ok, value, ttl = pcall(fetch, q:name_text())
    if not ok then value, ttl = nil, value end
    if value then ---@cast ttl number
      results:inc(value == NONE_TEXT and "nxdomain" or "found")
      known:set(q, value, ttl + stale)
      asked:delete(q)
      return
    end
    results:inc "failed" ---@cast ttl string
    server:log("error", "%s", ttl)
    local old = known:get(q)
    if not old or old:byte() == FAILED then known:set(q, "!" .. ttl:sub(1, 200), retry + stale) end
    asked:expire(q, retry)
  end

  local made, remembered = {}, 0 ---@type table<string, DnsRecords>, integer
  local function records(text)
    local own = made[text]
    if own then return own end
    if remembered == REMEMBERED then made, remembered = {}, 0 end
    own = dns.records(text:sub(2))
    made[text], remembered = own, remembered + 1
    return own
  end

  --- Answers with what is remembered.
  ---@param q DnsQuery
  local function answer(q, value, left)
    local kind = value:byte()
    if kind == FAILED then return dns.SERVFAIL, value:sub(2) end
    if kind == NONE then return q:nxdomain(soa) end
    local rcode = q:answer(records(value), soa)
    if q:count(dns.ANSWER) > 0 then q:set_ttl(left) end
    return rcode
  end

  ---@param q DnsQuery
  return function(q)
    if not q:under(zone) then return next(q) end
    local value = known:get(q)
    local left = value and (known:ttl(q) or 0) - stale or 0
    if value and left > 0 then
      hits:inc()
      return answer(q, value, math.ceil(left))
    end
    if value and value:byte() == FAILED then value = nil end
    if asked:add(q, true, timeout + 1) then
      renew(q)
    elseif not value then
      -- Another client asks for it already.
      repeat dns.sleep(0.02) until known:get(q) or not asked:get(q)
    end
    local new = known:get(q)
    left = new and (known:ttl(q) or 0) - stale or 0
    if not new then return dns.SERVFAIL, "no answer from the endpoint" end
    if left > 0 then return answer(q, new, math.ceil(left)) end
    stales:inc()
    q:ede "Stale Answer"
    return answer(q, new, conf.stale_ttl)
  end
end

return dns.plugin {
  name = "rest",
  doc = "Answers the names of a zone with records from a REST endpoint, which are kept for their TTL, and longer when it fails.",
  many = "chain",
  options = {
    { "zone", type = "zone", required = true, doc = "Names at or below it are asked for." },
    { "url", type = "string", required = true, check = check_url, doc = "What is fetched; * stands for the name." },
    header = { args = { { "name", type = "string" }, { "value", type = "string" } }, repeatable = true, default = {},
      doc = "HTTP header to send." },
    ttl = { type = "duration", default = "60s", min = "1s", max = "24h", doc = "The longest that an answer is kept." },
    negative = { type = "duration", default = "30s", min = "1s", max = "1h", doc = "How long it is kept that nothing is there." },
    stale = { type = "duration", default = "1h", max = "168h",
      doc = "How long beyond its TTL an answer serves while the endpoint fails." },
    stale_ttl = { type = "duration", default = "30s", min = "1s", max = "1h", doc = "TTL of such answers." },
    retry = { type = "duration", default = "5s", min = "100ms", max = "5m",
      doc = "After a failure the endpoint is left alone so long, for each name." },
    timeout = { type = "duration", default = "2s", min = "10ms", max = "30s", doc = "How long a request may take." },
    memory = { type = "size", default = "16MB", min = "64KB", doc = "Bound of what is kept." },
    ca = { type = "file", doc = "PEM file of CAs to trust in place of the system's." },
  },
  setup = setup,
}
