"""Upstreams that are silent, slow, lying or gone. Whatever they do, local names are answered at once.
coredns.md 2.2 (forward, cache), RFC 5452, RFC 7766, RFC 7858."""

import contextlib
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import SCALE, addresses, free_port, pack_query, run_tool, wait_until
from wire import pack_name

UP = "203.0.113.1"
GOOD = addresses(value=UP)


class Forwarding(harness.Case):
    def forward(self, *to, options="read_timeout 300ms\nmax_connect_attempts 1", cache="", **more):
        """A server with a.test of its own that asks these upstreams for names below up."""
        text = "test:{port} {\n prometheus 127.0.0.1:{http}\n hosts {\n 192.0.2.1 a.test\n }\n}\n" \
            f"up:{{port}} {{\n prometheus 127.0.0.1:{{http}}\n errors\n {cache}\n forward . " \
            f"{' '.join(getattr(u, 'to', u) for u in to)} {{\n {options}\n }}\n}}\n"
        return self.server(text, **more)

    def local(self, s):
        for transport in ("udp", "tcp"):
            began = time.monotonic()
            self.assertEqual(s.query("a.test", transport=transport).values(), ["192.0.2.1"])
            self.assertLess(time.monotonic() - began, 0.5 * SCALE)

    def good(self, s, name="good.up", transport="udp"):
        reply = s.query(name, transport=transport)
        self.assertEqual((reply.rcode, reply.values()), ("NOERROR", [UP]), name)
        self.local(s)

    def bad(self, s, name="bad.up", transport="udp", within=1.5):
        began = time.monotonic()
        reply = s.query(name, transport=transport)
        self.assertEqual((reply.rcode, reply.answer), ("SERVFAIL", []), name)
        self.assertLess(time.monotonic() - began, within * SCALE)
        self.local(s)

    def dead_port(self):
        """A UDP port that takes queries and says nothing; TCP is refused. Returns (socket, "address:port")."""
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        port = free_port()
        sock.bind(("127.0.0.1", port))
        return sock, f"127.0.0.1:{port}"

    def upstream_again(self, answer, port):
        """An upstream on the port of one that was closed: a thread of that may hold it a moment longer."""
        def opened():
            try:
                return self.upstream(answer, port=port)
            except OSError:
                return None
        return wait_until(opened, 5, f"port {port} vacant again")

    def released(self):
        """An event that is set at the end of the test whatever happens: answer functions wait for it."""
        event = threading.Event()
        self.addCleanup(event.set)
        return event


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


