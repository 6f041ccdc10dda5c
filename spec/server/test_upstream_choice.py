"""Several upstreams: which one is asked, which is down, how many queries at once."""

import threading
import time
import unittest

from forwarding import GOOD, Forwarding
from harness import free_port, pack_query, SCALE, wait_until


class Refused(Forwarding):
    def test_port_without_a_server(self):
        s = self.forward(f"127.0.0.1:{free_port()}")
        for transport, text in (("udp", "read udp .*: connection refused"), ("tcp", "dial tcp .*: connection refused")):
            began = time.monotonic()
            self.bad(s, f"{transport}.up", transport, 0.25)
            self.assertLess(time.monotonic() - began, 1 * SCALE)
            s.wait_log(rf"\[ERROR\] plugin/errors: 2 {transport}\.up\. A: {text}")

    def test_no_tcp(self):
        s = self.forward(self.upstream(GOOD, tcp=False))
        self.good(s)
        self.bad(s, transport="tcp", within=0.25)

    def test_address_that_cannot_be_asked(self):
        """The kernel refuses a socket to the broadcast address before anything leaves the machine."""
        s = self.forward("255.255.255.255:53")
        for transport in ("udp", "tcp"):
            self.bad(s, f"{transport}.up", transport, 0.25)
            s.wait_log(rf"\[ERROR\] plugin/errors: 2 {transport}\.up\. A: dial {transport} ")


class Several(Forwarding):
    def test_one_refuses(self):
        up = self.upstream(GOOD)
        s = self.forward(f"127.0.0.1:{free_port()}", up, options="policy sequential")
        for transport in ("udp", "tcp"):
            for i in range(20):
                self.good(s, f"{transport}{i}.up", transport)

    def test_one_is_silent(self):
        """Every query is answered; once the checks have failed it is not even asked."""
        _, dead = self.dead_port()
        up = self.upstream(GOOD)
        s = self.forward(dead, up, options="policy sequential\nread_timeout 300ms\nhealth_check 50ms\nmax_fails 1")
        self.good(s, "first.up")
        s.wait_metric("coredns_proxy_healthcheck_failures_total", at_least=2, timeout=8)
        began = time.monotonic()
        for i in range(10):
            self.good(s, f"n{i}.up")
        self.assertLess(time.monotonic() - began, 0.3 * 10 * SCALE, "the silent one is asked no more")

    def test_one_lies(self):
        liar = self.upstream(lambda q: q.reply(qid=q.message.id ^ 5, answer=[(None, "A", 60, "198.51.100.66")]))
        s = self.forward(liar, self.upstream(GOOD), options="read_timeout 100ms\npolicy round_robin")
        for i in range(10):
            self.good(s, f"n{i}.up")

    def test_one_closes(self):
        closer = self.upstream(lambda q: q.close() if q.transport == "tcp" else None)
        s = self.forward(closer, self.upstream(GOOD), options="read_timeout 100ms")
        for i in range(10):
            self.good(s, f"n{i}.up", "tcp")

    def test_failover(self):
        refuses = self.upstream(lambda q: q.reply("REFUSED"))
        fails = self.upstream(lambda q: q.reply("SERVFAIL"))
        up = self.upstream(GOOD)
        s = self.forward(refuses, fails, up, options="policy sequential\nfailover SERVFAIL REFUSED")
        self.good(s)
        self.assertEqual((refuses.count, fails.count, up.count), (1, 1, 1))
        s = self.forward(refuses, fails, options="policy sequential\nfailover SERVFAIL REFUSED")
        self.assertEqual(s.query("x.up").rcode, "SERVFAIL", "the last reply when nobody is better")

    def test_error_replies_are_replies(self):
        """Without failover an rcode is the answer; the other is not asked."""
        for rcode in ("SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", "NXDOMAIN"):
            first, second = self.upstream(lambda q, r=rcode: q.reply(r)), self.upstream(GOOD)
            s = self.forward(first, second, options="policy sequential")
            self.assertEqual(s.query("x.up").rcode, rcode)
            self.assertEqual(second.count, 0)
            s.close()


