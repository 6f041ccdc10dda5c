"""What each kind of packet gets: random, cut, mutated and hand-made ones, over UDP and TCP. RFC 1035, 6891, 7873."""

import random
import struct
import unittest

import harness
from harness import Message, pack_query, wait_until
from wire import pack_name, pack_opt

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

KEEPS = {3, 9, 10, 11, 12}  # NSID, EXPIRE, COOKIE, TCP-KEEPALIVE, PADDING: the options that a reply mirrors


def packet(qid=7, flags=0x0100, counts=None, question=None, rest=b""):
    """A message from its parts. question: octets, default a.example.org A IN."""
    if question is None:
        question = pack_name("a.example.org") + struct.pack("!HH", 1, 1)
    return struct.pack("!HHHHHH", qid, flags, *(counts or (1, 0, 0, 0))) + question + rest


def record(rtype=1, data=b"\xc0\0\2\1", owner=b"\xc0\x0c"):
    return owner + struct.pack("!HHIH", rtype, 1, 60, len(data)) + data


# ---------------------------------------------------------------- what a packet ought to get, from the RFCs alone


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


def seeds():
    """Valid queries of many shapes, with id 0."""
    found = []
    for name in ("a.example.org", "A.eXaMpLe.OrG", LONG, "many.example.org", "nope.example.org", "other.test", "."):
        for qtype in ("A", "AAAA", "ANY", "PTR"):
            for edns in (None, {"edns": 1232}, {"edns": 512, "do": True}, {"options": [(10, b"12345678"), (12, b"\0" * 9)]}):
                found.append(pack_query(name, qtype, qid=0, **(edns or {})))
    found.append(packet(0, counts=(1, 1, 0, 0), rest=record()))
    found.append(packet(0, counts=(1, 0, 1, 0), rest=record(6, b"\xc0\x0c\xc0\x0c" + b"\0" * 20)))
    found.append(packet(0, counts=(1, 0, 0, 2), rest=record() + pack_opt()))
    found.append(packet(0, flags=4 << 11))
    return found


def mutate(rnd, data):
    """A changed copy; the first two octets (the id) stay."""
    data = bytearray(data)
    for _ in range(rnd.choice((1, 1, 2, 4))):
        kind = rnd.randrange(7)
        if len(data) <= 3:
            break
        at = rnd.randrange(2, len(data))
        if kind == 0:
            data[at] ^= 1 << rnd.randrange(8)
        elif kind == 1:
            data[at] = rnd.choice((0, 1, 0x3F, 0x40, 0x80, 0xBF, 0xC0, 0xFF, rnd.randrange(256)))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data[at:at] = bytes(rnd.randrange(256) for _ in range(rnd.randrange(1, 9)))
        elif kind == 4:
            del data[at:at + rnd.randrange(1, 9)]
        elif kind == 5:
            data += bytes(rnd.randrange(256) for _ in range(rnd.randrange(1, 40)))
        elif at + 2 <= len(data):
            data[at:at + 2] = struct.pack("!H", 0xC000 | rnd.choice((0, 12, at, rnd.randrange(64))))
    return bytes(data)


def storm(seed, count):
    """count packets with the ids 1 ... count."""
    rnd = random.Random(seed)
    base = seeds()
    for qid in range(1, count + 1):
        kind = rnd.randrange(10)
        if kind == 0:
            body = bytes(rnd.randrange(256) for _ in range(rnd.randrange(0, 80)))
        elif kind == 1:
            source = rnd.choice(base)
            body = source[2:rnd.randrange(2, len(source) + 1)]
        else:
            body = mutate(rnd, rnd.choice(base))[2:]
        yield struct.pack("!H", qid) + body


# ---------------------------------------------------------------- tests


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


