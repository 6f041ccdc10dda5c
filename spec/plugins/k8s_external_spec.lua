--- Plugin k8s_external: case 119, and what its options change.
local cluster = require "spec.plugins.kubernetes.cluster"
local fixture = require "spec.plugins.kubernetes.fixture"
local t = require "dns.test"

local HTTP = { "http 80/TCP" }
local objects = { unpack(fixture) }
objects[#objects + 1] = cluster.service("ns-a/named", "10.96.1.30", HTTP,
  { type = "LoadBalancer", status = { loadBalancer = { ingress = { { hostname = "lb.Cloud.example" } } } } })
objects[#objects + 1] = cluster.service("kube-system/dns-out", "10.96.0.11", { "dns 53/UDP" },
  { externalIPs = { "203.0.113.53" } })
objects[#objects + 1] = cluster.slice("kube-system/dns-out-1", "dns-out", { "10.244.0.53" }, { "dns 53/UDP" })

local function server(options, more)
  return cluster.server("ttl 30", objects, {
    before = "k8s_external example.org 113.0.203.in-addr.arpa {\n" .. (options or "") .. "\n}\n" .. (more or ""),
    after = "forward . 192.0.2.1",
  })
end

local function denied(rcode, reply, ttl)
  assert.rcode(rcode, reply)
  assert.same({}, reply.answer)
  assert.matches((" %d IN SOA ns1%%.dns%%.%%S+ hostmaster%%.dns%%.%%S+ %%d+ 7200 1800 86400 %d$"):format(ttl or 5, ttl or 5),
    reply.authority[1])
end

describe("k8s_external", function()
  local s
  setup(function() s = server() end)

  it("case 119: external addresses of a service, by name, port and address", function()
    local name = "lb.ns-a.example.org."
    assert.answer({ name .. " 5 IN A 203.0.113.8", name .. " 5 IN A 203.0.113.9" }, s:query(name .. " A"))
    local reply = s:query("_http._tcp." .. name .. " SRV")
    assert.answer("_http._tcp." .. name .. " 5 IN SRV 0 50 80 " .. name, reply)
    assert.equal(2, #reply.additional)
    assert.answer("8.113.0.203.in-addr.arpa. 5 IN PTR " .. name, s:query "8.113.0.203.in-addr.arpa. PTR")
    assert.answer("web.ns-a.svc.cluster.local. 30 IN A 10.96.1.1", s:query "web.ns-a.svc.cluster.local. A")
    assert.is_true(reply.flags.aa)
  end)
  it("tells names that are there from those that are not", function()
    for _, question in ipairs { "lb.ns-a.example.org. AAAA", "lb.ns-a.example.org. TXT", "ns-a.example.org. A",
      "example.org. A", "dns.example.org. A", "8.113.0.203.in-addr.arpa. A" } do
      denied("NOERROR", s:query(question))
    end
    for _, question in ipairs { "web.ns-a.example.org. A", "nosuch.ns-a.example.org. A", "nosuch.example.org. A",
      "_x._tcp.lb.ns-a.example.org. SRV", "a.b.c.lb.ns-a.example.org. A", "hl.ns-a.example.org. A", "x.dns.example.org. A",
      "7.113.0.203.in-addr.arpa. PTR", "ext.ns-a.example.org. A" } do
      denied("NXDOMAIN", s:query(question))
    end
  end)
  it("has an alias of a load balancer that is known by name", function()
    s:upstream { ["lb.cloud.example. A"] = { answer = "lb.cloud.example. 60 IN A 192.0.2.99" } }
    assert.answer({ "named.ns-a.example.org. 5 IN CNAME lb.cloud.example.", "lb.cloud.example. 60 IN A 192.0.2.99" },
      s:query "named.ns-a.example.org. A")
    assert.answer("named.ns-a.example.org. 5 IN SRV 0 100 80 lb.cloud.example.", s:query "named.ns-a.example.org. SRV")
  end)
  it("has a start of authority and name servers of its own", function()
    assert.matches("^example%.org%. 5 IN SOA ns1%.dns%.example%.org%. hostmaster%.dns%.example%.org%. %d+ 7200 1800 86400 5$",
      s:query("example.org. SOA").answer[1])
    local reply = s:query "example.org. NS"
    assert.answer("example.org. 5 IN NS ns1.dns.example.org.", reply)
    assert.same({ "ns1.dns.example.org. 5 IN A 203.0.113.53" }, reply.additional)
    assert.answer("ns1.dns.example.org. 5 IN A 203.0.113.53", s:query "ns1.dns.example.org. A")
    denied("NOERROR", s:query "ns1.dns.example.org. AAAA")
    assert.rcode("REFUSED", s:query("example.org. AXFR", { transport = "tcp" }))
  end)
  it("takes apex, ttl, headless and fallthrough", function()
    local other = server("ttl 60\napex names\nheadless\nfallthrough", "cache")
    assert.matches("^example%.org%. 60 IN SOA ns1%.names%.example%.org%. hostmaster%.names",
      other:query("example.org. SOA").answer[1])
    assert.answer({ "pod-0.hl.ns-a.example.org. 60 IN A 10.244.2.1", "pod-0.hl.ns-a.example.org. 60 IN A 10.244.2.6" },
      other:query "pod-0.hl.ns-a.example.org. A")
    assert.equal(4, #other:query("hl.ns-a.example.org. A").answer)
    assert.matches(" pod%-%d%.hl%.ns%-a%.example%.org%.$", other:query("pod-0.hl.ns-a.example.org. SRV").answer[1])
    other:upstream { ["www.example.org. A"] = { answer = "www.example.org. 60 IN A 192.0.2.7" } }
    for _ = 1, 2 do assert.answer("www.example.org. 60 IN A 192.0.2.7", other:query "www.example.org. A") end
    assert.equal(1, #other.asked)
  end)
  it("fails for absent names until the cluster's are known", function()
    local cold = cluster.server("", nil, { before = "k8s_external example.org" })
    assert.rcode("SERVFAIL", cold:query "lb.ns-a.example.org. A")
  end)
  it("stays compiled and allocates nothing", function()
    assert.hot(s, { "lb.ns-a.example.org. A", "nosuch.ns-a.example.org. A", "lb.ns-a.example.org. SRV" })
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error("plugin/k8s_external: kubernetes plugin not loaded", ". {\n k8s_external example.org\n}")
    assert.corefile_error("ttl must be in range [0, 3600]: 3601", ". {\n k8s_external a {\n ttl 3601\n }\n}")
    assert.corefile_error("apex: expected one label", ". {\n k8s_external a {\n apex a.b\n }\n}")
    assert.corefile_error("unknown property 'zone'", ". {\n k8s_external a {\n zone b\n }\n}")
  end)
  teardown(function() t.close_all() end)
end)
