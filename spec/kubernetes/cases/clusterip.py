"""11-40: services with addresses of their own."""

from cases import Ask
from expect import A, AAAA, Check, NODATA, NXDOMAIN, REFUSED, SRV, either, extra

S = ".svc.cluster.local"


def srv(port, target, weight=100):
    return f"0 {weight} {port} {target}{S}."


WEB = extra(A("10.96.1.1", name=f"web.ns-a{S}"))

Ask(11, f"kubernetes.default{S} A", A("10.96.0.1"))
Ask(12, f"web.ns-a{S} A", A("10.96.1.1"))
Ask(13, f"web.ns-a{S} AAAA", NODATA)
Ask(14, f"web6.ns-a{S} AAAA", AAAA("fd00:10:96::2"))
Ask(14, f"web6.ns-a{S} A", NODATA)
Ask(15, f"dual.ns-a{S} A", A("10.96.1.3"))
Ask(15, f"dual.ns-a{S} AAAA", AAAA("fd00:10:96::3"))
Ask(16, f"_http._tcp.web.ns-a{S} SRV", SRV(srv(80, "web.ns-a")) + WEB)
Ask(17, f"_https._tcp.web.ns-a{S} SRV", SRV(srv(443, "web.ns-a")) + WEB)
Ask(18, f"_http._udp.web.ns-a{S} SRV", NXDOMAIN)
Ask(19, f"_nope._tcp.web.ns-a{S} SRV", NXDOMAIN)
Ask(20, f"http.tcp.web.ns-a{S} SRV", SRV(srv(80, "web.ns-a")) + WEB)
Ask(21, f"web.ns-a{S} SRV", SRV(srv(80, "web.ns-a", 50), srv(443, "web.ns-a", 50)) + WEB)
Ask(22, f"_http._tcp.web.ns-a{S} A", A("10.96.1.1"))
Ask(23, f"_http._tcp.dual.ns-a{S} SRV", SRV(srv(80, "dual.ns-a", 50)) + extra(
    A("10.96.1.3", name=f"dual.ns-a{S}"), AAAA("fd00:10:96::3", name=f"dual.ns-a{S}")))
Ask(24, f"noname.ns-a{S} SRV", SRV(srv(9000, "noname.ns-a")) + extra(A("10.96.1.4", name=f"noname.ns-a{S}")))
Ask(24, f"_._tcp.noname.ns-a{S} SRV", SRV(srv(9000, "noname.ns-a")) + extra(A("10.96.1.4", name=f"noname.ns-a{S}")))
Ask(24, f"_http._tcp.noname.ns-a{S} SRV", NXDOMAIN)
for port, label in ((5000, "_q-udp._udp"), (5000, "_q-tcp._tcp"), (7, "_s._sctp")):
    Ask(25, f"{label}.mix.ns-a{S} SRV", SRV(srv(port, "mix.ns-a")) + extra(A("10.96.1.5", name=f"mix.ns-a{S}")))
Ask(26, f"1st.ns-a{S} A", A("10.96.1.6"))
Ask(27, f"lb.ns-a{S} A", A("10.96.1.8"))
Ask(28, f"svc.svc{S} A", A("10.96.3.1"))
for rtype in ("A", "AAAA", "TXT", "SRV", "HTTPS"):
    Ask(29, f"nosuch.ns-a{S} {rtype}", NXDOMAIN)
Ask(30, f"web.nosuch{S} A", NXDOMAIN)
Ask(31, f"ns-a{S} A", NODATA)
Ask(31, f"ns-empty{S} A", NODATA)
Ask(31, f"nosuch{S} A", NXDOMAIN)
for rtype in ("TXT", "MX", "HINFO", "CNAME", "PTR", "HTTPS"):
    Ask(32, f"web.ns-a{S} {rtype}", NODATA)
Ask(33, f"web.ns-a{S} SOA", NODATA)
Ask(33, f"nosuch.ns-a{S} SOA", NXDOMAIN, NODATA, "a name that does not exist is a name error for every type")
Ask(34, f"a.b.c.web.ns-a{S} A", NXDOMAIN)
Ask(35, f"10-244-1-1.web.ns-a{S} A", A("10.244.1.1"))
Ask(36, f"bogus.web.ns-a{S} A", NXDOMAIN)
Ask(37, "WeB.nS-a.SVC.Cluster.Local A", A("10.96.1.1"))
Ask(37, "WeB.nS-a.SVC.Cluster.Local AAAA", NODATA)
# Names are compressed without regard to case: the additional section may have the target in the question's letters (RFC 4343).
Ask(37, "_HTTP._Tcp.WEB.nS-a.SVC.Cluster.LOCAL SRV", either(*(
    SRV("0 100 80 web.ns-a.svc.Cluster.LOCAL.") + extra(A("10.96.1.1", name=name))
    for name in ("web.ns-a.svc.Cluster.LOCAL", "WEB.nS-a.SVC.Cluster.LOCAL"))))
Ask(38, f"manual.ns-a{S} A", A("10.96.1.20"))
Ask(38, f"ext-0.manual.ns-a{S} A", A("198.51.100.7"))
Ask(39, f"web.ns-a{S} ANY +notcp", NODATA, both=False)
Ask(39, f"nosuch.ns-a{S} ANY +notcp", NXDOMAIN, both=False)
MALFORMED = Check("an answer of class IN, which dig calls malformed", lambda reply, *_: (
    [] if reply.rcode == "NOERROR" and reply.complaints else ["dig does not complain"]))
Ask(40, f"web.ns-a{S} A -c CH", REFUSED, MALFORMED, "the zones are of class IN", both=False)
