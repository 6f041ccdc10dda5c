--- What changes while plugin kubernetes serves: cases 103 to 108, its place behind cache, metrics and log lines.
local cluster = require "spec.plugins.kubernetes.cluster"
local fixture = require "spec.plugins.kubernetes.fixture"
local t = require "dns.test"

local S = ".svc.cluster.local. "
local HTTP = { "http 80/TCP" }

local function data(s, question)
  local reply, out = s:query(question, { edns = 4096 }), {}
  for i, record in ipairs(reply.answer) do out[i] = record:match " IN %u+ (.*)$" end
  table.sort(out)
  return reply.rcode == "NOERROR" and table.concat(out, " ") or reply.rcode
end

local function serial(s, zone)
  return tonumber(s:query((zone or "cluster.local.") .. " SOA").answer[1]:match "hostmaster%.%S+ (%d+)")
end

describe("kubernetes while it serves", function()
  teardown(function() t.close_all() end)

  it("case 103: a new service is in the next answer", function()
    local s = cluster.server("", fixture)
    assert.equal("NXDOMAIN", data(s, "new.ns-a" .. S .. "A"))
    assert.is_true(cluster.event(s, "ADDED", cluster.service("ns-a/new", "10.96.7.7", HTTP)))
    assert.equal("10.96.7.7", data(s, "new.ns-a" .. S .. "A"))
    cluster.event(s, "ADDED", cluster.slice("ns-a/new-1", "new", { "10.244.7.7 n0" }, HTTP))
    assert.equal("10.244.7.7", data(s, "n0.new.ns-a" .. S .. "A"))
    assert.equal("n0.new.ns-a.svc.cluster.local.", data(s, "7.7.244.10.in-addr.arpa. PTR"))
  end)
  it("case 104: an external name that changes, and becomes a service", function()
    local s = cluster.server("", fixture)
    cluster.event(s, "MODIFIED", cluster.external("ns-a/ext", "other.example"))
    assert.equal("other.example.", data(s, "ext.ns-a" .. S .. "CNAME"))
    cluster.event(s, "MODIFIED", cluster.service("ns-a/ext", "10.96.8.8", HTTP))
    assert.equal("", data(s, "ext.ns-a" .. S .. "CNAME"))
    assert.equal("10.96.8.8", data(s, "ext.ns-a" .. S .. "A"))
  end)
  it("case 105: endpoints, slices, services and namespaces that go", function()
    local s = cluster.server("", fixture)
    cluster.event(s, "MODIFIED", cluster.slice("ns-a/hl-s1", "hl", { "10.244.2.1 pod-0 notready", "10.244.2.2 pod-1" }, HTTP))
    assert.equal("10.244.2.1 10.244.2.2 10.244.2.6", data(s, "hl.ns-a" .. S .. "A"))
    cluster.event(s, "DELETED", cluster.slice("ns-a/hl-s2", "hl", {}))
    assert.equal("10.244.2.2", data(s, "hl.ns-a" .. S .. "A"))
    assert.equal("NXDOMAIN", data(s, "1.2.244.10.in-addr.arpa. PTR"))
    assert.equal("10-244-2-3.share.ns-b.svc.cluster.local.", data(s, "3.2.244.10.in-addr.arpa. PTR"))
    cluster.event(s, "DELETED", cluster.service("ns-a/hl", "None"))
    assert.equal("NXDOMAIN", data(s, "hl.ns-a" .. S .. "A"))
    assert.equal("NXDOMAIN", data(s, "pod-1.hl.ns-a" .. S .. "A"))
    assert.equal("10.96.1.1", data(s, "web.ns-a" .. S .. "A"))
    cluster.event(s, "DELETED", cluster.namespace "ns-a")
    assert.equal("NXDOMAIN", data(s, "web.ns-a" .. S .. "A"))
    assert.equal("NXDOMAIN", data(s, "10-0-0-1.ns-a.pod.cluster.local. A"))
    assert.equal("10.96.2.1", data(s, "web.ns-b" .. S .. "A"))
  end)
  it("cases 106, 107: a service made anew, and one that becomes headless", function()
    local s = cluster.server("", fixture)
    cluster.event(s, "DELETED", cluster.service("ns-a/web", "10.96.1.1"))
    assert.equal("10-244-1-1.web.ns-a.svc.cluster.local.", data(s, "1.1.244.10.in-addr.arpa. PTR"))
    cluster.event(s, "ADDED", cluster.service("ns-a/web", "10.96.1.99", HTTP))
    assert.equal("10.96.1.99", data(s, "web.ns-a" .. S .. "A"))
    assert.equal("NXDOMAIN", data(s, "1.1.96.10.in-addr.arpa. PTR"))
    assert.equal("web.ns-a.svc.cluster.local.", data(s, "99.1.96.10.in-addr.arpa. PTR"))
    cluster.event(s, "MODIFIED", cluster.service("ns-a/web", "None", HTTP))
    assert.equal("10.244.1.1 10.244.1.2", data(s, "web.ns-a" .. S .. "A"))
    assert.equal("NXDOMAIN", data(s, "99.1.96.10.in-addr.arpa. PTR"))
  end)
  it("moves the serial when an answer changes only", function()
    local s = cluster.server("", fixture)
    local before = serial(s)
    while os.time() <= before do os.execute "sleep 0.05" end
    assert.is_false(cluster.event(s, "MODIFIED", cluster.slice("ns-a/web-1", "web",
      { "10.244.1.2 - pod=other", "10.244.1.1", "10.244.1.3 - notready" }, { "http 80/TCP", "https 443/TCP" })))
    assert.equal(before, serial(s))
    cluster.event(s, "MODIFIED", cluster.slice("ns-a/web-1", "web", { "10.244.1.2" }, HTTP))
    assert.is_true(serial(s) > before)
  end)

  it("case 108: until every kind is listed, absent names are failures and known ones answered", function()
    local s = cluster.server("fallthrough ip6.arpa", nil, { after = "whoami" })
    for _, question in ipairs { "web.ns-a" .. S .. "A", "1.1.96.10.in-addr.arpa. PTR", "x.ns-a.pod.cluster.local. A" } do
      local reply = s:query(question)
      assert.rcode("SERVFAIL", reply)
      assert.matches(" IN SOA ", reply.authority[1])
    end
    assert.equal(0, #s:query("1.0.0.0.ip6.arpa. PTR").authority)
    assert.rcode("NOERROR", s:query "cluster.local. SOA")
    cluster.event(s, "ADDED", cluster.namespace "ns-a")
    cluster.event(s, "ADDED", cluster.service("ns-a/web", "10.96.1.1", HTTP))
    assert.equal("10.96.1.1", data(s, "web.ns-a" .. S .. "A"))
    assert.rcode("SERVFAIL", s:query("nosuch.ns-a" .. S .. "A"))
    cluster.list(s, fixture)
    assert.rcode("NXDOMAIN", s:query("nosuch.ns-a" .. S .. "A"))
  end)
  it("waits for the cluster at a start, but not for ever", function()
    local s = t.server ". {\n ready\n kubernetes cluster.local {\n  startup_timeout 2s\n }\n}"
    local log = s:log()
    local _, waits = log:gsub("%[INFO%] plugin/kubernetes: waiting for Kubernetes API before starting server\n", "")
    assert.equal(4, waits)
    assert.matches("[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API\n", log, 1, true)
  end)

  describe("behind cache", function()
    local MORE = { before = "cache", after = "forward . 192.0.2.1" }

    it("is asked each time: a change is in the next answer", function()
      local s = cluster.server("ttl 30", fixture, MORE)
      assert.equal("10.96.1.1", data(s, "web.ns-a" .. S .. "A"))
      cluster.event(s, "MODIFIED", cluster.service("ns-a/web", "10.96.1.2", HTTP))
      assert.equal("10.96.1.2", data(s, "web.ns-a" .. S .. "A"))
      cluster.event(s, "DELETED", cluster.service("ns-a/web", "10.96.1.2"))
      assert.equal("NXDOMAIN", data(s, "web.ns-a" .. S .. "A"))
      cluster.event(s, "ADDED", cluster.service("ns-a/web", "10.96.1.3", HTTP))
      assert.equal("10.96.1.3", data(s, "web.ns-a" .. S .. "A"))
    end)
    it("has what it passes on, and names of other zones, cached", function()
      local s = cluster.server("ttl 30\nfallthrough in-addr.arpa", fixture, MORE)
      s:upstream {
        ["9.9.9.10.in-addr.arpa. PTR"] = { answer = "9.9.9.10.in-addr.arpa. 60 IN PTR up.example." },
        ["www.example. A"] = { answer = "www.example. 60 IN A 192.0.2.80" },
      }
      for _ = 1, 3 do
        assert.equal("up.example.", data(s, "9.9.9.10.in-addr.arpa. PTR"))
        assert.equal("192.0.2.80", data(s, "www.example. A"))
      end
      assert.equal(2, #s.asked)
      -- The cluster learns of the address: its own name is not hidden by what was kept.
      cluster.event(s, "ADDED", cluster.service("ns-a/new", "10.9.9.9", HTTP))
      assert.equal("new.ns-a.svc.cluster.local.", data(s, "9.9.9.10.in-addr.arpa. PTR"))
    end)
    it("chases external names through it", function()
      local s = cluster.server("ttl 30", fixture, MORE)
      s:upstream { ["ext.example. A"] = { answer = "ext.example. 60 IN A 192.0.2.80" } }
      for _ = 1, 3 do assert.equal("192.0.2.80 ext.example.", data(s, "ext.ns-a" .. S .. "A")) end
      assert.equal(1, #s.asked)
    end)
    it("stays compiled and allocates nothing in the cluster's chain", function()
      local s = cluster.server("pods insecure\nfallthrough in-addr.arpa ip6.arpa\nttl 30", fixture, {
        before = "errors\nprometheus\nloadbalance\ncache 30", after = "forward . 192.0.2.1",
      })
      assert.hot(s, { "web.ns-a" .. S .. "A", "nosuch.ns-a" .. S .. "A", "_http._tcp.web.ns-a" .. S .. "SRV",
        "1.0.96.10.in-addr.arpa. PTR", "hl.ns-a" .. S .. "A", "web.ns-a" .. S .. "AAAA" })
    end)
  end)

  it("measures programming latency from the trigger of a slice", function()
    local s = cluster.server("", fixture)
    local name = "coredns_kubernetes_dns_programming_duration_seconds"
    local function count(kind) return s:metric(('%s_count{service_kind="%s"}'):format(name, kind)) or 0 end
    local function sum() return s:metric(name .. '_sum{service_kind="cluster_ip"}') or 0 end
    local function slice(place, service, trigger, ip)
      return cluster.slice(place, service, { ip or "10.244.1.1" }, HTTP, { trigger = trigger })
    end
    local then_ = os.date("!%Y-%m-%dT%H:%M:%S", os.time() - 132)
    local cluster_ip, headless, total = count "cluster_ip", count "headless_with_selector", sum()
    cluster.event(s, "MODIFIED", slice("ns-a/web-1", "web", then_ .. ".123456Z"))
    assert.equal(cluster_ip + 1, count "cluster_ip")
    assert.is_true(math.abs(sum() - total - 132) < 5, sum() - total)
    cluster.event(s, "MODIFIED", slice("ns-a/web-1", "web", then_ .. ".123456Z", "10.244.1.2"))
    assert.equal(cluster_ip + 1, count "cluster_ip") -- the same trigger again
    cluster.event(s, "MODIFIED", slice("ns-a/hl-s1", "hl", os.date("!%Y-%m-%dT%H:%M:%S+00:00", os.time() - 66)))
    assert.equal(headless + 1, count "headless_with_selector")
    cluster.event(s, "ADDED", slice("ns-a/alone-1", "alone", then_ .. "Z"))
    local _, said = cluster.event(s, "MODIFIED", slice("ns-a/web-1", "web", "yesterday"))
    assert.matches("'yesterday' is no RFC 3339 time", said, 1, true)
    cluster.list(s, { slice("ns-a/web-1", "web", then_ .. ".5Z"), cluster.service("ns-a/web", "10.96.1.1") })
    assert.equal(cluster_ip + 1, count "cluster_ip")
  end)
end)
