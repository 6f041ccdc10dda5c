local t = require "dns.test"

describe("lua", function()
  it("answers in place", function()
    local s = t.server([[
. {
  lua "if q:under 'ads.example' then return q:answer_address('0.0.0.0', 60) end"
  whoami
}]])
    assert.answer("x.ads.example. 60 IN A 0.0.0.0", s:query "x.ads.example. A")
    assert.is_nil((s:query "example.org. A").answer[1])
  end)

  it("takes several lines, several handlers, and a setup", function()
    local s = t.server([[
. {
  lua {
    setup "
      local hits = server:counter('lua_spec_hits_total', 'Hits.')
      local zone = dns.name 'ads.example'
    "
    handler "
      if not q:under(zone) then return next(q) end
      hits:inc()
      return q:answer_address('0.0.0.0', 60) -- to nowhere
    "
  }
  lua "if q:under 'more.example' then return q:answer_address('::', 30) end"
  whoami
}]])
    assert.answer("x.ads.example. 60 IN A 0.0.0.0", s:query "x.ads.example. A")
    assert.answer("x.more.example. 30 IN AAAA ::", s:query "x.more.example. AAAA")
    assert.equal(1, s:metric "coredns_lua_lua_spec_hits_total")
  end)

  it("gives the Corefile's own lines in errors", function()
    assert.corefile_error("Corefile:4: unexpected symbol", ". {\n  lua \"\n    local x = 1\n    x = = 2\"\n  whoami\n}")
    assert.corefile_error("Corefile:3: unknown global 'strng'", ". {\n  lua \"\n    return strng.x\"\n  whoami\n}")
    local s = t.server ". {\n  lua {\n    setup \"\nlocal x\n\"\n\n    handler \"\n\n      return x.y\"\n  }\n  whoami\n}"
    s:log()
    assert.rcode("SERVFAIL", s:query "example.org. A")
    assert.matches("plugin/lua: Corefile:9: attempt to index upvalue 'x'", s:log())
  end)

  it("refuses half of it", function()
    assert.corefile_error("lua: setup without a handler", '. {\n lua {\n setup "local x = 1"\n }\n whoami\n}')
    assert.corefile_error("setup must stand before the handler",
      '. {\n lua {\n handler "return next(q)"\n setup "local x = 1"\n }\n whoami\n}')
    assert.corefile_error("there is a handler already", '. {\n lua "return 0" {\n handler "return 0"\n }\n whoami\n}')
  end)

  it("stays compiled and allocates nothing", function()
    local s = t.server([[
. {
  lua "if q:under 'ads.example' then return q:answer_address('0.0.0.0', 60) end"
  whoami
}]])
    assert.hot(s, { "x.ads.example. A", "example.org. A" })
  end)
end)
