--- Answers names differently for clients of different networks: split horizon.
local dns = require "dns"

local ELSE = "else" -- the view of those who are in no other

--- The views by number, their networks, and the records of each.
local function read(conf)
  local numbers, networks = {}, {}
  for _, view in ipairs(conf.view) do
    if not numbers[view.name] then
      table.insert(numbers, view.name)
      numbers[view.name] = #numbers
    end
    for _, network in ipairs(view.networks) do networks[network] = numbers[view.name] end
  end
  table.insert(numbers, ELSE)
  numbers[ELSE] = #numbers
  local lines = {}
  for _, answer in ipairs(conf.answer) do
    local number = numbers[answer.view]
    lines[number] = lines[number] or {}
    for _, text in ipairs(answer.records) do
      table.insert(lines[number], ("@ %d IN %s"):format(conf.ttl, text))
    end
  end
  local answers = {}
  for number, list in pairs(lines) do answers[number] = dns.records(table.concat(list, "\n")) end
  return numbers, networks, answers
end

--- Looks at one line, when all are read.
local function check_answer(answer, conf)
  local known, names = { [ELSE] = true }, {}
  for _, view in ipairs(conf.view) do
    if not known[view.name] then table.insert(names, view.name) end
    known[view.name] = true
  end
  table.insert(names, ELSE)
  if not known[answer.view] then
    return nil, ("there is no view '%s': expected one of %s"):format(answer.view, table.concat(names, ", "))
  end
  for _, text in ipairs(answer.records) do
    local ok, why = pcall(dns.records, "@ 0 IN " .. text)
    if not ok then return nil, ("'%s': %s"):format(text, (why:gsub("^.-dns%.records: ", ""))) end
  end
  return true
end

local function check_view(view, conf)
  if view.name == ELSE then return nil, "'else' is the view of all other clients and has no networks" end
  for _, other in ipairs(conf.view) do
    for _, network in ipairs(other.name ~= view.name and other.networks or {}) do
      for _, own in ipairs(view.networks) do
        if own == network then return nil, ("%s is in the views '%s' and '%s'"):format(own, view.name, other.name) end
      end
    end
  end
  return true
end

---@param server LunaServer
local function setup(conf, next, server)
  local texts, networks, answers = read(conf)
  local views, trusted, names = dns.networks(networks), dns.networks(conf.trust), dns.names(conf.names)
  local others = #texts
  local soa = dns.soa(conf.names[1], { minimum = conf.ttl })
  local answered = {}
  for i, text in ipairs(texts) do
    answered[i] = server:counter("answered_total", "Queries answered, by view.", { { "view", text } })
  end

  ---@param q DnsQuery
  return function(q)
    if not names:get(q) then return next(q) end
    local view
    local subnet = trusted:match(q.client) and q:client_subnet()
    if subnet then
      -- For as many bits as were told. None: the client wants an answer that is everyone's.
      local source = subnet.source
      view = source > 0 and views:match(subnet.addr) or others
      q:set_subnet_scope(source)
    else
      view = views:match(q.client) or others
    end
    local records = answers[view]
    if not records then return next(q) end
    answered[view]:inc()
    return q:answer(records, soa)
  end
end

return dns.plugin {
  name = "horizon",
  doc = "Answers names by the network that the client is in, or the network that a trusted resolver asks for.",
  many = "chain",
  options = {
    { "names", type = "name", rest = true, required = true, doc = "Names that are answered, without those below them." },
    view = { args = { { "name", type = "string" }, { "networks", type = "cidr", bare = true, rest = true, min_args = 1 } },
      repeatable = true, default = {}, check = check_view, doc = "Networks; the longest prefix that holds a client counts." },
    answer = { args = { { "view", type = "string" }, { "records", type = "string", rest = true, min_args = 1 } },
      repeatable = true, required = true, check = check_answer,
      doc = "What a view gets, each as type and data in quotes: \"A 192.0.2.1\". `else`: who is in no view." },
    trust = { type = "cidr", bare = true, rest = true, repeatable = "append", default = {},
      doc = "Resolvers whose EDNS client subnet stands for the client." },
    ttl = { type = "duration", default = "60s", max = "24h", doc = "TTL of the answers." },
  },
  setup = setup,
}
