"""Upstreams over TCP that close, stall or answer in any order. RFC 7766."""

import random
import socket
import struct
import threading
import time
import unittest

from forwarding import GOOD, Forwarding
from harness import pack_query


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


if __name__ == "__main__":
    unittest.main()
