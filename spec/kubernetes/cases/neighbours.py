"""119 and 120: plugins that answer from the same cluster."""

from cases import Ask, corefile
from cases.reverse import back
from expect import A, CNAME, PTR, SRV, extra, foreign

EXTERNAL = corefile(before="k8s_external example.org 113.0.203.in-addr.arpa")
LB = "lb.ns-a.example.org"
OUT = A("203.0.113.8", "203.0.113.9")
HOSTS = extra(A("203.0.113.8", "203.0.113.9", name=LB))
Ask(119, f"{LB} A", OUT, on=EXTERNAL, zone="example.org", ttl=5)
Ask(119, f"_http._tcp.{LB} SRV", SRV(f"0 - 80 {LB}.") + HOSTS, SRV(f"0 - 80 {LB}.", ttl=30) + HOSTS,
    "every record has the ttl of k8s_external, as its documentation says", on=EXTERNAL, zone="example.org", ttl=5)
Ask(119, f"{back('203.0.113.8')} PTR", PTR(f"{LB}."), on=EXTERNAL, ttl=5)
Ask(119, "web.ns-a.svc.cluster.local A", A("10.96.1.1"), on=EXTERNAL)

AUTOPATH = corefile(before="autopath @kubernetes", pods="verified")
FIRST = "nosuchsvc.example.ns-a.svc.cluster.local"
Ask(120, f"{FIRST} A", foreign(CNAME("nosuchsvc.example.", ttl=60) + A("192.0.2.81", name="nosuchsvc.example", ttl=60)),
    on=AUTOPATH, client="pod")
