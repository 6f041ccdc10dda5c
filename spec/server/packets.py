"""A server for packets of every kind, packets made by hand, and what a packet ought to get, from the RFCs alone."""

import struct

import harness
from harness import Message, wait_until
from wire import pack_name

LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 49, "example.org"])  # 255 octets on the wire
MANY = 60  # addresses of many.example.org: more than 512 octets, less than 1232
LOTS = 250  # ... of lots.example.org: about 4 KiB
COREFILE = f"""example.org:{{port}} {{
    prometheus 127.0.0.1:{{http}}
    hosts {{dir}}/hosts
}}
"""
HOSTS = "192.0.2.1 a.example.org " + LONG + "\n" + \
    "".join(f"192.0.2.{i + 1} many.example.org\n" for i in range(MANY)) + \
    "".join(f"198.51.100.{i + 1} lots.example.org\n" for i in range(LOTS))


def packet(qid=7, flags=0x0100, counts=None, question=None, rest=b""):
    """A message from its parts. question: octets, default a.example.org A IN."""
    if question is None:
        question = pack_name("a.example.org") + struct.pack("!HH", 1, 1)
    return struct.pack("!HHHHHH", qid, flags, *(counts or (1, 0, 0, 0))) + question + rest


def record(rtype=1, data=b"\xc0\0\2\1", owner=b"\xc0\x0c"):
    return owner + struct.pack("!HHIH", rtype, 1, 60, len(data)) + data


def name_end(data, at, pointers):
    """Offset behind a name, or None."""
    total = 0
    while at < len(data):
        n = data[at]
        if n & 0xC0 == 0xC0 and pointers and at + 1 < len(data):
            return at + 2  # where it leads to is not looked at: see expected()
        if n & 0xC0:
            return None
        total += n + 1
        at += n + 1
        if total > 255:
            return None
        if n == 0:
            return at if at <= len(data) else None
    return None


ANY_RCODE = {"NOERROR", "SERVFAIL", "REFUSED"}


def expected(data):
    """The rcodes this packet may get; empty: no reply at all."""
    if len(data) < 12 or data[2] & 0x80:
        return set()
    if data[2] >> 3 & 15 not in (0, 4):
        return {"NOTIMP"}
    questions, answers, authorities, additionals = struct.unpack("!HHHH", data[4:12])
    if questions != 1 or answers > 1 or authorities > 1 or additionals > 2:
        return {"FORMERR"}
    at = name_end(data, 12, pointers=False)
    if at is None or at + 4 > len(data):
        return {"FORMERR"}
    at += 4
    if answers + authorities + additionals == 0:
        return ANY_RCODE if at == len(data) else ANY_RCODE | {"FORMERR"}  # octets at the end: both are seen
    for _ in range(answers + authorities + additionals):
        at = name_end(data, at, pointers=True)
        if at is None or at + 10 > len(data):
            return {"FORMERR"}
        at += 10 + struct.unpack("!H", data[at + 8:at + 10])[0]
        if at > len(data):
            return {"FORMERR"}
    # Records fit in; whether pointers, options and versions are right the hand-made packets below tell.
    return ANY_RCODE | {"FORMERR", "BADVERS"}


class Packets(harness.Case):
    def setUp(self):
        super().setUp()
        self.s = self.server(COREFILE, files={"hosts": HOSTS})

    def answers_everyone(self):
        """Local names, by every road."""
        for transport in ("udp", "tcp"):
            for address in ("127.0.0.1", "::1"):
                reply = self.s.query("a.example.org", transport=transport, address=address)
                self.assertEqual(reply.values(), ["192.0.2.1"], f"{transport} {address}")
        with self.s.udp(source="127.0.0.77") as c:
            self.assertEqual(c.ask("a.example.org").values(), ["192.0.2.1"])

    def check_reply(self, sent, data, limit=None):
        """What is true of every reply; returns it parsed."""
        reply = Message(data)
        self.assertEqual(data[:2], sent[:2])
        self.assertEqual(reply.qr, 1)
        self.assertEqual(reply.opcode, sent[2] >> 3 & 15)
        self.assertEqual(reply.trailing, b"")
        if limit:
            self.assertLessEqual(len(data), limit)
        return reply

    def check_all(self, sent, replies):
        for p in sent:
            wanted = expected(p)
            got = replies.get(p[:2])
            if not wanted:
                self.assertIsNone(got, f"a reply to {p.hex()}: {got and got.hex()}")
                continue
            self.assertIsNotNone(got, f"no reply to {p.hex()}")
            reply = self.check_reply(p, got)
            self.assertIn(reply.rcode, wanted, f"{p.hex()} got {reply}")

    def steady(self, work):
        """Runs work twice; the second time memory and descriptors stay as they are."""
        work()
        before, fds = self.s.rss(), self.s.fds()
        work()
        if not harness.SANITIZED:
            self.assertLess(self.s.rss() - before, 1 << 20, "octets grown")
        wait_until(lambda: self.s.fds() <= fds + 2, what="descriptors given back")
