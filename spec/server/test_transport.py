"""TCP and UDP as such: framing, pipelining, timeouts, many connections, too many queries. RFC 7766, RFC 1035 4.2."""

import contextlib
import os
import random
import select
import socket
import struct
import threading
import time
import unittest

import harness
from harness import Message, SCALE, pack_query, wait_until

LOTS = 250  # addresses of lots.test: a reply of about 4 KiB
HOSTS = "192.0.2.1 a.test b.test\n" + "".join(f"198.51.100.{i + 1} lots.test\n" for i in range(LOTS))
LOCAL = """test:{port} {
    prometheus 127.0.0.1:{http}
    hosts {dir}/hosts
}
"""


def with_timeouts(text):
    """LOCAL with a plugin timeouts."""
    return LOCAL.replace("hosts {dir}", f"timeouts {{\n{text}\n}}\nhosts {{dir}}")


def frame(*packets):
    return b"".join(struct.pack("!H", len(p)) + p for p in packets)


class Transport(harness.Case):
    def local(self, corefile=LOCAL, **options):
        return self.server(corefile, files={"hosts": HOSTS}, **options)

    def forwarding(self, answer, options="", **more):
        """A server of LOCAL's names that asks a scripted upstream for those below up."""
        up = self.upstream(answer)
        s = self.local(LOCAL + f"up:{{port}} {{\n forward . {up.to} {{\n {options}\n }}\n}}\n", **more)
        return s, up

    def answers(self, s, **options):
        """A local name, at once."""
        for transport in ("udp", "tcp"):
            began = time.monotonic()
            self.assertEqual(s.query("a.test", transport=transport, **options).values(), ["192.0.2.1"])
            self.assertLess(time.monotonic() - began, 1 * SCALE, transport)

    def take(self, client, count, timeout=10):
        """So many replies; returns their ids in order of arrival."""
        ids = []
        while len(ids) < count:
            reply = client.recv(timeout)
            self.assertIsNotNone(reply, f"{len(ids)} of {count} replies")
            ids.append(reply.id)
        return ids


class Held:
    """An answer function that keeps what it is asked until release()."""

    def __init__(self, fast=()):
        self.event, self.fast = threading.Event(), fast
        self.release = self.event.set

    def __call__(self, q):
        if q.message.name not in self.fast:
            self.event.wait(30)
        return q.reply(answer=[(None, "A", 60, "203.0.113.1")])


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