class Tcp(Forwarding):
    def sends(self, work, times=1, within=1.5):
        """Each query over TCP is met by work(q); all fail, and none hurts."""
        s = self.forward(self.upstream(work))
        for i in range(times):
            self.bad(s, f"n{i}.up", "tcp", within)
        return s

    def test_closed_without_a_reply(self):
        self.sends(lambda q: q.close(), 5)

    def test_reset_without_a_reply(self):
        self.sends(lambda q: q.reset(), 5)

    def test_closed_within_the_length(self):
        self.sends(lambda q: (q.send_raw(b"\0"), q.close())[:0] or None, 3)

    def test_closed_within_the_message(self):
        def half(q):
            data = GOOD(q)
            q.send_raw((struct.pack("!H", len(data)) + data)[:len(data) // 2])
            q.close()
        self.sends(half, 5)

    def test_stuck_within_the_message(self):
        self.sends(lambda q: q.send_raw(b"\xff\xff" + GOOD(q)), 3)

    def test_noise(self):
        rnd = random.Random(6)
        self.sends(lambda q: q.send_raw(rnd.randbytes(5000)), 5)

    def test_empty_messages_come_first(self):
        def answer(q):
            q.send_raw(b"\0\0" * 500 + b"\0\5hello")
            return GOOD(q)
        s = self.forward(self.upstream(answer))
        for i in range(5):
            self.good(s, f"n{i}.up", "tcp")

    def test_one_octet_at_a_time(self):
        def answer(q):
            q.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = GOOD(q)
            for octet in struct.pack("!H", len(data)) + data:
                q.send_raw(bytes([octet]))
                time.sleep(0.001)
        s = self.forward(self.upstream(answer), options="read_timeout 2s")
        self.good(s, transport="tcp")

    def test_one_query_per_connection(self):
        """It closes after each reply, as it may: no query fails for that."""
        def answer(q):
            q.send(GOOD(q))
            q.close()
        up = self.upstream(answer)
        s = self.forward(up, options="read_timeout 2s")
        for i in range(20):
            self.good(s, f"n{i}.up", "tcp")
        with s.tcp() as c:
            c.send(*(pack_query(f"p{i}.up", qid=i) for i in range(40)))
            replies = [c.recv() for _ in range(40)]
        self.assertEqual([r and r.rcode for r in replies], ["NOERROR"] * 40)
        self.assertEqual(up.errors, [])

    def test_any_order(self):
        """Replies on one connection come in any order."""
        held, lock = [], threading.Lock()

        def answer(q):
            with lock:
                held.append(q)
                if len(held) < 30:
                    return
                random.Random(7).shuffle(held)
                for other in held:
                    other.send(other.reply(answer=[(None, "A", 60, f"198.51.100.{other.message.name[1:3]}")]))
        s = self.forward(self.upstream(answer), options="read_timeout 3s")
        with s.tcp() as c:
            c.send(*(pack_query(f"n{i}.up", qid=i) for i in range(10, 40)))
            for _ in range(30):
                reply = c.recv()
                self.assertEqual(reply.values(), [f"198.51.100.{reply.id}"])
        self.local(s)

    def test_restart_of_the_upstream(self):
        """Connections it has closed in the meantime are not used for a query that then fails."""
        up = self.upstream(GOOD)
        s = self.forward(up)
        for i in range(10):
            self.good(s, f"n{i}.up", "tcp")
            up.close_connections()


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


class Caching(Forwarding):
    def flights(self, answer, wanted, count=500):
        """So many identical questions at once, while the upstream is busy with the first."""
        release = self.released()

        def held(q):
            release.wait(20)
            return answer(q)
        up = self.upstream(held)
        s = self.forward(up, options="read_timeout 10s\nmax_connect_attempts 1", cache="cache 30")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(s.udp()) for _ in range(10)]
            for i in range(count):
                clients[i % 10].send(pack_query(("same.up", "SAME.up", "sAmE.uP")[i % 3], qid=i))
            up.wait_asked()
            self.local(s)
            for c in clients:  # all of them have been read when a question behind them is answered
                c.send(pack_query("a.test", qid=65535))
                self.assertEqual(c.recv().id, 65535)
            release.set()
            for k, c in enumerate(clients):
                replies = [c.recv() for _ in range(count // 10)]
                self.assertEqual(sorted(r.id for r in replies), list(range(k, count, 10)))
                for r in replies:
                    self.assertEqual(r.rcode, wanted)
                    self.assertEqual(r.name, ("same.up.", "SAME.up.", "sAmE.uP.")[r.id % 3])
        self.local(s)
        return up

    def test_one_flight_for_identical_misses(self):
        up = self.flights(GOOD, "NOERROR")
        self.assertLessEqual(up.asked(name="same.up."), 2)

    def test_one_flight_that_fails(self):
        up = self.flights(lambda q: q.reply("SERVFAIL"), "SERVFAIL")
        self.assertLessEqual(up.count, 3)

    def test_one_flight_that_is_not_kept(self):
        """REFUSED is not cached: those who waited get it all the same, or ask few times."""
        up = self.flights(lambda q: q.reply("REFUSED"), "REFUSED", 200)
        self.assertLessEqual(up.count, 20)

    def stale(self, mode, dies):
        up = self.upstream(addresses(ttl=1, value=UP))
        s = self.forward(up, cache=f"cache {{\n success 1000 1 1\n serve_stale 1h {mode}\n }}")
        self.good(s, "stale.up")
        port = up.port
        dies(up)
        wait_until(lambda: (lambda r: r.values() == [UP] and r.answer[0].ttl == 0)(s.query("stale.up")), 5, "a stale answer")
        for _ in range(5):
            began = time.monotonic()
            reply = s.query("stale.up")
            self.assertEqual((reply.rcode, reply.values(), reply.answer[0].ttl), ("NOERROR", [UP], 0))
            self.assertLess(time.monotonic() - began, 1.5 * SCALE)
        self.bad(s, "never-seen.up")
        up.close()
        self.upstream_again(addresses(ttl=300, value="203.0.113.2"), port)
        wait_until(lambda: s.query("stale.up").values() == ["203.0.113.2"], 5, "the fresh answer")
        self.local(s)

    def test_stale_when_the_upstream_is_gone(self):
        self.stale("immediate", lambda up: up.close())

    def test_stale_when_the_upstream_is_silent(self):
        def silence(up):
            up.answer = lambda q: None
        self.stale("immediate", silence)

    def test_stale_when_the_upstream_fails(self):
        def fail(up):
            up.answer = lambda q: q.reply("SERVFAIL")
        self.stale("immediate", fail)

    def test_stale_after_verifying(self):
        self.stale("verify", lambda up: up.close())

    def test_stale_after_verifying_a_silent_one(self):
        def silence(up):
            up.answer = lambda q: None
        self.stale("verify 200ms", silence)


# ---------------------------------------------------------------- TLS


class TlsUpstream:
    """A scripted upstream behind TLS. .handshakes counts those that went well, .resumed the resumed ones."""

    def __init__(self, cert, key, answer=GOOD):
        self.answer, self.port, self.queries = answer, free_port(), []
        self.handshakes = self.resumed = self.refused = 0
        self.to = f"tls://127.0.0.1:{self.port}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self._context, self._open, self._sockets = context, True, []
        self._listen = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self._open:
            try:
                sock, _ = self._listen.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            sock.settimeout(20)
            tls = self._context.wrap_socket(sock, server_side=True)
            self._sockets.append(tls)
            self.handshakes += 1
            self.resumed += bool(tls.session_reused)
            buffer = b""
            while self._open:
                more = tls.recv(65536)
                if not more:
                    break
                buffer += more
                while len(buffer) >= 2 and len(buffer) >= 2 + struct.unpack("!H", buffer[:2])[0]:
                    n = struct.unpack("!H", buffer[:2])[0]
                    raw, buffer = buffer[2:2 + n], buffer[2 + n:]
                    q = harness.Query(self, raw, "tcp", None, tls, len(self.queries) + 1)
                    if q.message.question[0][1] != "NS":
                        self.queries.append(q)
                    data = self.answer(q)
                    if data is not None:
                        q.send(data)
        except (OSError, ssl.SSLError):
            self.refused += 1
        finally:
            sock.close()

    def close_connections(self):
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def close(self):
        self._open = False
        with contextlib.suppress(OSError):
            self._listen.shutdown(socket.SHUT_RDWR)
        self._listen.close()
        self.close_connections()


class Tls(Forwarding):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="lunadns-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run_tool(["openssl", "version"])  # says so when it is missing
        for ca in ("ca", "other"):
            cls.make(ca, "-addext", "basicConstraints=critical,CA:TRUE")
        cls.make("good", "-CA", cls.file("ca.pem"), "-CAkey", cls.file("ca.key"),
                 "-addext", "subjectAltName=DNS:dns.test,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")
        cls.make("named", "-CA", cls.file("ca.pem"), "-CAkey", cls.file("ca.key"),
                 "-addext", "subjectAltName=DNS:dns.test", "-addext", "basicConstraints=CA:FALSE")
        cls.make("alien", "-CA", cls.file("other.pem"), "-CAkey", cls.file("other.key"),
                 "-addext", "subjectAltName=DNS:dns.test,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")

    @classmethod
    def file(cls, name):
        return os.path.join(cls.dir, name)

    @classmethod
    def make(cls, name, *more):
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                               "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", cls.file(name + ".key"),
                               "-out", cls.file(name + ".pem"), *more], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr)

    def tls(self, cert="good", answer=GOOD):
        return self.keep(TlsUpstream(self.file(cert + ".pem"), self.file(cert + ".key"), answer))

    def ask_over(self, up, options="tls_servername dns.test"):
        return self.forward(up, options=f"tls {self.file('ca.pem')}\n{options}\nread_timeout 1s\nmax_connect_attempts 1")

    def test_right_name(self):
        up = self.tls()
        s = self.ask_over(up)
        for transport in ("udp", "tcp"):
            for i in range(20):
                self.good(s, f"{transport}{i}.up", transport)
        self.assertEqual(len(up.queries), 40)
        self.assertLessEqual(up.handshakes, 4, "connections are used again")

    def test_right_address(self):
        """Without a name the address has to be in the certificate."""
        self.good(self.ask_over(self.tls(), ""))
        up = self.tls("named")
        self.bad(self.ask_over(up, ""))
        self.assertEqual(up.queries, [], "nothing is asked of a stranger")

    def test_wrong_name(self):
        up = self.tls()
        s = self.ask_over(up, "tls_servername other.test")
        self.bad(s)
        s.wait_log(r"\[ERROR\] plugin/errors: 2 bad\.up\. A: .*(certificate|x509)")
        self.assertEqual(up.queries, [])

    def test_unknown_ca(self):
        up = self.tls("alien")
        s = self.ask_over(up)
        self.bad(s)
        s.wait_log(r"\[ERROR\] plugin/errors: 2 bad\.up\. A: .*(certificate|x509)")
        self.assertEqual(up.queries, [])

    def test_no_tls_there(self):
        """A plain server, a closed port, one that says nothing and one that hangs up."""
        plain = self.upstream(GOOD)
        self.bad(self.ask_over(f"tls://{plain.to}"), within=2)
        self.bad(self.ask_over(f"tls://127.0.0.1:{free_port()}"))
        mute = self.keep(socket.create_server(("127.0.0.1", 0)))
        self.bad(self.ask_over(f"tls://127.0.0.1:{mute.getsockname()[1]}"), within=2)
        rude = self.keep(socket.create_server(("127.0.0.1", 0)))

        def hang_up():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = rude.accept()
                    sock.recv(10)
                    sock.close()
        threading.Thread(target=hang_up, daemon=True).start()
        self.bad(self.ask_over(f"tls://127.0.0.1:{rude.getsockname()[1]}"))
        rude.shutdown(socket.SHUT_RDWR)

    def test_restart(self):
        """Connections that ended in the meantime fail no query; the session is resumed."""
        up = self.tls()
        s = self.ask_over(up)
        for i in range(5):
            self.good(s, f"n{i}.up")
            up.close_connections()
        self.assertGreaterEqual(up.handshakes, 5)
        self.assertGreaterEqual(up.resumed, 1)

    def test_silent_and_closing(self):
        self.bad(self.ask_over(self.tls(answer=lambda q: None)), within=2)
        self.bad(self.ask_over(self.tls(answer=lambda q: q.sock.close())), within=2)

    def test_second_upstream_after_a_bad_certificate(self):
        up = self.tls()
        s = self.forward(self.tls("alien"), up, options=f"tls {self.file('ca.pem')}\ntls_servername dns.test\n"
                                                        "policy sequential")
        for i in range(5):
            self.good(s, f"n{i}.up")

    def test_many_at_once(self):
        s = self.ask_over(self.tls())
        with s.udp() as c:
            for i in range(300):
                c.send(pack_query(f"n{i}.up", qid=i))
            replies = [c.recv() for _ in range(300)]
        self.assertEqual({r and r.rcode for r in replies}, {"NOERROR"})
        self.local(s)


if __name__ == "__main__":
    unittest.main()
