--- The files of a new plugin. @NAME@ stands for it, @HOME@ for where the Lua files of lunadns are.
local template = {}

local FILES = {
  { "@NAME@.lua", [=[
--- Answers every address query at or below a zone with one address.
local dns = require "dns"

return dns.plugin {
  name = "@NAME@",
  doc = "Answers every address query at or below a zone with one address.",
  options = {
    { "zone", type = "zone", required = true, doc = "Names at or below it are answered." },
    address = { type = "ip", default = "192.0.2.1", doc = "The address to answer with." },
    ttl = { type = "duration", default = "60s", max = "24h", doc = "TTL of the answers." },
  },
  setup = function(conf, next, server)
    local zone, address, ttl = dns.name(conf.zone), dns.addr(conf.address), conf.ttl
    local answered = server:counter("answered_total", "Queries answered.")
    ---@param q DnsQuery
    return function(q) -- once per query: no table, string or closure is made here
      if not q:under(zone) then return next(q) end
      answered:inc()
      return q:answer_address(address, ttl)
    end
  end,
}
]=] },
  { "@NAME@_spec.lua", [=[
local t = require "dns.test"

describe("@NAME@", function()
  local s = t.server ". {\n @NAME@ ads.example {\n address 192.0.2.1\n }\n}"

  it("answers at and below its zone", function()
    assert.answer("ads.example. 60 IN A 192.0.2.1", s:query "ads.example. A")
    assert.answer("x.y.ads.example. 60 IN A 192.0.2.1", s:query "x.y.ads.example. A")
  end)
  it("has no other record there", function()
    assert.nodata(s:query "ads.example. AAAA")
  end)
  it("passes everything else on", function()
    assert.passed(s, "example.org. A")
    assert.passed(s, "notads.example. A")
  end)
  it("answers as its options say", function()
    local other = t.server ". {\n @NAME@ ads.example {\n address 2001:db8::1\n ttl 5m\n }\n}"
    assert.answer("ads.example. 300 IN AAAA 2001:db8::1", other:query "ads.example. AAAA")
  end)
  it("counts what it answers", function()
    local before = s:metric "coredns_@METRIC@_answered_total"
    s:query "ads.example. A"
    s:query "example.org. A"
    assert.metric(before + 1, s, "coredns_@METRIC@_answered_total")
  end)
  it("explains a wrong option", function()
    assert.corefile_error("Corefile:3: @NAME@: address: 'banana' is not an IP address",
      ". {\n @NAME@ ads.example {\n address banana\n }\n}")
    assert.corefile_error("expected: @NAME@ ZONE", ". {\n @NAME@\n}")
  end)
  it("stays compiled and allocates nothing", function()
    assert.hot(s, { "x.ads.example. A", "example.org. A" })
  end)
end)
]=] },
  { "README.md", [=[
# @NAME@

Answers every address query at or below a zone with one address.

```
@NAME@ ZONE {
    address IP
    ttl DURATION
}
```

`lunadns docs @NAME@` prints the options as a table, from the code.

## Work on it

| | |
|---|---|
| `lunadns test` | runs @NAME@_spec.lua: the real server core, without sockets |
| `lunadns test --reload` | the same, with a reload between every two queries |
| `lunadns check` | reads the Corefile and runs setup; serves nothing |
| `lunadns bench "@NAME@ ads.example" x.ads.example` | time and memory for each query, and what leaves compiled code |
| `lunadns trace x.ads.example A` | the way of one query through the Corefile's plugins |
| `lunadns -dns.port 1053` | serves the Corefile; `dig -p 1053 @127.0.0.1 x.ads.example` |

The file @NAME@.lua is the directive @NAME@ for a Corefile beside it, or one folder above `plugins/@NAME@.lua`. With the `reload`
plugin in the Corefile an edit is served within seconds; a mistake is logged with file and line and changes nothing.

Plain `busted` runs the spec as well: .busted says where it finds lunadns.
]=] },
  { "Corefile", [=[
. {
    log
    errors
    reload 2s
    @NAME@ ads.example {
        address 192.0.2.1
    }
    whoami
}
]=] },
  { ".luarc.json", [=[
{
  "runtime.version": "LuaJIT",
  "workspace.library": ["@HOME@", "${3rd}/luassert/library", "${3rd}/busted/library"],
  "workspace.checkThirdParty": false,
  "workspace.ignoreGlobs": ["**/*_spec.lua"],
  "type.weakNilCheck": true,
  "diagnostics.disable": ["need-check-nil", "ambiguity-1"]
}
]=] },
  { ".busted", [=[
-- For plain `busted`; `lunadns test` needs none of it. dns/test.lua of lunadns is below `home`, and liblunadns.so is found
-- from there: PREFIX/lib for PREFIX/share/lunadns. LUNADNS_HOME names another place.
local home = os.getenv "LUNADNS_HOME" or "@HOME@"
return {
  _all = {
    lua = "luajit",
    ROOT = { "." },
    pattern = "_spec",
    lpath = home .. "/?.lua;" .. home .. "/?/init.lua",
  },
}
]=] },
}

---@param name string
---@param home string
---@return {[1]: string, [2]: string}[] name and text
function template.files(name, home)
  -- A dash is fine in a directive, and not in a metric's name.
  local words = { NAME = name, METRIC = (name:gsub("%-", "_")), HOME = home }
  local out = {}
  for i, file in ipairs(FILES) do out[i] = { (file[1]:gsub("@(%u+)@", words)), (file[2]:gsub("@(%u+)@", words)) } end
  return out
end

--- What is said when all is there.
---@param name string
---@return string
function template.said(name)
  return ([[
%s/ is there: %s.lua, %s_spec.lua, README.md, Corefile.
  cd %s && lunadns test
]]):format(name, name, name, name)
end

return template
