local t = require "dns.test"

local COREFILE = [[
. {
  horizon www.example.org api.example.org {
    view inside 10.0.0.0/8 2001:db8::/32
    view lab 10.9.0.0/16
    answer inside "A 10.0.0.5" "AAAA 2001:db8::5"
    answer lab "A 10.9.0.5"
    answer lab "TXT \"the lab\""
    answer else "A 192.0.2.1"
    trust 172.16.0.1
  }
}]]

local RESOLVER = "172.16.0.1"

describe("horizon", function()
  local s
  before_each(function() s = t.server(COREFILE) end)
  after_each(t.close_all)

  local function address(options)
    return (s:query("www.example.org. A", options).answer[1] or "none"):match "%S+$"
  end

  it("answers by the client's network, the longest prefix first", function()
    assert.answer("www.example.org. 60 IN A 10.0.0.5", s:query("www.example.org. A", { client = "10.1.2.3" }))
    assert.answer("www.example.org. 60 IN AAAA 2001:db8::5", s:query("www.example.org. AAAA", { client = "[2001:db8::1]:53" }))
    assert.answer("www.example.org. 60 IN A 10.9.0.5", s:query("www.example.org. A", { client = "10.9.0.1" }))
    assert.answer('api.example.org. 60 IN TXT "the lab"', s:query("api.example.org. TXT", { client = "10.9.0.1" }))
    assert.answer("www.example.org. 60 IN A 192.0.2.1", s:query("www.example.org. A", { client = "198.51.100.1" }))
  end)
  it("says that other types are not there", function()
    local reply = s:query("www.example.org. AAAA", { client = "198.51.100.1" })
    assert.nodata(reply)
    assert.matches("SOA", reply.authority[1])
  end)
  it("passes other names on", function()
    assert.passed(s, "example.org. A")
    assert.passed(s, "x.www.example.org. A")
  end)
  it("believes the client subnet of trusted resolvers only", function()
    assert.equal("10.0.0.5", address { client = RESOLVER, subnet = "10.1.2.0/24" })
    assert.equal("10.9.0.5", address { client = RESOLVER, subnet = "10.9.2.0/24" })
    assert.equal("192.0.2.1", address { client = RESOLVER, subnet = "203.0.113.0/24" })
    assert.equal("192.0.2.1", address { client = RESOLVER })
    assert.equal("192.0.2.1", address { client = "198.51.100.1", subnet = "10.1.2.0/24" })
  end)
  it("tells for which clients the answer is meant", function()
    local reply = s:query("www.example.org. A", { client = RESOLVER, subnet = "10.1.2.0/24" })
    assert.equal("10.1.2.0/24", reply.edns.subnet)
    assert.equal(24, reply.edns.options[8]:byte(4)) -- the scope, RFC 7871 section 6
    -- /0: the client does not want to be known.
    assert.equal("192.0.2.1", address { client = RESOLVER, subnet = "0.0.0.0/0" })
  end)
  it("passes on who has no view when there is no else", function()
    s = t.server ". {\n horizon www.example.org {\n view inside 10.0.0.0/8\n answer inside \"A 10.0.0.5\"\n }\n}"
    assert.passed(s, "www.example.org. A", { client = "192.0.2.1" })
    assert.equal("10.0.0.5", address { client = "10.0.0.1" })
  end)
  it("stands several times in a block", function()
    s = t.server(". {\n horizon a.example {\n answer else \"A 192.0.2.1\"\n ttl 5s\n }\n" ..
      " horizon b.example {\n answer else \"CNAME a.example.\"\n }\n}")
    assert.answer("a.example. 5 IN A 192.0.2.1", s:query "a.example. A")
    assert.answer("b.example. 60 IN CNAME a.example.", s:query "b.example. A")
  end)
  it("counts by view", function()
    address { client = "10.9.0.1" }
    address { client = "10.9.0.2" }
    address { client = "198.51.100.1" }
    assert.metric(2, s, "coredns_horizon_answered_total", { view = "lab" })
    assert.metric(1, s, "coredns_horizon_answered_total", { view = "else" })
  end)
  it("explains a wrong option", function()
    local function wrong(text, body) assert.corefile_error(text, ". {\n horizon a.example {\n" .. body .. "\n }\n}") end
    wrong("Corefile:3: horizon: answer: there is no view 'insid': expected one of inside, else",
      "answer insid \"A 10.0.0.5\"\n view inside 10.0.0.0/8")
    wrong("answer: 'A 10.0.0': ", "answer else \"A 10.0.0\"")
    wrong("view: 10.0.0.0/8 is in the views 'a' and 'b'", "view a 10.0.0.0/8\n view b 10.0.0.0/8\n answer else \"A 192.0.2.1\"")
    wrong("view: 'else' is the view of all other clients", "view else 10.0.0.0/8\n answer else \"A 192.0.2.1\"")
    wrong("'10.0.0/8' is neither a network nor an IP address", "view a 10.0.0/8\n answer a \"A 192.0.2.1\"")
    wrong("answer", "view a 10.0.0.0/8")
  end)
  it("stays compiled and allocates nothing", function()
    assert.hot(s, { { "www.example.org. A", { client = "10.1.2.3" } }, { "www.example.org. A", { client = "10.9.0.1" } },
      { "api.example.org. AAAA", { client = "198.51.100.1" } }, "example.org. A" })
    assert.hot(s, { { "www.example.org. A", { client = RESOLVER, subnet = "10.9.2.0/24" } } })
  end)
end)
