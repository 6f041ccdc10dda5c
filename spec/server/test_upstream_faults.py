"""Upstreams that are silent, slow, lying or truncating. Whatever they do, local names are answered at once. RFC 5452."""

import random
import struct
import threading
import time
import unittest

from forwarding import GOOD, UP, Forwarding
from harness import pack_query, SCALE
from wire import pack_name


class SilentAndSlow(Forwarding):
    def test_silent_over_udp(self):
        up = self.upstream(lambda q: None)
        s = self.forward(up)
        self.bad(s)
        s.wait_log(r"\[ERROR\] plugin/errors: 2 bad\.up\. A: read udp 127\.0\.0\.1:\d+->" + up.to + ": i/o timeout")

    def test_silent_over_tcp(self):
        up = self.upstream(lambda q: None)
        s = self.forward(up)
        self.bad(s, transport="tcp")
        s.wait_log(r"plugin/errors: 2 bad\.up\. A: read tcp 127\.0\.0\.1:\d+->" + up.to + ": i/o timeout")

    def test_local_names_while_it_is_silent(self):
        s = self.forward(self.upstream(lambda q: None), options="read_timeout 2s\nmax_connect_attempts 1")
        with s.udp() as c:
            for i in range(200):
                c.send(pack_query(f"n{i}.up", qid=i))
            self.local(s)
            for _ in range(200):
                self.assertEqual(c.recv(4).rcode, "SERVFAIL")

    def test_slow(self):
        """Slower than usual, within its time; and 100 of them take no longer than one."""
        def answer(q):
            time.sleep(0.5)
            return GOOD(q)
        s = self.forward(self.upstream(answer), options="read_timeout 3s")
        began = time.monotonic()
        with s.udp() as c:
            for i in range(100):
                c.send(pack_query(f"n{i}.up", qid=i))
            self.local(s)
            ids = [c.recv().id for _ in range(100)]
        self.assertEqual(sorted(ids), list(range(100)))
        self.assertLess(time.monotonic() - began, 2 * SCALE)

    def test_late_replies_are_nobodys(self):
        release = self.released()

        def answer(q):
            if q.message.name == "late.up.":
                release.wait(10)
                return q.reply(answer=[(None, "A", 60, "198.51.100.66")])
            return GOOD(q)
        for transport in ("udp", "tcp"):
            release.clear()
            s = self.forward(self.upstream(answer))
            self.bad(s, "late.up", transport)
            release.set()
            for i in range(20):
                self.good(s, f"n{i}.up", transport)

    def test_recovers_from_a_silence(self):
        silent = threading.Event()
        silent.set()
        up = self.upstream(lambda q: None if silent.is_set() else GOOD(q))
        s = self.forward(up)
        for _ in range(5):
            self.bad(s)
        silent.clear()
        self.good(s)


