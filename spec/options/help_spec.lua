local options = require "lunadns.options"

local sinkhole = options.compile("sinkhole", {
  { "zone", type = "zone", required = true, doc = "Names below it are answered." },
  address = { type = "ip", default = "0.0.0.0", doc = "The address to answer with." },
  ttl = { type = "duration", default = 60, max = 86400, doc = "TTL of the answer." },
  mode = { type = "enum", values = { "a", "b" }, doc = "How" },
  old = { type = "flag", deprecated = "use mode" },
  limits = { args = { { "low", type = "int", min = 1 }, { "high", type = "int", optional = true, doc = "Top." } } },
  client = {
    repeatable = true, doc = "One client.",
    block = { { "name", type = "name", required = true }, only = { type = "rrtype", rest = true, doc = "Types." } },
  },
}, nil, { doc = "Answers every address query below a zone." })

describe("help", function()
  it("shows the form, then each argument and option", function()
    assert.are.equal([[
Answers every address query below a zone.

sinkhole ZONE {
    address IP
    client NAME {
        only [TYPE...]
    }
    limits LOW [HIGH]
    mode a|b
    ttl DURATION
}

  ZONE               Names below it are answered. Required.
  address IP         The address to answer with. Default: 0.0.0.0.
  client NAME        One client. May be repeated.
    NAME             Required.
    only [TYPE...]   Types.
  limits LOW [HIGH]
    LOW              At least 1.
    [HIGH]           Top.
  mode a|b           How.
  old                Deprecated: use mode.
  ttl DURATION       TTL of the answer. At most 24h. Default: 1m.
]], sinkhole:help())
  end)

  it("is short for a plugin without options", function()
    assert.are.equal("loop\n", options.compile("loop"):help())
  end)

  it("shows lines that are no option", function()
    local hosts = options.compile("hosts", { { "file", type = "file", default = "/etc/hosts" } }, function() end,
      { other = "ADDRESS NAME..." })
    assert.are.equal("hosts [FILE] {\n    ADDRESS NAME...\n}\n\n  [FILE]  Default: /etc/hosts.\n", hosts:help())
  end)

  it("wraps after a long form", function()
    local schema = options.compile("x", {
      a = { type = "string", arg = "A_VERY_LONG_NAME_OF_AN_ARGUMENT", doc = "Text." }, b = { type = "flag",
        doc = "Flag." },
    })
    assert.are.equal("x {\n    a A_VERY_LONG_NAME_OF_AN_ARGUMENT\n    b\n}\n\n"
      .. "  a A_VERY_LONG_NAME_OF_AN_ARGUMENT\n     Text.\n  b  Flag.\n", schema:help())
  end)
end)

describe("reference", function()
  it("is a markdown table", function()
    assert.are.equal([[
| option | type | default | description |
|---|---|---|---|
| `ZONE` | zone, or network in CIDR form |  | Names below it are answered. Required. |
| `address IP` | IP address | `0.0.0.0` | The address to answer with. |
| `client NAME` | block |  | One client. May be repeated. |
| &nbsp;&nbsp;`NAME` | domain name |  | Required. |
| &nbsp;&nbsp;`only [TYPE...]` | list: record type |  | Types. |
| `limits LOW [HIGH]` |  |  |  |
| &nbsp;&nbsp;`LOW` | whole number |  | At least 1. |
| &nbsp;&nbsp;`[HIGH]` | whole number |  | Top. |
| `mode a\|b` | one of the words |  | How. |
| `old` | flag |  | Deprecated: use mode. |
| `ttl DURATION` | duration, such as `30s` or `1h30m` | `1m` | TTL of the answer. At most 24h. |
]], sinkhole:reference())
  end)

  it("says when there is nothing", function()
    assert.are.equal("This plugin takes no arguments and no options.\n", options.compile("loop"):reference())
  end)
end)
