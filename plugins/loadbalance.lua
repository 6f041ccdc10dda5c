--- Changes the order of addresses in replies. As CoreDNS's plugin loadbalance.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local dns = require "dns"
local weights = require "lunadns.loadbalance.weights"

local C = boundary.C

--- [round_robin | weighted FILE]
local function policy(run, fail, value)
  local name, file = run.args[1], run.args[2]
  if not name then return { name = "round_robin" } end
  if name.text == "round_robin" then
    if file then fail("unknown property for round_robin", file) end
  elseif name.text == "weighted" then
    if not file then fail("missing weight file argument", name) end
    if run.args[3] then fail("unexpected argument(s)", run.args[3]) end
    return { name = "weighted", file = value("file", file) }
  else
    fail(("unknown policy: %s; expected round_robin or weighted"):format(name.text), name)
  end
  return { name = "round_robin" }
end

local function only_with(name)
  return function(_, conf) return conf.policy.name == name, ("goes with policy %s only"):format(name) end
end

--- What several lines come to: the last policy counts, networks add up; weighted has none.
local function combine(confs)
  local name, file, reload, networks = "round_robin", nil, nil, {}
  for _, conf in ipairs(confs) do
    name, file, reload = conf.policy.name, conf.policy.file, conf.reload or 30
    if name == "weighted" then networks = {} end
    for _, network in ipairs(conf.prefer or {}) do networks[#networks + 1] = network end
  end
  return name, file, reload, networks
end

local function nets_of(networks)
  local nets = ffi.new("luna_net[?]", #networks)
  for i, text in ipairs(networks) do
    local ip, bits = text:match "^(.*)/(%d+)$"
    local addr = assert(boundary.addr(ip))
    ffi.copy(nets[i - 1].ip, addr.ip, 16)
    nets[i - 1].family, nets[i - 1].bits = addr.family, tonumber(bits)
  end
  return nets
end

---@param server LunaServer
local function setup(confs, next, server)
  local name, file, reload, networks = combine(confs)
  if name == "weighted" then
    local table = weights.open(file --[[@as string]], reload --[[@as number]], server)
    ---@param q DnsQuery
    return function(q)
      local rcode, err = next(q)
      C.luna_reply_weighted(q, table)
      return rcode, err
    end
  end
  if #networks == 0 then
    ---@param q DnsQuery
    return function(q)
      local rcode, err = next(q)
      q:shuffle()
      return rcode, err
    end
  end
  local nets, n = nets_of(networks), #networks
  ---@param q DnsQuery
  return function(q)
    local rcode, err = next(q)
    q:shuffle()
    C.luna_reply_prefer(q, nets, n)
    return rcode, err
  end
end

return dns.plugin {
  name = "loadbalance",
  doc = "Changes the order of A, AAAA and MX records in replies.",
  many = "merge",
  writes = false,
  options = {
    {
      "policy", rest = true, parse = policy,
      doc = "round_robin (default): random order; weighted FILE: the first address is drawn by weights from a file.",
    },
    reload = {
      type = "duration", check = only_with "weighted",
      doc = "How often to look whether the weight file changed; default 30s; 0 = never.",
    },
    prefer = {
      type = "cidr", rest = true, repeatable = "append", check = only_with "round_robin",
      doc = "Addresses in these networks come first, those of an earlier one before those of a later one.",
    },
  },
  setup = setup,
}