class Storms(Packets):
    def udp_storm(self, seed, count, address="127.0.0.1"):
        sent, replies = list(storm(seed, count)), {}

        def take(data):
            self.assertNotIn(data[:2], replies, f"two replies: {data.hex()} and {replies.get(data[:2])}")
            replies[data[:2]] = data

        with self.s.udp(address=address) as c:
            for at in range(0, count, 50):
                chunk = sent[at:at + 50]
                for p in chunk:
                    c.send(p)
                missing = {p[:2] for p in chunk if expected(p)}
                while missing:
                    data = c.recv_raw()
                    if data is None:
                        break
                    take(data)
                    missing.discard(data[:2])
            # What should have no reply: the marker comes behind whatever they might have got.
            marker = pack_query("a.example.org", qid=65535)
            c.send(marker)
            while b"\xff\xff" not in replies:
                data = c.recv_raw()
                self.assertIsNotNone(data, "the marker was not answered")
                take(data)
        self.check_all(sent, replies)

    def test_udp(self):
        self.steady(lambda: self.udp_storm(1, 4000))
        self.answers_everyone()

    def test_udp_ipv6(self):
        self.steady(lambda: self.udp_storm(2, 1000, "::1"))
        self.answers_everyone()

    def tcp_storm(self, seed, count):
        sent, replies = list(storm(seed, count)), {}
        with self.s.tcp() as c:
            for at in range(0, count, 100):
                chunk = sent[at:at + 100]
                c.send(*chunk)
                missing = {p[:2] for p in chunk if expected(p)}
                while missing:
                    data = c.recv_raw()
                    if data is None:
                        break
                    self.assertNotIn(data[:2], replies)
                    replies[data[:2]] = data
                    missing.discard(data[:2])
            self.assertEqual(c.ask("a.example.org", qid=65535).id, 65535)
        self.check_all(sent, replies)

    def test_tcp(self):
        self.steady(lambda: self.tcp_storm(3, 3000))
        self.answers_everyone()

    def test_tcp_streams_of_noise(self):
        """No framing at all: connections that send anything and go."""
        def work():
            rnd = random.Random(4)
            for _ in range(150):
                with self.s.tcp() as c:
                    try:
                        c.send_raw(rnd.randbytes(rnd.choice((1, 2, 3, 13, 200, 5000, 70000))))
                    except ConnectionError:
                        pass  # the server may have seen enough
        self.steady(work)
        self.answers_everyone()

    def test_large_datagrams(self):
        """Up to the largest datagram there is: one reply each, and no memory kept."""
        def work():
            with self.s.udp() as c:
                for size in (512, 513, 4095, 4096, 4097, 9000, 32768, 65507):
                    body = pack_query("a.example.org", qid=size)
                    c.send(body + b"\0" * (size - len(body)))
                    self.assertEqual(c.recv().id, size)
        self.steady(work)
        self.answers_everyone()


