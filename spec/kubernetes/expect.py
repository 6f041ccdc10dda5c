"""What a reply must be: the words that the cases are written in.

    A("10.96.1.1")                               these addresses, in any order, and no other record
    SRV("0 100 80 web.ns-a.svc.cluster.local.") + extra(A("10.96.1.1", name="web.ns-a.svc.cluster.local"))
    NODATA, NXDOMAIN                             with the SOA of the zone in the authority section
    either(NXDOMAIN, NODATA)

A record's owner is the question's name as it was asked and its TTL the block's, unless said.
"""

import ipaddress

CLUSTER_TTL = 30


def absolute(name):
    return name if name.endswith(".") else name + "."


class Expected:
    """A reply: rcode, records of the answer and of the additional section (None: not looked at), the zone whose SOA is
    in the authority section (None: no SOA; "": the question's zone), AA."""

    def __init__(self, rcode="NOERROR", answer=(), additional=None, soa=None, aa=True, ttl=None):
        self.rcode, self.answer, self.additional, self.soa, self.aa, self.ttl = \
            rcode, list(answer), additional, soa, aa, ttl

    def __add__(self, other):
        both = Expected(self.rcode, self.answer + other.answer, self.additional, self.soa, self.aa, self.ttl)
        if other.additional is not None:
            both.additional = (self.additional or []) + other.additional
        return both

    def problems(self, reply, asked, zone, ttl):
        """What of the reply is not as expected, as sentences."""
        ttl = self.ttl if self.ttl is not None else ttl
        found = [*reply.complaints]
        if reply.rcode != self.rcode:
            found.append(f"rcode {reply.rcode}, not {self.rcode}")
        if ("aa" in reply.flags) != self.aa:
            found.append("AA is set" if "aa" in reply.flags else "AA is not set")
        found += _compare("answer", reply.answer, self.answer, asked, ttl)
        if self.additional is not None:
            found += _compare("additional", reply.additional, self.additional, asked, ttl)
        if self.soa is not None:
            found += _soa(reply, absolute(self.soa or zone), ttl)
        elif self.rcode == "NOERROR" and reply.authority:
            found.append(f"the authority section is not empty: {reply.authority}")
        return found

    def __repr__(self):
        def shown(records):
            return "[" + "; ".join(f"{r[0] or '@'} {r[2]} {r[3]}" for r in records) + "]"
        text = self.rcode + (" " + shown(self.answer) if self.answer else "")
        if self.additional is not None:
            text += f" additional={shown(self.additional)}"
        return text + (f" SOA of {self.soa or 'the zone'}" if self.soa is not None else "")


def _plain(rtype, data):
    return str(ipaddress.ip_address(data)) if rtype in ("A", "AAAA") else data


def _compare(section, got, wanted, asked, ttl):
    """Sections are sets: order is free, but a record twice is one too many. SRV without a weight ("-") takes any, one and
    the same for all."""
    weights = {r.data.split()[1] for r in got if r.type == "SRV"}
    plain = []
    for name, rttl, rtype, data in wanted:
        if rtype == "SRV" and data.split()[1] == "-" and len(weights) == 1:
            data = data.replace("-", weights.copy().pop(), 1)
        plain.append((absolute(name or asked), ttl if rttl is None else rttl, rtype, _plain(rtype, data)))
    have = [(r.name, r.ttl, r.type, _plain(r.type, r.data)) for r in got]
    problems = [f"{section}: missing {' '.join(map(str, r))}" for r in sorted(set(plain) - set(have))]
    problems += [f"{section}: not expected {' '.join(map(str, r))}" for r in sorted(set(have) - set(plain))]
    problems += [f"{section}: {have.count(r)} times {' '.join(map(str, r))}" for r in sorted(set(have))
                 if have.count(r) > plain.count(r) > 0]
    return problems


def _soa(reply, zone, ttl):
    records = [r for r in reply.authority if r.type == "SOA"]
    if len(records) != 1 or len(reply.authority) != 1:
        return [f"the authority section has no single SOA: {reply.authority}"]
    return soa_problems(records[0], zone, ttl)


def soa_problems(record, zone, ttl):
    """A zone's SOA: names in the zone's letters, fixed timers, a serial that is a time."""
    problems, (mname, rname, serial, *timers) = [], record.data.split()
    wanted = (zone, min(ttl, 300), f"ns.dns.{zone}", f"hostmaster.{zone}", ["7200", "1800", "86400", str(ttl)])
    if (record.name, record.ttl, mname, rname, timers) != wanted:
        problems.append(f"SOA {record.name} {record.ttl} {record.data}, not {wanted}")
    if not 1_600_000_000 < int(serial) < 2 ** 32:
        problems.append(f"SOA serial {serial} is no time")
    return problems


class Either:
    def __init__(self, *choices):
        self.choices = choices

    def problems(self, *args):
        found = [choice.problems(*args) for choice in self.choices]
        return [] if [] in found else ["none of the allowed replies: " + " | ".join("; ".join(f) for f in found)]

    def __repr__(self):
        return " or ".join(map(repr, self.choices))


class Check:
    """A reply that a function judges: it returns sentences on what is wrong."""

    def __init__(self, text, function):
        self.text, self.function = text, function

    def problems(self, reply, asked, zone, ttl):
        return self.function(reply, asked, zone, ttl)

    def __repr__(self):
        return self.text


either = Either


def _records(rtype):
    def make(*values, name=None, ttl=None):
        return Expected(answer=[(name, ttl, rtype, value) for value in values])
    return make


A, AAAA, CNAME, PTR, SRV, TXT, NS = map(_records, ("A", "AAAA", "CNAME", "PTR", "SRV", "TXT", "NS"))


def extra(*parts):
    """The additional section: exactly the records of these."""
    return Expected(additional=[record for part in parts for record in part.answer])


NODATA = Expected(soa="")
NXDOMAIN = Expected("NXDOMAIN", soa="")
SERVFAIL = Expected("SERVFAIL", aa=False)
REFUSED = Expected("REFUSED", aa=False)


def foreign(expected):
    """The same reply from another server, passed on: without AA."""
    return Expected(expected.rcode, expected.answer, expected.additional, expected.soa, False, expected.ttl)


def nxdomain(zone):
    return Expected("NXDOMAIN", soa=zone)


def nodata(zone):
    return Expected(soa=zone)
