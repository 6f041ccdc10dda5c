"""95-102: what the directive's options change."""

import harness
from bed import HEADLESS, cluster_ip, endpoint, endpointslice, service
from cases import Ask, BASE, case, corefile
from cases.reverse import back
from expect import A, CNAME, NODATA, NXDOMAIN, PTR, SRV, extra, foreign

S = ".svc.cluster.local"
V4 = "in-addr.arpa"

ONE = corefile("namespaces ns-a")
Ask(95, f"web.ns-a{S} A", A("10.96.1.1"), on=ONE)
Ask(95, f"web.ns-b{S} A", NXDOMAIN, on=ONE)
Ask(95, f"{back('10.96.2.1')} PTR", NXDOMAIN, on=ONE, zone=V4)
Ask(95, f"{back('10.96.1.1')} PTR", PTR(f"web.ns-a{S}."), on=ONE, zone=V4)
Ask(95, f"{back('10.244.2.3')} PTR", PTR(f"10-244-2-3.hl.ns-a{S}."), on=ONE, zone=V4)
Ask(95, f"ns-b{S} A", NXDOMAIN, on=ONE)


@case(96, "namespace_labels, and labels that change while it runs")
def namespace_labels(bed):
    with bed.serving(corefile("namespace_labels team=a")) as server:
        bed.check(server, f"web.ns-a{S} A", A("10.96.1.1"))
        bed.check(server, f"web.ns-b{S} A", NXDOMAIN)
        try:
            bed.cluster.kubectl("label", "namespace", "ns-a", "team-")
            bed.eventually(server, f"web.ns-a{S} A", NXDOMAIN)
            # CoreDNS looks at the namespaces option only: addresses of a hidden namespace keep their names.
            bed.check(server, f"{back('10.96.1.1')} PTR", NXDOMAIN, PTR(f"web.ns-a{S}."), zone=V4)
            bed.cluster.kubectl("label", "--overwrite", "namespace", "ns-b", "team=a")
            bed.eventually(server, f"web.ns-b{S} A", A("10.96.2.1"))
        finally:
            bed.cluster.kubectl("label", "--overwrite", "namespace", "ns-a", "team=a")
            bed.cluster.kubectl("label", "--overwrite", "namespace", "ns-b", "team=b")
        bed.eventually(server, f"web.ns-a{S} A", A("10.96.1.1"))
        bed.eventually(server, f"web.ns-b{S} A", NXDOMAIN)


@case(97, "labels app=x: unmatched services are absent")
def labels(bed):
    x, of = {"app": "x"}, "kubernetes.io/service-name"
    with bed.having(service("ns-b", "lab", cluster_ip("10.96.97.1"), x), service("ns-b", "lab-hl", HEADLESS, x),
                    endpointslice("ns-b", "lab-with", "", [endpoint("10.244.97.1")], labels={**x, of: "lab-hl"}),
                    endpointslice("ns-b", "lab-without", "", [endpoint("10.244.97.2")], labels={of: "lab-hl"})), \
            bed.serving(corefile("labels app=x")) as server:
        bed.check(server, f"lab.ns-b{S} A", A("10.96.97.1"))
        bed.check(server, f"lab-hl.ns-b{S} A", A("10.244.97.1"))
        bed.check(server, f"web.ns-a{S} A", NXDOMAIN)
        bed.check(server, f"hl.ns-a{S} A", NXDOMAIN)
        bed.check(server, f"ns-a{S} A", NODATA)


NO_ENDPOINTS = corefile("noendpoints")
Ask(98, f"hl.ns-a{S} A", NXDOMAIN, on=NO_ENDPOINTS)
Ask(98, f"web.ns-a{S} A", A("10.96.1.1"), on=NO_ENDPOINTS)
Ask(98, f"{back('10.244.1.1')} PTR", NXDOMAIN, on=NO_ENDPOINTS, zone=V4)
Ask(98, f"{back('10.96.1.1')} PTR", PTR(f"web.ns-a{S}."), on=NO_ENDPOINTS, zone=V4)

IGNORE = corefile("ignore empty_service")
Ask(99, f"noname.ns-a{S} A", NXDOMAIN, on=IGNORE)
Ask(99, f"web.ns-a{S} A", A("10.96.1.1"), on=IGNORE)
Ask(99, f"ext.ns-a{S} CNAME", CNAME("ext.example."), on=IGNORE)

