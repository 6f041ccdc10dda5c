"""The next configuration takes over while the server answers: SIGUSR1, the reload plugin, good and bad edits."""

import os
import signal
import socket
import threading
import time
import unittest

import harness
from harness import Case, SANITIZED, SCALE


def corefile(address, more="", extra=""):
    return f".:{{port}} {{\n{more} hosts {{\n  {address} a.test\n }}\n}}\n{extra}"


BROKEN = ".:{port} {\n banana\n}\n"
WATCH = " reload 2s 1s\n"
HTTP = " prometheus 127.0.0.1:{http}\n health 127.0.0.1:{http2}\n ready 127.0.0.1:{http3}\n"

PLUGIN = """local dns = require "dns"
return dns.plugin {
  name = "shout",
  options = {},
  setup = function()
    return function(q)
      q:add(dns.ANSWER, q:name_text() .. " 60 IN TXT \\"WORD\\"")
      return dns.NOERROR
    end
  end,
}
"""


class BySignal(Case):
    def test_good_edit(self):
        s = self.server(corefile("192.0.2.1"))
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        s.write("Corefile", corefile("192.0.2.2"))
        s.reload()
        for transport in ("udp", "tcp"):
            self.assertEqual(s.query("a.test", transport=transport).values(), ["192.0.2.2"])
        out = s.out
        at = [out.index(line) for line in ("[INFO] SIGUSR1: Reloading\n", "[INFO] Reloading\n",
                                           "[INFO] Reloading complete\n")]
        self.assertEqual(at, sorted(at))
        s.stop()

    def test_bad_edit_keeps_the_old_configuration(self):
        s = self.server(corefile("192.0.2.1", " prometheus 127.0.0.1:{http}\n"))
        self.assertEqual(s.metric("coredns_reload_failed_total"), 0)
        for text, says in ((BROKEN, r"Corefile:2 - Error during parsing: Unknown directive 'banana'"),
                           (".:{port} {\n hosts {\n  ttl banana\n }\n}\n", r"Corefile:3: hosts: ttl: .*banana"),
                           (".:{port} {\n hosts {\n", r"Corefile"),
                           ("import nowhere\n", r"File to import not found: nowhere"),
                           (".:{port} a..b:{port} {\n whoami\n}\n", r"not a valid domain name")):
            with self.subTest(text):
                after, failed = s.mark(), s.metric("coredns_reload_failed_total")
                s.write("Corefile", text)
                s.signal(signal.SIGUSR1)
                s.wait_log(r"^\[ERROR\] Restart failed: .*" + says, after=after)
                self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
                s.wait_metric("coredns_reload_failed_total", at_least=failed + 1)
                self.assertNotIn("[INFO] Reloading complete", s.lines(after))
        s.write("Corefile", corefile("192.0.2.9", " prometheus 127.0.0.1:{http}\n"))
        s.reload()
        self.assertEqual(s.query("a.test").values(), ["192.0.2.9"])
        self.assertEqual(s.metric("coredns_reload_failed_total"), 5)
        s.stop()

    def test_removed_corefile_keeps_the_old_configuration(self):
        s = self.server(corefile("192.0.2.1"))
        os.unlink(s.conf)
        s.signal(signal.SIGUSR1)
        s.wait_log(r"^\[ERROR\] Restart failed: .*Corefile")
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        s.stop()

    def test_corefile_of_standard_input_reloads_as_it_was(self):
        s = self.server(None, ["-conf", "stdin"], stdin=corefile("192.0.2.1"))
        s.reload()
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        s.stop()

    def test_many_signals_at_once(self):
        s = self.server(corefile("192.0.2.1"))
        for _ in range(30):
            s.signal(signal.SIGUSR1)
        s.wait_log("Reloading complete", 20)
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        s.stop()


