"""TCP connections: framing, pipelining, ends, slow readers, timeouts. RFC 7766, RFC 1035 4.2.2."""

import contextlib
import random
import socket
import struct
import threading
import time
import unittest

import harness
from harness import pack_query, SCALE, wait_until
from transport import frame, Held, Transport, with_timeouts


class Pipelining(Transport):
    def test_replies_in_the_order_they_are_ready(self):
        held = Held(fast=("fast.up.",))
        self.addCleanup(held.release)
        s, up = self.forwarding(held)
        with s.tcp() as c:
            c.send(pack_query("slow.up", qid=1), pack_query("fast.up", qid=2), pack_query("a.test", qid=3))
            self.assertEqual(sorted(self.take(c, 2)), [2, 3])
            up.wait_asked(name="slow.up.")
            held.release()
            self.assertEqual(self.take(c, 1), [1])

    def test_thousands_in_one_write(self):
        s = self.local()
        with s.tcp() as c:
            sender = threading.Thread(target=c.send, args=[pack_query("a.test", qid=i) for i in range(5000)])
            sender.start()
            ids = self.take(c, 5000)
            sender.join()
        self.assertEqual(sorted(ids), list(range(5000)))

    def test_more_waiting_than_one_connection_may_have(self):
        """The rest waits unread, and is answered once there is room."""
        held = Held()
        self.addCleanup(held.release)
        s, up = self.forwarding(held, "read_timeout 30s")
        with s.tcp() as c:
            c.send(*(pack_query(f"n{i}.up", qid=i) for i in range(700)))
            up.wait_asked(512)
            self.answers(s)
            self.assertLess(up.count, 700)
            held.release()
            self.assertEqual(sorted(self.take(c, 700)), list(range(700)))

    def test_replies_of_one_turn_for_many_connections(self):
        s = self.local()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(s.tcp()) for _ in range(100)]
            for i, c in enumerate(clients):
                c.send(*(pack_query("a.test", qid=100 * i + k) for k in range(20)))
            for i, c in enumerate(clients):
                self.assertEqual(sorted(self.take(c, 20)), [100 * i + k for k in range(20)])


class Framing(Transport):
    def setUp(self):
        super().setUp()
        self.s = self.local()

    def test_empty_messages(self):
        with self.s.tcp() as c:
            c.send_raw(b"\0\0" * 1000)
            self.assertEqual(c.ask("a.test", qid=9).id, 9)

    def test_largest_message(self):
        """65,535 octets, padded by an option (RFC 7830)."""
        base = len(pack_query("a.test", options=[(12, b"")]))
        data = pack_query("a.test", qid=5, options=[(12, b"\0" * (65535 - base))])
        self.assertEqual(len(data), 65535)
        with self.s.tcp() as c:
            for _ in range(3):
                c.send(data)
                reply = c.recv()
                self.assertEqual((reply.id, reply.values()), (5, ["192.0.2.1"]))
            c.send(data, data, pack_query("b.test", qid=6))
            self.assertEqual(sorted(self.take(c, 3)), [5, 5, 6])

    def test_largest_message_of_noise(self):
        noise = pack_query("a.test", qid=5) + random.Random(1).randbytes(65535)
        with self.s.tcp() as c:
            c.send(noise[:65535])
            self.assertEqual(c.recv().rcode, "FORMERR")
            self.assertEqual(c.ask("a.test").rcode, "NOERROR")

    def test_one_octet_at_a_time(self):
        with self.s.tcp() as c:
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in frame(pack_query("a.test", qid=1), pack_query("b.test", qid=2)):
                c.send_raw(bytes([octet]))
                time.sleep(0.002)  # so that each travels alone
            self.assertEqual(sorted(self.take(c, 2)), [1, 2])

    def test_any_split(self):
        rnd = random.Random(2)
        stream = frame(*(pack_query(rnd.choice(("a.test", "lots.test", "b.test")), qid=i) for i in range(400)))
        with self.s.tcp() as c:
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def send():
                at = 0
                while at < len(stream):
                    n = rnd.choice((1, 2, 3, 30, 500))
                    c.send_raw(stream[at:at + n])
                    at += n
            sender = threading.Thread(target=send)
            sender.start()
            ids = self.take(c, 400)
            sender.join()
        self.assertEqual(sorted(ids), list(range(400)))