class Lying(Forwarding):
    """Datagrams that are not the reply: skipped; the true one still counts. RFC 5452 9.1."""

    def lie_then_truth(self, lie, name="lie.up"):
        def answer(q):
            lie(q)
            return GOOD(q)
        s = self.forward(self.upstream(answer))
        for i in range(5):
            self.good(s, f"{i}.{name}")
        return s

    def only_lie(self, lie, transport="udp"):
        def answer(q):
            lie(q)
        s = self.forward(self.upstream(answer))
        self.bad(s, transport=transport)
        return s

    def both(self, lie):
        self.lie_then_truth(lie)
        self.only_lie(lie)

    @staticmethod
    def forged(q, **options):
        return q.reply(answer=[("bad.up", "A", 60, "198.51.100.66")], **options)

    def test_wrong_id(self):
        self.both(lambda q: [q.send(self.forged(q, qid=q.message.id ^ bit)) for bit in (1, 0x8000, 0xFFFF)])

    def test_wrong_id_over_tcp(self):
        self.only_lie(lambda q: q.send(self.forged(q, qid=q.message.id ^ 1)), "tcp")

    def test_wrong_name(self):
        self.both(lambda q: q.send(self.forged(q, question=("other.up", "A"))))

    def test_wrong_type(self):
        self.both(lambda q: q.send(self.forged(q, question=(q.message.name, "AAAA"))))

    def test_wrong_name_over_tcp(self):
        self.only_lie(lambda q: q.send(self.forged(q, question=("other.up", "A"))), "tcp")

    def test_wrong_source(self):
        """Right id, right question, from another port or address."""
        def lie(q):
            for address in ("127.0.0.1", "127.0.0.9"):
                q.send_from_elsewhere(self.forged(q), address)
        self.both(lie)

    def test_not_a_reply(self):
        self.both(lambda q: q.send(q.raw))

    def test_other_opcode(self):
        def lie(q):
            data = bytearray(self.forged(q))
            data[2] |= 4 << 3
            q.send(bytes(data))
        self.both(lie)

    def test_garbage(self):
        rnd = random.Random(5)

        def lie(q):
            for n in (0, 1, 2, 11, 12, 13, 40, 512, 4096, 9000):
                q.send(rnd.randbytes(n))
        self.both(lie)

    def test_no_question(self):
        """An answer without its question is none."""
        def lie(q):
            data = bytearray(struct.pack("!HHHHHH", q.message.id, 0x8180, 0, 1, 0, 0))
            data += pack_name(q.message.name) + struct.pack("!HHIH", 1, 1, 60, 4) + b"\xc6\x33\x64\x42"
            q.send(bytes(data))
        self.both(lie)

    def test_octets_behind_the_last_record(self):
        """A reply that is padded is a reply, with and without its question."""
        s = self.forward(self.upstream(lambda q: GOOD(q) + b"\0" * 9))
        for transport in ("udp", "tcp"):
            reply = s.query("padded.up", transport=transport)
            self.assertEqual((reply.rcode, reply.trailing), ("NOERROR", b""))

    def test_letter_case_of_the_question(self):
        """A reply in another case is the reply; the client sees its own."""
        s = self.forward(self.upstream(lambda q: q.reply(question=(q.message.name.swapcase(), "A"),
                                                         answer=[(None, "A", 60, UP)])))
        reply = s.query("MiXeD.uP")
        self.assertEqual((reply.rcode, reply.values(), reply.name), ("NOERROR", [UP], "MiXeD.uP."))

    def test_replies_more_than_once(self):
        def answer(q):
            for _ in range(3):
                q.send(GOOD(q))
        s = self.forward(self.upstream(answer))
        with s.udp() as c:
            for i in range(50):
                self.assertEqual(c.ask(f"n{i}.up", qid=i).id, i)
            self.assertIsNone(c.recv_raw(0.05 / SCALE))

    def test_broken_messages(self):
        """Right id and question, and then nonsense: SERVFAIL at once or after the time, never the nonsense."""
        def broken(q, kind):
            data = q.reply(answer=[(None, "A", 60, UP)])
            at = 12 + len(pack_name(q.message.name)) + 4
            if kind == 0:
                return data[:-3]
            if kind == 1:
                return data[:at] + struct.pack("!H", 0xC000 | at) + data[at:]  # a name that is its own end
            if kind == 2:
                return data[:6] + b"\xff\xff" + data[8:]
            if kind == 3:
                return data[:at]
            return data[:at + 3] + random.Random(kind).randbytes(60)
        for transport in ("udp", "tcp"):
            for kind in range(8):
                s = self.forward(self.upstream(lambda q, k=kind: broken(q, k)))
                self.bad(s, f"k{kind}.up", transport)
                s.close()


class Truncating(Forwarding):
    @staticmethod
    def answer(q):
        if q.transport == "udp":
            return q.reply(tc=True)
        return GOOD(q)

    def test_client_over_udp_is_told(self):
        up = self.upstream(self.answer)
        s = self.forward(up)
        reply = s.query("cut.up")
        self.assertEqual((reply.rcode, reply.tc, reply.answer), ("NOERROR", 1, []))
        self.assertEqual(s.short("cut.up"), [UP], "dig asks again over TCP")
        self.assertEqual(up.asked(transport="tcp"), 1)
        self.local(s)

    def test_prefer_udp_asks_again_itself(self):
        up = self.upstream(self.answer)
        s = self.forward(up, options="prefer_udp")
        for transport in ("udp", "tcp"):
            self.good(s, f"{transport}.up", transport)
        self.assertEqual((up.asked(transport="udp"), up.asked(transport="tcp")), (2, 2))

    def test_cut_inside_a_record(self):
        up = self.upstream(lambda q: q.reply(answer=[(None, "A", 60, UP)] * 9, tc=True)[:-7])
        reply = self.forward(up).query("cut.up")
        self.assertEqual((reply.rcode, reply.tc), ("NOERROR", 1))

    def test_larger_than_any_buffer(self):
        many = [(None, "TXT", 60, "x" * 250)] * 60
        up = self.upstream(lambda q: q.reply(answer=many))
        s = self.forward(up)
        reply = s.query("large.up", "TXT", edns=1232)
        self.assertEqual((reply.rcode, reply.tc), ("NOERROR", 1))
        self.assertLessEqual(len(reply.data), 1232)
        reply = s.query("large.up", "TXT", transport="tcp")
        self.assertEqual((reply.rcode, reply.tc, len(reply.answer)), ("NOERROR", 0, 60))
        self.local(s)

    def test_largest_message_over_tcp(self):
        def answer(q):
            rest = 65535 - 12 - len(pack_name(q.message.name)) - 4
            owner = len(pack_name(q.message.name))
            return q.reply(answer=[(None, 65280, 60, b"r" * (rest - owner - 10))])
        s = self.forward(self.upstream(answer), options="read_timeout 2s")
        reply = s.query("l.up", "TYPE65280", transport="tcp")
        self.assertEqual((reply.rcode, reply.tc, len(reply.answer)), ("NOERROR", 0, 1))
        self.assertGreater(len(reply.answer[0].raw), 65000)
        self.local(s)


if __name__ == "__main__":
    unittest.main()
