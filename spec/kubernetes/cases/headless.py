"""41-63: services without an address: their ready endpoints."""

import collections

import wire
from bed import HEADLESS, endpoint, endpointslice, service
from cases import Ask, case, corefile
from expect import A, AAAA, CNAME, NODATA, NXDOMAIN, SRV, extra

S = ".svc.cluster.local"
HL = f"hl.ns-a{S}"
# The endpoints that are ready, by the name they have.
V4 = {"pod-0": ["10.244.2.1", "10.244.2.6"], "pod-1": ["10.244.2.2"], "10-244-2-3": ["10.244.2.3"]}
V6 = {"pod-0": ["fd00:10:244:2::1"], "fd00-10-244-2--7": ["fd00:10:244:2::7"]}
NAMES = [*V4, "fd00-10-244-2--7"]


def targets(names, *ports):
    """SRV records for each of these endpoints and ports, all of one weight, and the endpoints' addresses."""
    return SRV(*(f"0 - {port} {name}.{HL}." for name in names for port in ports)) + extra(
        *(A(*V4[name], name=f"{name}.{HL}") for name in names if name in V4),
        *(AAAA(*V6[name], name=f"{name}.{HL}") for name in names if name in V6))


Ask(41, f"{HL} A", A("10.244.2.1", "10.244.2.2", "10.244.2.3", "10.244.2.6"))
Ask(42, f"{HL} AAAA", AAAA("fd00:10:244:2::1", "fd00:10:244:2::7"))
Ask(43, f"pod-0.{HL} A", A("10.244.2.1", "10.244.2.6"))
Ask(43, f"pod-0.{HL} AAAA", AAAA("fd00:10:244:2::1"))
Ask(44, f"pod-1.{HL} A", A("10.244.2.2"))
Ask(45, f"pod-1.{HL} AAAA", NODATA)
Ask(46, f"pod-3.{HL} A", NXDOMAIN)
Ask(46, f"pod-4.{HL} A", NXDOMAIN)
Ask(47, f"10-244-2-3.{HL} A", A("10.244.2.3"))
Ask(48, f"10-244-2-1.{HL} A", NXDOMAIN)
Ask(49, f"fd00-10-244-2--7.{HL} AAAA", AAAA("fd00:10:244:2::7"))
Ask(50, f"hl-xyz.{HL} A", NXDOMAIN)
POD_NAMES = corefile("endpoint_pod_names")
Ask(50, f"hl-xyz.{HL} A", A("10.244.2.3"), on=POD_NAMES)
Ask(50, f"10-244-2-3.{HL} A", NXDOMAIN, on=POD_NAMES)
Ask(51, f"_http._tcp.{HL} SRV", targets(NAMES, 80))
Ask(52, f"_metrics._tcp.{HL} SRV", targets(NAMES, 9100))
Ask(53, f"{HL} SRV", targets(NAMES, 80, 9100))
Ask(54, f"_http._tcp.pod-0.{HL} SRV", NXDOMAIN)
Ask(55, f"pod-0.{HL} SRV", targets(["pod-0"], 80, 9100))
Ask(56, f"hl-notready.ns-a{S} A", NXDOMAIN)
Ask(57, f"hl-pub.ns-a{S} A", A("10.244.2.30"))
Ask(57, f"p0.hl-pub.ns-a{S} A", A("10.244.2.30"))
Ask(58, f"hl-noport.ns-a{S} A", A("10.244.2.40"))
Ask(58, f"hl-noport.ns-a{S} SRV", NODATA)
Ask(58, f"10-244-2-40.hl-noport.ns-a{S} A", A("10.244.2.40"))
Ask(59, f"hl-none.ns-a{S} A", NXDOMAIN)
Ask(59, f"hl-none.ns-a{S} SRV", NXDOMAIN)
Ask(60, f"fqdn.ns-a{S} A", NXDOMAIN, CNAME("a.example."), "an endpoint that is no address is no endpoint")
Ask(60, f"fqdn.ns-a{S} SRV", NXDOMAIN, NODATA, "an endpoint that is no address is no endpoint")


def large(size):
    """A headless service of so many endpoints, in slices of 100 as the controller makes them, and its addresses."""
    addresses = [f"10.200.{i // 250}.{i % 250 + 1}" for i in range(size)]
    return [service("ns-b", f"hl{size}", HEADLESS), *(
        endpointslice("ns-b", f"hl{size}-{i}", f"hl{size}", map(endpoint, addresses[i:i + 100]))
        for i in range(0, size, 100))], addresses


def check_cut(bed, server, size, limit, *flags):
    """Over UDP an answer that does not fit is cut to the size the client has room for, with TC."""
    reply = bed.ask(server, f"hl{size}.ns-b{S} A +notcp +ignore " + " ".join(flags))
    assert reply.rcode == "NOERROR" and not reply.complaints, reply
    assert reply.size <= limit, f"{reply.size} octets for a client with room for {limit}"
    whole = size * 16 + 60 <= limit  # 16 octets an address record, compressed
    assert ("tc" in reply.flags) != whole, f"TC with {len(reply.answer)} of {size} addresses in {reply.size} octets"
    assert not whole or len(reply.answer) == size, f"{len(reply.answer)} of {size} addresses"


@case(61, "250 and 1000 endpoints: cut over UDP, whole over TCP")
@case(62, "250 and 1000 endpoints: never over the EDNS size")
def sizes(bed):
    server, made = bed.base(), []
    wanted = {}
    for size in (250, 1000):
        objects, wanted[size] = large(size)
        made += objects
    with bed.having(*made):
        for size, addresses in wanted.items():
            bed.eventually(server, f"hl{size}.ns-b{S} A +tcp", A(*addresses))
            check_cut(bed, server, size, 512, "+noedns")
            for limit in (512, 1232, 4096):
                check_cut(bed, server, size, limit, f"+bufsize={limit}")


@case(63, "10,000 answers: each address first about equally often")
def shuffled(bed):
    first = collections.Counter()
    with bed.serving(corefile(after="loadbalance")) as server, server.udp() as client:
        for _ in range(200):
            for qid in range(50):
                client.send(wire.pack_query(HL, "A", qid=qid))
            for _ in range(50):
                reply = client.recv()
                assert reply and len(reply.answer) == 4, f"not four addresses: {reply}"
                first[reply.answer[0].data] += 1
    # 2500 each, standard deviation 43: six of them either way.
    assert set(first) == {"10.244.2.1", "10.244.2.2", "10.244.2.3", "10.244.2.6"}, first
    assert all(2240 <= n <= 2760 for n in first.values()), f"first in the answer: {dict(first)}"
