local t = require "dns.test"

local SCRIPT = {
  ["both.example. AAAA"] = "both.example. 300 IN AAAA 2001:db8::1",
  ["both.example. A"] = "both.example. 300 IN A 192.0.2.1",
  ["alias.example. AAAA"] = "alias.example. 300 IN CNAME both.example.\nboth.example. 300 IN AAAA 2001:db8::1",
  ["six.example. AAAA"] = "six.example. 300 IN AAAA 2001:db8::6",
  ["six.example. A"] = { rcode = "NOERROR" },
  ["gone.example. AAAA"] = { rcode = "NXDOMAIN" },
  ["mail.example. MX"] = { answer = "mail.example. 300 IN MX 10 both.example.",
    additional = "both.example. 300 IN A 192.0.2.1\nboth.example. 300 IN AAAA 2001:db8::1" },
}

local function serve(options)
  return t.server((". {\n filter_aaaa {\n%s\n }\n forward . 10.0.0.1\n}"):format(options or ""), { upstream = SCRIPT })
end

describe("filter_aaaa", function()
  after_each(t.close_all)

  it("takes IPv6 addresses out", function()
    local s = serve()
    local reply = s:query "both.example. AAAA"
    assert.nodata(reply)
    assert.matches("^%. 60 IN SOA", reply.authority[1])
    assert.answer("alias.example. 300 IN CNAME both.example.", s:query "alias.example. AAAA")
    assert.additional("both.example. 300 IN A 192.0.2.1", s:query "mail.example. MX")
  end)
  it("leaves everything else", function()
    local s = serve()
    assert.answer("both.example. 300 IN A 192.0.2.1", s:query "both.example. A")
    assert.nxdomain(s:query "gone.example. AAAA")
    assert.answer("mail.example. 300 IN MX 10 both.example.", s:query "mail.example. MX")
  end)
  it("leaves excepted names", function()
    local s = serve "except six.example\n except x.example y.example"
    assert.answer("six.example. 300 IN AAAA 2001:db8::6", s:query "six.example. AAAA")
    assert.nodata(s:query "both.example. AAAA")
  end)
  it("filters for some clients only", function()
    local s = serve "clients 10.0.0.0/8"
    assert.nodata(s:query("both.example. AAAA", { client = "10.1.1.1" }))
    assert.answer("both.example. 300 IN AAAA 2001:db8::1", s:query("both.example. AAAA", { client = "192.0.2.1" }))
  end)
  it("leaves names that have no IPv4 address, when told to", function()
    local s = serve "only_with_a"
    assert.nodata(s:query "both.example. AAAA")
    assert.answer("six.example. 300 IN AAAA 2001:db8::6", s:query "six.example. AAAA")
  end)
  it("leaves what is signed, unless told to", function()
    local s = serve()
    assert.answer("both.example. 300 IN AAAA 2001:db8::1", s:query("both.example. AAAA", { ["do"] = true }))
    s = serve "break_dnssec"
    assert.nodata(s:query("both.example. AAAA", { ["do"] = true }))
  end)
  it("counts", function()
    local s = serve()
    for _, question in ipairs { "both.example. AAAA", "both.example. A", "mail.example. MX", "gone.example. AAAA" } do
      s:query(question)
    end
    assert.metric(2, s, "coredns_filter_aaaa_filtered_total")
  end)
  it("explains a wrong option", function()
    assert.corefile_error("'10.0.0/8' is neither a network nor an IP address",
      ". {\n filter_aaaa {\n clients 10.0.0/8\n }\n}")
    assert.corefile_error("filter_aaaa", ". {\n filter_aaaa six.example\n}")
  end)
  it("stays compiled and allocates nothing", function()
    local s = t.server(". {\n filter_aaaa {\n except six.example\n }\n hosts {\n" ..
      " 2001:db8::1 both.example\n 192.0.2.1 both.example\n 2001:db8::6 six.example\n }\n}")
    assert.nodata(s:query "both.example. AAAA")
    assert.hot(s, { "both.example. AAAA", "both.example. A", "six.example. AAAA" })
  end)
end)
