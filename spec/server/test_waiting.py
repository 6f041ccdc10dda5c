"""Plugins that wait: dns.sleep, dns.resolve, dns.exchange, dns.all, dns.spawn, in handlers, timers and setup of the
real server."""

import os
import re
import signal
import threading
import time
import unittest

import harness
from harness import SCALE, addresses, wait_until

UP = "203.0.113.1"

PLUGIN = """
local dns = require "dns"
return dns.plugin {
  name = "probe", doc = "Of a test.",
  options = { { "upstream", type = "string", default = "127.0.0.1", doc = "Where to ask." } },
  setup = function(conf, next, server)
    %s
    return function(q)
      if not q:under "run.test" then return next(q) end
      %s
    end
  end,
}
"""


class Waiting(harness.Case):
    def probe(self, handler, setup="", block="whoami", upstream="127.0.0.1", **options):
        """A server whose plugin `probe` has this body; in it, text(s) answers with a TXT record."""
        setup += """
        local function text(q, s)
          local strings = tostring(s):gsub('"', "'"):gsub(("."):rep(200), '%0" "')
          q:add(dns.ANSWER, q:name_text() .. ' 0 IN TXT "' .. strings .. '"')
          return 0
        end
        local _ = text"""
        files = {"probe.lua": PLUGIN % (setup, handler)}
        return self.server(f".:{{port}} {{\n prometheus 127.0.0.1:{{http}}\n errors\n probe {upstream}\n {block}\n}}\n",
                           files=files, **options)

    def ask(self, s, name="x.run.test", **options):
        reply = s.query(name, "TXT", transport="tcp", **options)
        self.assertTrue(reply.answer, reply.rcode)
        return "".join(re.findall('"([^"]*)"', reply.values()[0]))


class Handlers(Waiting):
    def test_sleep_keeps_nobody_waiting(self):
        s = self.probe("assert(dns.sleep(1)) return text(q, 'slept')", block="hosts {\n 192.0.2.1 a.test\n }")
        took = []

        def slow():
            began = time.monotonic()
            self.assertEqual(self.ask(s), "slept")
            took.append(time.monotonic() - began)
        threads = [threading.Thread(target=slow) for _ in range(20)]
        for t in threads:
            t.start()
        began = time.monotonic()
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        self.assertLess(time.monotonic() - began, 0.5 * SCALE)
        for t in threads:
            t.join()
        self.assertEqual(len(took), 20)
        self.assertTrue(all(0.95 <= t < 2 * SCALE for t in took), took)

    def test_resolve_through_the_chain(self):
        up = self.upstream(addresses(value=UP))
        s = self.probe("""
          local local_, remote = dns.resolve("a.test", "A"), dns.resolve("up.example", "A")
          return text(q, local_.answer[1].data .. " " .. remote.answer[1].data)
        """, block=f"hosts {{\n 192.0.2.1 a.test\n fallthrough\n }}\n forward . {up.to}")
        self.assertEqual(self.ask(s), f"192.0.2.1 {UP}")
        self.assertEqual(up.count, 1)

    def test_exchange_over_udp_and_tcp(self):
        def answer(q):
            if q.transport == "udp" and q.message.name.startswith("big."):
                return q.reply(tc=True)
            return q.reply(answer=[(None, "A", 60, UP)])
        up = self.upstream(answer)
        s = self.probe(f"""
          local one = assert(dns.exchange("{up.to}", "small.example", "A"))
          local two = assert(dns.exchange("{up.to}", "big.example", "A"))
          local three = assert(dns.exchange("tcp://{up.to}", "small.example", "A"))
          return text(q, one.answer[1].data .. two.answer[1].data .. three.answer[1].data)
        """)
        self.assertEqual(self.ask(s), UP * 3)
        self.assertEqual([q.transport for q in up.queries], ["udp", "udp", "tcp", "tcp"])

    def test_exchange_that_fails_says_what_was_tried(self):
        silent = self.upstream(lambda q: None)
        s = self.probe(f"""
          local _, lost = dns.exchange("{silent.to}", "a.example", "A", {{ timeout = 0.3 }})
          local _, refused = dns.exchange("tcp://127.0.0.1:1", "a.example", "A")
          return text(q, lost .. "; " .. refused)
        """)
        self.assertRegex(self.ask(s), rf"^a.example. A: {silent.to}: read udp .*i/o timeout; "
                         r"a.example. A: tcp://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused$")

    def test_all_waits_for_several_at_once(self):
        def answer(q):
            time.sleep(0.4)
            return q.reply(answer=[(None, "A", 60, UP)])
        up = self.upstream(answer)
        s = self.probe(f"""
          local list = {{}}
          for i = 1, 10 do list[i] = function() return dns.exchange("{up.to}", "n" .. i .. ".example", "A") end end
          local found, errors = dns.all(list)
          return text(q, #found .. " " .. tostring(errors))
        """)
        began = time.monotonic()
        self.assertEqual(self.ask(s), "10 nil")
        self.assertLess(time.monotonic() - began, 2 * SCALE)

    def test_spawn_and_timers(self):
        s = self.probe("dns.spawn(function() dns.sleep(0.3) server:log('info', 'spawned is done') end) return text(q, 1)",
                       setup="server:every(0.2, function() dns.sleep(0.05) server:log('info', 'tick') end)")
        self.assertEqual(self.ask(s), "1")
        s.wait_log("plugin/probe: spawned is done")
        wait_until(lambda: s.count_log("plugin/probe: tick") >= 3)

    def test_letting_others_go_first_for_ever_stops_nobody(self):
        s = self.probe("while true do dns.sleep(0) end", block="hosts {\n 192.0.2.1 a.test\n }")
        with s.udp() as client:
            client.send(harness.pack_query("x.run.test", "TXT"))
            for _ in range(20):
                self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])


