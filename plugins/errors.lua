--- Logs what went wrong with a query. As CoreDNS's plugin errors.
local consolidate = require "lunadns.errors.consolidate"
local dns = require "dns"

local LEVELS = { warning = true, error = true, info = true, debug = true }

--- consolidate DURATION REGEX [LEVEL] [show_first]
local function pattern(entry, fail, value)
  local args = entry.args
  if #args < 2 or #args > 4 then
    fail("Wrong argument count or unexpected line ending after 'consolidate'; " ..
      "expected: consolidate DURATION REGEX [LEVEL] [show_first]")
  end
  local own = { period = value("duration", args[1]), regex = value("regex", args[2]) }
  local compiled, err = consolidate.regex(own.regex)
  if not compiled then fail("consolidate: " .. err, args[2]) end
  for i = 3, #args do
    local word = args[i].text
    if LEVELS[word] then
      if own.level then fail("multiple log levels specified in consolidate", args[i]) end
      if own.show_first then fail("log level must come before show_first in consolidate", args[i]) end
      own.level = word
    elseif word == "show_first" then
      own.show_first = true
    else
      fail(("unknown option in consolidate: %s; expected warning, error, info, debug or show_first"):format(word),
        args[i])
    end
  end
  own.level = own.level or "error"
  return own
end

return dns.plugin {
  name = "errors",
  doc = "Logs errors of other plugins, one line a query, or a count of those that are alike.",
  writes = false,
  options = {
    { "file", values = { "stdout" }, doc = "Where the log always goes." },
    stacktrace = {
      type = "flag",
      doc = "An error in a plugin is logged with the calls that led to it, too; with file and line it is always.",
    },
    consolidate = {
      arg = "DURATION REGEX [LEVEL] [show_first]", parse = pattern, repeatable = true,
      doc = "Errors whose text matches are counted, and logged as one line when so long has passed since the first; " ..
        "LEVEL: warning, error (default), info, debug; show_first: the first one is also logged at once.",
    },
  },
  configure = function(conf, server)
    server.block.stacktrace = conf.stacktrace
  end,
  setup = function(conf, next, server)
    local patterns = consolidate.open(conf.consolidate or {}, server)

    ---@param q DnsQuery
    local function report(q, rcode, err)
      local level = "error" ---@type LunaLevel
      if patterns then
        local taken, own = patterns:take(err)
        if taken then return end
        level = own or level
      end
      server:log(level, "%d %s %s: %s", rcode, q:name_text(), q:type_text(), err)
    end

    ---@param q DnsQuery
    return function(q)
      local rcode, err = next(q)
      if err then report(q, rcode, err) end
      return rcode, err
    end
  end,
}