class Listeners(Case):
    def test_added_and_removed_ports(self):
        s = self.server(corefile("192.0.2.1"))
        second = s.number("port2")
        self.assertIsNone(s.ask_raw(harness.pack_query("b.test"), port=second, timeout=0.2))
        s.write("Corefile", corefile("192.0.2.1", extra=".:{port2} {\n hosts {\n  192.0.2.2 b.test\n }\n}\n"))
        s.reload()
        for transport in ("udp", "tcp"):
            self.assertEqual(s.query("b.test", port=second, transport=transport).values(), ["192.0.2.2"])
        s.write("Corefile", corefile("192.0.2.3"))
        s.reload()
        harness.wait_until(lambda: s.ask_raw(harness.pack_query("b.test"), "tcp", 0.2, second) is None, 5,
                           "the removed port closed")
        self.assertIsNone(s.ask_raw(harness.pack_query("b.test"), "udp", 0.2, second))
        self.assertEqual(s.query("a.test").values(), ["192.0.2.3"])
        s.stop()

    def test_moved_to_another_port(self):
        s = self.server(corefile("192.0.2.1"))
        s.write("Corefile", corefile("192.0.2.2").replace("{port}", "{port2}"))
        s.reload()
        self.assertEqual(s.query("a.test", port=s.number("port2")).values(), ["192.0.2.2"])
        harness.wait_until(lambda: s.ask_raw(harness.pack_query("a.test"), "tcp", 0.2) is None, 5, "the old port closed")
        s.stop()

    def test_port_of_another_server_fails_and_changes_nothing(self):
        s = self.server(corefile("192.0.2.1"))
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", s.number("port2")))
        fds = s.fds()
        for _ in range(3):
            after = s.mark()
            s.write("Corefile", corefile("192.0.2.2", extra=".:{port2} {\n whoami\n}\n"))
            s.signal(signal.SIGUSR1)
            s.wait_log(r"^\[ERROR\] Restart failed: .*[Aa]ddress already in use", after=after)
            self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        harness.wait_until(lambda: s.fds() <= fds, 5, f"descriptors of the failed attempts closed ({fds} before)")
        s.stop()

    def test_tcp_connection_outlives_a_reload(self):
        s = self.server(corefile("192.0.2.1"))
        with s.tcp() as c:
            self.assertEqual(c.ask("a.test").values(), ["192.0.2.1"])
            s.write("Corefile", corefile("192.0.2.2"))
            s.reload()
            reply = c.ask("a.test")
            self.assertIsNotNone(reply, "the connection was closed by the reload")
            self.assertEqual(reply.values(), ["192.0.2.2"])
        s.stop()

    def test_query_in_flight_on_a_removed_port(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def answer(q):
            gate.wait(20 * SCALE)
            return q.reply(answer=[(None, "A", 60, "192.0.2.7")])
        upstream = self.upstream(answer)
        s = self.server(corefile("192.0.2.1", extra=f".:{{port2}} {{\n forward . {upstream.to}\n}}\n"))
        with s.udp(s.number("port2")) as u, s.tcp(s.number("port2")) as t:
            u.send(harness.pack_query("slow.test"))
            t.send(harness.pack_query("slow.test"))
            upstream.wait_asked(1)
            harness.wait_until(lambda: upstream.count >= 2, 5, "both queries at the upstream")
            s.write("Corefile", corefile("192.0.2.2"))
            s.reload()
            gate.set()
            for name, client in (("udp", u), ("tcp", t)):
                with self.subTest(name):
                    reply = client.recv()
                    self.assertIsNotNone(reply, "the query in flight got no answer")
                    self.assertEqual(reply.values(), ["192.0.2.7"])
        self.assertEqual(s.query("a.test").values(), ["192.0.2.2"])
        s.stop()


class Survivors(Case):
    def test_queries_in_flight_are_answered(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def answer(q):
            if q.message.name.startswith("slow"):
                gate.wait(20 * SCALE)
            return q.reply(answer=[(None, "A", 60, "192.0.2.7")])
        upstream = self.upstream(answer)
        text = f".:{{port}} {{\n forward . {upstream.to}\n}}\n"
        s = self.server(text)
        with s.udp() as u, s.tcp() as t:
            for i in range(5):
                u.send(harness.pack_query(f"slow{i}.test", qid=i))
                t.send(harness.pack_query(f"slow{i}.test", qid=i))
            harness.wait_until(lambda: upstream.count >= 10, 5, "ten queries at the upstream")
            for _ in range(3):
                s.reload()
            self.assertEqual(s.query("quick.test").values(), ["192.0.2.7"])
            gate.set()
            for client in (u, t):
                replies = [client.recv() for _ in range(5)]
                self.assertNotIn(None, replies)
                self.assertEqual(sorted(r.id for r in replies), [0, 1, 2, 3, 4])
        s.stop()

    def test_cache_and_metrics(self):
        upstream = self.upstream(harness.addresses(ttl=300))
        text = f".:{{port}} {{\n prometheus 127.0.0.1:{{http}}\n cache\n forward . {upstream.to}\n}}\n"
        s = self.server(text)
        for i in range(20):
            self.assertEqual(s.query(f"c{i}.test").values(), ["192.0.2.1"])
        before = s.metric("coredns_dns_requests_total", {"type": "A"})
        s.write("Corefile", text + "# changed\n")
        s.reload()
        s.reload()
        for i in range(20):
            self.assertEqual(s.query(f"c{i}.test").values(), ["192.0.2.1"])
        self.assertEqual(upstream.count, 20, "what was cached is still cached")
        self.assertEqual(s.metric("coredns_dns_requests_total", {"type": "A"}), before + 20)
        self.assertGreaterEqual(s.metric("coredns_cache_hits_total"), 20)
        s.stop()

    def test_what_setup_counts(self):
        counting = PLUGIN.replace("setup = function()", "setup = function(_, _, server)\n"
                                  "    server:counter('setups_total', 'Setups.'):inc()")
        s = self.server(".:{port} {\n prometheus 127.0.0.1:{http}\n shout\n}\n", files={"shout.lua": counting})
        workers = s.metric("coredns_shout_setups_total")
        self.assertGreater(workers, 0)
        for reloads in (1, 2):
            s.reload()
            self.assertEqual(s.metric("coredns_shout_setups_total"), workers * (reloads + 1))
        s.stop()

    def test_http_endpoints_answer_throughout(self):
        text = corefile("192.0.2.1", HTTP)
        s = self.server(text)
        stop, seen, failures = threading.Event(), [], []

        def ask(port, path):
            while not stop.is_set():
                try:
                    reply = harness.http(port, path)
                    seen.append(path)
                    if reply.status != 200:
                        failures.append((path, reply))
                except OSError as e:
                    failures.append((path, e))
        threads = [threading.Thread(target=ask, args=(s.number(word), path)) for word, path in
                   (("http", "/metrics"), ("http2", "/health"), ("http3", "/ready"))]
        for t in threads:
            t.start()
        try:
            for i in range(10):
                s.write("Corefile", corefile(f"192.0.2.{i}", HTTP))
                s.reload()
            s.write("Corefile", BROKEN)
            s.signal(signal.SIGUSR1)
            s.wait_log("Restart failed")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(failures, [])
        for path in ("/metrics", "/health", "/ready"):
            self.assertGreater(seen.count(path), 5)
        s.stop()

    def test_http_endpoint_removed_and_added(self):
        s = self.server(corefile("192.0.2.1", " health 127.0.0.1:{http}\n"))
        self.assertEqual(s.http("/health").status, 200)
        s.write("Corefile", corefile("192.0.2.1", " health 127.0.0.1:{http2}\n"))
        s.reload()
        self.assertEqual(s.http("/health", s.number("http2")).status, 200)

        def closed():
            try:
                s.http("/health")
            except OSError:
                return True
        harness.wait_until(closed, 5, "the removed endpoint closed")
        s.stop()


class ByWatching(Case):
    """The reload plugin at its smallest interval."""

    def edited(self, s, done, timeout=10):
        harness.wait_until(done, timeout, "the edit taking effect")

    def test_good_and_bad_edits(self):
        s = self.server(corefile("192.0.2.1", WATCH + " prometheus 127.0.0.1:{http}\n"))
        s.wait_log(r"^\[INFO\] plugin/reload: Running configuration SHA512 = [0-9a-f]{128}$")
        one = s.metric("coredns_reload_version_info", {"hash": "sha512"})
        self.assertEqual(one, 1)
        after = s.mark()
        s.write("Corefile", corefile("192.0.2.2", WATCH + " prometheus 127.0.0.1:{http}\n"))
        s.wait_log(r"^\[INFO\] Reloading$", 10, after)
        s.wait_log(r"^\[INFO\] plugin/reload: Running configuration SHA512 = [0-9a-f]{128}$", 10, after)
        s.wait_log(r"^\[INFO\] Reloading complete$", 10, after)
        self.assertEqual(s.query("a.test").values(), ["192.0.2.2"])
        versions = [value for name, _, value in s.metrics() if name == "coredns_reload_version_info"]
        self.assertEqual(versions, [1], "the earlier configuration's is gone")

        after = s.mark()
        s.write("Corefile", BROKEN)
        s.wait_log(r"^\[ERROR\] Restart failed: .*Corefile:2 - .*'banana'", 10, after)
        s.wait_log(r"^\[ERROR\] plugin/reload: Corefile changed but reload failed: .*'banana'", 10, after)
        self.assertEqual(s.query("a.test").values(), ["192.0.2.2"])
        self.assertEqual(s.metric("coredns_reload_failed_total"), 1)
        time.sleep(3.5)  # one interval and its jitter: nothing can be awaited where nothing is to happen
        self.assertEqual(s.count_log("Restart failed", after), 1, "a failure is not repeated until the file changes")
        self.assertEqual(s.metric("coredns_reload_failed_total"), 1)

        after = s.mark()
        s.write("Corefile", corefile("192.0.2.2", WATCH + " prometheus 127.0.0.1:{http}\n"))
        s.wait_log(r"^\[INFO\] plugin/reload: the files are again as they are served$", 10, after)
        s.write("Corefile", BROKEN)
        s.wait_log(r"^\[ERROR\] Restart failed: .*Corefile:2 - .*'banana'", 10, after)

        after = s.mark()
        s.write("Corefile", corefile("192.0.2.3", WATCH + " prometheus 127.0.0.1:{http}\n"))
        s.wait_log(r"^\[INFO\] Reloading complete$", 10, after)
        self.assertEqual(s.query("a.test").values(), ["192.0.2.3"])
        s.stop()

    def test_unchanged_text_is_no_reload(self):
        s = self.server(corefile("192.0.2.1", WATCH))
        s.write("Corefile", corefile("192.0.2.1", WATCH))
        time.sleep(3.5)  # see above
        self.assertNotIn("[INFO] Reloading\n", s.out)
        s.stop()

    def test_imported_file(self):
        s = self.server(corefile("192.0.2.1", WATCH, "import more/*.server\n"), files={
            "more/a.server": "b.test:{port} {\n hosts {\n  192.0.2.1 x.b.test\n }\n}\n"})
        s.write("more/a.server", "b.test:{port} {\n hosts {\n  192.0.2.2 x.b.test\n }\n}\n")
        self.edited(s, lambda: s.query("x.b.test").values() == ["192.0.2.2"])
        s.write("more/b.server", "c.test:{port} {\n hosts {\n  192.0.2.3 x.c.test\n }\n}\n")
        self.edited(s, lambda: s.query("x.c.test").values() == ["192.0.2.3"])
        s.stop()

    def test_configmap_swap(self):
        """As the kubelet does it: Corefile -> ..data/Corefile, ..data -> a dated directory, swapped in one step."""
        s = self.server(None, ["-conf", "{dir}/mount/Corefile"], cwd="/", files={
            "mount/..2026_01/Corefile": corefile("192.0.2.1", WATCH),
            "mount/..2026_02/Corefile": corefile("192.0.2.2", WATCH)}, ready=None)
        # The links have to be there before the start: this instance ends with the missing file.
        self.assertEqual(s.wait(), 1)
        os.symlink("..2026_01", s.path("mount/..data"))
        os.symlink("..data/Corefile", s.path("mount/Corefile"))
        t = self.server(None, ["-conf", s.path("mount/Corefile")], port=s.port, cwd="/")
        self.assertEqual(t.query("a.test").values(), ["192.0.2.1"])
        os.symlink("..2026_02", s.path("mount/..data_tmp"))
        os.rename(s.path("mount/..data_tmp"), s.path("mount/..data"))
        os.unlink(s.path("mount/..2026_01/Corefile"))
        t.wait_log(r"^\[INFO\] Reloading complete$", 10)
        self.assertEqual(t.query("a.test").values(), ["192.0.2.2"])
        t.stop()

    def test_plugin_file(self):
        text = ".:{port} {\n reload 2s 1s\n shout\n}\n"
        s = self.server(text, files={"shout.lua": PLUGIN.replace("WORD", "one")})
        self.assertEqual(s.query("a.test", "TXT").values(), ['"one"'])
        after = s.mark()
        s.write("shout.lua", PLUGIN.replace("WORD", "two"))
        s.wait_log(r"^\[INFO\] Reloading complete$", 10, after)
        self.assertEqual(s.query("a.test", "TXT").values(), ['"two"'])
        after = s.mark()
        s.write("shout.lua", PLUGIN.replace("options = {},", "options = {}},"))
        s.wait_log(r"^\[ERROR\] Restart failed: .*shout\.lua:5: ", 10, after)
        self.assertEqual(s.query("a.test", "TXT").values(), ['"two"'])
        after = s.mark()
        s.write("shout.lua", PLUGIN.replace("WORD", "three"))
        s.wait_log(r"^\[INFO\] Reloading complete$", 10, after)
        self.assertEqual(s.query("a.test", "TXT").values(), ['"three"'])
        s.stop()

    def test_edit_while_an_edit_is_loaded(self):
        plugin = PLUGIN.replace("setup = function()", "setup = function() print 'WORD is read' dns.sleep(1)")
        s = self.server(".:{port} {\n reload 2s 1s\n shout\n}\n", files={"shout.lua": plugin.replace("WORD", "one")})
        after = s.mark()
        s.write("shout.lua", plugin.replace("WORD", "two"))
        s.wait_log(r"two is read$", 10, after)
        s.write("shout.lua", plugin.replace("WORD", "three"))
        self.edited(s, lambda: s.query("a.test", "TXT").values() == ['"three"'], 15)
        s.stop()

    def test_hosts_file(self):
        s = self.server(".:{port} {\n hosts {dir}/hosts {\n reload 1s\n }\n}\n", files={"hosts": "192.0.2.1 a.test\n"})
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        s.write("hosts", "192.0.2.22 a.test\n192.0.2.2 b.test\n")
        self.edited(s, lambda: s.query("a.test").values() == ["192.0.2.22"])
        self.assertEqual(s.query("b.test").values(), ["192.0.2.2"])
        s.stop()

    def test_bounds_of_the_interval(self):
        for args, says in (("1s", "interval"), ("2s 500ms", "jitter"), ("banana", "banana")):
            with self.subTest(args):
                e = self.start_fails(f".:{{port}} {{\n reload {args}\n whoami\n}}\n")
                self.assertEqual(e.code, 1)
                self.assertIn(says, e.err)


class UnderLoad(Case):
    def test_thirty_reloads_lose_nothing(self):
        text = " prometheus 127.0.0.1:{http}\n cache\n"
        s = self.server(corefile("192.0.2.1", text))
        s.write("Corefile", corefile("192.0.2.1", text))
        load = self.load(s.port, ["a.test A", "A.test A"], seconds=8, qps=1000, timeout=5)
        tcp = self.load(s.port, ["a.test A"], seconds=8, qps=200, mode="tcp", timeout=5)
        for i in range(30):
            s.write("Corefile", corefile("192.0.2.1", text, extra=f"# {i}\n"))
            s.reload(20)
        for name, done in (("udp", load.finish()), ("tcp", tcp.finish())):
            with self.subTest(name):
                self.assertGreater(done["sent"], 500)
                self.assertEqual((done["lost"], done["rcodes"]), (0, {"NOERROR": done["completed"]}))
        self.assertEqual(s.count_log("Reloading complete"), 30)
        s.stop()

    def test_memory_does_not_grow_with_reloads(self):
        if SANITIZED:
            self.skipTest("a sanitizer keeps freed memory: its own leak report is the test then")
        upstream = self.upstream(harness.addresses())
        text = corefile("192.0.2.1", HTTP + " cache\n", f"b.test:{{port}} {{\n forward . {upstream.to}\n}}\n")
        s = self.server(text)

        def rounds(n):
            for _ in range(n):
                s.reload(20)
                self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
                self.assertEqual(s.query("x.b.test").values(), ["192.0.2.1"])
        rounds(50)  # the allocator's pools fill first
        fds, before = s.fds(), s.rss()
        rounds(150)
        grown = s.rss() - before
        self.assertLess(grown, 8 << 20, f"{grown >> 10} KiB more after 150 reloads, from {before >> 10} KiB")
        harness.wait_until(lambda: s.fds() <= fds + 4, 5, f"descriptors: {s.fds()}, {fds} before")
        s.stop()


if __name__ == "__main__":
    unittest.main()
