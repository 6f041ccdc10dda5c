local t = require "dns.test"

local function server(to) return t.server((". {\n forward . %s {\n policy sequential\n }\n}"):format(to or "10.0.0.1")) end
local line = "a.test. 60 IN A 192.0.2.1"

describe("scripted upstreams", function()
  it("answer what the script says, by question in any spelling", function()
    local s = server()
    s:upstream { ["A.test a"] = line, ["b.test. AAAA"] = { rcode = "NXDOMAIN", authority = "test. 60 IN SOA a. b. 1 2 3 4 5" } }
    assert.answer(line, s:query "a.test. A")
    local reply = s:query "b.test. AAAA"
    assert.nxdomain(reply)
    assert.authority("test. 60 IN SOA a. b. 1 2 3 4 5", reply)
    assert.rcode("REFUSED", s:query "c.test. A")
    assert.same({ "a.test. A", "b.test. AAAA", "c.test. A" },
      { s.asked[1].question, s.asked[2].question, s.asked[3].question })
  end)
  it("answer by their address", function()
    local s = server "10.0.0.1 10.0.0.2"
    s:upstream { ["10.0.0.1:53"] = { default = { code = "connect" } }, ["10.0.0.2:53"] = { ["a.test. A"] = line } }
    assert.answer(line, s:query "a.test. A")
    assert.same({ "10.0.0.1:53", "10.0.0.2:53" }, { s.asked[1].to, s.asked[#s.asked].to })
  end)
  it("answer late", function()
    local s = server()
    s:upstream { default = { answer = line, delay = "1500ms" } }
    local q = s:send "a.test. A"
    s:advance "1499ms"
    assert.is_nil(s:finish(q))
    s:advance "1ms"
    assert.answer(line, s:finish(q))
  end)
  it("stay silent, or answer with a wrong id", function()
    for _, answer in ipairs { { drop = true }, { wrong_id = true, answer = line } } do
      local s = server()
      s:upstream { default = answer }
      assert.rcode("SERVFAIL", s:query "a.test. A")
      assert.is_true(#s.asked >= 1)
    end
  end)
  it("answer another question first, which is not taken for the reply", function()
    local s = server()
    s:upstream { default = { question = "b.test. A", answer = "b.test. 60 IN A 192.0.2.2" } }
    assert.rcode("SERVFAIL", s:query "a.test. A")
  end)
  it("truncate", function()
    local s = server()
    s:upstream { default = { truncate = true } }
    assert.is_true(s:query("a.test. A").flags.tc)
  end)
  it("answer one after another", function()
    local s = server()
    s:upstream { default = { { rcode = "SERVFAIL" }, { rcode = "NXDOMAIN" } } }
    assert.rcode("SERVFAIL", s:query "a.test. A")
    assert.rcode("NXDOMAIN", s:query "a.test. A")
    assert.rcode("NXDOMAIN", s:query "a.test. A")
  end)
  it("see the whole packet", function()
    local s = server()
    s:upstream(function(_, exchange)
      return exchange.packet:find("\0\8\0\7\0\1\24\0\192\0\2", 1, true) and line or nil
    end)
    assert.answer(line, s:query("a.test. A", { subnet = "192.0.2.0/24" }))
  end)
  it("explain a wrong script", function()
    local s = server()
    assert.has_error(function() s:upstream { ["a.test."] = line } end)
    local function wrong(text, answer)
      s:upstream { default = answer }
      local ok, err = pcall(s.query, s, "a.test. A")
      assert.is_false(ok)
      assert.matches(text, err, 1, true)
    end
    wrong("unknown field 'anwser'; did you mean 'answer'?", { anwser = line })
    wrong("unknown code 'conect'; did you mean 'connect'?", { code = "conect" })
    wrong("'NXDOMIAN' is not a response code", { rcode = "NXDOMIAN" })
  end)
end)