class Ends(Transport):
    """Clients that close, half or whole, at any moment."""

    def test_half_closed_gets_its_replies(self):
        held = Held()
        self.addCleanup(held.release)
        s, up = self.forwarding(held)
        with s.tcp() as c:
            c.send(pack_query("a.test", qid=1), pack_query("slow.up", qid=2))
            c.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(self.take(c, 1), [1])
            up.wait_asked()
            held.release()
            self.assertEqual(self.take(c, 1), [2])
            self.assertTrue(c.closed_by_peer(2), "after the last reply")

    def test_half_closed_after_many(self):
        s = self.local()
        with s.tcp() as c:
            c.send(*(pack_query("a.test", qid=i) for i in range(1500)))
            c.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sorted(self.take(c, 1500)), list(range(1500)))
            self.assertTrue(c.closed_by_peer(2))

    def test_half_closed_after_more_than_may_wait(self):
        held = Held()
        self.addCleanup(held.release)
        s, up = self.forwarding(held, "read_timeout 30s")
        with s.tcp() as c:
            c.send(*(pack_query(f"n{i}.up", qid=i) for i in range(600)))
            c.sock.shutdown(socket.SHUT_WR)
            up.wait_asked(512)
            held.release()
            self.assertEqual(sorted(self.take(c, 600)), list(range(600)))
            self.assertTrue(c.closed_by_peer(2))

    def test_half_closed_within_a_message(self):
        s = self.local()
        for n in (0, 1, 2, 3, 20):
            with s.tcp() as c:
                c.send_raw(frame(pack_query("a.test"))[:n])
                c.sock.shutdown(socket.SHUT_WR)
                self.assertTrue(c.closed_by_peer(2), f"after {n} octets")

    def test_half_closed_after_an_ignored_message(self):
        """Nothing is owed for a message that gets no reply."""
        s = self.local()
        with s.tcp() as c:
            c.send(b"short", b"\0\1\x80\0" + b"\0" * 8)
            c.sock.shutdown(socket.SHUT_WR)
            self.assertTrue(c.closed_by_peer(2))

    def test_gone_while_queries_wait(self):
        held = Held()
        self.addCleanup(held.release)
        s, up = self.forwarding(held)
        fds = s.fds()
        for i in range(60):
            with s.tcp() as c:
                c.send(*(pack_query(f"n{i}-{k}.up") for k in range(5)))
                up.wait_asked(5 * i + 5)
                if i % 2:
                    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.answers(s)
        held.release()
        self.answers(s)
        # 8 connections and some sockets to the upstream may stay for a while.
        wait_until(lambda: s.fds() <= fds + 20, 10, "descriptors given back")
        s.stop()

    def test_comes_and_goes(self):
        s = self.local()

        def work():
            for i in range(500):
                with s.tcp() as c:
                    if i % 3 == 1:
                        c.send(pack_query("a.test"))
                    elif i % 3 == 2:
                        c.send(pack_query("a.test"))
                        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        work()
        before, fds = s.rss(), s.fds()
        work()
        wait_until(lambda: s.fds() <= fds + 2, what="descriptors given back")
        if not harness.SANITIZED:
            self.assertLess(s.rss() - before, 1 << 20)
        self.answers(s)


