--- The options of plugin kubernetes, with CoreDNS's words for what is wrong.
local selector = require "lunadns.kubernetes.selector"

local function texts(entry)
  local out = {}
  for i, token in ipairs(entry.args) do out[i] = token.text end
  return out
end

---@return any never: fail raises
local function wrong_count(entry, fail)
  local last = entry.args[#entry.args] or entry.name
  fail(("Wrong argument count or unexpected line ending after '%s'"):format(last.text), last)
end

--- So many arguments at least, and at most.
---@return string[]
local function counted(entry, fail, least, most)
  if #entry.args < least or #entry.args > most then wrong_count(entry, fail) end
  return texts(entry)
end

local PODS = { disabled = 0, insecure = 1, verified = 2 }

local function pods(entry, fail)
  local word = counted(entry, fail, 1, 1)[1]
  if not PODS[word] then
    fail(("wrong value for pods: %s,  must be one of: disabled, verified, insecure"):format(word), entry.args[1])
  end
  return word
end

local function ttl(entry, fail, value)
  local token = entry.args[1] or wrong_count(entry, fail)
  local seconds = value("int", token)
  if seconds < 0 or seconds > 3600 then fail(("ttl must be in range [0, 3600]: %d"):format(seconds), token) end
  return seconds
end

--- A label selector, which may be several words.
local function labels(what)
  return function(entry, fail)
    local text = table.concat(counted(entry, fail, 1, math.huge), " ")
    local problem = selector.problem(text)
    if problem then fail(("unable to parse %s selector value: '%s': %s"):format(what, text, problem), entry.args[1]) end
    return text
  end
end

local function ignore(entry, fail)
  local word = entry.args[1]
  if not word then return false end
  if word.text ~= "empty_service" then fail(("unable to parse ignore value: '%s'"):format(word.text), word) end
  return true
end

local function startup_timeout(entry, fail, value)
  local token = entry.args[1] or wrong_count(entry, fail)
  local ok, seconds = pcall(value, "duration", token)
  if not ok then fail(("failed to parse startup_timeout: %s, expected a duration such as 5s"):format(token.text), token) end
  return seconds
end

--- A number that is not negative.
local function at_least_zero(kind)
  return function(entry, fail)
    local name = entry.name.text
    local text = counted(entry, fail, 1, 1)[1]
    local number = text:find "^[+-]?[%d.]+$" and tonumber(text)
    if not number or kind == "int" and number % 1 ~= 0 then
      fail(('invalid %s "%s": expected a %s'):format(name, text, kind == "int" and "whole number" or "number"), entry.args[1])
    end
    if number < 0 then fail(name .. " must be >= 0", entry.args[1]) end
    return number
  end
end

return {
  { "zones", type = "zone", rest = true, doc = "Zones to answer for; default: the server block's. The first that is not of \z
    addresses is where PTR records lead." },
  endpoint = {
    arg = "URL", parse = function(entry, fail) return counted(entry, fail, 1, math.huge) end,
    doc = "URL of the API server; default: that of the cluster this server runs in.",
  },
  tls = {
    args = { { "cert", type = "file" }, { "key", type = "file" }, { "ca", type = "file" } },
    doc = "Certificate, key and CA for `endpoint`.",
  },
  kubeconfig = {
    args = { { "file", type = "file" }, { "context", type = "string", optional = true } },
    doc = "Credentials from a kubeconfig file; default: its current context.",
  },
  namespaces = {
    type = "string", rest = true, min_args = 1, repeatable = "append", arg = "NAMESPACE...",
    doc = "Only these namespaces are shown.",
    check = function(_, conf) return not conf.namespace_labels, "namespaces and namespace_labels cannot both be set" end,
  },
  namespace_labels = {
    arg = "SELECTOR", parse = labels "namespace_label", doc = "Only namespaces with these labels are shown.",
    check = function(_, conf) return not conf.namespaces, "namespaces and namespace_labels cannot both be set" end,
  },
  labels = { arg = "SELECTOR", parse = labels "label", doc = "Only services, endpoint slices and pods with these labels." },
  pods = {
    arg = "disabled|insecure|verified", parse = pods,
    doc = "Names such as 10-1-2-3.NAMESPACE.pod: none (default), any address, or those of pods that are there.",
  },
  endpoint_pod_names = { type = "flag", doc = "Endpoints without a host name are named by their pod." },
  ttl = { arg = "SECONDS", parse = ttl, doc = "TTL of answers, 0 to 3600; default 5." },
  noendpoints = { type = "flag", doc = "Endpoints are not watched: no names of them, no headless services." },
  fallthrough = {
    type = "zone", rest = true, empty = { "." },
    doc = "Unknown names in these zones (default: all) go to the next plugin.",
  },
  ignore = { arg = "empty_service", parse = ignore, doc = "`empty_service`: no name for a service without ready endpoints." },
  multicluster = {
    type = "zone", rest = true, doc = "Those of the zones that are of a cluster set: names of ServiceImports.",
  },
  zonal = {
    type = "flag", doc = "TOPOLOGY-ZONE.pin._zone.SERVICE... and .prefer.: endpoints of headless services in one zone.",
    check = function(_, conf) return not conf.noendpoints, "zonal requires the endpoint cache; remove noendpoints" end,
  },
  startup_timeout = {
    arg = "DURATION", parse = startup_timeout,
    doc = "How long a start waits for the cluster's names before it serves without them; default 5s.",
  },
  apiserver_qps = { arg = "N", parse = at_least_zero "number", doc = "Requests a second to the API server at most; default 5." },
  apiserver_burst = { arg = "N", parse = at_least_zero "int", doc = "Requests above apiserver_qps at once; default 10." },
  apiserver_max_inflight = { arg = "N", parse = at_least_zero "int", doc = "Requests under way at once; default: no bound." },
  upstream = {
    type = "string", rest = true, deprecated = "the server resolves external names itself; remove the line",
  },
  resyncperiod = { type = "string", rest = true, deprecated = "the API server tells of every change; remove the line" },
}
