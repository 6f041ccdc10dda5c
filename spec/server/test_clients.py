"""What one client may take: connections, and queries under way on all of them."""

import contextlib
import selectors
import socket
import struct
import threading
import time
import unittest

import harness
from harness import Message, SCALE, pack_query, wait_until

HERE, THERE = "127.0.2.1", "127.0.2.2"  # two clients
PER_CLIENT = 3072  # queries of one client under way in one worker: a quarter of its slots
LOCAL = "test:{port} {\n prometheus 127.0.0.1:{http}\n TIMEOUTS\n hosts {\n 192.0.2.1 a.test\n }\n}\n"


class Hoard:
    """A DNS server over TCP that keeps what it is asked until release(), and then answers. One thread, however much
    it is asked; names that begin with "fast" are answered at once."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.to = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.kept, self.released, self.ending = [], False, False
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _answer(self, sock, raw):
        reply = harness.pack_reply(Message(raw), answer=[(None, "A", 60, "203.0.113.1")])
        with contextlib.suppress(OSError):
            sock.sendall(struct.pack("!H", len(reply)) + reply)

    def _take(self, sock, buffer):
        while len(buffer) >= 2 and len(buffer) >= 2 + struct.unpack("!H", buffer[:2])[0]:
            n = struct.unpack("!H", buffer[:2])[0]
            raw = bytes(buffer[2:2 + n])
            del buffer[:2 + n]
            if self.released or raw[13:17] == b"fast":
                self._answer(sock, raw)
            elif Message(raw).question[0][1] == "A":  # else a probe
                self.kept.append((sock, raw))
            else:
                self._answer(sock, raw)

    def _serve(self):
        selector = selectors.DefaultSelector()
        selector.register(self.listener, selectors.EVENT_READ)
        selector.register(self.woken, selectors.EVENT_READ)
        while not self.ending:
            for key, _ in selector.select():
                if key.fileobj is self.listener:
                    sock, _ = self.listener.accept()
                    selector.register(sock, selectors.EVENT_READ, bytearray())
                elif key.fileobj is self.woken:
                    self.woken.recv(1)
                    some = self.kept[:None if self.released else 1]
                    del self.kept[:len(some)]
                    for sock, raw in some:
                        self._answer(sock, raw)
                else:
                    try:
                        more = key.fileobj.recv(65536)
                    except ConnectionError:
                        more = b""
                    if more:
                        key.data.extend(more)
                        self._take(key.fileobj, key.data)
                    else:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
        for key in list(selector.get_map().values()):
            key.fileobj.close()

    def release(self, everything=True):
        """Answers what is kept and all that comes, or just the first query that is kept."""
        self.released = everything
        self.wake.send(b"x")

    def close(self):
        self.ending = True
        self.release()
        self.thread.join(5)
        self.wake.close()


class Clients(harness.Case):
    def connect(self, s, source, port=None):
        return self.keep(s.tcp(port, source=source))

    def served(self, client, qid=1):
        """True when the connection answers, False when the server has closed it."""
        with contextlib.suppress(ConnectionError):
            reply = client.ask("a.test", qid=qid)
            return reply is not None
        return False

    def answers(self, s, source):
        began = time.monotonic()
        self.assertTrue(self.served(self.connect(s, source)))
        self.assertLess(time.monotonic() - began, 1 * SCALE)


class Connections(Clients):
    def local(self, timeouts, text=LOCAL, **options):
        block = f"timeouts {{\n{timeouts}\n}}" if timeouts else ""
        return self.server(text.replace("TIMEOUTS", block), **options)

    def test_more_than_a_client_may_have(self):
        s = self.local("maxtcpconnections 5\nidle 5m\nread 5m")
        mine = [self.connect(s, HERE) for _ in range(20)]
        served = [c for c in mine if self.served(c)]
        self.assertEqual(len(served), 5)
        self.assertEqual(s.wait_metric("lunadns_tcp_refused_total", at_least=15), 15)
        for _ in range(5):
            self.answers(s, THERE)
        self.assertTrue(all(self.served(c) for c in served), "those that were there first stay")
        s.wait_log(rf"^\[WARNING\] {HERE} has 5 TCP connections, as many as one client may have: more are refused")
        self.assertEqual(s.count_log(rf"^\[WARNING\] {HERE}"), 1)
        self.assertEqual(s.query("a.test", source=HERE).rcode, "NOERROR", "UDP has no connections")

    def test_room_is_given_back(self):
        s = self.local("maxtcpconnections 2")
        for _ in range(5):
            def both():
                mine = [s.tcp(source=HERE) for _ in range(2)]
                served = all(self.served(c) for c in mine)
                for c in mine:
                    c.close()
                return served
            wait_until(both, 5, "room for two")

    def test_all_ports_count_together(self):
        text = LOCAL + "test:{port2} {\n timeouts {\n maxtcpconnections 4\n }\n hosts {\n 192.0.2.1 a.test\n }\n}\n"
        s = self.local("maxtcpconnections 4", text)
        served = [self.served(self.connect(s, HERE, port)) for port in (s.port, s.number("port2")) * 4]
        self.assertEqual(sum(served), 4)

    def test_addresses_of_one_network_are_clients_of_their_own(self):
        s = self.local("maxtcpconnections 1")
        for i in range(1, 30):
            self.assertTrue(self.served(self.connect(s, f"127.0.3.{i}")))

    def test_a_thousand_of_one_address(self):
        """As a node's cache has them: none is refused, whatever comes on them, in any order."""
        if not harness.raise_descriptors(3000):
            self.skipTest("RLIMIT_NOFILE is below 3000 and may not be raised")
        s = self.local("read 1m\nidle 1m")
        mine = [self.connect(s, HERE) for _ in range(1000)]
        for i, c in enumerate(mine):
            c.send(*(pack_query("a.test", qid=(i + 20000 * k) % 65536) for k in range(3)))
        for i, c in enumerate(mine):
            ids = sorted(c.recv().id for _ in range(3))
            self.assertEqual(ids, sorted((i + 20000 * k) % 65536 for k in range(3)))
        self.assertEqual(s.metric("lunadns_tcp_refused_total"), 0)
        self.answers(s, THERE)

    def test_half_of_few_descriptors(self):
        """One client alone cannot make the others' connections go."""
        s = self.local("read 1m\nidle 1m", preexec=harness.descriptors(200))
        others = [self.connect(s, f"127.0.4.{i + 1}") for i in range(20)]
        self.assertTrue(all(self.served(c) for c in others))
        mine = [self.connect(s, HERE) for _ in range(400)]
        served = sum(self.served(c) for c in mine)
        self.assertGreater(served, 20)
        self.assertLessEqual(served, 50)
        self.assertTrue(all(self.served(c) for c in others))
        self.assertEqual(s.metric("lunadns_tcp_evicted_total"), 0)

    def test_no_limit(self):
        s = self.local("maxtcpconnections -1\nread 1m\nidle 1m", preexec=harness.descriptors(200))
        # More than half of both workers' share, and not so many that one of them may run out of descriptors.
        mine = [self.connect(s, HERE) for _ in range(60)]
        self.assertEqual(sum(self.served(c) for c in mine), 60)

    def test_a_reload_changes_it(self):
        s = self.local("maxtcpconnections 1\nidle 5m")
        first = self.connect(s, HERE)
        self.assertTrue(self.served(first))
        self.assertFalse(self.served(self.connect(s, HERE)))
        s.write("Corefile", LOCAL.replace("TIMEOUTS", "timeouts {\n maxtcpconnections 3\n idle 1s\n }"))
        s.reload()
        self.assertTrue(self.served(self.connect(s, HERE)))
        self.assertTrue(self.served(first), "from now on it may be idle for a second")
        self.assertTrue(first.closed_by_peer(3))

    def test_blocks_of_one_port(self):
        """They share their connections: each setting is that of the last block that has it, as in CoreDNS."""
        s = self.server("one.test:{port} {\n timeouts {\n idle 1s\n maxtcpqueries 9\n }\n whoami\n}\n"
                        "test:{port} {\n timeouts {\n maxtcpqueries 2\n }\n hosts {\n 192.0.2.1 a.test\n }\n}\n"
                        "two.test:{port} {\n whoami\n}\n")
        c = self.connect(s, HERE)
        self.assertTrue(self.served(c))
        self.assertTrue(c.closed_by_peer(3), "idle")
        c = self.connect(s, HERE)
        c.send(*(pack_query("a.test", qid=i) for i in range(4)))
        self.assertEqual(sorted(c.recv().id for _ in range(2)), [0, 1])
        self.assertTrue(c.closed_by_peer(3), "after the second query")