class Health(Forwarding):
    def test_comes_back(self):
        """Down while it is gone, asked again soon after it is there."""
        port = free_port()
        s = self.forward(f"127.0.0.1:{port}", options="health_check 50ms\nmax_fails 1\nread_timeout 200ms")
        self.bad(s)
        s.wait_metric("coredns_proxy_healthcheck_failures_total", at_least=3)
        self.bad(s)
        up = self.upstream(GOOD, port=port)
        wait_until(lambda: s.query("back.up").rcode == "NOERROR", 3, "the upstream asked again")
        failures = s.metric("coredns_proxy_healthcheck_failures_total")
        for i in range(20):
            self.good(s, f"n{i}.up")
        self.assertEqual(s.metric("coredns_proxy_healthcheck_failures_total"), failures)
        self.assertEqual(up.errors, [])

    def test_traffic_moves_back(self):
        """The preferred one of two dies and returns."""
        port = free_port()
        first, second = self.upstream(GOOD, port=port), self.upstream(GOOD)
        s = self.forward(first, second, options="policy sequential\nhealth_check 50ms\nmax_fails 1\nread_timeout 200ms")
        self.good(s, "one.up")
        self.assertEqual((first.count, second.count), (1, 0))
        first.close()
        for i in range(5):
            self.good(s, f"two{i}.up")
        self.assertEqual(second.count, 5)
        s.wait_metric("coredns_proxy_healthcheck_failures_total", at_least=2)
        again = self.upstream_again(GOOD, port)
        wait_until(lambda: s.query("three.up").rcode == "NOERROR" and again.count, 3, "the first one asked again")

    def test_failfast_when_all_are_down(self):
        _, dead = self.dead_port()
        s = self.forward(dead, options="failfast_all_unhealthy_upstreams\nhealth_check 50ms\nmax_fails 1\n"
                                       "read_timeout 300ms\nmax_connect_attempts 1")
        self.bad(s)
        s.wait_metric("coredns_proxy_healthcheck_failures_total", at_least=2, timeout=8)
        began = time.monotonic()
        self.assertEqual(s.query("x.up").rcode, "SERVFAIL")
        self.assertLess(time.monotonic() - began, 0.25 * SCALE)
        s.wait_log(r"plugin/errors: 2 x\.up\. A: no healthy proxies")
        self.assertGreaterEqual(s.metric("coredns_forward_healthcheck_broken_total"), 1)

    def test_never_checked(self):
        """max_fails 0: no probes, and never down."""
        silent = threading.Event()
        silent.set()
        up = self.upstream(lambda q: None if silent.is_set() else GOOD(q), probes=True)
        s = self.forward(up, options="max_fails 0\nhealth_check 20ms\nread_timeout 150ms\nmax_connect_attempts 1")
        for _ in range(4):
            self.bad(s)
        self.assertEqual(up.asked(name="."), 0)
        silent.clear()
        self.good(s)

    def test_probes_are_as_told(self):
        probes = []

        def answer(q):
            if q.message.type == "NS":
                probes.append(q.message)
                return q.reply("REFUSED")
        s = self.forward(self.upstream(answer, probes=True),
                         options="health_check 50ms no_rec domain probe.test\nread_timeout 150ms\nmax_connect_attempts 1")
        self.bad(s)
        wait_until(lambda: probes, what="a probe")
        self.assertEqual((probes[0].name, probes[0].type, probes[0].rd), ("probe.test.", "NS", 0))


class Limits(Forwarding):
    def test_max_concurrent(self):
        release = self.released()

        def answer(q):
            release.wait(20)
            return GOOD(q)
        up = self.upstream(answer)
        s = self.forward(up, options="max_concurrent 10\nread_timeout 10s")
        for _ in range(2):  # the second time shows that all have left
            release.clear()
            count = up.count
            with s.udp() as c:
                for i in range(30):
                    c.send(pack_query(f"n{count}-{i}.up", qid=i))
                rcodes = [c.recv().rcode for _ in range(20)]
                self.assertEqual(rcodes, ["REFUSED"] * 20)
                up.wait_asked(count + 10)
                self.local(s)
                release.set()
                self.assertEqual([c.recv().rcode for _ in range(10)], ["NOERROR"] * 10)
        self.assertEqual(s.metric("coredns_forward_max_concurrent_rejects_total"), 40)
        s.wait_log(r"plugin/errors: 5 .*: concurrent queries exceeded maximum 10")

    def test_max_concurrent_after_failures(self):
        """Queries that time out have left too."""
        silent = threading.Event()
        silent.set()
        up = self.upstream(lambda q: None if silent.is_set() else GOOD(q))
        s = self.forward(up, options="max_concurrent 5\nmax_fails 0\nread_timeout 200ms\nmax_connect_attempts 1")
        with s.udp() as c:
            for i in range(20):
                c.send(pack_query(f"n{i}.up", qid=i))
            rcodes = sorted(c.recv().rcode for _ in range(20))
        self.assertEqual(rcodes, ["REFUSED"] * 15 + ["SERVFAIL"] * 5)
        silent.clear()
        with s.udp() as c:
            for i in range(5):
                c.send(pack_query(f"m{i}.up", qid=i))
            self.assertEqual([c.recv().rcode for _ in range(5)], ["NOERROR"] * 5)

    def test_transports(self):
        """Which transport the upstream sees: the client's; TCP with force_tcp; UDP with prefer_udp."""
        for options, seen in (("", ("udp", "tcp")), ("force_tcp", ("tcp", "tcp")), ("prefer_udp", ("udp", "udp")),
                              ("force_tcp\nprefer_udp", ("tcp", "tcp"))):
            up = self.upstream(GOOD)
            s = self.forward(up, options=options)
            for client in ("udp", "tcp"):
                self.good(s, f"{client}.up", client)
            self.assertEqual(tuple(q.transport for q in up.queries), seen, options)
            s.close()

    def test_ids_and_ports_vary(self):
        """RFC 5452: an outsider has both to guess."""
        up = self.upstream(GOOD)
        s = self.forward(up)
        with s.udp() as c:
            for i in range(300):
                self.assertEqual(c.ask(f"n{i}.up", qid=7).id, 7)
        self.assertGreater(len({q.message.id for q in up.queries}), 280)
        self.assertGreaterEqual(len({q.peer[1] for q in up.queries}), 4)


if __name__ == "__main__":
    unittest.main()
