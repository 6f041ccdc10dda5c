local t = require "dns.test"

local A_BLOCK = [[
. {
  prometheus
  hosts /nonexistent {
    192.0.2.1 www.example.org
    2001:db8::1 www.example.org
    192.0.2.2 loud.example.org
  }
}
sub.example {
  prometheus :9153
  whoami
}
]]

--- How much a metric grows while fn runs; one that is not there yet counts from 0.
local function growth(s, wanted, fn)
  local before = s:metric(wanted) or 0
  fn()
  return (s:metric(wanted) or 0) - before
end

describe("prometheus", function()
  local s
  setup(function() s = t.server(A_BLOCK) end)

  it("counts queries by protocol, family and type", function()
    local base = 'coredns_dns_requests_total{server="dns://:53",view="",zone=".",'
    local function grows(labels, question, options)
      assert.equal(2, growth(s, base .. labels .. "}", function()
        s:query(question, options)
        s:query(question, options)
      end), labels)
    end
    grows('family="1",proto="udp",type="A"', "www.example.org. A")
    grows('family="1",proto="udp",type="AAAA"', "www.example.org. AAAA")
    grows('family="1",proto="tcp",type="A"', "www.example.org. A", { transport = "tcp" })
    grows('family="2",proto="udp",type="A"', "www.example.org. A", { client = "[2001:db8::9]:4000" })
    for _, kind in ipairs {
      "CNAME", "DNSKEY", "DS", "MX", "NSEC3", "NSEC", "NS", "PTR", "RRSIG", "SOA", "SRV", "TXT", "HTTPS", "SVCB", "ANY",
    } do
      grows(('family="1",proto="udp",type="%s"'):format(kind), "www.example.org. " .. kind)
    end
    for _, kind in ipairs { "CAA", "TYPE65280", "HINFO" } do
      grows('family="1",proto="udp",type="other"', "www.example.org. " .. kind)
    end
  end)

  it("counts what no zone takes as dropped, as CoreDNS", function()
    local own = t.server [[
a.example {
  prometheus
  whoami
}
b.example:54 {
  bind 127.0.0.1 ::1
  whoami
}
c.example:54 {
  bind 127.0.0.1 ::1
}
]]
    local function dropped(server, rcode, question, options)
      local labels = ('{server="%s",view="",zone="dropped"'):format(server)
      local before = {
        s:metric('coredns_dns_requests_total' .. labels .. ',family="1",proto="udp",type="A"}') or 0,
        s:metric("coredns_dns_request_duration_seconds_count" .. labels .. "}") or 0,
        s:metric("coredns_dns_response_size_bytes_sum" .. labels .. ',proto="udp"}') or 0,
        s:metric(('coredns_dns_responses_total%s,rcode="%s",plugin=""}'):format(labels, rcode)) or 0,
      }
      assert.rcode(rcode, own:query(question, options))
      assert.same({ 1, 1, 33, 1 }, {
        s:metric('coredns_dns_requests_total' .. labels .. ',family="1",proto="udp",type="A"}') - before[1],
        s:metric("coredns_dns_request_duration_seconds_count" .. labels .. "}") - before[2],
        s:metric("coredns_dns_response_size_bytes_sum" .. labels .. ',proto="udp"}') - before[3],
        s:metric(('coredns_dns_responses_total%s,rcode="%s",plugin=""}'):format(labels, rcode)) - before[4],
      })
    end
    dropped("dns://:53", "REFUSED", "www.example.org. A")
    dropped("dns://:53", "REFUSED", "wwwww.a.example. A CH")
    -- One address each, and a block without the plugin counts too.
    dropped("dns://127.0.0.1:54", "REFUSED", "www.example.org. A", { listener = 1 })
    dropped("dns://[::1]:54", "REFUSED", "www.example.org. A", { listener = 2 })
    -- A block with no plugin that answers.
    dropped("dns://[::1]:54", "REFUSED", "nowww.c.example. A", { listener = 2 })
    assert.rcode("NOERROR", own:query "www.a.example. A")
    assert.hot(own, { "www.example.org. A", "www.a.example. A" })
  end)

  it("counts a query whose plugin failed as dropped", function()
    local own = t.server("d.example {\n lua \"error 'broken'\"\n}\ne.example:54 {\n prometheus\n whoami\n}")
    local wanted = 'coredns_dns_responses_total{plugin="",rcode="SERVFAIL",server="dns://:53",zone="dropped"}'
    assert.equal(1, growth(s, wanted, function() assert.rcode("SERVFAIL", own:query "x.d.example. A") end))
  end)

  it("names the address that was asked", function()
    local own = t.server("f.example {\n bind 127.0.0.1 ::1\n prometheus\n whoami\n}")
    for listener, server in pairs { [0] = "dns://127.0.0.1:53", [1] = "dns://[::1]:53" } do
      local wanted = ('coredns_dns_requests_total{server="%s",zone="f.example."}'):format(server)
      assert.equal(1, growth(s, wanted, function() own:query("x.f.example. A", { listener = listener }) end), server)
      assert.equal(1, s:metric(('coredns_plugin_enabled{server="%s",zone="f.example.",name="whoami"}'):format(server)))
    end
  end)

  it("keeps zones apart", function()
    local zone = 'coredns_dns_requests_total{zone="sub.example."}'
    assert.equal(1, growth(s, zone, function() s:query "x.sub.example. A" end))
    assert.equal(0, growth(s, zone, function() s:query "www.example.org. A" end))
  end)

  it("counts replies by rcode and the plugin that wrote them", function()
    local function grows(labels, question)
      local wanted = "coredns_dns_responses_total{" .. labels .. "}"
      assert.equal(1, growth(s, wanted, function() s:query(question) end), labels)
    end
    grows('plugin="hosts",rcode="NOERROR",zone="."', "www.example.org. A")
    grows('plugin="whoami",rcode="NOERROR",zone="sub.example."', "www.sub.example. A")
    -- hosts leaves the error reply to the server.
    grows('plugin="",rcode="SERVFAIL",zone="."', "nothing.example.org. A")
  end)

  it("tells the plugins of one block apart", function()
    local own = t.server("two.example {\n prometheus\n hosts /nonexistent {\n 192.0.2.1 a.two.example\n fallthrough\n"
      .. " }\n whoami\n}")
    local function wrote(name, question)
      local wanted = ('coredns_dns_responses_total{plugin="%s",rcode="NOERROR",zone="two.example."}'):format(name)
      assert.equal(1, growth(own, wanted, function() own:query(question) end), name)
    end
    wrote("hosts", "a.two.example. A")
    wrote("whoami", "b.two.example. A")
    wrote("hosts", "a.two.example. A")
  end)

  it("counts DNSSEC queries", function()
    local wanted = 'coredns_dns_do_requests_total{server="dns://:53",view="",zone="."}'
    assert.equal(1, growth(s, wanted, function() s:query("www.example.org. A", { ["do"] = true, edns = 1232 }) end))
    assert.equal(0, growth(s, wanted, function() s:query("www.example.org. A", { edns = 1232 }) end))
  end)

  it("observes durations and sizes", function()
    local labels = '{server="dns://:53",view="",zone="."}'
    local function once(name, by, options)
      assert.equal(by, growth(s, name, function() s:query("www.example.org. A", options) end), name)
    end
    once("coredns_dns_request_duration_seconds_count" .. labels, 1)
    once('coredns_dns_request_duration_seconds_bucket{le="8.192",zone="."}', 1)
    once("coredns_dns_request_size_bytes_sum" .. labels, 33)
    once("coredns_dns_request_size_bytes_sum" .. labels, 44, { edns = 1232 })
    -- Names written out: 12 + 17 + 4 of the question, 17 + 10 + 4 of the answer.
    once("coredns_dns_response_size_bytes_sum" .. labels, 64)
    once('coredns_dns_response_size_bytes_count{proto="tcp",zone="."}', 1, { transport = "tcp" })
    once('coredns_dns_request_size_bytes_bucket{le="100",proto="udp",zone="."}', 1)
  end)

  it("passes on what the next plugin returns", function()
    assert.answer("www.example.org. 3600 IN A 192.0.2.1", s:query "www.example.org. A")
    assert.rcode("SERVFAIL", s:query "nothing.example.org. A")
  end)

  it("shows the plugins of a block until it ends", function()
    local own = t.server("shown.example {\n prometheus\n whoami\n}")
    local function value(name)
      local wanted = 'coredns_plugin_enabled{name="%s",server="dns://:53",view="",zone="shown.example."}'
      return s:metric(wanted:format(name))
    end
    assert.equal(1, value "prometheus")
    assert.equal(1, value "whoami")
    own:close()
    assert.equal(0, value "whoami")
  end)

  it("stays compiled and allocates nothing", function()
    assert.hot(s, {
      "www.example.org. A", "www.example.org. AAAA", "nothing.example.org. A", "x.sub.example. TXT",
      { "www.example.org. A", { edns = 1232, ["do"] = true } },
    })
  end)

  it("takes CoreDNS's options and explains what is wrong", function()
    t.server(". {\n prometheus 0.0.0.0:9153 {\n runtime_metrics\n }\n whoami\n}"):close()
    assert.corefile_error("Corefile:3: prometheus: tls: metrics are served in plain HTTP only",
      ". {\n prometheus {\n tls web.yml\n }\n}")
    assert.corefile_error("can only be used once per Server Block", ". {\n prometheus\n prometheus :9154\n}")
    assert.corefile_error("'9153x' has no valid port: expected [HOST]:PORT", ". {\n prometheus 9153x\n}")
  end)
end)
