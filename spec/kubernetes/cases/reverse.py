"""82-94: names of addresses."""

import ipaddress

from cases import Ask, corefile
from expect import Check, NODATA, NXDOMAIN, PTR, foreign, nxdomain

S = ".svc.cluster.local"
V4, V6 = "in-addr.arpa", "ip6.arpa"


def back(address):
    return ipaddress.ip_address(address).reverse_pointer


def ptr(number, address, *names, **options):
    Ask(number, f"{back(address)} PTR", PTR(*(f"{name}{S}." for name in names)) if names else NXDOMAIN,
        zone=V6 if ":" in address else V4, **options)


ptr(82, "10.96.0.1", "kubernetes.default")
ptr(83, "10.96.1.3", "dual.ns-a")
ptr(83, "fd00:10:96::3", "dual.ns-a")
ptr(84, "10.244.2.2", "pod-1.hl.ns-a")
ptr(85, "10.244.2.1", "pod-0.hl.ns-a")
ptr(86, "10.244.2.3", "10-244-2-3.hl.ns-a", "10-244-2-3.share.ns-b")
ptr(87, "fd00:10:244:2::1", "pod-0.hl.ns-a")
ptr(88, "10.244.2.4")
ptr(89, "10.99.99.99")
Ask(89, f"{back('10.99.99.99')} PTR", foreign(PTR("up.example.", ttl=60)), zone=V4,
    on=corefile("fallthrough in-addr.arpa ip6.arpa"))
Ask(90, f"web.ns-a{S} PTR", NODATA)
Ask(91, f"web.ns-a.svc.96.10.{V4} A", NXDOMAIN, zone=V4)
Ask(92, f"96.10.{V4} PTR", NXDOMAIN, zone=V4)
Ask(92, f"1.0.96.10.{V4} A", NODATA, NXDOMAIN, "the name exists, with another type", zone=V4)
ptr(93, "10.244.1.1", "10-244-1-1.web.ns-a")

CIDR = corefile(zones="cluster.local 10.96.0.0/24 fd00:10:96::/64")
Ask(94, f"{back('10.96.0.10')} PTR", PTR(f"kube-dns.kube-system{S}."), zone=V4, on=CIDR)
Ask(94, f"{back('10.96.0.100')} PTR", nxdomain("0.96.10.in-addr.arpa"), on=CIDR)
Ask(94, f"{back('fd00:10:96::3')} PTR", PTR(f"dual.ns-a{S}."), on=CIDR)


def is_upstreams(reply, *_):
    return [] if reply.rcode == "NXDOMAIN" and [r.name for r in reply.authority] == ["example."] else ["not the upstream's"]


# Outside the CIDR zones the question goes to the next plugin: the stub upstream's own name error.
Ask(94, f"{back('10.96.1.1')} PTR", Check("the upstream's NXDOMAIN", is_upstreams), on=CIDR)
