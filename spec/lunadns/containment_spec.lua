local t = require "dns.test"
local directory = require "spec.lunadns.directory"

--- A plugin that fails for names below fail. and answers the rest.
local FRAIL = [[
local dns = require "dns"
return dns.plugin {
  name = "frail",
  setup = function(_, next, server)
    return function(q)
      if q:under "fail." then
        local nothing
        return nothing.field
      end
      if q:under "nil." then return nil end
      if q:under "table." then error({ code = 1 }) end
      return next(q)
    end
  end,
}
]]

local function serve(options)
  local path = directory.new { ["frail.lua"] = FRAIL }
  local s = t.server((". {\n errors\n frail {\n %s\n }\n whoami\n}"):format(options or ""), { directory = path })
  s:log()
  return s
end

describe("an error in a plugin", function()
  after_each(directory.remove_all)

  it("costs its query a SERVFAIL, a line with file, line, question and client, and a metric", function()
    local s = serve()
    local before = s:metric 'lunadns_plugin_errors_total{plugin="frail",hook="handler"}' or 0
    local panics = s:metric "coredns_panics_total" or 0
    assert.rcode("SERVFAIL", s:query("x.fail. AAAA", { client = "10.1.2.3:4242" }))
    assert.matches("%[ERROR%] plugin/frail: .*/frail%.lua:8: attempt to index local 'nothing' %(a nil value%) " ..
      "%(question x%.fail%. AAAA, client 10%.1%.2%.3:4242%): answered SERVFAIL\n", s:log())
    assert.equal(before + 1, s:metric 'lunadns_plugin_errors_total{plugin="frail",hook="handler"}')
    assert.equal(panics + 1, s:metric "coredns_panics_total")
    assert.rcode("NOERROR", s:query "x.org. A")
  end)

  it("is one, when a handler forgets to return", function()
    local s = serve()
    assert.rcode("SERVFAIL", s:query "x.nil. A")
    assert.matches("plugin/frail: the handler returned nil, expected an rcode: `return next%(q%)`", s:log())
  end)

  it("may be any value", function()
    local s = serve()
    assert.rcode("SERVFAIL", s:query "x.table. A")
    assert.matches("plugin/frail: table: ", s:log())
  end)

  it("is logged once a second, with the count of the rest", function()
    local s = serve()
    for _ = 1, 5 do s:query "x.fail. A" end
    local _, lines = s:log():gsub("plugin/frail", "")
    assert.equal(1, lines)
    s:advance "1s"
    s:query "x.fail. A"
    assert.matches("answered SERVFAIL; 4 more like it before\n", s:log())
  end)

  it("passes the query on with `on_error skip`, through the whole chain", function()
    local s = serve "on_error skip"
    assert.rcode("NOERROR", s:query "x.fail. A")
    assert.equal(2, #(s:query "x.fail. A").additional) -- whoami's
    assert.matches("went on without this plugin", s:log())
  end)

  it("is not answered with `on_error drop`", function()
    assert.is_nil(serve("on_error drop"):query "x.fail. A")
  end)

  it("leaves the plugin out after N in T, with an alarm", function()
    local s = serve "on_error servfail 3 10s"
    for _ = 1, 3 do assert.rcode("SERVFAIL", s:query "x.fail. A") end
    assert.matches("%[ERROR%] plugin/frail: 3 errors within 10 s: left out from now on, until the next reload", s:log())
    assert.equal(1, s:metric 'lunadns_plugin_skipped{plugin="frail"}')
    assert.rcode("NOERROR", s:query "x.fail. A")
    s:close()
    assert.equal(0, s:metric 'lunadns_plugin_skipped{plugin="frail"}')
  end)

  it("does not leave it out when they are further apart, or with a count of 0", function()
    local s = serve "on_error servfail 3 10s"
    for _ = 1, 6 do
      assert.rcode("SERVFAIL", s:query "x.fail. A")
      s:advance "6s"
    end
    s = serve "on_error servfail 0"
    for _ = 1, 200 do assert.rcode("SERVFAIL", s:query "x.fail. A") end
  end)

  it("has options that are checked", function()
    local path = directory.new { ["frail.lua"] = FRAIL }
    local _, err = t.try(". {\n frail {\n on_error panic\n }\n}", { directory = path })
    assert.matches("Corefile:3: on_error: action: 'panic' is not one of: servfail, skip, drop", err)
  end)

  it("keeps the way of other queries compiled", function()
    assert.hot(serve "on_error skip", { "example.org. A" })
  end)
end)
