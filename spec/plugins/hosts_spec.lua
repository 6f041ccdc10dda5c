local t = require "dns.test"

local path = os.tmpname()

local function write(text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

-- whoami stands for "the next plugin": it answers everything, with an empty answer section and an additional one.
local function passed(reply) return reply and reply.rcode == "NOERROR" and #reply.additional > 0 end

describe("hosts", function()
  teardown(function() os.remove(path) end)

  describe("with a file and lines", function()
    local s

    setup(function()
      write "10.0.0.1 www.Example.org example.org # front\n2001:db8::1 www.example.org\n10.0.0.3 www.example.org\n"
      s = t.server((". {\n hosts %s {\n  10.0.0.2 www.example.org WWW.example.org\n  127.0.0.53 *.example.org\n" ..
        "  fe80::1%%eth0 link\n  ttl 77\n }\n whoami\n}"):format(path))
    end)

    it("answers from the file first, then from the lines", function()
      local reply = s:query "www.example.org. A"
      assert.same({
        "www.example.org. 77 IN A 10.0.0.1", "www.example.org. 77 IN A 10.0.0.3", "www.example.org. 77 IN A 10.0.0.2",
        "www.example.org. 77 IN A 10.0.0.2",
      }, reply.answer)
      assert.is_true(reply.flags.aa)
    end)
    it("keeps the letter case of the question", function()
      assert.same({ "wWw.Example.ORG. 77 IN AAAA 2001:db8::1" }, s:query("wWw.Example.ORG. AAAA").answer)
    end)
    it("answers addresses with every name", function()
      assert.answer("1.0.0.10.in-addr.arpa. 77 IN PTR www.example.org.\n1.0.0.10.in-addr.arpa. 77 IN PTR example.org.",
        s:query "1.0.0.10.in-addr.arpa. PTR")
      local name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."
      assert.answer(name .. " 77 IN PTR www.example.org.", s:query(name .. " PTR"))
    end)
    it("drops the zone of an IPv6 address", function()
      assert.answer("link. 77 IN AAAA fe80::1", s:query "link. AAAA")
    end)
    it("lets a wildcard stand for one label", function()
      assert.answer("a.example.org. 77 IN A 127.0.0.53", s:query "a.example.org. A")
      assert.rcode("SERVFAIL", s:query "a.b.example.org. A")
    end)
    it("says that a name has no record of a type", function()
      for _, question in ipairs { "example.org. AAAA", "example.org. MX", "a.example.org. TXT" } do
        local reply = s:query(question)
        assert.rcode("NOERROR", reply)
        assert.is_true(reply.flags.aa)
        assert.same({ {}, {}, {} }, { reply.answer, reply.authority, reply.additional })
      end
    end)
    it("fails for an unknown name", function()
      assert.rcode("SERVFAIL", s:query "nothing.example. A")
      assert.rcode("SERVFAIL", s:query "nothing.example. MX")
    end)
    it("passes an unknown address on", function()
      assert.is_true(passed(s:query "9.9.9.9.in-addr.arpa. PTR"))
      assert.is_true(passed(s:query "www.example.org. PTR"))
    end)
    it("stays compiled and allocates nothing", function()
      assert.hot(s, { "www.example.org. A", "www.example.org. AAAA", "1.0.0.10.in-addr.arpa. PTR", "example.org. MX",
        "x.example.org. A" })
    end)
  end)

  it("keeps to its zones, but for PTR", function()
    write "10.0.0.1 a.example.org a.example.net\n10.0.0.2 b.example.net\n"
    local s = t.server((". {\n hosts %s example.org\n whoami\n}"):format(path))
    assert.answer("a.example.org. 3600 IN A 10.0.0.1", s:query "a.example.org. A")
    assert.is_true(passed(s:query "a.example.net. A"))
    assert.answer("1.0.0.10.in-addr.arpa. 3600 IN PTR a.example.org.", s:query "1.0.0.10.in-addr.arpa. PTR")
    assert.is_true(passed(s:query "2.0.0.10.in-addr.arpa. PTR"))
    assert.rcode("SERVFAIL", s:query "b.example.org. A")
  end)

  it("takes the server block's zones when it names none", function()
    write "10.0.0.1 a.example.org a.example.net\n"
    local s = t.server(("example.org {\n hosts %s\n}"):format(path))
    assert.answer("a.example.org. 3600 IN A 10.0.0.1", s:query "a.example.org. A")
    assert.equal(2, s:metric(('coredns_hosts_entries{hostsfile="%s"}'):format(path))) -- an address and its name
  end)

  it("falls through for unknown names of the zones given", function()
    local lines = "10.0.0.1 a.example.org a.example.net\n"
    local s = t.server((". {\n hosts /dev/null {\n %s fallthrough example.org\n }\n whoami\n}"):format(lines))
    assert.is_true(passed(s:query "b.example.org. A"))
    assert.is_true(passed(s:query "b.example.org. MX"))
    assert.is_false(passed(s:query "a.example.org. AAAA"))
    assert.is_false(passed(s:query "a.example.org. MX"))
    assert.rcode("SERVFAIL", s:query "b.example.net. A")
    s = t.server((". {\n hosts /dev/null {\n %s fallthrough\n }\n whoami\n}"):format(lines))
    assert.is_true(passed(s:query "b.example.net. A"))
  end)

  it("passes other types on with fallthrough_unsupported", function()
    local s = t.server(". {\n hosts /dev/null {\n 10.0.0.1 a.example.org a.example.net\n fallthrough example.org\n" ..
      " fallthrough_unsupported\n }\n whoami\n}")
    assert.is_true(passed(s:query "a.example.org. MX"))
    assert.is_false(passed(s:query "a.example.org. AAAA"))
    assert.is_false(passed(s:query "a.example.net. MX"))
  end)

  it("has no names of addresses with no_reverse", function()
    local s = t.server ". {\n hosts /dev/null {\n 10.0.0.1 a\n no_reverse\n }\n whoami\n}"
    assert.is_true(passed(s:query "1.0.0.10.in-addr.arpa. PTR"))
    assert.answer("a. 3600 IN A 10.0.0.1", s:query "a. A")
  end)

  it("reads a changed file with the next Corefile, also without reload", function()
    local corefile = (". {\n hosts %s {\n reload 0\n }\n}"):format(path)
    write "10.0.0.1 a\n"
    local before = t.server(corefile)
    assert.answer("a. 3600 IN A 10.0.0.1", before:query "a. A")
    write "10.0.0.22 a\n"
    local after = t.server(corefile)
    assert.answer("a. 3600 IN A 10.0.0.22", after:query "a. A")
    assert.equal(2, after:metric(('coredns_hosts_entries{hostsfile="%s"}'):format(path)))
  end)

  it("warns of a file that is not there, and of lines that are none", function()
    local s = t.server(". {\n hosts /nowhere/hosts {\n 10.0.0.1 a\n fallthough\n 10.0.0.2\n }\n}")
    local log = s:log()
    assert.matches("[WARNING] plugin/hosts: File does not exist: /nowhere/hosts\n", log, 1, true)
    assert.matches("Corefile:4: 'fallthough' is neither an option nor an IP address", log, 1, true)
    assert.matches("Corefile:5: no host name after '10.0.0.2'", log, 1, true)
    assert.answer("a. 3600 IN A 10.0.0.1", s:query "a. A")
  end)

  it("explains a wrong Corefile", function()
    assert.corefile_error("3: hosts: ttl: 0 is out of range", ". {\n hosts {\n ttl 0\n }\n}")
    assert.corefile_error("3: hosts: ttl: 65536 is out of range", ". {\n hosts {\n ttl 65536\n }\n}")
    assert.corefile_error("3: hosts: reload: 'soon' is not a duration", ". {\n hosts {\n reload soon\n }\n}")
    assert.corefile_error("4: hosts: unknown property '10.0.0.1'",
      ". {\n hosts {\n fallthrough\n 10.0.0.1 a\n }\n}")
    assert.corefile_error("3: hosts: fallthrough_unsupported: requires fallthrough",
      ". {\n hosts {\n fallthrough_unsupported\n }\n}")
    assert.corefile_error("unable to access hosts file '/dev/null/hosts': stat /dev/null/hosts: not a directory",
      ". {\n hosts /dev/null/hosts\n}")
    assert.corefile_error("this plugin can only be used once per Server Block: hosts", ". {\n hosts\n hosts\n}")
  end)
end)
