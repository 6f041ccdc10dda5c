"""UDP: cut replies, both families, bursts. RFC 1035 4.2.1."""

import contextlib
import socket
import unittest

from harness import Message, pack_query, SCALE
from transport import LOTS, Held, Transport


class Udp(Transport):
    def test_cut_and_asked_again_over_tcp(self):
        s = self.local()
        self.assertEqual(len(s.short("lots.test", "+noedns")), LOTS)
        self.assertEqual(len(s.short("lots.test", "+bufsize=1232")), LOTS)
        self.assertIn("Truncated, retrying in TCP mode", s.dig("lots.test", "+bufsize=1232"))
        cut = s.dig("lots.test", "+noedns", "+ignore")
        self.assertIn(" tc ", cut.replace(";", " "))
        self.assertEqual(len(s.short("lots.test", "+bufsize=8000", "+notcp")), LOTS)
        self.assertEqual(len(s.short("lots.test", "+tcp")), LOTS)

    def test_both_families(self):
        s = self.local()
        for address in ("127.0.0.1", "::1"):
            self.answers(s, address=address)
            self.assertEqual(s.short("a.test", address=address), ["192.0.2.1"])

    def test_reply_comes_from_the_asked_address(self):
        s = self.local()
        for address in ("127.0.0.1", "127.0.0.53", "127.9.8.7", "::1"):
            with s.udp(address=address, connect=False) as c:
                self.assertEqual(c.ask("a.test").values(), ["192.0.2.1"])
                self.assertEqual(c.source[:2], (address, s.port))

    def test_bursts(self):
        """Every query of a burst is answered once, by its own id, to its own socket."""
        s = self.local()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(s.udp(source=f"127.0.2.{k + 1}")) for k in range(20)]
            for burst in range(10):
                for k, c in enumerate(clients):
                    for i in range(30):
                        c.send(pack_query(("a.test", "lots.test", "nope.test")[i % 3], qid=burst << 10 | k << 5 | i))
                for k, c in enumerate(clients):
                    ids = self.take(c, 30, 3)
                    self.assertEqual(sorted(ids), [burst << 10 | k << 5 | i for i in range(30)])
            for c in clients:
                self.assertIsNone(c.recv_raw(0.01 / SCALE), "a reply too many")

    def test_bursts_with_waiting_ones(self):
        held = Held()
        self.addCleanup(held.release)
        s, up = self.forwarding(held)
        with s.udp() as c:
            c.send(*[pack_query("a.test", qid=0)])
            for i in range(1, 200):
                c.send(pack_query(f"n{i}.up" if i % 2 else "a.test", qid=i))
            self.assertEqual(sorted(self.take(c, 100, 3)), list(range(0, 200, 2)))
            up.wait_asked(100)
            held.release()
            self.assertEqual(sorted(self.take(c, 100, 3)), list(range(1, 200, 2)))

    def test_clients_that_are_gone(self):
        """Replies that bounce hurt nobody."""
        s = self.local()
        for i in range(300):
            with s.udp() as c:
                c.send(pack_query("a.test"))
        self.answers(s)

    def test_port_zero_and_own_port(self):
        """A query that seems to come from the server's own address must not make it talk to itself."""
        s = self.local()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            c.bind(("127.0.0.4", s.port))
            c.sendto(pack_query("a.test"), ("127.0.0.1", s.port))
            c.settimeout(3 * SCALE)
            self.assertEqual(Message(c.recv(4096)).rcode, "NOERROR")
        self.answers(s)


if __name__ == "__main__":
    unittest.main()
