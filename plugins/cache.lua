--- Keeps replies and answers from them. As CoreDNS's plugin cache; one cache for all workers, and of those who
--- ask the
--- same at the same time one asks.
local bit = require "bit"
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local wait = require("lunadns.runner").wait

local C = boundary.C
local band = bit.band
local LARGEST = 2 ^ 32 - 1
local BYTES = 64 * 2 ^ 20

--- CAP [TTL] [MINTTL]
local BOUNDS = {
  { "cap", type = "int" },
  { "ttl", type = "int", min = 1, max = LARGEST, optional = true },
  { "min", type = "int", min = 0, max = LARGEST, optional = true },
}

local function whole_seconds(ttl, fail, token)
  if ttl % 1 ~= 0 then fail("serve_stale response TTL must be a whole number of seconds", token) end
  return ttl
end

--- [DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]
local function serve_stale(entry, fail, value)
  local args = entry.args
  local stale = { time = 3600, ttl = 0, recheck = 0, timeout = 0, verify = false }
  if args[1] then stale.time = value("duration", args[1]) end
  if args[2] then
    stale.verify = value({ values = { "immediate", "verify" }, nocase = true }, args[2]) == "verify"
  end
  local at = 3
  if stale.verify then
    if args[3] then stale.timeout = value("duration", args[3]) end
    at = 4
  end
  if args[at] then stale.ttl = whole_seconds(value({ type = "duration", max = LARGEST }, args[at]), fail, args[at]) end
  if args[at + 1] then stale.recheck = value({ type = "duration", max = "5m" }, args[at + 1]) end
  if args[at + 2] then
    fail(("serve_stale: too many arguments: '%s'"):format(args[at + 2].text), args[at + 2])
  end
  return stale
end

local function clamp(n) return math.max(0, math.min(n, LARGEST)) end

local function configure(conf)
  local config = ffi.new "luna_cache_config"
  local success, denial, stale, prefetch = conf.success or {}, conf.denial or {}, conf.serve_stale, conf.prefetch
  config.success_cap = clamp(success.cap or 10000)
  config.denial_cap = clamp(denial.cap or 10000)
  -- Who asks for more entries than usual means to have them: a usual one takes a quarter of this.
  config.bytes = math.max(BYTES, 1024 * (tonumber(config.success_cap) + tonumber(config.denial_cap)))
  config.success_ttl = success.ttl or conf.ttl or 3600
  config.success_min = success.min or 5
  config.denial_ttl = denial.ttl or conf.ttl or 1800
  config.denial_min = denial.min or 5
  config.servfail_ttl = conf.servfail
  if stale then
    config.stale = clamp(stale.time)
    config.stale_ttl = stale.ttl
    config.stale_verify = stale.verify and 1 or 0
    config.stale_timeout_ms = clamp(math.ceil(stale.timeout * 1000))
    config.stale_recheck_ms = math.ceil(stale.recheck * 1000)
    config.prefer_positive = conf.serve_stale_policy and 1 or 0
  end
  if prefetch then
    config.prefetch_amount = clamp(prefetch.amount)
    config.prefetch_gap_ms = clamp(math.ceil(prefetch.gap * 1000))
    config.prefetch_percent = prefetch.percent
  end
  config.keep_ttl = conf.keepttl and 1 or 0
  return config
end

