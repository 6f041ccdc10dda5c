"""The cases, 1 to 120 of the contract and some beyond, and the words they are registered with.

A case is one or more questions with what must come back (Ask), or a function that is given the bed and asserts. Files of
this folder hold one group each; importing all_cases() fills the table.
"""

import importlib

GROUPS = ("apex", "clusterip", "headless", "external", "pods", "reverse", "options", "multicluster", "neighbours",
          "changes", "outage", "process", "scale", "clients")

asks, functions = [], {}


def corefile(*options, zones="cluster.local in-addr.arpa ip6.arpa", before="", after="", pods="insecure", ttl=30):
    """A Corefile of one block with the kubernetes plugin. options: its lines besides `pods` and `ttl`; before and after:
    other plugins' lines. UPSTREAM is the stub upstream's address."""
    lines = [f"pods {pods}"] * bool(pods) + [f"ttl {ttl}"] * (ttl is not None) + list(options)
    block = "".join(f"        {line}\n" for line in lines)
    return (".:{port} {\n    errors\n    health :{http}\n    ready :{http2}\n    prometheus :{http3}\n"
            + "".join(f"    {line}\n" for line in before.splitlines())
            + f"    kubernetes {zones} {{\n{block}    }}\n"
            + "".join(f"    {line}\n" for line in after.splitlines())
            + "    forward . UPSTREAM\n}\n")


BASE = corefile()


class Ask:
    """One question of a case. text: "NAME TYPE [flags of dig]"; coredns: what CoreDNS answers where lunadns differs, and
    why: the reason; on: the Corefile; zone: the one whose SOA a negative answer has; ttl: of records;
    client: "pod" asks from the other pod's address; both: over UDP and over TCP."""

    def __init__(self, number, text, expected, coredns=None, why=None, on=BASE, zone="cluster.local", ttl=30,
                 client=None, both=True):
        self.number, self.expected, self.coredns, self.why, self.on = number, expected, coredns, why, on
        self.name, self.type, *self.flags = text.split()
        self.zone, self.ttl, self.client, self.both = zone, ttl, client, both
        if (coredns is None) != (why is None):
            raise ValueError(f"case {number}: a deviation needs both its reply and its reason")
        asks.append(self)

    def asked_zone(self):
        """The zone in the letters of the question."""
        name = self.name.rstrip(".")
        return name[len(name) - len(self.zone):] if name.lower().endswith(self.zone.lower()) else self.zone


class Function:
    def __init__(self, number, title, call, last, coredns, sometimes):
        self.number, self.title, self.call, self.last = number, title, call, last
        self.coredns, self.sometimes = coredns, sometimes


def case(number, title, last=0, coredns=None, sometimes=False):
    """Registers a function as (a part of) a case. last: 1, 2 or 3: it leaves the cluster changed, so it runs at the end.
    coredns: why CoreDNS fails it; that it does is checked too, unless it does so only sometimes."""
    def register(call):
        functions.setdefault(number, []).append(Function(number, title, call, last, coredns, sometimes))
        return call
    return register


def all_cases():
    """The numbers of all cases; every group is loaded."""
    for group in GROUPS:
        importlib.import_module("cases." + group)
    numbers = {a.number for a in asks} | set(functions)
    missing = set(range(1, 121)) - numbers
    if missing:
        raise AssertionError(f"cases without a test: {sorted(missing)}")
    return sorted(numbers)
