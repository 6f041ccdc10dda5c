--- What the options of plugin kubernetes change: cases 50, 61, 62, 79 to 81, 89, 94 to 102, 116, 118; and wrong Corefiles.
local cluster = require "spec.plugins.kubernetes.cluster"
local fixture = require "spec.plugins.kubernetes.fixture"
local t = require "dns.test"

local S = ".svc.cluster.local. "

local function server(options, more) return cluster.server(options, more and more.objects or fixture, more) end

--- Addresses of the answer, sorted.
local function addresses(s, question, options)
  local reply = s:query(question, options or { edns = 4096 })
  assert.rcode("NOERROR", reply)
  local out = {}
  for i, record in ipairs(reply.answer) do out[i] = record:match " IN A+ (%S+)$" end
  table.sort(out)
  return table.concat(out, " ")
end

local function nxdomain(s, ...)
  for _, question in ipairs { ... } do
    local reply = s:query(question)
    assert.rcode("NXDOMAIN", reply)
    assert.equal(1, #reply.authority)
  end
end

local function nodata(s, question)
  local reply = s:query(question)
  assert.rcode("NOERROR", reply)
  assert.same({}, reply.answer)
  assert.matches(" IN SOA ", reply.authority[1])
end

describe("kubernetes options", function()
  it("case 50: endpoint_pod_names", function()
    local s = server "endpoint_pod_names"
    assert.equal("10.244.2.3", addresses(s, "hl-xyz.hl.ns-a" .. S .. "A"))
    nxdomain(s, "10-244-2-3.hl.ns-a" .. S .. "A")
  end)

  it("cases 61, 62: large answers are cut to the client's size, whole over TCP", function()
    local objects, ips = { cluster.namespace "ns-b", cluster.service("ns-b/large", "None", { "http 80/TCP" }) }, {}
    for i = 1, 1000 do ips[i] = ("10.200.%d.%d"):format(i / 250, i % 250) end
    for i = 0, 9 do
      local own = { unpack(ips, i * 100 + 1, i * 100 + 100) }
      objects[#objects + 1] = cluster.slice("ns-b/large-" .. i, "large", own, { "http 80/TCP" })
    end
    local s = server("ttl 30", { objects = objects })
    for _, limit in ipairs { 512, 1232, 4096 } do
      local reply = s:query("large.ns-b" .. S .. "A", { edns = limit ~= 512 and limit or nil })
      assert.is_true(reply.flags.tc)
      local n = #reply.answer
      assert.is_true(n >= math.floor(limit / 16) - 6 and n <= limit / 16, n .. " records in " .. limit)
    end
    local reply = s:query("large.ns-b" .. S .. "A", { transport = "tcp" })
    assert.is_falsy(reply.flags.tc)
    assert.equal(1000, #reply.answer)
  end)

  it("case 79: pods disabled", function()
    nxdomain(server "", "10-244-2-1.ns-a.pod.cluster.local. A", "ns-a.pod.cluster.local. A")
  end)
  it("cases 80, 81: pods verified", function()
    local s = server "pods verified"
    assert.equal("10.244.2.1", addresses(s, "10-244-2-1.ns-a.pod.cluster.local. A"))
    nxdomain(s, "9-9-9-9.ns-a.pod.cluster.local. A", "10-244-9-10.ns-a.pod.cluster.local. A",
      "10-244-9-9.ns-a.pod.cluster.local. A")
    assert.equal("fd00:10:244:9::b", addresses(s, "fd00-10-244-9--b.ns-a.pod.cluster.local. AAAA"))
    assert.equal("10.244.9.11", addresses(s, "10-244-9-11.ns-a.pod.cluster.local. A"))
  end)

  it("case 89: names of unknown addresses fall through", function()
    local s = server("fallthrough in-addr.arpa ip6.arpa", { after = "forward . 192.0.2.1" })
    s:upstream { ["99.99.99.10.in-addr.arpa. PTR"] = { answer = "99.99.99.10.in-addr.arpa. 60 IN PTR up.example." } }
    assert.answer("99.99.99.10.in-addr.arpa. 60 IN PTR up.example.", s:query "99.99.99.10.in-addr.arpa. PTR")
    nxdomain(s, "nosuch.ns-a" .. S .. "A")
  end)
  it("case 94: zones given as networks", function()
    local s = server("", { zones = "cluster.local 10.96.0.0/24", after = "whoami" })
    assert.matches("kube%-dns%.kube%-system%.svc%.cluster%.local%.$", s:query("10.0.96.10.in-addr.arpa. PTR").answer[1])
    assert.matches("^0%.96%.10%.in%-addr%.arpa%. .* SOA", s:query("99.0.96.10.in-addr.arpa. PTR").authority[1])
    assert.equal(0, #s:query("1.1.96.10.in-addr.arpa. PTR").authority)
  end)

  it("case 95: namespaces", function()
    local s = server "namespaces ns-a"
    assert.equal("10.96.1.1", addresses(s, "web.ns-a" .. S .. "A"))
    nxdomain(s, "web.ns-b" .. S .. "A", "1.2.96.10.in-addr.arpa. PTR", "ns-b" .. S .. "A")
    assert.equal(1, #s:query("3.2.244.10.in-addr.arpa. PTR").answer)
  end)
  it("case 96: a namespace that is no longer selected", function()
    local s = server "namespace_labels team=a"
    assert.equal("10.96.1.1", addresses(s, "web.ns-a" .. S .. "A"))
    cluster.event(s, "DELETED", cluster.namespace "ns-a")
    nxdomain(s, "web.ns-a" .. S .. "A", "ns-a" .. S .. "A", "1.1.96.10.in-addr.arpa. PTR", "1.1.244.10.in-addr.arpa. PTR")
    cluster.event(s, "ADDED", cluster.namespace "ns-a")
    assert.equal("10.96.1.1", addresses(s, "web.ns-a" .. S .. "A"))
  end)
  it("case 98: noendpoints", function()
    local s = server "noendpoints"
    nxdomain(s, "hl.ns-a" .. S .. "A", "10-244-1-1.web.ns-a" .. S .. "A", "1.1.244.10.in-addr.arpa. PTR")
    assert.equal("10.96.1.1", addresses(s, "web.ns-a" .. S .. "A"))
    assert.equal(1, #s:query("1.1.96.10.in-addr.arpa. PTR").answer)
  end)
  it("case 99: ignore empty_service", function()
    local s = server "ignore empty_service"
    nxdomain(s, "noname.ns-a" .. S .. "A")
    assert.equal("10.96.1.1", addresses(s, "web.ns-a" .. S .. "A"))
    assert.answer("ext.ns-a.svc.cluster.local. 5 IN CNAME ext.example.", s:query("ext.ns-a" .. S .. "CNAME"))
  end)
  it("case 100: fallthrough, everywhere and below a zone", function()
    local s = server("fallthrough", { after = "whoami" })
    assert.equal(0, #s:query("foo.cluster.local. A").authority)
    assert.equal("10.96.1.1", addresses(s, "web.ns-a" .. S .. "A"))
    s = server("fallthrough svc.cluster.local", { after = "whoami" })
    nxdomain(s, "foo.cluster.local. A")
    assert.equal(0, #s:query("f.b" .. S .. "A").authority)
  end)
  it("case 101: ttl", function()
    for _, case in ipairs { { "", 5, 5 }, { "ttl 0", 0, 0 }, { "ttl 3600", 3600, 300 } } do
      local s = server(case[1])
      assert.answer(("web.ns-a.svc.cluster.local. %d IN A 10.96.1.1"):format(case[2]), s:query("web.ns-a" .. S .. "A"))
      assert.matches((" %d IN SOA .* %d$"):format(case[3], case[2]), s:query("nosuch.ns-a" .. S .. "A").authority[1])
    end
  end)
  it("case 102: zonal", function()
    local objects = {
      cluster.namespace "ns-a", cluster.service("ns-a/hz", "None", { "http 80/TCP" }), cluster.service("ns-a/web", "10.96.1.1"),
      cluster.slice("ns-a/hz-1", "hz", { "10.0.0.1 e1 zone=us-west-2a", "10.0.0.2 e2 zone=Two.Parts", "10.0.0.3 e3" },
        { "http 80/TCP" }),
    }
    local s = server("zonal", { objects = objects })
    assert.equal("10.0.0.1", addresses(s, "us-west-2a.pin._zone.hz.ns-a" .. S .. "A"))
    assert.equal("10.0.0.2", addresses(s, "two.parts.pin._zone.hz.ns-a" .. S .. "A"))
    nodata(s, "us-west-2c.pin._zone.hz.ns-a" .. S .. "A")
    nodata(s, "us-west-2c.pin._zone.hz.ns-a" .. S .. "TXT")
    assert.equal("10.0.0.1", addresses(s, "us-west-2a.prefer._zone.hz.ns-a" .. S .. "A"))
    assert.equal("10.0.0.1 10.0.0.2 10.0.0.3", addresses(s, "us-west-2c.prefer._zone.hz.ns-a" .. S .. "A"))
    assert.equal(3, #s:query("us-west-2c.prefer._zone.hz.ns-a" .. S .. "SRV").answer)
    nxdomain(s, "us-west-2a.other._zone.hz.ns-a" .. S .. "A", "us-west-2a.pin._zone.web.ns-a" .. S .. "A",
      "us-west-2a.pin._zone.nosuch.ns-a" .. S .. "A", "pin._zone.hz.ns-a" .. S .. "A")
    nxdomain(server("", { objects = objects }), "us-west-2a.pin._zone.hz.ns-a" .. S .. "A")
  end)

  it("tells equal addresses and equal names apart", function()
    local s = server("ttl 30", { zones = "cluster.local in-addr.arpa", objects = {
      cluster.namespace "ns-a", cluster.service("ns-a/two", "None", { "http 80/TCP" }),
      cluster.slice("ns-a/two-1", "two", { "10.0.0.1 b", "10.0.0.1 a", "10.0.0.2 a", "10.0.0.1 b" },
        { "http 80/TCP", "h2 80/TCP" }),
    } })
    assert.equal("10.0.0.1 10.0.0.2", addresses(s, "two.ns-a" .. S .. "A"))
    assert.equal("10.0.0.1", addresses(s, "b.two.ns-a" .. S .. "A"))
    assert.equal(2, #s:query("1.0.0.10.in-addr.arpa. PTR").answer)
    local reply = s:query("two.ns-a" .. S .. "SRV")
    assert.equal(2, #reply.answer)
    assert.equal(3, #reply.additional)
  end)
  it("case 116: absurd names", function()
    local s = server("ttl 30")
    local long = ("a"):rep(63)
    nxdomain(s, ("%s.%s.%s.%s.cluster.local. A"):format(long, long, long, ("b"):rep(45)), "_a._b._c._d.ns-a" .. S .. "A",
      long .. ".ns-a" .. S .. "SRV", "web-.ns-a" .. S .. "A", "-.ns-a.pod.cluster.local. A", "_.ns-a" .. S .. "A",
      "_._.nosuch.ns-a" .. S .. "SRV", "a.b.c.d.e.f.g.h.i.j.k.cluster.local. A")
  end)
  it("case 118: a cluster set", function()
    local s = server("multicluster clusterset.local", { zones = "cluster.local clusterset.local", objects = {
      cluster.namespace "ns-a", cluster.import("ns-a/web", "ClusterSetIP", { "10.112.0.1" }, { "http 80/TCP" }),
      cluster.import("ns-a/hl", "Headless", nil, { "http 80/TCP" }), cluster.service("ns-a/web", "10.96.1.1", { "http 80/TCP" }),
      cluster.slice("ns-a/i1", "hl", { "10.113.0.1 pod-0" }, { "http 80/TCP" }, { cluster = "cluster1" }),
      cluster.slice("ns-a/i2", "hl", { "10.113.0.2 pod-0" }, { "http 80/TCP" }, { cluster = "cluster2" }),
    } })
    local M = ".ns-a.svc.clusterset.local. "
    assert.equal("10.112.0.1", addresses(s, "web" .. M .. "A"))
    assert.equal("10.96.1.1", addresses(s, "web.ns-a" .. S .. "A"))
    assert.answer("_http._tcp.web.ns-a.svc.clusterset.local. 5 IN SRV 0 100 80 web.ns-a.svc.clusterset.local.",
      s:query("_http._tcp.web" .. M .. "SRV"))
    assert.equal("10.113.0.1 10.113.0.2", addresses(s, "hl" .. M .. "A"))
    assert.equal("10.113.0.2", addresses(s, "pod-0.cluster2.hl" .. M .. "A"))
    nxdomain(s, "pod-0.hl" .. M .. "A", "pod-0.cluster3.hl" .. M .. "A", "noname" .. M .. "A")
    nodata(s, "web" .. M .. "AAAA")
    local reply = s:query("hl" .. M .. "SRV")
    assert.equal(2, #reply.answer)
    assert.matches("pod%-0%.cluster[12]%.hl%.ns%-a%.svc%.clusterset%.local%.$", reply.answer[1])
  end)

  describe("in a Corefile", function()
    local function refused(text, options, zones)
      assert.corefile_error(text, (". {\n kubernetes %s {\n  %s\n }\n}"):format(zones or "cluster.local", options))
    end
    it("explains what is wrong", function()
      refused("3: kubernetes: ttl must be in range [0, 3600]: 3601", "ttl 3601")
      refused("3: kubernetes: ttl must be in range [0, 3600]: -1", "ttl -1")
      refused("3: kubernetes: wrong value for pods: some,  must be one of: disabled, verified, insecure", "pods some")
      refused("namespaces and namespace_labels cannot both be set", "namespaces a\n namespace_labels b")
      refused("unable to parse ignore value: 'all'", "ignore all")
      refused("unable to parse label selector value: 'a=b=c'", "labels a=b=c")
      refused("unable to parse label selector value: 'a in b'", "labels a in b")
      refused("unable to parse namespace_label selector value: 'x,,y'", "namespace_labels x,,y")
      refused("zonal requires the endpoint cache; remove noendpoints", "zonal\n noendpoints")
      refused("is not authoritative for the multicluster zone a. (authoritative zones: [cluster.local.])", "multicluster a")
      refused("non-reverse zone name must be used", "pods insecure", "10.0.0.0/8 ip6.arpa")
      refused("failed to parse startup_timeout: soon", "startup_timeout soon")
      refused('invalid apiserver_qps "many"', "apiserver_qps many")
      refused("apiserver_burst must be >= 0", "apiserver_burst -1")
      refused('invalid apiserver_max_inflight "1.5"', "apiserver_max_inflight 1.5")
      refused("3: kubernetes: unknown property 'pod'; did you mean 'pods'?", "pod insecure")
      refused("Wrong argument count or unexpected line ending after 'tls'", "tls")
      refused("Wrong argument count or unexpected line ending after 'namespaces'", "namespaces")
      refused("this plugin can only be used once per Server Block: kubernetes", "}\n kubernetes a {")
    end)
    it("takes every option, and old ones with a warning", function()
      local s = cluster.server([[
        endpoint http://127.0.0.1:1 http://127.0.0.1:2
        tls /a /b /c
        labels app=x,tier in (a, b),!old,q!=r,s==
        namespaces ns-a ns-b
        pods insecure
        endpoint_pod_names
        ttl 60
        noendpoints
        fallthrough in-addr.arpa
        ignore empty_service
        apiserver_qps 20.5
        apiserver_burst 30
        apiserver_max_inflight 4
        upstream 192.0.2.1
        resyncperiod 5m]], {})
      local log = s:log()
      assert.matches("only the first specified endpoint 'http://127.0.0.1:1' is used", log, 1, true)
      assert.matches("upstream is deprecated", log, 1, true)
      assert.matches("resyncperiod is deprecated", log, 1, true)
      nxdomain(s, "web.ns-a" .. S .. "A")
    end)
  end)

  teardown(function() t.close_all() end)
end)

