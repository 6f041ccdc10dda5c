"""Random, cut and mutated packets by the thousand, over UDP and TCP: each gets what the RFCs say."""

import random
import struct
import unittest

from harness import pack_query
from packets import LONG, expected, packet, Packets, record
from wire import pack_opt


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


if __name__ == "__main__":
    unittest.main()
