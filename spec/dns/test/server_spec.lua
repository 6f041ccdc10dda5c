local t = require "dns.test"
local files = dofile "spec/dns/test/plugins.lua"

local function server(block, more)
  return t.server((". {\n%s\n}"):format(block), { files = more or files })
end

--- What the mirror plugin saw of a query.
local function seen(s, options)
  local out = {}
  for _, record in ipairs(s:query("x.test. TXT", options).answer) do out[#out + 1] = record:match '"(.*)"' end
  return table.concat(out, "; ")
end

describe("a server of a spec", function()
  describe("is asked", function()
    local s = server "mirror"

    it("by a client at an address, over a transport", function()
      assert.equal("client 10.240.0.1:40212; to 127.0.0.1:53; transport 1", seen(s):match "^(.*); edns")
      assert.matches("client 192.0.2.7:9; to 198.51.100.1:53; transport 2",
        seen(s, { client = "192.0.2.7:9", to = "198.51.100.1", transport = "tcp" }), 1, true)
      assert.matches("client 2001:db8::7:5353;", seen(s, { client = "[2001:db8::7]:5353" }), 1, true)
      assert.has_error(function() s:query("x.test. TXT", { transport = "pigeon" }) end,
        "transport 'pigeon' is neither udp nor tcp")
    end)
    it("with EDNS: size, DO, options, client subnet", function()
      assert.matches("edns 0 size 0 do 0", seen(s), 1, true)
      assert.matches("edns 1 size 4096 do 0", seen(s, { edns = 4096 }), 1, true)
      assert.matches("edns 1 size 1232 do 1", seen(s, { ["do"] = true }), 1, true)
      assert.matches("options 000800070001180".."0c00002", seen(s, { subnet = "192.0.2.0/24" }), 1, true)
      assert.matches("options 0008000800022000".."20010db8", seen(s, { subnet = "2001:db8::/32" }), 1, true)
      assert.matches("options 00030000000a000161", seen(s, { options = { [10] = "a", [3] = "" } }), 1, true)
      assert.has_error(function() seen(s, { subnet = "everywhere" }) end)
    end)
    it("with flags, class, opcode and id", function()
      assert.matches("flags 0100 opcode 0 id 7 class 1", seen(s, { id = 7 }), 1, true)
      assert.matches("flags 0030 ", seen(s, { rd = false, cd = true, ad = true }), 1, true)
      assert.rcode("NOTIMP", s:query("x.test. TXT", { opcode = "STATUS" }))
      assert.rcode("REFUSED", s:query "x.test. TXT CH")
    end)
    it("with any octets", function()
      assert.rcode("FORMERR", s:query(nil, { packet = "ab" .. ("\0"):rep(9) .. "\1" }))
      assert.is_nil(s:query(nil, { packet = "ab" }))
    end)
    it("in the client's letter case", function()
      assert.matches("^X%.Test%. 0 IN TXT", s:query("X.Test. TXT").answer[1])
    end)
    it("only what is a question", function()
      assert.has_error(function() s:query "x.test." end,
        "'x.test.' is no question: expected NAME TYPE, such as \"www.example.org. A\"")
      assert.has_error(function() s:query "x.test. APE" end, "'APE' is not a record type")
    end)
  end)

  it("answers with a reply that reads as text", function()
    local s = server "hosts {\n 192.0.2.1 a.test\n }"
    local reply = s:query("a.test. A", { edns = 4096 })
    assert.same({ "a.test. 3600 IN A 192.0.2.1" }, reply.answer)
    assert.equal("hosts", reply.plugin)
    assert.equal("NOERROR", reply.rcode)
    assert.is_true(reply.flags.aa)
    assert.same({ size = 4096, version = 0, ["do"] = false, options = {} }, reply.edns)
    assert.equal("NOERROR, flags: aa rd, 51 octets, by hosts\nanswer:     a.test. 3600 IN A 192.0.2.1", tostring(reply))
    assert.rcode("BADVERS", s:query("a.test. A", { version = 1 }))
  end)

  it("tells what was logged and counted since it began", function()
    local s = server "count"
    s:log()
    s:query "a.count.test. TXT"
    s:query "b.count.test. TXT"
    assert.log("seen 2", s)
    assert.equal("[INFO] plugin/count: seen 1\n[INFO] plugin/count: seen 2\n", s:peek_log())
    assert.matches("# TYPE coredns_count_level gauge", s:metrics_text(), 1, true)
    assert.equal("[INFO] plugin/count: seen 1\n[INFO] plugin/count: seen 2\n", s:log())
    assert.equal("", s:log())
    assert.equal(2, s:metric "coredns_count_seen_total")
    assert.equal(2, s:metric("coredns_count_seen_total", { kind = "all" }))
    assert.equal(2, s:metric 'coredns_count_seen_total{kind="all"}')
    assert.is_nil(s:metric("coredns_count_seen_total", { kind = "none" }))
    assert.is_nil(s:metric "coredns_count_unseen_total")
    s = server "count"
    assert.equal(0, s:metric "coredns_count_seen_total")
    assert.equal(2, s:metric "coredns_count_level") -- a gauge is what it is
  end)

  it("lets time pass to each timer in its turn", function()
    local s = server "tick\nmirror"
    s:log()
    s:advance "1050ms"
    assert.equal(10, select(2, s:log():gsub(": tick", "")))
    s:advance(1)
    assert.equal(10, select(2, s:log():gsub(": tick", "")))
    assert.has_error(function() s:advance "soon" end)
    assert.is_true(s:step(5) < 0.11) -- to the next tick
  end)

  describe("reloads", function()
    it("with what is in its files then", function()
      local directory = t.files(files)
      local s = t.server(". {\n count\n}", { directory = directory })
      assert.answer('count.test. 0 TXT "1"', s:query "count.test. TXT")
      assert.answer('count.test. 0 TXT "2"', s:query "count.test. TXT")
      s:reload()
      assert.answer('count.test. 0 TXT "1"', s:query "count.test. TXT")
      directory:write("count.lua", (files["count.lua"]:gsub("seen %+ 1", "seen + 10")))
      s:reload()
      assert.answer('count.test. 0 TXT "10"', s:query "count.test. TXT")
    end)
    it("to another Corefile, or stays as it is when that is wrong", function()
      local s = server "hosts {\n 192.0.2.1 a.test\n }"
      s:reload ". {\n hosts {\n 192.0.2.2 a.test\n }\n}"
      assert.answer("a.test. 3600 IN A 192.0.2.2", s:query "a.test. A")
      local ok, err = s:try_reload ". {\n cache {\n success few\n }\n}"
      assert.is_nil(ok)
      assert.matches("Corefile:3: cache:", err, 1, true)
      assert.has_error(function() s:reload ". {\n bogus\n}" end)
      assert.answer("a.test. 3600 IN A 192.0.2.2", s:query "a.test. A")
    end)
    it("while queries wait, which end where they began", function()
      local s = server "forward . 10.0.0.1"
      s:upstream { default = { answer = "a.test. 60 A 192.0.2.1", delay = "1s" } }
      local q = s:send "a.test. A"
      s:reload ". {\n hosts {\n 192.0.2.2 a.test\n }\n}"
      assert.answer("a.test. 3600 IN A 192.0.2.2", s:query "a.test. A")
      assert.is_nil(s:finish(q))
      assert.equal(2, #s.generations)
      s:advance "1s"
      assert.answer("a.test. 60 IN A 192.0.2.1", s:finish(q))
      s:turn()
      assert.equal(1, #s.generations)
    end)
    it("a thousand times without growing", function()
      local s = server "count\nforward . 10.0.0.1\ncache"
      local function churn(n)
        for _ = 1, n do
          s:reload()
          s:query "count.test. TXT"
          s:log()
        end
        collectgarbage()
        collectgarbage()
        return collectgarbage "count"
      end
      local before = churn(50)
      assert.is_true(churn(200) - before < 1000)
    end)
    it("between every two queries when told to", function()
      t.mode.reload = true
      finally(function() t.mode.reload = false end)
      local s = server "count"
      assert.answer('count.test. 0 TXT "1"', s:query "count.test. TXT")
      assert.answer('count.test. 0 TXT "1"', s:query "count.test. TXT")
    end)
  end)
end)

describe("files of a spec", function()
  it("are there until the end", function()
    local directory = t.files { ["a/b/c.txt"] = "c" }
    local f = assert(io.open(directory.path .. "/a/b/c.txt"))
    assert.equal("c", f:read "*a")
    f:close()
    directory:write("a/b/c.txt", "d")
    assert.has_error(function() directory:write("../x", "") end)
    directory:close()
    assert.is_nil(io.open(directory.path))
  end)
  it("are found beside the spec, or above a folder spec/", function()
    assert.equal("spec/dns", t.directory())
  end)
end)

describe("server:on_close", function()
  it("runs when a generation ends", function()
    local directory = t.files { ["closing.lua"] = [[
return require("dns").plugin { name = "closing", options = {}, setup = function(_, next, server)
  server:on_close(function() server:log("info", "closed in %s", server.role) end)
  return function(q) return next(q) end
end }]] }
    local s = t.server(". {\n closing\n}", { directory = directory })
    s:reload()
    s:turn()
    assert.log("plugin/closing: closed in worker", s)
    assert.log("plugin/closing: closed in control", s)
  end)
end)