class ManyConnections(Transport):
    COUNT = 10000

    def connect(self, port, i, address="127.0.0.1"):
        """A connection from one of fifty source addresses."""
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen with the peer known
        sock.settimeout(5 * SCALE)
        sock.bind((f"127.0.1.{i % 50 + 1}", 0))
        sock.connect((address, port))
        return self.keep(sock)

    @staticmethod
    def ask(sock, qid=1):
        """The reply's id over a plain socket, or None when the connection is over."""
        try:
            sock.sendall(frame(pack_query("a.test", qid=qid)))
            data = b""
            while len(data) < 4:
                more = sock.recv(4096)
                if not more:
                    return None
                data += more
            return struct.unpack("!H", data[2:4])[0]
        except ConnectionError:
            return None

    def test_ten_thousand_idle(self):
        if not harness.raise_descriptors(self.COUNT + 2000):
            self.skipTest(f"RLIMIT_NOFILE is below {self.COUNT + 2000} and may not be raised")
        s = self.local(with_timeouts("read 5m\nidle 5m"))
        self.answers(s)
        before, fds = s.rss(), s.fds()
        socks = [self.connect(s.port, i) for i in range(self.COUNT)]
        wait_until(lambda: s.fds() >= fds + self.COUNT - 10, 10, "all connections accepted")
        self.answers(s)
        for i in range(0, self.COUNT, 20):
            self.assertEqual(self.ask(socks[i], i), i)
        each = (s.rss() - before) / self.COUNT
        if not harness.SANITIZED:
            self.assertLessEqual(each, 4096, "octets per idle connection")
        self.answers(s)
        for sock in socks:
            sock.close()
        wait_until(lambda: s.fds() <= fds + 2, 10, "descriptors given back")
        self.answers(s)

    def test_more_connections_than_descriptors(self):
        """The longest silent goes; who asks now is served, and who keeps asking stays."""
        s = self.local(preexec=harness.descriptors(200))
        busy = self.connect(s.port, 0)
        self.assertEqual(self.ask(busy), 1)
        socks = []
        for i in range(600):
            socks.append(self.connect(s.port, i))
            self.assertEqual(self.ask(socks[-1], i), i, f"connection {i} is not served")
            if i % 5 == 0:
                self.assertEqual(self.ask(busy, 9), 9, f"the one that keeps asking was closed at {i}")
        evicted = s.wait_metric("lunadns_tcp_evicted_total", at_least=400)
        ended = [i for i, sock in enumerate(socks) if select.select([sock], [], [], 0)[0]]
        self.assertGreaterEqual(len(ended), 400)
        self.assertLess(max(ended), 595, "of the newest none goes")
        self.assertLessEqual(evicted, 600)
        self.answers(s)
        for i in (597, 598, 599):
            self.assertEqual(self.ask(socks[i], 7), 7)

    def test_waiting_for_a_reply_is_not_idle(self):
        held = Held()
        self.addCleanup(held.release)
        s, up = self.forwarding(held, "read_timeout 30s", preexec=harness.descriptors(200))
        waiting = self.connect(s.port, 0)
        waiting.sendall(frame(pack_query("slow.up", qid=77)))
        up.wait_asked()
        for i in range(300):
            self.assertEqual(self.ask(self.connect(s.port, i), i), i, f"connection {i} is not served")
        held.release()
        self.assertEqual(struct.unpack("!H", waiting.recv(4096)[2:4])[0], 77)

    def test_descriptors_for_upstreams_are_left(self):
        s, _ = self.forwarding(Held(fast=("x.up.", "y.up.")), preexec=harness.descriptors(200))
        socks = []
        for i in range(300):
            socks.append(self.connect(s.port, i))
            self.assertEqual(self.ask(socks[-1], i), i)
        self.assertEqual(s.query("x.up").values(), ["203.0.113.1"])
        self.assertEqual(s.query("y.up", transport="tcp").values(), ["203.0.113.1"])

    def test_every_address_is_served_when_descriptors_are_short(self):
        """Idle connections to one port don't shut the others out; nor those over IPv4 the ones over IPv6."""
        text = LOCAL + LOCAL.replace("{port}", "{port2}").replace("    prometheus 127.0.0.1:{http}\n", "") + \
            LOCAL.replace("{port}", "{port3}").replace("    prometheus 127.0.0.1:{http}\n", "")
        s = self.local(text.replace("    hosts", "    timeouts {\n read 5m\n idle 5m\n }\n    hosts"), preexec=harness.descriptors(150))
        for port in (s.port, s.number("port2")):
            for i in range(200):
                self.assertEqual(self.ask(self.connect(port, i), i), i, f"connection {i} is not served")
        self.sleeps(s)
        for port in (s.number("port3"), s.port, s.number("port2")):
            for address in ("::1", "127.0.0.1"):
                for _ in range(4):  # more than there are workers
                    client = self.keep(s.tcp(port, address))
                    reply = client.ask("a.test", timeout=1)
                    self.assertIsNotNone(reply, f"{address} port {port} is not served")
                    self.assertEqual(reply.values(), ["192.0.2.1"])
        self.sleeps(s)
        self.assertTrue(s.http("/metrics").body)

    def sleeps(self, s):
        """Nobody asks, so the server does nothing."""
        def ticks():
            with open(f"/proc/{s.pid}/stat") as f:
                return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
        before, began = ticks(), time.monotonic()
        time.sleep(1)  # what is measured is the time in which nothing happens
        used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
        self.assertLess(used, 0.2 * SCALE, "share of a CPU")

    def test_a_full_table_costs_nothing(self):
        s = self.local(preexec=harness.descriptors(200))
        for i in range(400):
            self.connect(s.port, i)
        self.answers(s)
        self.sleeps(s)


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


