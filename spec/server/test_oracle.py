"""The same questions to CoreDNS and to us, the same Corefile in both: what differs is in README's table, or a defect.

The binary is what COREDNS names, or `coredns` on the path; its version must be the one that we follow.
"""

import collections
import os
import re
import shutil
import subprocess
import unittest

import environment
import kube  # noqa: F401 (finds the modules below)
import fixture
from server import FakeApi
from harness import Case, pack_query, run, Server, StartError
from wire import Message, pack_name, pack_opt

FOLLOWED = "CoreDNS-1.15."
COREDNS = os.environ.get("COREDNS") or shutil.which("coredns")


def why_not():
    if not COREDNS:
        return "no CoreDNS: COREDNS names none, and none is on the path"
    version = subprocess.run([COREDNS, "-version"], capture_output=True, text=True).stdout.split("\n")[0]
    return None if version.startswith(FOLLOWED) else f"{COREDNS} is {version}, not {FOLLOWED}x"


def record(rr):
    data = re.sub(r"^0 0 \d+ \.$", "0 0 PORT .", rr.data)  # whoami
    return (rr.name.lower(), rr.type, rr.klass, rr.ttl, data)  # hosts answers in the client's letter case here


def shown(data):
    """What is compared of a reply. Its length is not: here names are always compressed."""
    if data is None:
        return None
    m = Message(data)
    sections = {name: sorted(record(rr) for rr in getattr(m, name)) for name in ("answer", "authority", "additional")}
    return {"id": m.id, "flags": f"{m.flags:04x}", "rcode": m.rcode, "question": m.question, **sections,
            "opt": m.opt and (m.opt.name, m.size, m.opt.ttl, m.options)}


