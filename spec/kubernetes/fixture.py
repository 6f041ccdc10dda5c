"""Fixture K: the cluster that every case of the conformance list is asked about, as objects of the API.

The tables below say all there is; objects() turns them into what the API server would hold. `fixture/*.yaml` is the same for
kubectl.
"""

NAMESPACES = ("default", "kube-system", "ns-a", "ns-b", "ns-empty", "svc")

HTTP = (("http", "TCP", 80),)

# namespace/name -> type, addresses ("None" = headless), ports, and what the type needs.
SERVICES = {
    "default/kubernetes": ("ClusterIP", ["10.96.0.1"], (("https", "TCP", 443),)),
    "kube-system/kube-dns": ("ClusterIP", ["10.96.0.10"], (("dns", "UDP", 53), ("dns-tcp", "TCP", 53), ("metrics", "TCP", 9153))),
    "ns-a/web": ("ClusterIP", ["10.96.1.1"], (("http", "TCP", 80), ("https", "TCP", 443))),
    "ns-a/web6": ("ClusterIP", ["fd00:10:96::2"], HTTP),
    "ns-a/dual": ("ClusterIP", ["10.96.1.3", "fd00:10:96::3"], HTTP),
    "ns-a/noname": ("ClusterIP", ["10.96.1.4"], (("", "TCP", 9000),)),
    "ns-a/mix": ("ClusterIP", ["10.96.1.5"], (("q-udp", "UDP", 5000), ("q-tcp", "TCP", 5000), ("s", "SCTP", 7))),
    "ns-a/1st": ("ClusterIP", ["10.96.1.6"], HTTP),
    "ns-a/lb": ("LoadBalancer", ["10.96.1.8"], HTTP, {"ingress": ["203.0.113.8"], "externalIPs": ["203.0.113.9"]}),
    "ns-a/hl": ("ClusterIP", ["None"], (("http", "TCP", 80), ("metrics", "TCP", 9100))),
    "ns-a/hl-notready": ("ClusterIP", ["None"], HTTP),
    "ns-a/hl-pub": ("ClusterIP", ["None"], HTTP, {"publishNotReadyAddresses": True}),
    "ns-a/hl-noport": ("ClusterIP", ["None"], ()),
    "ns-a/hl-none": ("ClusterIP", ["None"], HTTP),
    "ns-a/ext": ("ExternalName", [], HTTP, {"externalName": "ext.example"}),
    "ns-a/ext-in": ("ExternalName", [], (), {"externalName": "web.ns-a.svc.cluster.local"}),
    "ns-a/ext-loop": ("ExternalName", [], (), {"externalName": "ext-loop.ns-a.svc.cluster.local"}),
    "ns-a/ext-ip": ("ExternalName", [], (), {"externalName": "192.0.2.5"}),
    "ns-b/web": ("ClusterIP", ["10.96.2.1"], HTTP),
    "ns-b/share": ("ClusterIP", ["None"], HTTP),
    "svc/svc": ("ClusterIP", ["10.96.3.1"], HTTP),
    "ns-a/manual": ("ClusterIP", ["10.96.1.20"], HTTP, {"selector": False}),
    "ns-a/fqdn": ("ClusterIP", ["None"], HTTP),
}


def end(address, hostname=None, pod=None, ready=True, **conditions):
    """An endpoint; ready=None leaves the condition out."""
    if ready is not None:
        conditions["ready"] = ready
    e = {"addresses": [address], "conditions": conditions}
    if hostname:
        e["hostname"] = hostname
    if pod:
        e["targetRef"] = {"kind": "Pod", "name": pod}
    return e