class UnderWay(Clients):
    """All queries of a client that wait for an upstream; GOMAXPROCS=1 puts its connections into one worker."""

    def forwarding(self, read="2s"):
        hoard = self.keep(Hoard())
        text = LOCAL.replace("TIMEOUTS", f"timeouts {{\n read {read}\n }}") + \
            f"up:{{port}} {{\n forward . {hoard.to} {{\n read_timeout 60s\n max_fails 0\n }}\n}}\n"
        return self.server(text, env={"GOMAXPROCS": "1"}), hoard

    def test_one_client_leaves_slots_for_others(self):
        s, hoard = self.forwarding()
        mine, each = [self.connect(s, HERE) for _ in range(20)], 400
        for k, c in enumerate(mine):
            c.send(*(pack_query(f"n{k}-{i}.up", qid=i) for i in range(each)))
        wait_until(lambda: len(hoard.kept) >= PER_CLIENT, 20, "as many as it may have")
        self.answers(s, THERE)
        other = self.connect(s, THERE)
        for i in range(20):
            self.assertEqual(other.ask(f"fast{i}.up").values(), ["203.0.113.1"])
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        self.assertEqual(len(hoard.kept), PER_CLIENT)
        self.assertGreaterEqual(s.metric("lunadns_tcp_held_total"), 20 - PER_CLIENT // each - 1)
        time.sleep(3 * SCALE)  # longer than the time to read a query: those that wait are not idle
        self.answers(s, THERE)
        hoard.release()
        for c in mine:
            self.assertEqual(sorted(c.recv(20).id for _ in range(each)), list(range(each)))
        self.assertEqual(s.metric("lunadns_shed_total"), 0)
        for c in mine:
            self.assertTrue(self.served(c))

    def full(self, **options):
        """A server and its upstream with as many queries of HERE under way as it may have, on so many connections."""
        s, hoard = self.forwarding(**options)
        full = [self.connect(s, HERE) for _ in range(PER_CLIENT // 512)]
        for k, c in enumerate(full):
            c.send(*(pack_query(f"n{k}-{i}.up", qid=i) for i in range(512)))
        wait_until(lambda: len(hoard.kept) >= PER_CLIENT, 20, "as many as it may have")
        return s, hoard, full

    def test_connections_that_wait_for_nothing(self):
        """Those that have no query after all let the next one go."""
        s, hoard, _ = self.full(read="1m")
        waiting = [self.connect(s, HERE) for _ in range(60)]
        before = s.metric("lunadns_tcp_held_total")
        for i, c in enumerate(waiting):
            c.send_raw(b"\0\0" if i % 3 == 0 else b"\0")  # an empty message, or half of a length
            if i % 3 == 1:
                c.sock.shutdown(socket.SHUT_WR)
            # In their order, one after another.
            s.wait_metric("lunadns_tcp_held_total", at_least=before + i + 1)
        last = self.connect(s, HERE)
        last.send(pack_query("a.test", qid=77))
        s.wait_metric("lunadns_tcp_held_total", at_least=before + 61)
        hoard.release(everything=False)
        self.assertEqual(last.recv(10).id, 77)

    def test_connections_that_end_while_they_wait(self):
        """Each way for a connection to end lets the next one go."""
        s, hoard, full = self.full()
        waiting = [self.connect(s, HERE) for _ in range(60)]
        before = s.metric("lunadns_tcp_held_total")
        for i, c in enumerate(waiting):
            c.send(*(pack_query("a.test", qid=i) for _ in range(3)))
        s.wait_metric("lunadns_tcp_held_total", at_least=before + 60)
        for i, c in enumerate(waiting):
            if i % 3 == 0:
                c.close()
            elif i % 3 == 1:
                c.sock.shutdown(socket.SHUT_WR)
        for c in full[:1]:
            c.close()
        hoard.release()
        for i, c in enumerate(waiting):
            if i % 3:
                self.assertEqual([c.recv(20).id for _ in range(3)], [i] * 3)
        for c in full[1:]:
            self.assertEqual(sorted(c.recv(20).id for _ in range(512)), list(range(512)))
        self.answers(s, HERE)
        s.stop()


if __name__ == "__main__":
    unittest.main()
