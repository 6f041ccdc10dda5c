--- The cluster that the numbered cases ask about ("fixture K").
local cluster = require "spec.plugins.kubernetes.cluster"

local service, slice, external = cluster.service, cluster.slice, cluster.external
local HTTP, BOTH, HL = { "http 80/TCP" }, { "http 80/TCP", "https 443/TCP" }, { "http 80/TCP", "metrics 9100/TCP" }
local DNS = { "dns 53/UDP", "dns-tcp 53/TCP", "metrics 9153/TCP" }

local objects = {
  service("default/kubernetes", "10.96.0.1", { "https 443/TCP" }),
  slice("default/kubernetes", "kubernetes", { "192.0.2.10" }, { "https 443/TCP" }),
  service("kube-system/kube-dns", "10.96.0.10", DNS),
  slice("kube-system/kube-dns-1", "kube-dns", { "10.244.0.53" }, DNS),
  service("ns-a/web", "10.96.1.1", BOTH),
  slice("ns-a/web-1", "web", { "10.244.1.1 - pod=web-1", "10.244.1.2 - pod=web-2" }, BOTH),
  service("ns-a/web6", "fd00:10:96::2", HTTP),
  slice("ns-a/web6-1", "web6", { "fd00:10:244:1::2" }, HTTP),
  service("ns-a/dual", { "10.96.1.3", "fd00:10:96::3" }, HTTP),
  slice("ns-a/dual-4", "dual", { "10.244.1.5" }, HTTP),
  slice("ns-a/dual-6", "dual", { "fd00:10:244:1::5" }, HTTP),
  service("ns-a/noname", "10.96.1.4", { "9000/TCP" }),
  service("ns-a/mix", "10.96.1.5", { "q-udp 5000/UDP", "q-tcp 5000/TCP", "s 7/SCTP" }),
  service("ns-a/1st", "10.96.1.6", HTTP),
  service("ns-a/lb", "10.96.1.8", HTTP, {
    type = "LoadBalancer", externalIPs = { "203.0.113.9" }, status = { loadBalancer = { ingress = { { ip = "203.0.113.8" } } } },
  }),
  service("ns-a/hl", "None", HL),
  slice("ns-a/hl-s1", "hl", {
    "10.244.2.1 pod-0", "10.244.2.2 pod-1 unset", "10.244.2.3 - pod=hl-xyz", "10.244.2.4 pod-3 notready",
    "10.244.2.5 pod-4 notready",
  }, HL),
  slice("ns-a/hl-s2", "hl", { "10.244.2.1 pod-0", "10.244.2.6 pod-0" }, HL),
  slice("ns-a/hl-s3", "hl", { "fd00:10:244:2::1 pod-0", "fd00:10:244:2::7" }, HL),
  service("ns-a/hl-notready", "None", HTTP),
  slice("ns-a/hl-notready-1", "hl-notready", { "10.244.2.20 n0 notready" }, HTTP),
  service("ns-a/hl-pub", "None", HTTP, { publishNotReadyAddresses = true }),
  slice("ns-a/hl-pub-1", "hl-pub", { "10.244.2.30 p0" }, HTTP),
  service("ns-a/hl-noport", "None"),
  slice("ns-a/hl-noport-1", "hl-noport", { "10.244.2.40" }),
  service("ns-a/hl-none", "None", HTTP),
  external("ns-a/ext", "ext.example"),
  external("ns-a/ext-in", "web.ns-a.svc.cluster.local"),
  external("ns-a/ext-loop", "ext-loop.ns-a.svc.cluster.local"),
  external("ns-a/ext-ip", "192.0.2.5"),
  service("ns-b/web", "10.96.2.1", HTTP),
  service("ns-b/share", "None", HTTP),
  slice("ns-b/share-1", "share", { "10.244.2.3" }, HTTP),
  service("svc/svc", "10.96.3.1", HTTP),
  service("ns-a/manual", "10.96.1.20", HTTP),
  slice("ns-a/manual-1", "manual", { "198.51.100.7 ext-0" }, HTTP),
  service("ns-a/fqdn", "None", HTTP),
  slice("ns-a/fqdn-1", "fqdn", { "a.example" }, HTTP, { family = "FQDN" }),
  cluster.pod("ns-a/p1", "Running", "10.244.2.1"),
  cluster.pod("ns-a/p2", "Succeeded", "10.244.9.9"),
  cluster.pod("ns-b/p3", "Running", "10.244.9.10"),
  cluster.pod("ns-a/p4", "Running", "10.244.9.11", "fd00:10:244:9::b"),
}
for _, name in ipairs { "default", "kube-system", "ns-a", "ns-b", "ns-empty", "svc" } do
  objects[#objects + 1] = cluster.namespace(name)
end

return objects
