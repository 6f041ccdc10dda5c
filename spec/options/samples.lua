--- Schemas in the shapes the built-in plugins have.

local options = require "lunadns.options"

local samples = {}

samples.cache = options.compile("cache", {
  { "ttl", type = "int", min = 1, skip = true },
  { "zones", type = "zone", rest = true },
  success = {
    args = {
      { "capacity", type = "int" }, { "ttl", type = "int", optional = true, min = 1 },
      { "minttl", type = "int", optional = true },
    },
  },
  prefetch = {
    args = {
      { "amount", type = "int", min = 0 }, { "duration", type = "duration", default = "1m" },
      { "percentage", type = "percent", default = 10, min = 10, max = 90 },
    },
  },
  servfail = { type = "duration", default = "5s", max = "5m" },
  keepttl = { type = "flag" },
  disable = {
    args = { { "kind", type = "enum", values = { "success", "denial" } }, { "zones", type = "zone", rest = true } },
  },
  serve_stale = { args = { { "upto", type = "duration", default = "1h" } } },
  serve_stale_policy = {
    type = "enum", values = { "prefer_positive" }, once = true,
    check = function(_, conf) return conf.serve_stale ~= nil, "requires serve_stale" end,
  },
})

samples.forward = options.compile("forward", {
  { "from", type = "zone", required = true },
  { "to", type = "string", rest = true, required = true, max_args = 3 },
  except = { type = "zone", rest = true, min_args = 1, repeatable = "append" },
  expire = { type = "duration", default = "10s" },
  health_check = {
    arg = "DURATION [no_rec] [domain FQDN]",
    parse = function(entry, fail, value)
      local out = { interval = value("duration", entry.args[1]), recursion = true, domain = "." }
      local i = 2
      while entry.args[i] do
        local word = entry.args[i].text
        if word == "no_rec" then
          out.recursion = false
        elseif word == "domain" then
          i = i + 1
          out.domain = value("name", entry.args[i])
        else
          fail(("health_check: unknown option %s"):format(word), entry.args[i])
        end
        i = i + 1
      end
      return out
    end,
  },
  max_fails = { type = "int", min = 0, default = 2 },
  next = { type = "rcode", rest = true },
})

samples.hosts = options.compile("hosts", {
  { "file", type = "file", default = "/etc/hosts" },
  { "zones", type = "zone", rest = true },
  fallthrough = { type = "zone", rest = true, empty = { "." } },
  ttl = { type = "int", default = 3600, min = 1, max = 65535 },
  no_reverse = { type = "flag" },
}, function(entry, conf, fail, value)
  if conf.fallthrough then return false end
  if not entry.args[1] then fail("a host line needs a name") end
  conf.inline = conf.inline or {}
  table.insert(conf.inline, value("ip", entry.name) .. "=" .. entry.args[1].text)
end)

return samples
