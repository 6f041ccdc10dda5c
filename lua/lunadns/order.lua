--- The order in which plugins run, whatever their order in the Corefile: CoreDNS's of 1.14.7 and later.
local order = {}

--- Every directive CoreDNS knows; those without a file here are refused with a text of their own.
order.names = {
  "root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts", "multisocket",
  "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed", "prometheus", "errors",
  "log", "dnstap", "local", "dns64", "any", "chaos", "loadbalance", "tsig", "rewrite", "autopath", "acl", "cache",
  "header", "dnssec", "tls", "minimal", "template", "transfer", "hosts", "route53", "azure", "clouddns", "k8s_external",
  "kubernetes", "file", "auto", "secondary", "etcd", "loop", "forward", "grpc", "erratic", "whoami", "on", "sign", "view",
  "nomad",
}

local rank = {}
for i, name in ipairs(order.names) do rank[name] = i end
-- Ours.
rank.order = 0

---@param name string
---@return boolean
function order.builtin(name) return rank[name] ~= nil end

--- Every directive that exists without a file of the user's.
---@return string[] names a new table
function order.directives()
  local names = {}
  for name in pairs(rank) do names[#names + 1] = name end
  return names
end

-- One of a user's runs just before `cache`: it sees every query, and what it answers is not cached.
local USERS = rank.cache - 0.5

local function fail(found, text)
  local at = found.directive
  return nil, ("%s:%d: plugin/%s: %s"):format(at.file, at.line, found.plugin.name, text)
end

-- What `order` lines of the block say: by plugin, { place, other, file, line }.
local function overrules(list)
  local rules = {}
  for _, found in ipairs(list) do
    if found.plugin.name == "order" then
      for _, run in ipairs(found.directive.runs) do
        local conf, err = found.plugin.schema:parse(run, {})
        if not conf then return nil, err end
        rules[conf.plugin] = { place = conf.place, other = conf.other, found = { plugin = found.plugin, directive = run } }
      end
    end
  end
  return rules
end

local function contains(list, name)
  for _, found in ipairs(list) do
    if found.plugin.name == name then return true end
  end
  return false
end

--- Sorts the plugins of a block: CoreDNS's order for those that it has; a user's just before `cache`, or where its `before`
--- or `after` says; `order` lines of the Corefile overrule both. Sets rank.
---@param list { plugin: LunaPlugin, directive: table, rank: number? }[] as the Corefile has them
---@return table[]|nil sorted
---@return string|nil err
function order.sort(list)
  local rules, err = overrules(list)
  if not rules then return nil, err end
  for name, rule in pairs(rules) do
    if not contains(list, name) then
      return fail(rule.found, ("'%s' is not in this server block: nothing to put %s '%s'"):format(name, rule.place, rule.other))
    end
  end
  local wanted, seen = {}, {}
  for i, found in ipairs(list) do
    local plugin = found.plugin
    local rule = rules[plugin.name]
    if not rule and not rank[plugin.name] then
      local other = plugin.before or plugin.after
      rule = other and { place = plugin.before and "before" or "after", other = other, found = found }
    end
    if rule and not rank[rule.other] and not contains(list, rule.other) then
      return fail(rule.found, ("%s '%s': there is no plugin of that name; expected one of this server block, or one of CoreDNS's")
        :format(rule.place, rule.other))
    end
    wanted[plugin.name] = { found = found, rule = rule, index = i }
  end
  -- Half the distance to the neighbour each time, so that chains of before and after never pass it.
  local function place(name, step)
    local own = wanted[name]
    if not own or not own.rule then return rank[name] or USERS, 0.25 end
    if seen[name] then return nil end
    seen[name] = true
    local other, distance = place(own.rule.other, step)
    seen[name] = nil
    if not other then return nil end
    return other + (own.rule.place == "before" and -distance or distance), distance / 2
  end
  for _, found in ipairs(list) do
    found.rank = place(found.plugin.name)
    if not found.rank then
      return fail(found, "its place in the chain cannot be found: `before` and `after` lead in a circle")
    end
  end
  local sorted = {}
  for i, found in ipairs(list) do sorted[i] = found end
  table.sort(sorted, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    return wanted[a.plugin.name].index < wanted[b.plugin.name].index
  end)
  return sorted
end

return order