NEXT = {"foo.cluster.local.": "192.0.2.90", "f.b.svc.cluster.local.": "192.0.2.91"}
ZONE_FILE = "cluster.local. 60 IN SOA ns.cluster.local. host.cluster.local. 1 3600 600 86400 60\n" + "".join(
    f"{name} 60 IN A {address}\n" for name, address in NEXT.items())


def check_fallthrough(bed, after, files, passed_on):
    """What the next plugin has is answered where the kubernetes plugin lets names fall through, and only there."""
    foo, below = (passed_on(A(address, ttl=60)) for address in NEXT.values())
    with bed.serving(corefile("fallthrough", after=after), files=files) as server:
        bed.check(server, "foo.cluster.local A", foo)
        bed.check(server, f"f.b{S} A", below)
        bed.check(server, f"web.ns-a{S} A", A("10.96.1.1"))
    with bed.serving(corefile("fallthrough svc.cluster.local", after=after), files=files) as server:
        bed.check(server, "foo.cluster.local A", NXDOMAIN)
        bed.check(server, f"f.b{S} A", below)


@case(100, "fallthrough to the next plugin, everywhere and below a zone")
def fallthrough(bed):
    with bed.outside({(name, "A"): address for name, address in NEXT.items()}):
        check_fallthrough(bed, "", {}, foreign)
    if {"file", "dns.file"} & set(harness.run(["-plugins"])[1].split()):
        check_fallthrough(bed, "file {dir}/db.cluster.local cluster.local", {"db.cluster.local": ZONE_FILE}, lambda reply: reply)
    else:
        print("    not to a zone file: the server has no plugin file")


for seconds in (0, 3600):
    Ask(101, f"web.ns-a{S} A", A("10.96.1.1"), on=corefile(ttl=seconds), ttl=seconds)
    Ask(101, f"nosuch.ns-a{S} A", NXDOMAIN, on=corefile(ttl=seconds), ttl=seconds)
Ask(101, f"web.ns-a{S} A", A("10.96.1.1"), on=corefile(ttl=None), ttl=5)


@case(101, "a ttl out of range is an error with the value named")
def bad_ttl(bed):
    for value in ("3601", "-1"):
        try:
            with bed.serving(corefile(f"ttl {value}", ttl=None), synced=False):
                raise AssertionError(f"ttl {value} is accepted")
        except harness.StartError as e:
            assert e.code == 1 and f"ttl must be in range [0, 3600]: {value}" in e.err, f"code {e.code}: {e.err}"


@case(102, "zonal names of headless services")
def zonal(bed):
    addresses = A("10.244.5.1", "10.244.5.2", "10.244.5.3")
    endpoints = [endpoint("10.244.5.1", "e1", zone="us-west-2a"), endpoint("10.244.5.2", "e2", zone="us-west-2b"),
                 endpoint("10.244.5.3", "e3")]
    with bed.having(service("ns-a", "hz", HEADLESS), endpointslice("ns-a", "hz-1", "hz", endpoints)):
        with bed.serving(corefile("zonal")) as server:
            def check(name, expected, qtype="A"):
                bed.check(server, f"{name}.ns-a{S} {qtype}", expected)
            check("us-west-2a.pin._zone.hz", A("10.244.5.1"))
            check("us-west-2c.pin._zone.hz", NODATA)
            check("us-west-2c.pin._zone.hz", NODATA, "TXT")
            check("us-west-2a.prefer._zone.hz", A("10.244.5.1"))
            check("us-west-2c.prefer._zone.hz", addresses)
            check("us-west-2a.other._zone.hz", NXDOMAIN)
            check("us-west-2a.pin._zone.web", NXDOMAIN)
            check("us-west-2a.pin._zone.nosuch", NXDOMAIN)
            names = ("e1", "e2", "e3")
            check("us-west-2c.prefer._zone.hz", SRV(*(f"0 33 80 {n}.hz.ns-a{S}." for n in names)) + extra(
                *(A(f"10.244.5.{n[1]}", name=f"{n}.hz.ns-a{S}") for n in names)), "SRV")
            check("hz", addresses)
        with bed.serving(BASE) as server:
            bed.check(server, f"us-west-2a.pin._zone.hz.ns-a{S} A", NXDOMAIN)
