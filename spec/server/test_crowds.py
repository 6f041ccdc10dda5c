"""Too much of everything: thousands of connections, more queries than there are slots."""

import contextlib
import itertools
import os
import select
import socket
import struct
import threading
import time
import unittest

import harness
from harness import Message, pack_query, SCALE, wait_until
from transport import LOCAL, LOTS, frame, Held, Transport, with_timeouts


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


class FullSlab(Transport):
    """More queries under way than there are slots: the newest are shed, nothing grows, nothing stays."""

    WAITING = 11264  # queries of clients that may wait; 1024 slots are left for those that need not

    def silent(self, options, before="", more=""):
        """before: plugins in the block of the silent upstream; more: blocks."""
        dead = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        dead.bind(("127.0.0.1", 0))
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        text = LOCAL + f"up:{{port}} {{\n {before}\n prometheus 127.0.0.1:{{http}}\n" \
            f" forward . 127.0.0.1:{dead.getsockname()[1]} {{\n max_fails 0\n max_connect_attempts 1\n {options}\n }}\n}}\n{more}"
        return self.local(text, env={"GOMAXPROCS": "1"})

    def fill(self, c, more, name=lambda number: f"n{number}.up"):
        """As many queries as may wait, and more, with a local name after each hundred, which is answered. Returns the
        replies to what may not wait."""
        refused, sent = [], 0
        while sent < self.WAITING + more:
            for _ in range(100):
                c.send(pack_query(name(sent), qid=sent))
                sent += 1
            c.send(pack_query("a.test", qid=65535))  # behind them: they have been read
            while (reply := c.recv()).id != 65535:
                refused.append(reply)
            self.assertEqual(reply.values(), ["192.0.2.1"])
        return refused

    def test_full(self):
        s = self.silent(f"read_timeout {int(6 * SCALE)}s")
        with s.udp() as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            began = time.monotonic()
            refused = self.fill(c, 500)
            self.assertLess(time.monotonic() - began, 5.5 * SCALE, "too slow to fill it at all")
            shed, full = s.metric("lunadns_shed_total"), s.rss()
            self.assertTrue(500 <= shed <= 700, shed)
            self.assertEqual(len(refused), shed)
            self.assertEqual({r.rcode for r in refused}, {"SERVFAIL"})
            self.assertNotIn("plugin/errors", s.out)
            # The queries that wait get their SERVFAIL, and all is as before.
            ids = {c.recv(8).id for _ in range(100)}
            self.assertEqual(len(ids - {r.id for r in refused}), 100)
        self.answers(s)
        s.wait_metric("coredns_dns_responses_total", {"rcode": "SERVFAIL", "zone": "up."}, self.WAITING + 500, 30 * SCALE)
        settled = s.rss()  # replies have taken their buffers, which waiting queries do not hold
        self.assertEqual(s.metric("lunadns_shed_total"), shed)
        with s.udp() as c:
            for i in range(300):
                c.send(pack_query("a.test", qid=i))
                self.assertEqual(c.recv().id, i)
        if not harness.SANITIZED:
            self.assertLess(max(full, settled), 80 << 20, "18 MiB of slots, the few reply buffers in use, what queries hold")
            self.assertLessEqual(s.rss(), settled + (1 << 20))

    def test_a_flood_costs_no_name_that_need_not_wait(self):
        s = self.silent(f"read_timeout {int(5 * SCALE)}s")
        stop = threading.Event()

        def flood():
            with s.udp() as c:
                c.sock.setblocking(False)
                for number in itertools.count():
                    with contextlib.suppress(BlockingIOError):
                        c.sock.send(pack_query(f"n{number}.up", qid=number & 0xFFFF))
                    if number % 100 == 99 and stop.wait(0.005 * SCALE):  # some 15,000 a second
                        return
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            wait_until(lambda: s.metric("lunadns_shed_total"), 10, "the first query for which there is no slot")
            asked = [s.ask_raw(pack_query("a.test"), timeout=0.5) for _ in range(50)]
        finally:
            stop.set()
            thread.join()
        self.assertGreaterEqual(sum(reply is not None and Message(reply).values() == ["192.0.2.1"] for reply in asked), 49)

    def test_one_question_of_all(self):
        """Who would wait for another's reply (plugin cache) is refused as well."""
        s = self.silent(f"read_timeout {int(6 * SCALE)}s", before="cache")
        with s.udp() as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            refused = self.fill(c, 500, lambda number: f"n{number % 4}.up")
            self.assertEqual(len(refused), s.metric("lunadns_shed_total"))
            self.assertGreaterEqual(len(refused), 500)
        self.answers(s)

    def test_handlers(self):
        """A handler that would wait is told that it cannot; what it asks for and is there already it gets."""
        ways = {"sleep": "dns.sleep(9)", "exchange": "dns.exchange('127.0.0.1', 'a.example', 'A')",
                "resolve": "dns.resolve('n.up', 'A')", "http": "dns.http.get('http://127.0.0.1:1/')",
                "socket": "dns.tcp('127.0.0.1:1')"}
        blocks = "".join(f"""{way}:{{port}} {{
 lua "local dns = require 'dns'; local ok, err = {call}; return q:answer_text(err or 'none', 5)"
}}
""" for way, call in ways.items())
        blocks += """local:{port} {
 lua "local dns = require 'dns'; return q:answer_address(dns.resolve('a.test', 'A').answer[1].data, 5)"
}
delay:{port} {
 lua "q:delay(9); return q:answer_address('192.0.2.9', 5)"
}
"""
        s = self.silent(f"read_timeout {int(9 * SCALE)}s", more=blocks)
        with s.udp() as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self.fill(c, 100)
            # A batch is refused as a whole; single queries take what it has left.
            while c.ask("k.up", timeout=0.05) is None:
                pass
            shed = s.metric("lunadns_shed_total")
            for way in ways:
                with self.subTest(way):
                    self.assertIn("too many", s.query(f"x.{way}", "TXT", timeout=1).values()[0])
            self.assertEqual(s.query("x.delay", timeout=1).values(), ["192.0.2.9"])
            self.assertEqual(s.metric("lunadns_shed_total"), shed + len(ways) + 1)
            self.assertEqual(s.query("x.local", timeout=1).values(), ["192.0.2.1"])

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
        """Queries of a connection that may not wait any more are told so; the connection goes on."""
        s = self.silent(f"prefer_udp\n read_timeout {int(6 * SCALE)}s")
        clients = [self.keep(s.tcp(source=f"127.0.1.{i + 1}")) for i in range(26)]
        for k, c in enumerate(clients):
            c.send(*(pack_query(f"n{k}-{i}.up", qid=i) for i in range(500)))
        s.wait_metric("lunadns_shed_total", at_least=26 * 500 - self.WAITING)
        first = clients[0]
        for _ in range(100):
            self.assertEqual(first.recv(8).rcode, "SERVFAIL")
        wait_until(lambda: s.ask_raw(pack_query("a.test"), timeout=0.3 / SCALE), 10, "a local name")
        self.answers(s)


if __name__ == "__main__":
    unittest.main()
