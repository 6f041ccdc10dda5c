--- What plugin kubernetes tells of a query, as CoreDNS 1.15 does; the lines were compared with its.
local cluster = require "spec.plugins.kubernetes.cluster"
local fixture = require "spec.plugins.kubernetes.fixture"

local NAMES = { "endpoint", "kind", "namespace", "parse-error", "port-name", "protocol", "service", "cluster", "zone",
  "client-namespace", "client-pod-name" }

local function server(options, metadata, more)
  more = more or {}
  local fields = {}
  for i, name in ipairs(NAMES) do fields[i] = "{/kubernetes/" .. name .. "}" end
  return cluster.server(options, more.objects or fixture, {
    zones = more.zones, after = "whoami",
    before = ('%s\nlog . "%s"'):format(metadata or "metadata", table.concat(fields, "|")),
  })
end

--- The line of one query.
local function told(s, question, options)
  s:query(question, options)
  return (s:log():match "%[INFO%] (.-)\n$")
end

local WRONG = "-|-|-|invalid query name|-|-|-|-|-"
local SVC = ".svc.cluster.local. "
local CASES = {
  { "web.ns-a" .. SVC .. "A", "|svc|ns-a|-|||web|-|-" },
  { "WEB.ns-a" .. SVC .. "A", "|svc|ns-a|-|||web|-|-" },
  { "no.no" .. SVC .. "A", "|svc|no|-|||no|-|-" },
  { "pod-0.hl.ns-a" .. SVC .. "A", "pod-0|svc|ns-a|-|||hl|-|-" },
  { "_http._tcp.web.ns-a" .. SVC .. "SRV", "|svc|ns-a|-|http|tcp|web|-|-" },
  { "http.tcp.web.ns-a" .. SVC .. "SRV", "|svc|ns-a|-|http|tcp|web|-|-" },
  { "_._tcp.web.ns-a" .. SVC .. "SRV", "|svc|ns-a|-||tcp|web|-|-" },
  { "pin._zone.hl.ns-a" .. SVC .. "A", "|svc|ns-a|-|pin|zone|hl|-|-" },
  { "a.b.c.web.ns-a" .. SVC .. "A", WRONG },
  { "ns-a" .. SVC .. "A", "|svc|ns-a|-||||-|-" },
  { "svc.cluster.local. A", "|||-||||-|-" },
  { "cluster.local. SOA", "|||-||||-|-" },
  { "in-addr.arpa. SOA", "|||-||||-|-" },
  { "foo.cluster.local. A", WRONG },
  { "ns.dns.cluster.local. A", WRONG },
  { "1.1.96.10.in-addr.arpa. PTR", WRONG },
  { "10-1-2-3.ns-a.pod.cluster.local. A", "|pod|ns-a|-|||10-1-2-3|-|-" },
  { "x.y.10-1-2-3.ns-a.pod.cluster.local. A", "|pod|ns-a|-|x|y|10-1-2-3|-|-" },
  { "we\\032b\\064.ns-a" .. SVC .. "A", "|svc|ns-a|-|||we\\ b\\@|-|-" },
  { "example.org. A", "-|-|-|-|-|-|-|-|-" },
}

describe("kubernetes, metadata", function()
  it("names the parts of a name", function()
    local s = server "pods insecure"
    for _, case in ipairs(CASES) do assert.equal(case[2] .. "|-|-", told(s, case[1]), case[1]) end
  end)
  it("names nothing without the directive", function()
    assert.equal("-|-|-|-|-|-|-|-|-|-|-", told(server("", ""), "web.ns-a" .. SVC .. "A"))
  end)
  it("names a topology zone with `zonal`", function()
    local s = server "zonal"
    assert.equal("|svc|ns-a|-|||hl|-|z.1|-|-", told(s, "z.1.pin._zone.hl.ns-a" .. SVC .. "A"))
    assert.equal("|svc|ns-a|-|||hl|-|z|-|-", told(s, "z.prefer._zone.hl.ns-a" .. SVC .. "A"))
    assert.equal("|svc|ns-a|-|||web|-||-|-", told(s, "web.ns-a" .. SVC .. "A"))
    assert.equal(WRONG .. "|-|-", told(s, "z.x._zone.hl.ns-a" .. SVC .. "A"))
    assert.equal(WRONG .. "|-|-", told(s, "z.pin._zone.hl.ns-a.pod.cluster.local. A"))
    assert.equal(WRONG .. "|-|-", told(server "", "z.pin._zone.hl.ns-a" .. SVC .. "A"))
  end)
  it("names the cluster in zones of a cluster set", function()
    local s = server("multicluster clusterset.local", nil, { zones = "cluster.local clusterset.local" })
    local set = ".web.ns-a.svc.clusterset.local. "
    assert.equal("pod-0|svc|ns-a|-|||web|west|-|-|-", told(s, "pod-0.west" .. set .. "A"))
    assert.equal("|svc|ns-a|-|http|tcp|web||-|-|-", told(s, "_http._tcp" .. set .. "SRV"))
    assert.equal("pod-0|svc|ns-a|-|||web||-|-|-", told(s, "pod-0" .. set .. "A"))
    assert.equal("|svc|ns-a|-|x|y|web|-|-|-|-", told(s, "x.y.web.ns-a" .. SVC .. "A"))
  end)
  it("names the pod that asks with `pods verified`, for names out of the zones too", function()
    local s = server "pods verified"
    local pod = { client = "10.244.2.1:4000" }
    assert.equal("|svc|ns-a|-|||web|-|-|ns-a|p1", told(s, "web.ns-a" .. SVC .. "A", pod))
    assert.equal("-|-|-|-|-|-|-|-|-|ns-a|p1", told(s, "example.org. A", pod))
    assert.equal("-|-|-|-|-|-|-|-|-|-|-", told(s, "example.org. A", { client = "10.244.2.99:4000" }))
    assert.equal("|svc|ns-a|-|||web|-|-|-|-", told(server "pods insecure", "web.ns-a" .. SVC .. "A", pod))
  end)
  it("keeps to the zones of the directive", function()
    local s = server("", "metadata ns-a.svc.cluster.local")
    assert.equal("|svc|ns-a|-|||web|-|-|-|-", told(s, "web.ns-a" .. SVC .. "A"))
    assert.equal("-|-|-|-|-|-|-|-|-|-|-", told(s, "web.ns-b" .. SVC .. "A"))
  end)
  it("writes the longest names", function()
    local s = server ""
    local label = ("\\255"):rep(63)
    assert.equal(("%s|svc|%s|-|||%s|-|-|-|-"):format(label, label:sub(1, 4 * 40), label),
      told(s, ("%s.%s.%s.svc.cluster.local. A"):format(label, label, label:sub(1, 4 * 40))))
  end)
end)
