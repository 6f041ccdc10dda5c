"""103-107: what changes in the cluster shows in the next answer, and nothing else does."""

import statistics
import time

from bed import HEADLESS, cluster_ip, endpoint, endpointslice, namespace, service
from cases import case
from cases.reverse import back
from expect import A, CNAME, NODATA, NXDOMAIN, PTR
from steady import FIXTURE, Steady

S = ".svc.cluster.local"
V4 = "in-addr.arpa"
VISIBLE_MEDIAN, VISIBLE_MOST = 0.05, 1.0  # seconds from the API server's reply to the changed answer


@case(103, "a created service and slice show at once")
def created(bed):
    server, seconds, made = bed.base(), [], []
    services, slices = "/api/v1/namespaces/ns-b/services", "/apis/discovery.k8s.io/v1/namespaces/ns-b/endpointslices"

    def visible(client, name, value):
        began = time.monotonic()
        while True:
            reply = client.ask(name + S, timeout=1)
            if reply and value in reply.values():
                return time.monotonic() - began
            assert time.monotonic() - began < 10, f"{name}: still {reply}"
    with server.udp() as client:
        for i in range(1, 41):
            name = f"new-{i}"
            made.append(service("ns-b", name, HEADLESS if i % 2 else cluster_ip(f"10.96.103.{i}")))
            bed.cluster.request("POST", services, made[-1])
            if i % 2:
                made.append(endpointslice("ns-b", name, name, [endpoint(f"10.244.103.{i}")]))
                bed.cluster.request("POST", slices, made[-1])
            seconds.append(visible(client, f"{name}.ns-b", f"10.244.103.{i}" if i % 2 else f"10.96.103.{i}"))
    bed.remove(*made)
    print(f"    visible after: median {statistics.median(seconds) * 1000:.1f} ms, most {max(seconds) * 1000:.1f} ms")
    assert statistics.median(seconds) < VISIBLE_MEDIAN and max(seconds) < VISIBLE_MOST, sorted(seconds)[-5:]
    for i in (1, 2):
        bed.eventually(server, f"new-{i}.ns-b{S} A", NXDOMAIN)


@case(104, "an ExternalName's target changes, then its type")
def retyped(bed):
    server, name = bed.base(), f"was-ext.ns-b{S}"

    def spec(target):
        return service("ns-b", "was-ext", {"type": "ExternalName", "externalName": target})
    with bed.having(spec("one.example")), Steady(server, FIXTURE):
        bed.eventually(server, f"{name} CNAME", CNAME("one.example."))
        bed.put(spec("two.example"))
        bed.eventually(server, f"{name} CNAME", CNAME("two.example."))
        bed.cluster.request("PATCH", "/api/v1/namespaces/ns-b/services/was-ext", {"spec": {
            "type": "ClusterIP", "externalName": None, **cluster_ip("10.96.104.1")}}, kind="application/merge-patch+json")
        bed.eventually(server, f"{name} A", A("10.96.104.1"))
        bed.eventually(server, f"{back('10.96.104.1')} PTR", PTR(f"{name}."), zone=V4)


@case(105, "an endpoint, a slice, a service, a namespace go")
def removed(bed):
    server, name = bed.base(), f"fade.gone{S}"

    def slices(*endpoints):
        return endpointslice("gone", "fade-1", "fade", endpoints)
    one, two, three = (endpoint(f"10.244.105.{i}", f"e{i}") for i in (1, 2, 3))
    other = endpointslice("gone", "fade-2", "fade", [endpoint("10.244.105.9")])
    bed.put(namespace("gone"), service("gone", "fade", HEADLESS), service("gone", "plain", cluster_ip("10.96.105.1")),
            slices(one, two, three), other)
    with Steady(server, FIXTURE):
        bed.eventually(server, f"{name} A", A("10.244.105.1", "10.244.105.2", "10.244.105.3", "10.244.105.9"))
        bed.put(slices(one, endpoint("10.244.105.2", "e2", ready=False), three))
        bed.eventually(server, f"{name} A", A("10.244.105.1", "10.244.105.3", "10.244.105.9"))
        bed.check(server, f"e2.{name} A", NXDOMAIN)
        bed.check(server, f"{back('10.244.105.2')} PTR", NXDOMAIN, zone=V4)
        bed.put(slices(one))
        bed.eventually(server, f"{name} A", A("10.244.105.1", "10.244.105.9"))
        bed.remove(other)
        bed.eventually(server, f"{name} A", A("10.244.105.1"))
        bed.remove(service("gone", "fade", HEADLESS))
        bed.eventually(server, f"{name} A", NXDOMAIN)
        bed.check(server, f"plain.gone{S} A", A("10.96.105.1"))
        bed.remove(namespace("gone"))
        bed.cluster.wait_gone("/api/v1/namespaces/gone")
        bed.eventually(server, f"gone{S} A", NXDOMAIN)
        bed.check(server, f"plain.gone{S} A", NXDOMAIN)
        bed.check(server, f"{back('10.96.105.1')} PTR", NXDOMAIN, zone=V4)


@case(106, "a service deleted and created with another address")
def readdressed(bed):
    server, name = bed.base(), f"moved.ns-b{S}"
    with Steady(server, FIXTURE):
        with bed.service("ns-b", "moved", cluster_ip("10.96.106.1")):
            bed.eventually(server, f"{name} A", A("10.96.106.1"))
            bed.check(server, f"{back('10.96.106.1')} PTR", PTR(f"{name}."), zone=V4)
        bed.cluster.wait_gone("/api/v1/namespaces/ns-b/services/moved")
        with bed.service("ns-b", "moved", cluster_ip("10.96.106.2")):
            bed.eventually(server, f"{name} A", A("10.96.106.2"))
            bed.check(server, f"{back('10.96.106.2')} PTR", PTR(f"{name}."), zone=V4)
            bed.check(server, f"{back('10.96.106.1')} PTR", NXDOMAIN, zone=V4)
        bed.eventually(server, f"{name} A", NXDOMAIN)


@case(107, "headless becomes ClusterIP and headless again")
def switched(bed):
    server, name = bed.base(), f"switch.ns-b{S}"
    endpoints, own = endpointslice("ns-b", "switch-1", "switch", [endpoint("10.244.107.1", "e1")]), "10.96.107.1"
    with bed.having(endpoints), Steady(server, FIXTURE):
        for _ in range(2):
            with bed.service("ns-b", "switch", HEADLESS):
                bed.eventually(server, f"{name} A", A("10.244.107.1"))
                bed.check(server, f"{back('10.244.107.1')} PTR", PTR(f"e1.{name}."), zone=V4)
                bed.check(server, f"{back(own)} PTR", NXDOMAIN, zone=V4)
            bed.cluster.wait_gone("/api/v1/namespaces/ns-b/services/switch")
            with bed.service("ns-b", "switch", cluster_ip(own)):
                bed.eventually(server, f"{name} A", A(own))
                bed.check(server, f"{back(own)} PTR", PTR(f"{name}."), zone=V4)
                bed.check(server, f"e1.{name} A", A("10.244.107.1"))
                bed.check(server, f"{name} AAAA", NODATA)
            bed.cluster.wait_gone("/api/v1/namespaces/ns-b/services/switch")
