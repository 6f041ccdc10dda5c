"""64-71: services that are another name."""

from cases import Ask, case
from expect import A, AAAA, CNAME, Expected, NODATA, NXDOMAIN, either

S = ".svc.cluster.local"
EXT = CNAME("ext.example.")

Ask(64, f"ext.ns-a{S} CNAME", EXT)
Ask(65, f"ext.ns-a{S} A", EXT + A("192.0.2.80", name="ext.example", ttl=60))
Ask(65, f"ext.ns-a{S} AAAA", EXT + AAAA("2001:db8::80", name="ext.example", ttl=60))
IN = CNAME(f"web.ns-a{S}.")
IN_NODATA = Expected(answer=IN.answer, soa="")
Ask(66, f"ext-in.ns-a{S} A", IN + A("10.96.1.1", name=f"web.ns-a{S}"))
Ask(66, f"ext-in.ns-a{S} AAAA", either(IN, IN_NODATA), NODATA, "the alias exists whatever its target has (RFC 2308, 2.2)")
Ask(67, f"ext-loop.ns-a{S} A", either(NODATA, Expected("SERVFAIL", aa=False)))
Ask(68, f"ext-ip.ns-a{S} A", NXDOMAIN)
Ask(69, f"_http._tcp.ext.ns-a{S} SRV", NXDOMAIN)
Ask(69, f"x.ext.ns-a{S} A", NXDOMAIN)
Ask(70, f"ext.ns-a{S} SRV", NODATA)


@case(71, "the target cannot be resolved")
def unresolvable(bed):
    server = bed.base()
    with bed.service("ns-a", "ext-nx", {"type": "ExternalName", "externalName": "missing.example"}):
        bed.eventually(server, f"ext-nx.ns-a{S} CNAME", CNAME("missing.example."))
        bed.check(server, f"ext-nx.ns-a{S} A", CNAME("missing.example."))
    with bed.upstream_down():
        bed.check(server, f"ext.ns-a{S} A", EXT)
        bed.check(server, f"ext.ns-a{S} CNAME", EXT)