class SlowReaders(Transport):
    def slow_client(self, s, count):
        """A client that takes few octets at a time and has asked for about 4 KiB count times."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10 * SCALE)
        sock.connect(("127.0.0.1", s.port))
        sock.sendall(frame(*(pack_query("lots.test", qid=i) for i in range(count))))
        return self.keep(sock)

    def test_reads_later(self):
        """Replies for several MiB, read after the server has run against the wall."""
        s = self.local()
        sock = self.slow_client(s, 2000)
        # Until nothing more arrives the server writes; then it waits for us.
        arrived = -1
        while arrived != (arrived := len(sock.recv(1 << 22, socket.MSG_PEEK))):
            time.sleep(0.2)
        self.answers(s)
        buffer, ids = b"", []
        while len(ids) < 2000:
            more = sock.recv(1 << 16)
            self.assertTrue(more, f"closed after {len(ids)} of 2000 replies")
            buffer += more
            while len(buffer) >= 2 and len(buffer) >= 2 + struct.unpack("!H", buffer[:2])[0]:
                n = struct.unpack("!H", buffer[:2])[0]
                ids.append(struct.unpack("!H", buffer[2:4])[0])
                buffer = buffer[2 + n:]
        self.assertEqual(sorted(ids), list(range(2000)))

    def test_never_reads(self):
        """Forty of them: memory is bounded, others are served, and the write timeout ends them."""
        s = self.local(with_timeouts("read 1s\nwrite 1s\nidle 1s"))
        self.answers(s)
        before, fds = s.rss(), s.fds()
        clients = []
        for i in range(40):
            clients.append(self.slow_client(s, 1500))
            self.answers(s)
        if not harness.SANITIZED:
            self.assertLess(s.rss() - before, 40 * (2 << 20))
        wait_until(lambda: s.fds() <= fds + 2, 8, "the server to end connections that take nothing")
        self.answers(s)
        self.assertEqual(len(clients), 40)


class Timeouts(Transport):
    def ends_between(self, client, least, most, what):
        began = time.monotonic()
        self.assertTrue(client.closed_by_peer(most + 2), f"{what}: still open")
        took = time.monotonic() - began
        self.assertGreaterEqual(took, least, what)
        self.assertLessEqual(took, most * SCALE, what)

    def test_defaults(self):
        """A new connection has 3 s for its first query; one that asked has 10 s."""
        s = self.local()
        with s.tcp() as quiet, s.tcp() as asking:
            self.assertEqual(asking.ask("a.test").rcode, "NOERROR")
            self.ends_between(quiet, 2.5, 4.5, "no query")
            self.assertEqual(asking.ask("a.test").rcode, "NOERROR")

    def test_read_of_the_first_query(self):
        s = self.local(with_timeouts("read 1s\nidle 20s"))
        with s.tcp() as c:
            self.ends_between(c, 0.8, 2, "no query")

    def test_idle(self):
        s = self.local(with_timeouts("read 10s\nidle 1s"))
        with s.tcp() as c:
            for _ in range(3):
                self.assertEqual(c.ask("a.test").rcode, "NOERROR")
                self.assertFalse(c.closed_by_peer(0.5 / SCALE), "half the time")
            self.assertEqual(c.ask("a.test").rcode, "NOERROR")
            self.ends_between(c, 0.8, 2, "idle")

    def test_read_of_a_message_that_trickles(self):
        """Octets that keep coming don't make a message's time longer."""
        s = self.local(with_timeouts("read 1s\nidle 20s"))
        with s.tcp() as c:
            self.assertEqual(c.ask("a.test").rcode, "NOERROR")
            began = time.monotonic()
            c.send_raw(b"\xff\xff")
            ended = False
            while not ended and time.monotonic() - began < 4 * SCALE:
                with contextlib.suppress(ConnectionError):
                    c.send_raw(b"x")
                ended = c.closed_by_peer(0.1 / SCALE)
            self.assertTrue(ended, "still open")
            self.assertGreater(time.monotonic() - began, 0.8)
            self.assertLess(time.monotonic() - began, 2 * SCALE)

    def test_a_query_under_way_is_waited_for(self):
        held = Held()
        self.addCleanup(held.release)
        up = self.upstream(held)
        s = self.local(f"up:{{port}} {{\n timeouts {{\n read 1s\n idle 1s\n }}\n forward . {up.to} {{\n"
                       " read_timeout 20s\n }\n}\n")
        with s.tcp() as c:
            c.send(pack_query("slow.up", qid=3))
            up.wait_asked()
            self.assertFalse(c.closed_by_peer(2.5 / SCALE))
            held.release()
            self.assertEqual(c.recv().id, 3)
            self.ends_between(c, 0, 3, "idle")

    def test_queries_per_connection(self):
        s = self.local(with_timeouts("maxtcpqueries 3"))
        with s.tcp() as c:
            c.send(*(pack_query("a.test", qid=i) for i in range(5)))
            self.assertEqual(sorted(self.take(c, 3)), [0, 1, 2])
            self.assertTrue(c.closed_by_peer(2), "after the third")


if __name__ == "__main__":
    unittest.main()
