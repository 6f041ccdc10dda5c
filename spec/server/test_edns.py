"""EDNS in queries, good and bad, and what the reply has of it. RFC 6891, 7873."""

import struct
import unittest

from harness import pack_query
from packets import LOTS, MANY, packet, Packets
from wire import pack_name, pack_opt


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

    def test_known_options_do_not_come_back(self):
        """An echo would say that there are cookies, keep-alive, padding."""
        for code, value in ((3, b""), (9, b""), (10, b"12345678"), (10, b"12345678" + b"s" * 16), (11, b""),
                            (12, b"\0" * 64)):
            reply = self.ask(pack_query("a.example.org", options=[(code, value)]))
            self.assertEqual(reply.rcode, "NOERROR")
            self.assertEqual(reply.options, [])

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
