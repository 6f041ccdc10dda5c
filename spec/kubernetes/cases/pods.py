"""72-81: names of pods."""

from cases import Ask, corefile
from expect import A, AAAA, NODATA, NXDOMAIN

P = ".pod.cluster.local"
DISABLED, VERIFIED = corefile(pods="disabled"), corefile(pods="verified")

Ask(72, f"10-244-2-1.ns-a{P} A", A("10.244.2.1"))
Ask(73, f"9-9-9-9.ns-a{P} A", A("9.9.9.9"))
Ask(74, f"fd00-10-244-9--b.ns-a{P} AAAA", AAAA("fd00:10:244:9::b"))
Ask(74, f"fd00-10-244-9--b.ns-a{P} A", NODATA)
for rtype in ("A", "AAAA", "HINFO"):
    Ask(75, f"blah.ns-a{P} {rtype}", NXDOMAIN)
Ask(76, f"10-244-2-1.nosuch{P} A", NXDOMAIN)
Ask(77, f"ns-a{P} A", NODATA)
Ask(77, f"nosuch{P} A", NXDOMAIN)
Ask(78, f"x.10-244-2-1.ns-a{P} A", NXDOMAIN, A("10.244.2.1"), "no record stands below a pod's name")
Ask(79, f"10-244-2-1.ns-a{P} A", NXDOMAIN, on=DISABLED)
Ask(80, f"10-244-2-1.ns-a{P} A", A("10.244.2.1"), on=VERIFIED)
for name in ("9-9-9-9", "10-244-9-10", "10-244-9-9"):
    Ask(80, f"{name}.ns-a{P} A", NXDOMAIN, on=VERIFIED)
Ask(81, f"fd00-10-244-9--b.ns-a{P} AAAA", AAAA("fd00:10:244:9::b"), on=VERIFIED)
Ask(81, f"10-244-9-11.ns-a{P} A", A("10.244.9.11"), on=VERIFIED)