class FullSlab(Transport):
    """More queries under way than there are slots: the newest are shed, nothing grows, nothing stays."""

    SLOTS = 12288

    def silent(self, options):
        dead = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        dead.bind(("127.0.0.1", 0))
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        text = LOCAL + f"up:{{port}} {{\n forward . 127.0.0.1:{dead.getsockname()[1]} {{\n max_fails 0\n" \
            f" max_connect_attempts 1\n {options}\n }}\n}}\n"
        return self.local(text, env={"GOMAXPROCS": "1"})

    def test_full(self):
        s = self.silent(f"read_timeout {int(6 * SCALE)}s")
        with s.udp() as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            began, sent = time.monotonic(), 0
            while sent < self.SLOTS - 200:
                for _ in range(100):
                    c.send(pack_query(f"n{sent}.up", qid=sent))
                    sent += 1
                c.send(pack_query("a.test", qid=65535))  # behind them: they have been read
                self.assertEqual(c.recv().id, 65535)
            # Now the last slots, and 500 queries for which there is none.
            while sent < self.SLOTS + 500:
                c.send(pack_query(f"n{sent}.up", qid=sent))
                sent += 1
            s.wait_metric("lunadns_shed_total", at_least=500)
            full = s.rss()
            self.assertLess(time.monotonic() - began, 5.5 * SCALE, "too slow to fill it at all")
            # The queries that wait get their SERVFAIL, and all is as before.
            ids = {c.recv(8).id for _ in range(100)}
            self.assertEqual(len(ids), 100)
            wait_until(lambda: s.ask_raw(pack_query("a.test"), timeout=0.3 / SCALE), 10, "a local name")
        self.answers(s)
        self.assertLessEqual(s.metric("lunadns_shed_total"), 700)
        with s.udp() as c:
            for i in range(300):
                c.send(pack_query("a.test", qid=i))
                self.assertEqual(c.recv().id, i)
        if not harness.SANITIZED:
            self.assertLess(full, 160 << 20, "48 MiB of slots, and what the queries hold")
            self.assertLessEqual(s.rss(), full + (1 << 20))

    def test_full_of_large_packets(self):
        """Buffers for large packets are few; small queries and replies go on without."""
        s = self.silent("read_timeout 3s")
        with s.udp() as c:
            large = 0
            for i in range(400):
                c.send(pack_query(f"n{i}.up", qid=i, options=[(12, b"\0" * 900)]))
                large += 1
                if i % 50 == 49:
                    c.send(pack_query("a.test", qid=65535))
                    self.assertEqual(c.recv().id, 65535)
            s.wait_metric("lunadns_shed_total", at_least=100)
            self.answers(s)
            # A large reply has no buffer now. Whatever comes is well-formed, and the server lives.
            reply = s.query("lots.test", edns=8000)
            self.assertIn(reply.rcode, ("NOERROR", "SERVFAIL"))
            self.assertTrue(reply.rcode == "SERVFAIL" or reply.tc or len(reply.answer) == LOTS, reply)

            def recovered():
                answer = s.query("lots.test", edns=8000)
                return len(answer.answer) == LOTS
            wait_until(recovered, 8, "large replies again")
        self.answers(s)
        self.assertEqual(s.query("a.test", options=[(12, b"\0" * 900)]).rcode, "NOERROR")

    def test_full_over_tcp(self):
        """Queries of a connection for which there is no slot get no reply; the connection goes on."""
        s = self.silent(f"prefer_udp\n read_timeout {int(6 * SCALE)}s")
        clients = [self.keep(s.tcp(source=f"127.0.1.{i + 1}")) for i in range(26)]
        for k, c in enumerate(clients):
            c.send(*(pack_query(f"n{k}-{i}.up", qid=i) for i in range(500)))
        s.wait_metric("lunadns_shed_total", at_least=26 * 500 - self.SLOTS)
        first = clients[0]
        for _ in range(100):
            self.assertEqual(first.recv(8).rcode, "SERVFAIL")
        wait_until(lambda: s.ask_raw(pack_query("a.test"), timeout=0.3 / SCALE), 10, "a local name")
        self.answers(s)


if __name__ == "__main__":
    unittest.main()