--- The tokens of a directive, for comparing it with the one of another generation.
local function tokens(entry, out)
  for _, token in ipairs(entry.args or {}) do out[#out + 1] = token.text end
  for _, line in ipairs(entry.block or {}) do
    out[#out + 1] = "{" .. line.name.text
    tokens(line, out)
    out[#out + 1] = "}"
  end
end

--- What makes two caches the same one: who asks, and where answers come from. A reload that changes the cache's own
--- options, or what runs before it, keeps the entries; one that changes what answers behind it does not.
---@param server LunaServer
local function key_of(server)
  local out = {}
  for _, site in ipairs(server.sites) do out[#out + 1] = site.server .. "/" .. site.zone end
  for _, instance in ipairs(server.chain.instances) do
    if instance.rank > server.owner.instance.rank then
      out[#out + 1] = instance.plugin.name
      out[#out + 1] = server.loader.files[instance.owner.file]
      for _, run in ipairs(instance.runs) do tokens(run, out) end
    end
  end
  return table.concat(out, "\31")
end

--- The counters of one site: sites of a block differ in their server label.
---@param server LunaServer
local function counters(server, site, zones)
  local labels = { { "server", site.server }, { "zones", zones }, { "view", site.view or "" } }
  local function typed(kind)
    return { { "server", site.server }, { "type", kind }, { "zones", zones }, { "view", site.view or "" } }
  end
  local function count(name, help, own) return server:counter(name, help, own or labels) end
  local entries, evictions = "The number of elements in the cache.", "The count of cache evictions."
  local success = count("hits_total", "The count of cache hits.", typed "success")
  local denial = count("hits_total", "The count of cache hits.", typed "denial")
  return {
    requests = count("requests_total", "The count of cache requests."),
    success = success,
    denial = denial,
    -- By the flags of a hit that asks for nothing else: both kinds stay on one trace. 2 is LUNA_CACHE_DENIAL.
    plain = { [0] = success, false, denial, false, false, false, false },
    misses = count("misses_total",
      "The count of cache misses. Deprecated, derive misses from cache hits/requests counters."),
    prefetch = count("prefetch_total", "The number of times the cache has prefetched a cached item."),
    drops = count("drops_total", "The number responses that are not cached, because the reply is malformed."),
    stale = count("served_stale_total", "The number of requests served from stale cache entries."),
    success_evictions = count("evictions_total", evictions, typed "success"),
    denial_evictions = count("evictions_total", evictions, typed "denial"),
    success_entries = server:gauge("entries", entries, typed "success"),
    denial_entries = server:gauge("entries", entries, typed "denial"),
  }
end

--- Zones of plugins behind this one that answer from live data. What they pass on comes to the cache that stands behind
--- them: see `live` in lunadns/plugin.lua.
---@param server LunaServer
local function live_zones(server)
  local zones = {}
  for i = server.place + 1, #server.chain.instances do
    local instance = server.chain.instances[i]
    for _, zone in ipairs(instance.plugin.live and instance.plugin.live(instance.conf) or {}) do zones[#zones + 1] = zone end
  end
  return #zones > 0 and dns.zones(zones) or nil
end

---@param server LunaServer
local function setup(conf, next, server)
  local state = server.state
  local cache = C.luna_cache_open(key_of(server), configure(conf))
  if cache == nil then error("out of memory", 0) end
  server:on_close(function() C.luna_cache_close(cache) end)
  local zones, by_site, live = dns.zones(conf.zones), {}, live_zones(server)
  local label = table.concat(conf.zones, ",")
  for _, site in ipairs(server.sites) do by_site[site.number] = counters(server, site, label) end
  local except = {}
  for _, line in ipairs(conf.disable or {}) do
    except[line.kind] = dns.zones(#line.zones > 0 and line.zones or { "." })
  end
  local no_success, no_denial, some_disabled = except.success, except.denial, conf.disable ~= nil
  local hit = ffi.new "luna_cache_hit"
  local OK, WAIT, NONE = C.LUNA_OK, C.LUNA_WAIT, C.LUNA_NONE
  local STALE, CANCEL, FORMAT = C.LUNA_STALE, C.LUNA_E_CANCEL, C.LUNA_E_FORMAT
  local REFRESH, DENIAL, VERIFY = C.LUNA_CACHE_REFRESH, C.LUNA_CACHE_DENIAL, C.LUNA_CACHE_VERIFY
  local TCP, NOERROR, SERVFAIL = C.LUNA_TCP, dns.NOERROR, dns.SERVFAIL

  --- Which stores a question keeps out of: 1 success, 2 denial, 3 both.
  ---@param q DnsQuery
  local function disabled(q)
    if not some_disabled then return 0 end
    return (no_success and no_success:match(q) and 1 or 0) + (no_denial and no_denial:match(q) and 2 or 0)
  end

  local function store(q, m, disable)
    local code = C.luna_cache_store(cache, q, disable)
    if code == OK then
      m.success_entries:set(tonumber(C.luna_cache_entries(cache, 0)))
      m.denial_entries:set(tonumber(C.luna_cache_entries(cache, 1)))
      m.success_evictions:add(C.luna_cache_take_evictions(cache, 0))
      m.denial_evictions:add(C.luna_cache_take_evictions(cache, 1))
    elseif code == FORMAT then
      m.drops:inc()
    end
    return code
  end

  --- Asks again for an entry, beside the queries; q is a copy of the one that was answered.
  ---@param q DnsQuery
  local function background(q)
    local rcode = next(q)
    if q.reply_len > 0 and q:reply_flag "tc" and q.transport ~= TCP then
      q:clear()
      q.transport = TCP
      rcode = next(q)
    end
    if q.reply_len > 0 then
      store(q, by_site[q.block], disabled(q))
    else
      C.luna_cache_give_up(cache, q, rcode)
    end
  end

  ---@param q DnsQuery
  local function refresh(q, m, flags)
    local copy = C.luna_query_copy(state, q)
    if C.luna_cache_refresh(cache, q, copy) ~= OK then
      if copy ~= nil then C.luna_query_free(copy) end
      return
    end
    if band(flags, VERIFY) == 0 then m.prefetch:inc() end
    server:spawn(background, copy)
  end

  --- A miss: this query asks for all who wait.
  ---@param q DnsQuery
  local function ask(q, m)
    local rcode, err = next(q)
    local code
    if q.reply_len > 0 then
      code = store(q, m, disabled(q))
      q.author = -1 -- in CoreDNS's metrics the reply of a miss is the cache's too
    elseif rcode == SERVFAIL and err then
      -- An upstream that does not answer: kept like the SERVFAIL of one that does, or each retry waits for it again.
      C.luna_reply_start(q, SERVFAIL)
      code = store(q, m, disabled(q))
      if code ~= STALE then C.luna_reply_clear(q) end
    else
      code = C.luna_cache_give_up(cache, q, rcode)
    end
    if code ~= STALE then return rcode, err end
    m.stale:inc()
    return NOERROR
  end

  --- Everything but a plain hit or miss.
  ---@param q DnsQuery
  local function otherwise(q, m, code)
    local flags = hit.flags -- hit belongs to all queries: read before anyone waits
    if (code == NONE or code == WAIT) and band(flags, VERIFY) == 0 then
      m.misses:inc()
    else
      m[band(flags, DENIAL) ~= 0 and "denial" or "success"]:inc()
    end
    while true do
      if band(flags, REFRESH) ~= 0 then
        refresh(q, m, flags)
        if code ~= WAIT then break end
      elseif code == WAIT then
        wait(q)
      else
        break
      end
      code = C.luna_cache_lookup(cache, q, hit)
      flags = hit.flags
    end
    if code == STALE then m.stale:inc() end
    if code == OK or code == STALE then return NOERROR end
    if code == CANCEL then return hit.rcode end

    return ask(q, m)
  end

  ---@param q DnsQuery
  return function(q)
    -- A NOTIFY has the name and type of a query, and is none.
    if q.opcode ~= 0 or not zones:match(q) or live and live:match(q) then return next(q) end
    local m = by_site[q.block] ---@type table<string, any>
    m.requests:inc()
    -- What is never kept needs no lookup, and nobody waits for anyone.
    if some_disabled and disabled(q) == 3 then
      m.misses:inc()
      local rcode, err = next(q)
      if q.reply_len > 0 then
        store(q, m, 3)
        q.author = -1
      end
      return rcode, err
    end
    local code = C.luna_cache_lookup(cache, q, hit)
    -- The two usual ways have no loop, which the compiler would not follow into.
    if code == NONE and hit.flags == 0 then
      m.misses:inc()
      return ask(q, m)
    end
    if code == OK then
      local plain = m.plain[hit.flags]
      if plain then
        plain:inc()
        return NOERROR
      end
    end
    return otherwise(q, m, code)
  end
end

return dns.plugin {
  name = "cache",
  doc = "Keeps replies for as long as their TTL, at most 3600 s (1800 s for names and types that do not exist).",
  any_class = true,
  options = {
    { "ttl", type = "int", skip = true, min = 1, max = LARGEST, doc = "The longest TTL of both kinds." },
    { "zones", type = "zone", rest = true, doc = "Names to keep; default: the server block's." },
    success = { args = BOUNDS, doc = "Answers: entries kept, longest and shortest TTL; default 9984, 3600, 5." },
    denial = { args = BOUNDS, doc = "Names and types that do not exist, failures: the same; default 9984, 1800, 5." },
    prefetch = {
      args = {
        { "amount", type = "int", min = 0, max = LARGEST },
        { "gap", type = "duration", default = "1m" },
        { "percent", type = "percent", min = 10, max = 90, default = "10%" },
      },
      doc = "Asks again for an entry that was hit so often, without a longer gap, when so much of its TTL is left.",
    },
    serve_stale = {
      arg = "[DURATION] [immediate [TTL [RECHECK]]|verify [TIMEOUT [TTL [RECHECK]]]]", parse = serve_stale,
      doc = "Expired entries answer for so long (default 1h), while the source is asked or when it fails.",
    },
    serve_stale_policy = {
      type = "enum", values = { "prefer_positive" }, nocase = true, once = true,
      check = function(_, conf) return conf.serve_stale ~= nil, "serve_stale_policy requires serve_stale" end,
      doc = "An expired answer goes before a denial or a failure.",
    },
    servfail = { type = "duration", default = "5s", max = "5m", doc = "How long failures are kept; 0 = not at all." },
    disable = {
      args = { { "kind", values = { "success", "denial" } }, { "zones", type = "zone", rest = true } },
      repeatable = true, doc = "Keeps no entries of this kind for the zones; default: for all names.",
    },
    keepttl = { type = "flag", doc = "Hits show the full TTL instead of what is left of it." },
  },
  setup = setup,
}
