--- The options of plugin forward.
local registry = require "lunadns.options.registry"

local LARGEST = 2 ^ 32 - 1

--- health_check DURATION [no_rec] [domain FQDN]
local function health_check(entry, fail, value)
  local check = { interval = value("duration", entry.args[1]), domain = "." }
  local i = 2
  while entry.args[i] do
    local word = entry.args[i].text
    if word == "no_rec" then
      check.no_rec = true
    elseif word == "domain" then
      i = i + 1
      check.domain = value("name", entry.args[i])
    else
      fail("health_check: unknown option " .. word, entry.args[i])
    end
    i = i + 1
  end
  return check
end

local function no_success(list)
  for _, rcode in ipairs(list) do
    if rcode == registry.rcodes.NOERROR then return false, "NoError cannot be used in failover" end
  end
  return true
end

local options = {
  { "from", type = "zone", required = true, doc = "The zone whose names are asked for." },
  { "to", rest = true, required = true,
    doc = "Upstreams: IP, IP:port, tls://IP[%name][:port], a resolv.conf, a host name." },
  except = { type = "zone", rest = true, min_args = 1, repeatable = "append",
    doc = "Names below go to the next plugin." },
  max_fails = { type = "int", default = 2, min = 0, max = LARGEST,
    doc = "An upstream is down after more failed health checks; 0 = never, and never checked." },
  max_connect_attempts = { type = "int", min = 0, max = LARGEST,
    doc = "Failed exchanges for one query; 0 = no bound; default: twice the upstreams." },
  health_check = { arg = "DURATION [no_rec] [domain FQDN]", parse = health_check,
    doc = "How often an upstream is checked after a failure until it answers." },
  force_tcp = { type = "flag", doc = "Always TCP." },
  prefer_udp = { type = "flag", doc = "UDP first, whatever the client uses; TCP when the reply is cut." },
  expire = { type = "duration", default = "10s", doc = "How long an idle connection is kept." },
  max_age = { type = "duration", default = 0, doc = "How long any connection is used; 0 = no bound.",
    check = function(age, conf)
      return age == 0 or age >= conf.expire,
        ("max_age (%gs) must not be less than expire (%gs)"):format(age, conf.expire)
    end },
  max_idle_conns = { type = "int", default = 0, min = 0, doc = "Idle connections kept per upstream; 0 = no bound." },
  read_timeout = { type = "duration", default = "2s", doc = "How long one exchange may take.",
    check = function(timeout) return timeout > 0, "must be positive" end },
  policy = { type = "enum", values = { "random", "round_robin", "sequential" }, default = "random",
    doc = "In which order upstreams are tried." },
  max_concurrent = { type = "int", default = 0, min = 0, max = LARGEST,
    doc = "Queries under way; more get REFUSED; 0 = no bound." },
  next = { type = "rcode", rest = true, min_args = 1, repeatable = "append",
    doc = "A reply with such an rcode is dropped and the next `forward` of the block asked." },
  next_on_nodata = { type = "flag", doc = "The same for a NOERROR reply without an answer." },
  failover = { type = "rcode", rest = true, min_args = 1, repeatable = "append", check = no_success,
    doc = "A reply with such an rcode is dropped and the next upstream asked." },
  failfast_all_unhealthy_upstreams = { type = "flag", doc = "SERVFAIL when all are down, instead of trying one." },
  tls = { type = "file", rest = true, max_args = 3, doc = "For tls://: [CERT KEY [CA]] or [CA]." },
  tls_servername = { type = "string", arg = "NAME", doc = "For tls://: the name in the upstreams' certificates." },
  doh_method = { type = "enum", values = { "POST", "GET" }, doc = "For https://." },
  source_address = { type = "ip", doc = "The address to ask from." },
  resolver = { type = "addr", port = 53, rest = true, min_args = 1,
    doc = "Whom to ask for the addresses of upstreams given by name; default: the system's resolver." },
}

return options
