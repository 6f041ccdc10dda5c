"""Identical misses while an upstream is slow, and stale answers when it fails. RFC 8767."""

import contextlib
import time
import unittest

from forwarding import GOOD, UP, Forwarding
from harness import addresses, pack_query, SCALE, wait_until


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


if __name__ == "__main__":
    unittest.main()
