local t = require "dns.test"

local path = os.tmpname()

local function write(text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function block(line, upstream)
  local s = t.server((". {\n %s\n forward . 192.0.2.53\n}"):format(line))
  s:upstream(upstream)
  return s
end

--- Types and last fields of records: "CNAME:b.test. A:10.0.0.1".
local function brief(records)
  local out = {}
  for i, record in ipairs(records) do
    local kind, data = record:match "^%S+ %d+ IN (%S+) (.*)$"
    out[i] = kind .. ":" .. data:match "(%S+)$"
  end
  return table.concat(out, " ")
end

--- How often each address comes first in n replies.
local function firsts(s, question, n)
  local count = {}
  for _ = 1, n do
    local first = s:query(question).answer[1]:match "(%S+)$"
    count[first] = (count[first] or 0) + 1
  end
  return count
end

local MIXED = {
  answer = "a.test. 60 IN MX 5 m1.\na.test. 60 IN A 10.0.0.1\na.test. 60 IN TXT x\na.test. 60 IN AAAA 2001:db8::1\n" ..
    "b.test. 60 IN CNAME a.test.\na.test. 60 IN A 10.1.0.2",
  additional = "m1. 60 IN A 10.0.0.9\nm1. 60 IN SRV 0 0 5 z.",
}

describe("loadbalance", function()
  teardown(function() os.remove(path) end)

  describe("round_robin", function()
    it("lets every address come first about as often", function()
      local s = block("loadbalance", { default = "a.test. 60 IN A 10.0.0.1\na.test. 60 IN A 10.0.0.2\n" ..
        "a.test. 60 IN A 10.0.0.3" })
      local count = firsts(s, "a.test. A", 300)
      for _, ip in ipairs { "10.0.0.1", "10.0.0.2", "10.0.0.3" } do
        assert.is_true((count[ip] or 0) > 50, ip .. " came first only " .. (count[ip] or 0) .. " times of 300")
      end
    end)
    it("puts aliases first, then others, addresses, MX", function()
      local s = block("loadbalance round_robin", { default = MIXED })
      local r = s:query "b.test. A"
      assert.matches("^CNAME:a%.test%. TXT:\"x\" A+:%S+ A+:%S+ A+:%S+ MX:m1%.$", brief(r.answer))
      assert.equal("SRV:z. A:10.0.0.9", brief(r.additional))
    end)
    it("leaves failures and errors alone", function()
      local s = block("errors\n loadbalance", { default = { code = "connect" } })
      assert.rcode("SERVFAIL", s:query "a.test. A")
      assert.matches("plugin/errors: 2 a.test. A:", s:log(), 1, true)
    end)
    it("stays compiled and allocates nothing", function()
      local s = t.server(". {\n loadbalance\n hosts /dev/null {\n 10.0.0.1 a.test\n 10.0.0.2 a.test\n 10.0.0.3 a.test\n" ..
        " 10.0.0.4 b.test\n }\n}")
      assert.hot(s, { "a.test. A", "b.test. A", "c.test. A" })
    end)
  end)

  describe("prefer", function()
    it("puts addresses of its networks first, in the networks' order, and MX before others", function()
      local s = block("loadbalance round_robin {\n  prefer 10.1.0.0/16 2001:db8::/32\n }", { default = MIXED })
      for _ = 1, 20 do
        local r = s:query "b.test. A"
        assert.equal('CNAME:a.test. A:10.1.0.2 AAAA:2001:db8::1 A:10.0.0.1 MX:m1. TXT:"x"', brief(r.answer))
        assert.equal("A:10.0.0.9 SRV:z.", brief(r.additional))
      end
    end)
    it("looks at single bits, and adds lines up", function()
      local s = block("loadbalance {\n  prefer 10.0.0.128/25\n  prefer 10.0.0.64/26 ::/0\n }", {
        default = "a.test. 60 IN A 10.0.0.1\na.test. 60 IN AAAA ::1\na.test. 60 IN A 10.0.0.127\na.test. 60 IN A 10.0.0.128",
      })
      for _ = 1, 20 do
        assert.equal("A:10.0.0.128 A:10.0.0.127 AAAA:::1 A:10.0.0.1", brief(s:query("a.test. A").answer))
      end
    end)
    it("keeps the order of the rest random", function()
      local s = block("loadbalance {\n  prefer 10.0.0.9/32\n }", {
        default = "a.test. 60 IN A 10.0.0.1\na.test. 60 IN A 10.0.0.2\na.test. 60 IN A 10.0.0.9",
      })
      local seen = {}
      for _ = 1, 100 do seen[brief(s:query("a.test. A").answer)] = true end
      assert.same({ ["A:10.0.0.9 A:10.0.0.1 A:10.0.0.2"] = true, ["A:10.0.0.9 A:10.0.0.2 A:10.0.0.1"] = true }, seen)
    end)
    it("keeps names that are compressed against one another, and an OPT", function()
      local s = block("loadbalance {\n  prefer 10.1.0.0/16\n }", { default = MIXED })
      local r = s:query("b.test. A", { edns = 4096 })
      assert.answer(MIXED.answer:gsub("TXT x", 'TXT "x"'), r)
      assert.is_truthy(r.opt)
    end)
    it("stays compiled and allocates nothing", function()
      local s = t.server(". {\n loadbalance {\n prefer 10.0.0.2/32\n }\n hosts /dev/null {\n 10.0.0.1 a.test\n" ..
        " 10.0.0.2 a.test\n 10.0.0.3 a.test\n 10.0.0.4 b.test\n }\n}")
      assert.hot(s, { "a.test. A", "b.test. A" })
    end)
  end)

  describe("weighted", function()
    local UPSTREAM = { default = "a.test. 60 IN A 10.0.0.1\na.test. 60 IN A 10.0.0.2\na.test. 60 IN A 10.0.0.3" }

    it("draws the first address by weight, and leaves the others in their places", function()
      write "# comment\n\na.TEST\n 10.0.0.1 2\n10.0.0.2 200 \n10.0.0.2 1\nother.test.\n10.0.0.3 255\n"
      local s = block("loadbalance weighted " .. path, UPSTREAM)
      assert.matches("[INFO] plugin/loadbalance: Successfully reloaded weight file " .. path .. "\n", s:log(), 1, true)
      local count = firsts(s, "A.test. A", 300)
      assert.is_true(count["10.0.0.2"] > 250, "200 of 203 is much more than " .. count["10.0.0.2"] .. " of 300")
      for _ = 1, 20 do
        local order = brief(s:query("a.test. A").answer)
        assert.is_true(order == "A:10.0.0.1 A:10.0.0.2 A:10.0.0.3" or order == "A:10.0.0.2 A:10.0.0.1 A:10.0.0.3" or
          order == "A:10.0.0.3 A:10.0.0.2 A:10.0.0.1", order)
      end
    end)
    it("takes IPv6, orders by type, and only touches A, AAAA and SRV questions", function()
      write "a.test\n2001:db8::1 255\n"
      local s = block("loadbalance weighted " .. path, { default = MIXED })
      local ahead = 0
      for _ = 1, 100 do
        local order = brief(s:query("b.test. AAAA").answer)
        if order == 'CNAME:a.test. TXT:"x" AAAA:2001:db8::1 A:10.0.0.1 A:10.1.0.2 MX:m1.' then ahead = ahead + 1 end
      end
      assert.is_true(ahead > 80, "ahead " .. ahead .. " times of 100")
      assert.equal('MX:m1. A:10.0.0.1 TXT:"x" AAAA:2001:db8::1 CNAME:a.test. A:10.1.0.2',
        brief(s:query("b.test. TXT").answer))
    end)
    it("reads the file again when its content changed", function()
      write "a.test\n10.0.0.1 255\n"
      local s = block(("loadbalance weighted %s {\n  reload 5s\n }"):format(path), UPSTREAM)
      s:log()
      s:advance "6s"
      assert.equal("", s:log())
      write "a.test\n10.0.0.3 255\n"
      s:advance "5s"
      assert.equal("[INFO] plugin/loadbalance: Successfully reloaded weight file " .. path .. "\n", s:log())
      assert.is_true(firsts(s, "a.test. A", 100)["10.0.0.3"] > 80)
      write "a.test\n10.0.0.3 256\n"
      s:advance "10s"
      local log = s:log()
      assert.matches('[ERROR] plugin/loadbalance: wrong weight value:"256" in weight file ' .. path, log, 1, true)
      assert.equal(1, select(2, log:gsub("wrong weight", "")))
      assert.is_true(firsts(s, "a.test. A", 100)["10.0.0.3"] > 80)
    end)
    it("waits for a file that is not there yet", function()
      os.remove(path)
      local s = block(("loadbalance weighted %s {\n  reload 5s\n }"):format(path), UPSTREAM)
      assert.matches("[WARNING] plugin/loadbalance: Failed to open weight file:" .. path, s:log(), 1, true)
      s:advance "5s"
      assert.matches("[ERROR] plugin/loadbalance: weight file open error: " .. path, s:log(), 1, true)
      assert.equal(3, #s:query("a.test. A").answer)
      write "a.test\n10.0.0.3 255\n"
      s:advance "5s"
      assert.is_true(firsts(s, "a.test. A", 100)["10.0.0.3"] > 80)
    end)
    it("stays compiled and allocates nothing", function()
      write "a.test\n10.0.0.3 20\n"
      local s = t.server((". {\n loadbalance weighted %s\n hosts /dev/null {\n 10.0.0.1 a.test\n 10.0.0.2 a.test\n" ..
        " 10.0.0.3 a.test\n 10.0.0.4 b.test\n }\n}"):format(path))
      assert.hot(s, { "a.test. A", "b.test. A" })
    end)
    it("explains a wrong file", function()
      local function refused(text, content)
        write(content)
        assert.corefile_error(text, (". {\n loadbalance weighted %s\n}"):format(path))
      end
      refused('wrong domain name:"10.0.0.1" in weight file ' .. path .. ". (Maybe a missing weight value?)",
        "a.test\n10.0.0.1\n")
      refused('wrong IP address:"a.test"', "a.test 5\n")
      refused('wrong weight value:"0"', "a.test\n10.0.0.1 0\n")
      refused("missing domain name", "10.0.0.1 5\n")
      refused('could not parse weight line:"10.0.0.1 5 6"', "a.test\n 10.0.0.1 5 6\n")
      os.remove(path)
      assert.corefile_error("weight file open error: " .. path .. ": No such file or directory",
        (". {\n loadbalance weighted %s {\n reload 0\n }\n}"):format(path))
    end)
  end)

  it("lets the last of several lines decide on the policy", function()
    write "a.test\n10.0.0.1 5\n"
    local s = t.server((". {\n loadbalance weighted %s\n loadbalance round_robin {\n prefer 10.0.0.0/8\n }\n whoami\n}")
      :format(path))
    assert.equal("", s:log())
  end)

  it("explains a wrong Corefile", function()
    assert.corefile_error("Corefile:2: loadbalance: unknown policy: random", ". {\n loadbalance random\n}")
    assert.corefile_error("unknown property for round_robin", ". {\n loadbalance round_robin x\n}")
    assert.corefile_error("missing weight file argument", ". {\n loadbalance weighted\n}")
    assert.corefile_error("unexpected argument(s)", ". {\n loadbalance weighted a b\n}")
    assert.corefile_error("Corefile:3: loadbalance: prefer: '10.0.0.0/33' is not a network",
      ". {\n loadbalance {\n prefer 10.0.0.0/33\n }\n}")
    assert.corefile_error("prefer: goes with policy round_robin only",
      ". {\n loadbalance weighted x {\n prefer 10.0.0.0/8\n }\n}")
    assert.corefile_error("reload: goes with policy weighted only", ". {\n loadbalance {\n reload 5s\n }\n}")
    assert.corefile_error("reload: 'soon' is not a duration", ". {\n loadbalance weighted x {\n reload soon\n }\n}")
    assert.corefile_error("unknown property 'weight'", ". {\n loadbalance {\n weight 5\n }\n}")
  end)
end)