class Rules(Packets):
    """coredns.md 1.6: which packets reach the chain, and what the others get."""

    def udp(self, data, timeout=3):
        return self.s.ask_raw(data, timeout=timeout)

    def both(self, data, rcode):
        """Over UDP and TCP; returns the UDP reply."""
        parsed = None
        for transport in ("tcp", "udp"):
            got = self.s.ask_raw(data, transport)
            self.assertIsNotNone(got, f"no reply over {transport} to {data.hex()}")
            parsed = self.check_reply(data, got, 512 if transport == "udp" else None)
            self.assertEqual(parsed.rcode, rcode, f"{transport}: {data.hex()}")
        return parsed

    def silent(self, *packets):
        """None of them gets a reply: not before one to the question behind them."""
        for client in (self.s.udp(), self.s.tcp()):
            with client as c:
                for p in packets:
                    c.send(p)
                c.send(pack_query("a.example.org", qid=4711))
                reply = c.recv()
                self.assertEqual(reply.id, 4711, f"{type(c).__name__}: {reply}")

    def test_shorter_than_a_header(self):
        self.silent(*(b"\0\7\1\0\0\1\0\0\0\0\0"[:n] for n in range(0, 12)))

    def test_replies_are_ignored(self):
        self.silent(packet(flags=0x8000), packet(flags=0x8180), packet(flags=0xFFFF), b"\0\7\x80\0" + b"\0" * 8)

    def test_opcodes(self):
        for opcode in range(16):
            reply = self.both(packet(flags=opcode << 11), "NOERROR" if opcode in (0, 4) else "NOTIMP")
            self.assertEqual(reply.opcode, opcode)

    def test_dynamic_update_is_not_implemented(self):
        zone = pack_name("example.org") + struct.pack("!HH", 6, 1)
        self.both(packet(flags=5 << 11, counts=(1, 0, 1, 0), question=zone, rest=record()), "NOTIMP")

    def test_header_alone(self):
        self.both(b"\0\7\1\0" + b"\0" * 8, "FORMERR")
        self.both(b"\0\7\1\0\0\1" + b"\0" * 6, "FORMERR")

    def test_number_of_questions(self):
        one = pack_name("a.example.org") + struct.pack("!HH", 1, 1)
        self.both(packet(counts=(0, 0, 0, 0), question=b""), "FORMERR")
        self.both(packet(counts=(0, 0, 0, 1), question=b"", rest=pack_opt()), "FORMERR")
        self.both(packet(counts=(2, 0, 0, 0), question=one + one), "FORMERR")
        self.both(packet(counts=(2, 0, 0, 0), question=one), "FORMERR")
        self.both(packet(counts=(65535, 0, 0, 0), question=one), "FORMERR")

    def test_number_of_records(self):
        self.both(packet(counts=(1, 1, 0, 0), rest=record()), "NOERROR")
        self.both(packet(counts=(1, 2, 0, 0), rest=record() * 2), "FORMERR")
        self.both(packet(counts=(1, 0, 1, 0), rest=record()), "NOERROR")
        self.both(packet(counts=(1, 0, 2, 0), rest=record() * 2), "FORMERR")
        self.both(packet(counts=(1, 0, 0, 2), rest=record() + pack_opt()), "NOERROR")
        self.both(packet(counts=(1, 0, 0, 3), rest=record() * 2 + pack_opt()), "FORMERR")
        self.both(packet(counts=(1, 65535, 65535, 65535)), "FORMERR")

    def test_counts_that_promise_more_than_there_is(self):
        for counts in ((1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (1, 0, 0, 2)):
            self.both(packet(counts=counts), "FORMERR")
        self.both(packet(counts=(1, 0, 0, 2), rest=pack_opt()), "FORMERR")

    def test_compression_in_the_question(self):
        tail = struct.pack("!HH", 1, 1)
        for name in (b"\xc0\x0c", b"\xc0\x00", b"\1a\xc0\x0c", b"\xc0\xff", b"\xff\xff", b"\xc0"):
            self.both(packet(question=name + tail), "FORMERR")

    def test_compression_loops_in_records(self):
        at = len(packet())
        for owner in (struct.pack("!H", 0xC000 | at), struct.pack("!H", 0xC000 | at + 2), b"\1a" + struct.pack("!H", 0xC000 | at),
                      b"\xff\xff"):
            self.both(packet(counts=(1, 1, 0, 0), rest=record(owner=owner)), "FORMERR")

    def test_label_types(self):
        for octet in (0x40, 0x41, 0x80, 0xBF):
            self.both(packet(question=bytes([octet]) + b"a" * 40 + b"\0\0\1\0\1"), "FORMERR")

    def test_longest_names(self):
        whole = pack_name(LONG)
        self.assertEqual(len(whole), 255)
        tail = struct.pack("!HH", 1, 1)
        reply = self.both(packet(question=whole + tail), "NOERROR")
        self.assertEqual(reply.values(), ["192.0.2.1"])
        longer = pack_name(LONG.replace("d" * 49, "d" * 50))
        self.assertEqual(len(longer), 256)
        self.both(packet(question=longer + tail), "FORMERR")
        self.both(packet(question=b"\1a" * 127 + b"\0" + tail), "REFUSED")  # 127 labels, 255 octets
        self.both(packet(question=b"\1a" * 128 + b"\0" + tail), "FORMERR")

    def test_names_of_any_octets(self):
        """Octets are octets: NUL, dots, 8 bits. The question comes back as it was."""
        for label in (b"\0", b".", b"\\", b"\xff\x80", b" ", b"a.b", bytes(range(1, 64))):
            question = bytes([len(label)]) + label + pack_name("example.org") + struct.pack("!HH", 1, 1)
            got = self.udp(packet(question=question))
            self.assertEqual(Message(got).rcode, "SERVFAIL")  # hosts does not have it
            self.assertEqual(got[12:12 + len(question)], question)

    def test_letter_case_comes_back(self):
        got = self.udp(pack_query("A.eXaMpLE.oRg"))
        self.assertIn(pack_name("A.eXaMpLE.oRg"), got)
        self.assertEqual(Message(got).values(), ["192.0.2.1"])

    def test_cut_names(self):
        whole = packet()
        for n in range(12, len(whole)):
            self.both(whole[:n], "FORMERR")

    def test_unserved_names_and_classes(self):
        self.both(pack_query("other.test"), "REFUSED")
        self.both(pack_query("."), "REFUSED")
        for qclass in ("CH", "HS", "NONE", "ANY", 0, 2, 65535):
            self.both(pack_query("a.example.org", qclass=qclass), "REFUSED")

    def test_types_of_any_number(self):
        for qtype in (0, 41, 65280, 65535, 249, 250):
            got = self.udp(pack_query("a.example.org", f"TYPE{qtype}", qid=qtype))
            self.assertIsNotNone(got)
            self.assertEqual(Message(got).id, qtype)

    def test_flags_come_back(self):
        """RD and CD as the client's; nothing else of the query's shows."""
        reply = Message(self.udp(packet(flags=0x0110)))
        self.assertEqual((reply.rd, reply.cd, reply.tc, reply.z), (1, 1, 0, 0))
        reply = Message(self.udp(packet(flags=0x0000)))
        self.assertEqual((reply.rd, reply.cd, reply.tc, reply.z), (0, 0, 0, 0))


class Edns(Packets):
    """RFC 6891 and coredns.md 1.7."""

    def opt_query(self, opt, rest=b"", additional=1, name="a.example.org"):
        question = pack_name(name) + struct.pack("!HH", 1, 1)
        return packet(counts=(1, 0, 0, additional), question=question, rest=opt + rest)

    def ask(self, data, transport="udp"):
        got = self.s.ask_raw(data, transport)
        self.assertIsNotNone(got, f"no reply over {transport} to {data.hex()}")
        return self.check_reply(data, got)

    def test_versions(self):
        for version in (1, 2, 100, 255):
            for transport in ("udp", "tcp"):
                reply = self.ask(pack_query("a.example.org", version=version), transport)
                self.assertEqual(reply.rcode, "BADVERS")
                self.assertEqual(reply.opt.ttl >> 16 & 255, 0, "the version we do speak")
                self.assertEqual(reply.answer, [])

    def test_no_opt_no_opt(self):
        self.assertIsNone(self.ask(pack_query("a.example.org")).opt)

    def test_opt_comes_back(self):
        for size in (512, 1232, 4096, 65535):
            for do in (False, True):
                reply = self.ask(pack_query("a.example.org", edns=size, do=do))
                self.assertEqual(reply.rcode, "NOERROR")
                self.assertIsNotNone(reply.opt)
                self.assertEqual(reply.do, do)
                self.assertEqual(reply.size, size)

    def test_opt_on_errors(self):
        for name, rcode in (("other.test", "REFUSED"), ("nope.example.org", "SERVFAIL")):
            reply = self.ask(pack_query(name, edns=1232, do=True))
            self.assertEqual(reply.rcode, rcode)
            self.assertTrue(reply.do)

    def test_two_opts(self):
        self.assertEqual(self.ask(self.opt_query(pack_opt(), pack_opt(), 2)).rcode, "FORMERR")

    def test_opt_of_another_owner(self):
        self.assertEqual(self.ask(self.opt_query(b"\1a" + pack_opt())).rcode, "FORMERR")

    def test_opt_in_the_answer_section(self):
        data = packet(counts=(1, 1, 0, 0), rest=pack_opt())
        self.assertIn(self.ask(data).rcode, ("FORMERR", "NOERROR"))

    def test_options_that_pass_the_end(self):
        for raw in (b"\0", b"\0\x0a\0", b"\0\x0a\0\x09" + b"12345678", b"\xff" * 7):
            opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(raw)) + raw
            self.assertEqual(self.ask(self.opt_query(opt)).rcode, "FORMERR", raw.hex())

    def test_opt_cut(self):
        whole = pack_opt(options=[(10, b"12345678")])
        for n in range(len(whole)):
            self.assertEqual(self.ask(self.opt_query(whole[:n])).rcode, "FORMERR", n)

    def test_unknown_options_are_ignored(self):
        sent = [(65001, b"x" * 20), (0, b""), (26946, b"abc"), (8, b"\0\1\x18\0\xc0\0\2")]
        reply = self.ask(pack_query("a.example.org", options=sent))
        self.assertEqual(reply.rcode, "NOERROR")
        self.assertEqual(reply.options, [])

    def test_known_options_come_back(self):
        sent = [(10, b"12345678"), (65001, b"x")]
        reply = self.ask(pack_query("a.example.org", options=sent))
        self.assertEqual(reply.options, [(10, b"12345678")])
        for code, value in ((3, b""), (10, b"12345678" + b"s" * 16), (12, b"\0" * 64)):
            reply = self.ask(pack_query("a.example.org", options=[(code, value)]))
            self.assertEqual(reply.rcode, "NOERROR")
            self.assertIn(code, [c for c, _ in reply.options])

    def test_cookies_of_wrong_lengths(self):
        """RFC 7873 5.2.2 asks for FORMERR; CoreDNS does not look. Either way one reply."""
        for n in (0, 1, 7, 9, 15, 41, 200):
            reply = self.ask(pack_query("a.example.org", options=[(10, b"c" * n)]))
            self.assertIn(reply.rcode, ("FORMERR", "NOERROR"))

    def test_many_options(self):
        """A query as large as a datagram may be that is read whole."""
        options = [(65001, b"o" * 60)] * 60
        data = pack_query("a.example.org", options=options)
        self.assertGreater(len(data), 3800)
        self.assertEqual(self.ask(data).values(), ["192.0.2.1"])

    def test_sizes(self):
        """The reply is cut to what the client takes, never below 512, and says so."""
        for size in (None, 0, 1, 511, 512, 513, 800, 1232, 4096, 65535):
            limit = max(512, size or 0)
            for name, count in (("many", MANY), ("lots", LOTS)):
                options = {} if size is None else {"edns": size}
                data = pack_query(f"{name}.example.org", **options)
                with self.s.udp() as c:
                    c.send(data)
                    got = c.recv_raw()
                reply = self.check_reply(data, got, limit)
                whole = len(reply.answer) == count
                self.assertEqual(reply.tc, 0 if whole else 1, f"{name} at {size}")
                fits = 12 + len(pack_name(f"{name}.example.org")) + 4 + 16 * count + (0 if size is None else 11) <= limit
                self.assertEqual(whole, fits, f"{name} at {size}: {len(reply.answer)} of {count} in {len(got)} octets")
                if not whole:
                    self.assertGreater(len(got), limit - 16, "as many as fit")
                self.assertEqual(reply.opt is not None, size is not None, "OPT is always kept")

    def test_tcp_is_not_cut(self):
        for options in ({}, {"edns": 0}, {"edns": 512}):
            data = pack_query("lots.example.org", **options)
            reply = self.ask(data, "tcp")
            self.assertEqual((reply.tc, len(reply.answer)), (0, LOTS))


if __name__ == "__main__":
    unittest.main()
