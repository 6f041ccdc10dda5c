local t = require "dns.test"
local files = dofile "spec/dns/test/plugins.lua"

--- The message an assertion fails with.
local function failure(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return type(err) == "table" and err.message or tostring(err)
end

describe("assert", function()
  local s = t.server(". {\n meddle\n hosts {\n 192.0.2.1 a.test\n 192.0.2.2 a.test\n 192.0.2.3 back.test\n fallthrough\n }\n}",
    { files = files })
  local bare = t.server(". {\n meddle\n}", { files = files })

  it("answer takes records in any order and spelling", function()
    assert.answer([[
      a.test. 1h IN A 192.0.2.2
      A.test. 3600 A 192.0.2.1]], s:query "a.test. A")
    assert.is_not.answer("a.test. 3600 IN A 192.0.2.2", s:query "a.test. A")
    assert.answer({}, s:query "a.test. AAAA")
  end)
  it("answer shows expected and found as a diff", function()
    local text = failure(assert.answer, "a.test. 60 IN A 192.0.2.1\na.test. 3600 IN A 192.0.2.2", s:query "a.test. A")
    assert.matches([[
answer section (- expected, + found):
+ a.test. 3600 IN A 192.0.2.1
  a.test. 3600 IN A 192.0.2.2
- a.test. 60 IN A 192.0.2.1
the reply:
  NOERROR, flags: aa rd, 56 octets, by hosts
  answer:     a.test. 3600 IN A]], text, 1, true)
    assert.matches("no reply was sent; expected in its answer section:\n  a.test. 60",
      failure(assert.answer, "a.test. 60 A 192.0.2.1", nil), 1, true)
    assert.matches("the expected records: line 1", failure(assert.answer, "a.test. A", s:query "a.test. A"), 1, true)
  end)
  it("rcode, nodata, nxdomain", function()
    assert.rcode("NOERROR", s:query "a.test. A")
    assert.nodata(s:query "a.test. AAAA")
    assert.is_not.nodata(s:query "a.test. A")
    assert.is_not.nxdomain(s:query "a.test. A")
    assert.matches("- NXDOMAIN\n+ NOERROR", failure(assert.nxdomain, s:query "a.test. A"), 1, true)
    assert.matches("'NOPE' is not a response code", failure(assert.rcode, "NOPE", s:query "a.test. A"), 1, true)
  end)
  it("passed means to the end, untouched", function()
    assert.passed(bare, "x.test. A")
    assert.is_not.passed(s, "a.test. A")
    assert.matches("a.test. A was not passed on; the reply:\n  NOERROR", failure(assert.passed, s, "a.test. A"), 1, true)
    assert.matches("x.type.test. A was passed on changed:\n- x.type.test. A\n+ x.type.test. type 28",
      failure(assert.passed, bare, "x.type.test. A"), 1, true)
    assert.matches("back.test. A was passed on, but what came back was changed", failure(assert.passed, bare, "back.test. A"), 1,
      true)
    assert.is_not.passed(bare, "x.drop.test. A")
  end)
  it("passed to an upstream", function()
    local up = t.server(". {\n meddle\n forward . 10.0.0.1\n}", { files = files })
    assert.passed(up, "x.test. A")
    assert.is_not.passed(up, "x.drop.test. A")
  end)
  it("dropped", function()
    assert.dropped(s, "x.drop.test. A")
    assert.is_not.dropped(s, "a.test. A")
  end)
  it("log and metric", function()
    local c = t.server(". {\n count\n}", { files = files })
    c:log()
    c:query "count.test. TXT"
    assert.log("seen 1", c)
    assert.is_not.log("seen 2", c)
    assert.matches("- ...seen 2...\n+ [INFO] plugin/count: seen 1", failure(assert.log, "seen 2", c), 1, true)
    assert.metric(1, c, "coredns_count_seen_total", { kind = "all" })
    assert.matches("- 2\n+ 1", failure(assert.metric, 2, c, "coredns_count_seen_total"), 1, true)
    assert.metric(0, c, "coredns_count_seen_total", { kind = "none" })
    assert.matches("no such series; expected 1\n+ coredns_count_seen_total{", failure(assert.metric, 1, c,
      "coredns_count_seen_total", { kind = "none" }), 1, true)
  end)
  it("corefile_error", function()
    assert.corefile_error("Corefile:3: cache", ". {\n cache {\n success few\n }\n}", { port = 53 })
    assert.matches("the Corefile was accepted", failure(assert.corefile_error, "x", ". {\n whoami\n}"), 1, true)
    assert.matches("- ...x y z...\n+ Corefile:", failure(assert.corefile_error, "x y z",
      ". {\n cache {\n success few\n }\n}"), 1, true)
  end)
  it("hot names the line", function()
    assert.matches("allocates: the heap grew by", failure(assert.hot, bare, { "x.slow.test. A" }), 1, true)
    assert.hot(bare, { "x.test. A" })
  end)
end)