# Slices: the service, a name, the address family, endpoints; ports are the service's.
def slices(dns):
    """dns: the server's own addresses, which are kube-dns's endpoints."""
    v4, v6 = "IPv4", "IPv6"
    return (
        ("default/kubernetes", "kubernetes", v4, [end("192.0.2.10")]),
        ("kube-system/kube-dns", "kube-dns-1", v4, [end(a, pod="coredns-1") for a in dns]),
        ("ns-a/web", "web-1", v4, [end("10.244.1.1", pod="web-1"), end("10.244.1.2", pod="web-2")]),
        ("ns-a/web6", "web6-1", v6, [end("fd00:10:244:1::2")]),
        ("ns-a/dual", "dual-1", v4, [end("10.244.1.5")]),
        ("ns-a/dual", "dual-2", v6, [end("fd00:10:244:1::5")]),
        ("ns-a/hl", "s1", v4, [
            end("10.244.2.1", "pod-0"),
            end("10.244.2.2", "pod-1", ready=None),
            end("10.244.2.3", pod="hl-xyz"),
            end("10.244.2.4", "pod-3", ready=False, serving=True, terminating=True),
            end("10.244.2.5", "pod-4", ready=False),
        ]),
        ("ns-a/hl", "s2", v4, [end("10.244.2.1", "pod-0"), end("10.244.2.6", "pod-0")]),
        ("ns-a/hl", "s3", v6, [end("fd00:10:244:2::1", "pod-0"), end("fd00:10:244:2::7")]),
        ("ns-a/hl-notready", "hl-notready-1", v4, [end("10.244.2.20", "n0", ready=False)]),
        ("ns-a/hl-pub", "hl-pub-1", v4, [end("10.244.2.30", "p0", serving=False)]),
        ("ns-a/hl-noport", "hl-noport-1", v4, [end("10.244.2.40")]),
        ("ns-b/share", "share-1", v4, [end("10.244.2.3")]),
        ("ns-a/manual", "manual-1", v4, [end("198.51.100.7", "ext-0")]),
        ("ns-a/fqdn", "fqdn-1", "FQDN", [end("a.example")]),
    )


# namespace/name -> phase, addresses
PODS = {
    "ns-a/p1": ("Running", ["10.244.2.1"]),
    "ns-a/p2": ("Succeeded", ["10.244.9.9"]),
    "ns-b/p3": ("Running", ["10.244.9.10"]),
    "ns-a/p4": ("Running", ["10.244.9.11", "fd00:10:244:9::b"]),
}

# What no selector made; it has no managed-by label.
HAND_MADE = ("ns-a/manual",)


def metadata(key, **more):
    space, _, name = key.rpartition("/")
    return {"name": name, **({"namespace": space} if space else {}), **more}


def namespace(name, labels=None):
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": metadata(name, labels={"kubernetes.io/metadata.name": name, **(labels or {})}),
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def service(key, kind, addresses, ports, extra=None, labels=None):
    extra = dict(extra or {})
    spec = {"type": kind, "sessionAffinity": "None"}
    if ports:
        spec["ports"] = [{"name": n, "protocol": p, "port": number, "targetPort": number} for n, p, number in ports]
    if addresses:
        spec["clusterIP"], spec["clusterIPs"] = addresses[0], list(addresses)
        spec["ipFamilies"] = ["IPv6" if ":" in a else "IPv4" for a in addresses]
    if extra.pop("selector", kind != "ExternalName"):
        spec["selector"] = {"app": key.partition("/")[2]}
    ingress = [{"ip": a} for a in extra.pop("ingress", ())]
    spec.update(extra)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(key, labels=dict(labels or {})), "spec": spec,
            "status": {"loadBalancer": {"ingress": ingress} if ingress else {}}}


def slice_of(key, name, family, endpoints, ports=HTTP, labels=None):
    space = key.partition("/")[0]
    by = {} if key in HAND_MADE else {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": metadata(f"{space}/{name}", labels={"kubernetes.io/service-name": key.partition("/")[2], **by,
                                                            **(labels or {})}),
            "addressType": family, "endpoints": endpoints,
            "ports": [{"name": n, "protocol": p, "port": number} for n, p, number in ports]}


def pod(key, phase, addresses):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata(key), "spec": {"nodeName": "node-1"},
            "status": {"phase": phase, "podIP": addresses[0], "podIPs": [{"ip": a} for a in addresses]}}


def objects(dns=("127.0.0.1",)):
    """Everything, in the order in which kubectl would make it."""
    found = [namespace(n) for n in NAMESPACES]
    found += [service(key, *row) for key, row in SERVICES.items()]
    found += [slice_of(key, name, family, ends, SERVICES[key][2]) for key, name, family, ends in slices(dns)]
    found += [pod(key, *row) for key, row in PODS.items()]
    return found