@unittest.skipIf(why_not(), why_not())
class Oracle(Case):
    def coredns(self, corefile, **options):
        ours = environment.BINARY
        environment.BINARY = COREDNS
        try:
            return self.keep(Server(corefile, **options))
        finally:
            environment.BINARY = ours

    def compare(self, pair, packet, transport="udp", about=None):
        theirs, ours = (shown(s.ask_raw(packet, transport, 5)) for s in pair)
        with self.subTest(about or packet.hex(), transport=transport):
            self.assertEqual(theirs, ours)

    def lines(self, s):
        s.stop()
        return collections.Counter(re.sub(r':\d+ - | [\d.e-]+s(?= "|$)', " ", line) for line in s.lines() if " - " in line)

    def compare_lines(self, pair):
        """Every log line of one has its like of the other."""
        theirs, ours = map(self.lines, pair)
        self.assertEqual((sorted((theirs - ours).elements()), sorted((ours - theirs).elements())), ([], []))

    def test_authoritative_chain(self):
        corefile = (".:{port} {\n log\n errors\n hosts {\n  192.0.2.1 a.test A.Upper.Test\n  2001:db8::1 a.test six.test\n"
                    "  192.0.2.2 two.test\n  192.0.2.3 two.test *.wild.test\n  fallthrough whoami.test arpa\n }\n whoami\n}\n"
                    "example.org:{port} 10.0.0.0/15:{port} {\n log . {combined}\n whoami\n}\nrefuse.org:{port} {\n}\n")
        pair = self.coredns(corefile), self.server(corefile)
        names = ("a.test", "A.TEST", "a.upper.test", "six.test", "two.test", "x.wild.test", "x.y.wild.test", "*.wild.test",
                 "nope.test", "x.whoami.test", ".", "EXAMPLE.org", "b.refuse.org", "a\\.b.example.org", "\\000\\255.example.org",
                 "1.2.0.192.in-addr.arpa", "9.2.0.192.in-addr.arpa", "1.0.1.10.in-addr.arpa")
        for transport in ("udp", "tcp"):
            for name in names:
                for qtype in ("A", "AAAA", "MX", "ANY", "SOA", "NS", "PTR", "AXFR", "IXFR", "OPT", "TYPE65280"):
                    self.compare(pair, pack_query(name, qtype, qid=7), transport, (name, qtype))
            for name in ("a.test", "nope.test", "example.org", "b.refuse.org"):
                for options in ({"edns": 0}, {"edns": 512}, {"edns": 65535}, {"do": True}, {"rd": False}, {"ad": True},
                                {"cd": True}, {"qclass": "CH"}, {"qclass": "ANY"}, {"opcode": 4}, {"opcode": 5}):
                    self.compare(pair, pack_query(name, "A", 7, **options), transport, (name, options))
        self.compare_lines(pair)

    def test_headers_and_options(self):
        corefile = ".:{port} {\n hosts {\n  192.0.2.1 a.test\n }\n}\n"
        pair = self.coredns(corefile), self.server(corefile)
        question = pack_name("a.test") + b"\0\1\0\1"
        for transport in ("udp", "tcp"):
            for option in ((3, b""), (8, b"\0\1\x18\0\xc0\0\2"), (9, b""), (10, b"12345678"), (11, b""), (12, b"\0" * 9),
                           (65001, b"x")):
                self.compare(pair, pack_query("a.test", qid=7, options=[option]), transport, option)
            for flags in (0x0100, 0x0300, 0x0500, 0x0180, 0x0140, 0x010f, 0x07ff, 0x2500, 0x2910, 0x7900):
                self.compare(pair, b"\0\7" + flags.to_bytes(2, "big") + b"\0\1" + b"\0" * 6 + question, transport, hex(flags))
            for counts in ((0, 0, 0, 0), (0, 0, 0, 1), (2, 0, 0, 0)):
                head = b"\0\7\1\0" + b"".join(n.to_bytes(2, "big") for n in counts)
                self.compare(pair, head + question * counts[0] + pack_opt() * counts[3], transport, counts)

    def test_forwarded_and_cached(self):
        def answer(q):
            kind, m = q.message.name.split(".")[0], q.message
            one = (None, "A", 300, "192.0.2.1")
            soa = [("test.", "SOA", 60, "ns.test. host.test. 1 2 3 4 60")]
            return {
                "plain": lambda: q.reply(answer=[one]), "aa": lambda: q.reply(answer=[one], aa=True, ra=False),
                "ad": lambda: q.reply(answer=[one], ad=True), "long": lambda: q.reply(answer=[(None, "A", 1 << 20, "192.0.2.1")]),
                "zero": lambda: q.reply(answer=[(None, "A", 0, "192.0.2.1")]), "empty": lambda: q.reply(),
                "mixed": lambda: q.reply(answer=[(None, "CNAME", 300, "b.test."), ("b.test.", "A", 40, "192.0.2.1")],
                                         authority=[("test.", "NS", 50, "ns.test.")]),
                "alone": lambda: q.reply(answer=[(None, "CNAME", 300, "b.test.")]),
                "nx": lambda: q.reply("NXDOMAIN", authority=soa), "bare": lambda: q.reply("NXDOMAIN"),
                "nodata": lambda: q.reply(authority=soa), "fail": lambda: q.reply("SERVFAIL"),
                "refused": lambda: q.reply("REFUSED"), "cut": lambda: q.reply(answer=[one], tc=q.transport == "udp"),
                "ends": lambda: q.reply(authority=[(m.name, "NS", 300, "ns.test.")], additional=[("ns.test.", "A", 300, "192.0.2.4")]),
                "padded": lambda: q.reply(answer=[one]) + b"\0\0",
            }[kind]()
        kinds = ("plain aa ad long zero empty mixed alone nx bare nodata fail refused cut ends padded").split()
        # A clock that ticks between the two would be a difference: keepttl shows what was kept.
        for options in ("", " cache 30 {\n  keepttl\n }\n", " cache {\n  disable success plain.test\n  servfail 0\n  keepttl\n }\n"):
            ups = self.upstream(answer), self.upstream(answer)
            texts = [f".:{{port}} {{\n log\n errors\n{options} forward . {up.to}\n}}\n" for up in ups]
            pair = self.coredns(texts[0]), self.server(texts[1])
            for _ in range(2):
                for kind in kinds:
                    for bits in ({}, {"do": True}, {"cd": True}, {"ad": True}, {"rd": False}):
                        self.compare(pair, pack_query(kind + ".test", qid=7, **bits), "udp", (options, kind, bits))
                    self.compare(pair, pack_query(kind + ".test", qid=7), "tcp", (options, kind))
            asked = [collections.Counter((q.message.name, q.transport, q.message.do, q.message.cd) for q in up.queries)
                     for up in ups]
            self.assertEqual(*asked)
            self.compare_lines(pair)

    def test_metadata(self):
        """Labels of pods alone are not kept here, and names of cluster sets are understood."""
        up = self.upstream(lambda q: {"one": lambda: q.reply(answer=[(None, "A", 300, "192.0.2.1")]),
                                      "fail": lambda: q.reply("SERVFAIL"), "refused": lambda: q.reply("REFUSED"),
                                      "nx": lambda: q.reply("NXDOMAIN"),
                                      "sub": lambda: q.reply(authority=[("test.", "NS", 50, "ns.test.")])}
                           [q.message.name.split(".")[0]]())
        api = self.keep(FakeApi())
        api.cluster.load(fixture.objects() + [fixture.pod("ns-b/asker", "Running", ["127.0.0.1"])], own=True)
        labels = ["kubernetes/" + name for name in (
            "endpoint kind namespace parse-error port-name protocol service cluster zone client-namespace client-pod-name").split()]
        labels += ["forward/upstream", "log/class", "log/type", "none/such", "none", ""]
        names = [name + ".svc.cluster.local" for name in (
            "web.ns-a", "WEB.ns-a", "no.no", "pod-0.hl.ns-a", "_http._tcp.web.ns-a", "http.tcp.web.ns-a", "_._tcp.web.ns-a",
            "pin._zone.hl.ns-a", "a.b.c.web.ns-a", "z1.pin._zone.hl.ns-a", "z.1.prefer._zone.hl.ns-a", "z.x._zone.hl.ns-a", "ns-a",
            "*.*", "we\\032b\\064.ns-a")]
        names += ["cluster.local", "svc.cluster.local", "foo.cluster.local", "ns.dns.cluster.local", "10-1-2-3.ns-a.pod.cluster.local",
                  "z1.pin._zone.hl.ns-a.pod.cluster.local", "1.1.96.10.in-addr.arpa",
                  "in-addr.arpa", "web.ns-a.svc.sub.cluster.local", "one.test", "fail.test", "refused.test", "nx.test", "sub.test"]
        line = '{remote}:{port} - {name} %s' % " ".join("[{/%s}]" % label for label in labels)
        for metadata, options in (("metadata", "pods verified\n  zonal"), ("metadata", "pods insecure"), ("", "pods verified"),
                                  ("metadata ns-a.svc.cluster.local one.test", "pods verified")):
            with self.subTest(metadata, options=options):
                corefile = (f'.:{{port}} {{\n {metadata}\n log . "{line}"\n kubernetes cluster.local sub.cluster.local in-addr.arpa {{\n'
                            f"  endpoint {api.url}\n  {options}\n }}\n forward test {up.to}\n}}\n")
                pair = self.coredns(corefile), self.server(corefile)
                for s in pair:
                    for name in names:
                        s.ask_raw(pack_query(name, "PTR" if name.endswith("arpa") else "A"))
                self.compare_lines(pair)

    def test_corefiles_that_are_refused(self):
        """Both refuse, with the same exit code; the texts are our own."""
        for text in (". {\n foo\n}", ". {\n whoami\n}}", "., {\n whoami\n}", ".: {\n whoami\n}", "a..b {\n whoami\n}",
                     ". {\n bind nosuchif0\n}", ". {\n cache 0\n}", ". {\n cache {\n  servfail 6m\n }\n}",
                     ". {\n errors {\n  consolidate 5m \"(\"\n }\n}", ". {\n forward .\n}", ". {\n forward . 127.0.0.1 {\n  policy x\n }\n}",
                     ". {\n health {\n  lameduck x\n }\n}", ". {\n hosts {\n  ttl 0\n }\n}", ". {\n log {\n  class x\n }\n}",
                     ". {\n loadbalance x\n}", ". {\n reload 1s\n}", ". {\n timeouts\n}", ". {\n whoami\n}\n. {\n whoami\n}",
                     "import /none", ". {\n import none\n}", "(a) {\n import a\n}\n. {\n import a\n}", ". {\n hosts\n hosts\n}"):
            with self.subTest(text):
                codes = []
                for binary in (COREDNS, environment.BINARY):
                    ours, environment.BINARY = environment.BINARY, binary
                    try:
                        codes.append(run(["-dns.port", "{port}"], text)[0])
                    finally:
                        environment.BINARY = ours
                self.assertEqual(codes, [1, 1])

    def test_corefiles_that_are_taken(self):
        for text in (".:{port} {\n log\n {\n  class error\n }\n whoami\n}", "a b:{port}\n{\n whoami\n}", ".:{port}\nwhoami\nlog\n",
                     "(s) {\n log\n}\n.:{port} {\n import s\n import none*\n whoami\n}", ".:{port} {\n bind ::\n whoami\n}",
                     "{$ABSENT}.:{port} {\n whoami#comment\n}", ".:{port} {\n log {\n  class error\n }\n",
                     "\ufeff.:{port} {\r\n whoami\r\n}\r\n", ".:{port} {\n hosts {\n  banana a\n  192.0.2.1\n }\n}"):
            with self.subTest(text):
                try:
                    pair = self.coredns(text, args=["-p", "{port2}"]), self.server(text, args=["-p", "{port2}"])
                except StartError as e:
                    self.fail(f"{text!r} is not taken: {e}")
                for s in pair:
                    s.stop()


if __name__ == "__main__":
    unittest.main()
