"""1-10: the zone itself and names beside svc and pod."""

import harness
from cases import Ask, case
from expect import A, Check, Expected, NODATA, NS, NXDOMAIN, TXT, either, extra, nodata, nxdomain, soa_problems

ZONE = "cluster.local"
DNS = "kube-dns.kube-system.svc.cluster.local"


def is_soa(reply, asked, zone, ttl):
    if reply.rcode != "NOERROR" or "aa" not in reply.flags or [r.type for r in reply.answer] != ["SOA"]:
        return [f"no SOA: {reply!r}"]
    return soa_problems(reply.answer[0], zone + ".", ttl)


SOA = Check("the zone's SOA in the answer", is_soa)

Ask(1, f"dns-version.{ZONE} TXT", TXT('"1.1.0"', ttl=28800))
Ask(2, f"dns-version.{ZONE} A", either(NXDOMAIN, NODATA))
Ask(3, f"{ZONE} SOA", SOA)
Ask(4, f"{ZONE} NS", NS(DNS + ".") + extra(A("10.96.0.10", name=DNS)))
for rtype in ("A", "AAAA", "SRV", "HINFO", "TXT"):
    why = "the name exists: NXDOMAIN would hide everything below it (RFC 8020)"
    Ask(5, f"{ZONE} {rtype}", NODATA, *((NXDOMAIN, why) if rtype == "TXT" else ()))
for name in (f"svc.{ZONE}", f"ns-a.svc.{ZONE}"):
    Ask(5, f"{name} TXT", NODATA, NXDOMAIN, why)
Ask(6, f"ns.dns.{ZONE} A", A("10.96.0.10"))
Ask(6, f"dns.{ZONE} A", NODATA, NXDOMAIN, "the name is there, ns.dns is below it (RFC 8020)")
Ask(7, f"svc.{ZONE} A", NODATA)
Ask(7, f"pod.{ZONE} A", NODATA)
Ask(8, f"foo.{ZONE} A", NXDOMAIN)
Ask(8, f"foo.{ZONE} NS", NXDOMAIN)


@case(9, "AXFR without transfer is refused")
def axfr(bed):
    server = bed.base()
    with server.tcp() as client:
        reply = client.ask(ZONE, "AXFR")
    assert reply and reply.rcode == "REFUSED" and not reply.answer, f"AXFR: {reply}"
    shown = harness.run_tool(["dig", "@127.0.0.1", "-p", str(server.port), ZONE, "AXFR"])
    assert "Transfer failed" in shown, f"dig AXFR shows:\n{shown}"


Ask(10, "Cluster.LOCAL SOA", SOA)
Ask(10, "foo.cLuStEr.LoCaL A", NXDOMAIN)