class Setup(Waiting):
    def test_waits_and_asks(self):
        up = self.upstream(addresses(value=UP))
        s = self.probe("return text(q, found)", setup=f"""
          dns.sleep(0.2)
          local found = assert(dns.exchange("{up.to}", "api.example", "A")).answer[1].data
          local slow = dns.all {{ function() dns.sleep(0.1) return 1 end, function() dns.sleep(0.1) return 2 end }}
          assert(slow[1] == 1 and slow[2] == 2)
        """)
        self.assertEqual(self.ask(s), UP)
        s.reload()
        self.assertEqual(self.ask(s), UP)
        s.stop()

    def test_what_fails_names_the_plugin_and_what_was_tried(self):
        e = self.start_fails(".:{port} {\n probe\n whoami\n}\n", files={"probe.lua": PLUGIN % (
            "assert(dns.exchange('tcp://127.0.0.1:1', 'api.example', 'A'))", "return 0")})
        self.assertIn("Corefile:2: plugin/probe: ", e.err)
        self.assertIn("api.example. A: tcp://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused", e.err)

    def test_a_deadline_in_setup(self):
        silent = self.upstream(lambda q: None)
        began = time.monotonic()
        s = self.probe("return text(q, why)", setup=f"""
          local _, why = dns.exchange("{silent.to}", "api.example", "A", {{ timeout = 0.3 }})
        """)
        self.assertLess(time.monotonic() - began, 10 * SCALE)
        self.assertIn("i/o timeout", self.ask(s))

    def test_the_server_answers_while_the_next_setup_waits(self):
        s = self.probe("return text(q, 'serves')", setup="dns.sleep(0.7)")
        done = threading.Event()
        reload = threading.Thread(target=lambda: (s.reload(), done.set()))
        reload.start()
        slowest = 0
        while not done.is_set():
            began = time.monotonic()
            self.assertEqual(self.ask(s), "serves")
            slowest = max(slowest, time.monotonic() - began)
        reload.join()
        self.assertLess(slowest, 0.5 * SCALE)

    def test_nothing_waits_while_a_file_is_loaded(self):
        e = self.start_fails(".:{port} {\n probe\n whoami\n}\n",
                             files={"probe.lua": "require('dns').sleep(1)\n" + PLUGIN % ("", "return 0")})
        self.assertIn("probe.lua:1: dns.sleep waits, and nothing can wait while a file is being loaded", e.err)


class Generations(Waiting):
    def test_what_waits_ends_with_its_generation_or_before(self):
        """Queries of the old generation are answered; its timers and spawned work end, and leave nothing behind."""
        s = self.probe("dns.spawn(function() dns.sleep(1000) end) dns.sleep(0.5) return text(q, 'old')",
                       setup="server:every(1000, function() end)")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.ask(s))) for _ in range(10)]
        for t in threads:
            t.start()
        time.sleep(0.1)  # they are waiting now, or will in the next generation: both are right
        for _ in range(5):
            s.reload()
        for t in threads:
            t.join()
        self.assertEqual(answers, ["old"] * 10)
        s.stop()

    @unittest.skipIf(harness.SANITIZED, "memory figures of a sanitizer build mean nothing")
    def test_reloads_with_waiting_setups_leave_nothing(self):
        up = self.upstream(addresses(value=UP))
        s = self.probe("return text(q, dns.exchange('%s', 'a.example', 'A').answer[1].data)" % up.to,
                       setup=f"assert(dns.exchange('{up.to}', 'a.example', 'A'))")
        for _ in range(5):
            s.reload()
            self.ask(s)
        wait_until(lambda: s.count_log("Reloading complete") == 5)
        fds, rss = s.fds(), s.rss()
        for _ in range(20):
            s.reload()
            self.ask(s)
        # Each worker may come to use all eight sockets of an upstream.
        self.assertLessEqual(s.fds(), fds + 8 * len(os.sched_getaffinity(0)))
        self.assertLess(s.rss() - rss, 6 << 20)


class TheEnd(Waiting):
    """A signal ends the process, whatever a setup waits for."""

    # The signal may come before it waits.
    SLOW = "server:log('info', 'it waits') local t = os.clock() repeat until os.clock() > t + 0.1 dns.sleep(600)"

    def test_at_a_start(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            s = self.probe("return text(q, 'never')", setup=self.SLOW, ready=None)
            s.wait_log("it waits")
            s.signal(number)
            self.assertEqual(s.wait(10), 0)
            self.assertIn("[INFO] Told to end before it served: ", s.out)
            self.assertIn("the process was told to end while this waited", s.out)
            self.assertEqual(s.err, "")

    def test_at_a_reload(self):
        s = self.probe("return text(q, 'old')")
        s.write("probe.lua", PLUGIN % (self.SLOW, "return 0"))
        s.signal(signal.SIGUSR1)
        s.wait_log("it waits")
        self.assertEqual(self.ask(s), "old")
        s.stop(timeout=10)
        self.assertIn("Restart failed: ", s.out)
        self.assertIn("SIGTERM: Shutting down", s.out)


if __name__ == "__main__":
    unittest.main()
