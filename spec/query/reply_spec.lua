local dns = require "dns"
local probe = require "spec.query.probe"

local MIXED = {
  answer = "a.test. 60 IN CNAME b.test.\nb.test. 30 IN A 192.0.2.1\nb.test. 90 IN A 10.0.0.1\nb.test. 45 IN TXT x",
  authority = "test. 10 IN NS ns.test.",
  additional = "ns.test. 300 IN A 192.0.2.1\nns.test. 300 IN AAAA 2001:db8::1",
}

--- What the upstream's reply is after change(q).
local function changed(change, answer, options)
  local s = probe.server(function(next)
    return function(q)
      local rcode, err = next(q)
      return change(q) or rcode, err
    end
  end)
  s:upstream { default = answer or MIXED }
  local reply = s:query("a.test. A", options)
  s:close()
  return reply
end

--- What look(q) sees of it.
local function seen(look, answer)
  local out
  changed(function(q) out = look(q) end, answer)
  return out
end

--- Data of the records of a section.
local function data(list)
  local out = {}
  for i, text in ipairs(list) do out[i] = text:match "(%S+)$" end
  return table.concat(out, " ")
end

describe("records of a reply", function()
  it("are walked through, by section or all", function()
    local function walk(section)
      return seen(function(q)
        local out = {}
        for record in q:records(section) do out[#out + 1] = record.section .. record:data_text() .. "/" .. record.ttl end
        return table.concat(out, " ")
      end)
    end
    assert.equal("1b.test./60 1192.0.2.1/30 110.0.0.1/90 1\"x\"/45", walk "answer")
    assert.equal("2ns.test./10", walk(dns.AUTHORITY))
    assert.equal("1b.test./60 1192.0.2.1/30 110.0.0.1/90 1\"x\"/45 2ns.test./10 3192.0.2.1/300 32001:db8::1/300", walk())
  end)
  it("tell their owner, type, data and address", function()
    local out = seen(function(q)
      local list = {}
      for record in q:records "answer" do
        list[#list + 1] = { record:owner_text(), record:under "B.test.", record:is "A", record:is(dns.TXT), record.type,
          record:address_text() or "-", record:address() and record:address().family or 0, record:text() }
      end
      return list
    end)
    assert.same({ "a.test.", false, false, false, 5, "-", 0, "a.test. 60 IN CNAME b.test." }, out[1])
    assert.same({ "b.test.", true, true, false, 1, "192.0.2.1", 4, "b.test. 30 IN A 192.0.2.1" }, out[2])
    assert.same({ "b.test.", true, false, true, 16, "-", 0, "b.test. 45 IN TXT \"x\"" }, out[4])
    assert.equal("\1x", seen(function(q)
      local last
      for record in q:records "answer" do last = record:data() end
      return last
    end))
  end)
  it("are given to a function, until it returns true", function()
    local out = seen(function(q)
      local list = {}
      local function inner(record) list[#list + 1] = record:data_text() end
      q:each(function(record)
        list[#list + 1] = record.ttl
        if record.section == dns.AUTHORITY then q:each(inner, "additional") end
        return record.type == dns.AAAA
      end)
      q:each(function(record)
        list[#list + 1] = record:owner_text()
        return true
      end, "answer")
      return table.concat(list, " ")
    end)
    assert.equal("60 30 90 45 10 192.0.2.1 2001:db8::1 300 300 a.test.", out)
  end)
  it("may be many", function()
    local lines = {}
    for i = 1, 200 do lines[i] = ("a.test. %d IN A 192.0.2.%d"):format(i, i) end
    local sum, count = 0, 0
    local s = probe.server(function(next)
      return function(q)
        local rcode, err = next(q)
        q:each(function(record)
          sum, count = sum + record.ttl, count + 1
        end)
        assert(q:remove(function(record) return record.ttl % 3 ~= 0 end) == 134)
        q:sort(function(record) return -record.ttl end)
        return rcode, err
      end
    end)
    s:upstream { default = table.concat(lines, "\n") }
    local r = s:query("a.test. A", { transport = "tcp" })
    assert.same({ 20100, 200, 66 }, { sum, count, #r.answer })
    assert.equal("a.test. 198 IN A 192.0.2.198", r.answer[1])
    assert.equal("a.test. 3 IN A 192.0.2.3", r.answer[66])
  end)
  it("get another TTL or address", function()
    local r = changed(function(q)
      for record in q:records() do
        if record:is "A" then record:set_address "203.0.113.9" end
        record:set_ttl(record.ttl * 16777216 + record.ttl)
      end
    end, "a.test. 2 IN A 192.0.2.1\na.test. 3 IN AAAA ::1")
    assert.answer("a.test. 33554434 IN A 203.0.113.9\na.test. 50331651 IN AAAA ::1", r)
    local err = seen(function(q)
      local why
      for record in q:records() do why = why or select(2, pcall(function() record:set_address "::1" end)) end
      return why
    end)
    assert.matches("of the record's family", err)
  end)
  it("are removed by type, section or what a function says", function()
    assert.same({ "a.test. 60 IN CNAME b.test.", "b.test. 45 IN TXT \"x\"" },
      changed(function(q) assert(q:remove("A", "answer") == 2) end).answer)
    local r = changed(function(q) assert(q:remove(nil, "additional") == 2 and q:remove "NS" == 1) end)
    assert.same({ 4, 0, 0 }, { #r.answer, #r.authority, #r.additional })
    r = changed(function(q)
      local count = q:remove(function(record) return record:address_text() == "192.0.2.1" end)
      assert(count == 2)
    end)
    assert.equal("b.test. 10.0.0.1 \"x\"", data(r.answer))
    assert.equal("2001:db8::1", data(r.additional))
    assert.equal(2, #changed(function(q) q:remove(function(record) return record.ttl > 50 end, "answer") end).answer)
    assert.equal(4, #changed(function(q) q:remove(function() return false end) end).answer)
    r = changed(function(q) q:remove(function() return true end) end, nil, { edns = 1232 })
    assert.same({ 0, 0, 0 }, { #r.answer, #r.authority, #r.additional })
    assert.matches("EDNS", r.opt)
  end)
  it("are removed by functions that wait, each its own", function()
    local s = probe.server(function(next)
      local function slow(record)
        record.query:delay(record.ttl == 30 and 1 or 0.5)
        return record:is "A"
      end
      return function(q)
        local rcode, err = next(q)
        q:remove(slow, "answer")
        return rcode, err
      end
    end)
    s:upstream { ["a.test. A"] = MIXED, ["b.test. A"] = "b.test. 1 IN A 192.0.2.9\nb.test. 1 IN TXT y" }
    local a, b = s:send "a.test. A", s:send "b.test. A"
    s:advance(10)
    assert.equal("b.test. \"x\"", data(s:finish(a).answer))
    assert.equal("\"y\"", data(s:finish(b).answer))
  end)
  it("are reordered", function()
    local function sorted(key, section) return changed(function(q) q:sort(key, section) end) end
    local by_ttl = sorted(function(record) return record.ttl end)
    assert.equal("192.0.2.1 \"x\" b.test. 10.0.0.1", data(by_ttl.answer))
    assert.equal("192.0.2.1 2001:db8::1", data(by_ttl.additional)) -- equal ones stay
    local r = sorted(function(record) return -record.type end, "additional")
    assert.equal("b.test. 192.0.2.1 10.0.0.1 \"x\"", data(r.answer))
    assert.equal("2001:db8::1 192.0.2.1", data(r.additional))
  end)
  it("are shuffled as plugin loadbalance does", function()
    local firsts = {}
    local s = probe.server(function(next)
      return function(q)
        local rcode, err = next(q)
        q:shuffle()
        return rcode, err
      end
    end)
    s:upstream { default = "a.test. 1 IN A 192.0.2.1\na.test. 1 IN A 192.0.2.2" }
    for _ = 1, 60 do firsts[data(s:query("a.test. A").answer):match "%S+"] = true end
    assert.same({ ["192.0.2.1"] = true, ["192.0.2.2"] = true }, firsts)
  end)
  it("are added", function()
    local extra = dns.records "@ 1 IN A 192.0.2.200"
    local r = changed(function(q)
      q:add("answer", extra)
      q:add("answer", "x 1 IN A 192.0.2.201")
    end)
    assert.same({ "a.test. 1 IN A 192.0.2.200", "x.a.test. 1 IN A 192.0.2.201" }, { r.answer[5], r.answer[6] })
  end)
end)

describe("all records at once", function()
  it("get one TTL, or TTLs within bounds", function()
    assert.answer("a.test. 7 IN A 192.0.2.1\na.test. 7 IN A 192.0.2.2",
      changed(function(q) q:set_ttl(7) end, "a.test. 2 IN A 192.0.2.1\na.test. 3 IN A 192.0.2.2"))
    local three = "a.test. 2 IN A 192.0.2.1\na.test. 3 IN A 192.0.2.2\na.test. 4294967295 IN A 192.0.2.3"
    assert.answer("a.test. 3 IN A 192.0.2.1\na.test. 3 IN A 192.0.2.2\na.test. 60 IN A 192.0.2.3",
      changed(function(q) q:limit_ttl(3, 60) end, three))
    assert.answer("a.test. 2 IN A 192.0.2.1\na.test. 2 IN A 192.0.2.2\na.test. 2 IN A 192.0.2.3",
      changed(function(q) q:limit_ttl(nil, 2) end, three))
    local r = changed(function(q) q:limit_ttl(1000, nil, "additional") end)
    assert.matches(" 1000 ", r.additional[1])
    assert.matches(" 60 ", r.answer[1])
    assert.same({ 10, 30 }, seen(function(q) return { q:min_ttl(), q:min_ttl "answer" } end))
    assert.is_nil(seen(function(q) return q:min_ttl() end, { rcode = "NXDOMAIN" }))
  end)
  it("get another address", function()
    local r = changed(function(q) assert(q:replace_address("192.0.2.1", "203.0.113.1") == 2) end)
    assert.equal("b.test. 203.0.113.1 10.0.0.1 \"x\"", data(r.answer))
    assert.equal("203.0.113.1 2001:db8::1", data(r.additional))
    assert.equal(0, seen(function(q) return q:replace_address("192.0.2.1", "::1") end))
  end)
end)

describe("a reply", function()
  it("has an rcode, flags and counts", function()
    assert.same({ 0, true, false, false, 4, 1, 2, true }, seen(function(q)
      return { q:reply_rcode(), q:reply_flag "ra", q:reply_flag "aa", q:reply_flag "tc", q:count "answer", q:count(2),
        q:count "additional", q.reply_len > 100 }
    end))
    local r = changed(function(q)
      q:set_flag("aa", true)
      q:set_flag("ra", false)
      return q:set_rcode "NXDOMAIN"
    end)
    assert.rcode("NXDOMAIN", r)
    assert.same({ true, false, 4 }, { r.flags.aa, r.flags.ra, #r.answer })
    local ok, err = true, nil
    changed(function(q) ok, err = pcall(function() q:set_flag("do", true) end) end)
    assert.is_false(ok)
    assert.matches('reply_spec.lua:%d+: "do" is not a flag', err)
  end)
  it("may be dropped", function()
    assert.same({ "nil", 0 }, seen(function(q)
      q:clear()
      return { tostring(q:reply_rcode()), q:count "answer" }
    end))
  end)
end)

describe("changing a reply", function()
  it("stays compiled and allocates nothing", function()
    local records = dns.records "@ 60 IN A 192.0.2.1\n@ 90 IN A 192.0.2.2\n@ 5 IN TXT x"
    local function unwanted(record) return record:is "TXT" and record.ttl == 5 end
    local function key(record) return -record.ttl end
    local from, to = dns.addr "192.0.2.1", dns.addr "192.0.2.9"
    local function change(record)
      if record:is "A" then record:set_ttl(7) end
      if record:address() then record:set_address(to) end
    end
    local s = probe.server {
      function(next)
        return function(q)
          local rcode, err = next(q)
          if q:reply_rcode() ~= 0 or q:count "answer" ~= 3 or q:min_ttl() ~= 5 then return 2 end
          if q:is "A" then
            q:limit_ttl(10, 60)
            q:set_ttl(30)
            q:replace_address(from, to)
            q:set_flag("aa", false)
            q:remove "TXT"
          elseif q:is "AAAA" then
            q:each(change, "answer")
          elseif q:is "MX" then
            q:remove(unwanted)
          else
            q:sort(key)
          end
          return rcode, err
        end
      end,
      function()
        return function(q)
          q:add("answer", records)
          return 0
        end
      end,
    }
    assert.answer({ "a.test. 30 IN A 192.0.2.9", "a.test. 30 IN A 192.0.2.2" }, s:query "a.test. A")
    assert.answer({ "a.test. 7 IN A 192.0.2.9", "a.test. 7 IN A 192.0.2.9", "a.test. 5 IN TXT \"x\"" }, s:query "a.test. AAAA")
    assert.equal("192.0.2.1 192.0.2.2", data(s:query("a.test. MX").answer))
    assert.equal("192.0.2.2 192.0.2.1 \"x\"", data(s:query("a.test. SRV").answer))
    assert.hot(s, { "a.test. A" })
    assert.hot(s, { "a.test. AAAA" })
    assert.hot(s, { "a.test. MX" })
    assert.hot(s, { "a.test. SRV" })
  end)
end)

teardown(probe.done)
