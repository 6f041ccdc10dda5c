"""The command: flags, start-up failures, signals, lame duck, output."""

import ctypes
import glob
import os
import platform
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import Case, SCALE, free_port, run

WHOAMI = ".:{port} {\n    whoami\n}\n"
LOGGED = ".:{port} {\n    log\n    whoami\n}\n"
BANNER_END = r"lunadns-\d+\.\d+\.\d+\nlinux/(amd64|arm64), LuaJIT \S+.*\n"


class Flags(Case):
    def test_version_prints_two_lines(self):
        for flag in ("-version", "--version"):
            with self.subTest(flag):
                code, out, err = run([flag])
                self.assertEqual((code, err), (0, ""))
                self.assertRegex(out, "^" + BANNER_END + "$")

    def test_plugins_lists_directives(self):
        code, out, err = run(["-plugins"])
        self.assertEqual((code, err), (0, ""))
        for name in ("hosts", "forward", "cache", "whoami"):
            self.assertIn(name, out.split())

    def test_plugins_name_prints_its_help(self):
        for args in (["-plugins", "hosts"], ["--plugins", "hosts"], ["-plugins=hosts"]):
            with self.subTest(args):
                code, out, _ = run(args)
                self.assertEqual(code, 0)
                self.assertIn("fallthrough", out)
                self.assertIn("ttl", out)

    def test_plugins_of_an_unknown_name(self):
        code, out, err = run(["-plugins", "banana"])
        self.assertEqual((code, out), (1, ""))
        self.assertIn("banana", err)
        self.assertTrue(err.endswith("\n"), "the message ends its line")

    def test_conf_with_dashes_equals_and_space(self):
        for form in (["-conf", "{dir}/other"], ["--conf", "{dir}/other"], ["-conf={dir}/other"],
                     ["--conf={dir}/other"]):
            with self.subTest(form):
                s = self.server(None, form, files={"other": WHOAMI})
                self.assertEqual(s.query("a.test").rcode, "NOERROR")
                s.stop()

    def test_empty_conf_is_no_conf(self):
        s = self.server(None, ["-conf", "", "-p", "{port}"], files={"Corefile": ".:{port2} {\n whoami\n}\n"})
        self.assertEqual(s.query("a.test", port=s.number("port2")).rcode, "NOERROR")

    def test_default_port_flags(self):
        for form in (["-dns.port", "{port}"], ["--dns.port={port}"], ["-p", "{port}"], ["-p={port}"]):
            with self.subTest(form):
                s = self.server(". {\n whoami\n}\n", form)
                self.assertEqual(s.query("a.test").rcode, "NOERROR")
                s.stop()

    def test_quiet_has_no_banner_and_serves(self):
        s = self.server(WHOAMI, ["-quiet"], ready="answer")
        s.stop()
        self.assertNotRegex(s.out, "lunadns-|linux/")

    def test_quiet_with_a_value(self):
        self.server(WHOAMI, ["-quiet=false"]).stop()
        s = self.server(WHOAMI, ["--quiet=true"], ready="answer")
        s.stop()
        self.assertNotRegex(s.out, "linux/")
        code, out, err = run(["-quiet=maybe"])
        self.assertEqual((code, out), (2, ""))
        self.assertIn('invalid boolean value "maybe" for -quiet: parse error', err)

    def test_pidfile(self):
        s = self.server(WHOAMI, ["-pidfile", "{dir}/pid"])
        with open(s.path("pid")) as f:
            self.assertEqual(f.read().strip(), str(s.pid))
        s.stop()
        self.assertFalse(os.path.exists(s.path("pid")), "the pid file goes with the process")

    def test_pidfile_that_cannot_be_written(self):
        e = self.start_fails(WHOAMI, ["-pidfile", "{dir}/no/such/pid"])
        self.assertEqual(e.code, 1)
        self.assertIn("no/such/pid", e.err)

    def test_stray_arguments(self):
        code, out, err = run(["-quiet", "foo", "bar"])
        self.assertEqual((code, out), (1, ""))
        self.assertIn("extra command line arguments: [foo bar]", err)

    def test_unknown_flag(self):
        code, _, err = run(["-banana"])
        self.assertEqual(code, 2)
        self.assertIn("flag provided but not defined: -banana", err)
        self.assertIn("-conf", err, "the usage follows")

    def test_flag_without_its_value(self):
        code, _, err = run(["-conf"])
        self.assertEqual(code, 2)
        self.assertIn("flag needs an argument: -conf", err)

    def test_bad_port(self):
        for value in ("banana", "65536", "-1", ""):
            with self.subTest(value):
                code, _, err = run([f"-dns.port={value}"])
                self.assertEqual(code, 2)
                self.assertIn(f'"{value}"', err)

    def test_missing_conf_file(self):
        code, out, err = run(["-conf", "{dir}/nowhere"])
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"loading Caddyfile via flag: open .*/nowhere: no such file or directory")

    def test_conf_is_a_directory(self):
        code, _, err = run(["-conf", "{dir}"])
        self.assertEqual(code, 1)
        self.assertIn("directory", err)

    def test_conf_from_standard_input(self):
        s = self.server(None, ["-conf", "stdin"], stdin=WHOAMI)
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        s.stop()

    def test_error_in_standard_input_names_it(self):
        code, _, err = run(["-conf", "stdin"], stdin=".:{port} {\n banana\n}\n")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"^stdin:2 - ")


class DefaultCorefile(Case):
    def check(self, s):
        self.assertRegex(s.out, rf"(?m)^\.:{s.port}$")
        reply = s.query("a.test")
        self.assertEqual((reply.rcode, reply.additional[0].data), ("NOERROR", "127.0.0.1"))
        s.wait_log(r'^\[INFO\] 127\.0\.0\.1:\d+ - \d+ "A IN a\.test\. udp ')
        s.stop()

    def test_no_file_at_all(self):
        self.check(self.server(None, ["-dns.port", "{port}"]))

    def test_empty_file(self):
        self.check(self.server("", ["-dns.port", "{port}"]))

    def test_file_of_spaces_and_comments(self):
        self.check(self.server("\n  # nothing yet\n\n", ["-dns.port", "{port}"]))

    def test_empty_standard_input(self):
        self.check(self.server(None, ["-conf", "stdin", "-dns.port", "{port}"], stdin=""))

    def test_corefile_of_the_working_directory(self):
        s = self.server(None, files={"Corefile": ".:{port} {\n hosts {\n 192.0.2.7 here.test\n }\n}\n"})
        self.assertEqual(s.query("here.test").values(), ["192.0.2.7"])
        s.stop()


class Signals(Case):
    def test_term(self):
        s = self.server(WHOAMI)
        s.stop(signal.SIGTERM)
        self.assertIn("[INFO] SIGTERM: Shutting down servers then terminating\n", s.out)

    def test_interrupt(self):
        s = self.server(WHOAMI)
        s.stop(signal.SIGINT)
        self.assertIn("[INFO] SIGINT: Shutting down\n", s.out)

    def test_second_interrupt_forces_the_end(self):
        s = self.server(".:{port} {\n whoami\n health 127.0.0.1:{http} {\n lameduck 30s\n }\n}\n")
        s.signal(signal.SIGINT)
        s.wait_log("SIGINT: Shutting down")
        s.stop(signal.SIGINT, code=2, timeout=5)
        self.assertIn("[INFO] SIGINT: Force quit\n", s.out)

    def test_quit_is_immediate(self):
        s = self.server(".:{port} {\n whoami\n health 127.0.0.1:{http} {\n lameduck 30s\n }\n}\n")
        s.stop(signal.SIGQUIT, timeout=5)
        self.assertIn("[INFO] SIGQUIT: Quitting process immediately\n", s.out)

    def test_hangup_and_pipe_are_ignored(self):
        s = self.server(WHOAMI)
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGHUP):
            s.signal(number)
            self.assertEqual(s.query("a.test").rcode, "NOERROR")
        self.assertNotIn("Reloading", s.out)
        s.stop()

    def test_usr2_is_explained_and_harmless(self):
        s = self.server(WHOAMI)
        s.signal(signal.SIGUSR2)
        s.wait_log(r"^\[WARNING\] SIGUSR2: ")
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        s.stop()

    def test_term_while_it_starts(self):
        # Signals come when they like: whatever the moment, the process ends and reports nothing odd.
        for delay in (0, 0.005, 0.02, 0.05):
            with self.subTest(delay):
                s = self.server(WHOAMI, ready=None)
                time.sleep(delay)
                s.signal(signal.SIGTERM)
                self.assertIn(s.wait(10), (0, -signal.SIGTERM))
                s.check_reports()


class TakingOver(Case):
    def test_the_next_process_starts_before_the_old_one_ends(self):
        """A rolling update on a host's network: ports for DNS and HTTP are those of the old process."""
        block = (".:%d {\n hosts {\n  192.0.2.%d a.test\n }\n health 127.0.0.1:%d\n ready 127.0.0.1:%d\n"
                 " prometheus 127.0.0.1:%d\n}\n")
        ports = [free_port() for _ in range(3)]
        old = self.server(block % (port := free_port(), 1, *ports), port=port)
        new = self.server(block % (port, 2, *ports), port=port)
        old.stop()
        self.assertEqual(new.query("a.test").values(), ["192.0.2.2"])
        for at, path in zip(ports, ("/health", "/ready", "/metrics")):
            self.assertEqual(new.http(path, at).status, 200, path)


class Workers(Case):
    def test_their_slices_are_short(self):
        """So that a packet is not kept waiting by who computes on the same core."""
        release = tuple(int(n) for n in re.findall(r"\d+", platform.release())[:2])
        call = {"x86_64": 315, "aarch64": 275}.get(platform.machine())  # sched_getattr
        if release < (6, 12) or not call:
            self.skipTest("Linux before 6.12 has one slice for all threads")
        s = self.server(WHOAMI)
        slices = []
        for task in glob.glob(f"/proc/{s.pid}/task/*"):
            with open(task + "/comm") as f:
                if not f.read().startswith("worker-"):
                    continue
            attributes = ctypes.create_string_buffer(48)
            self.assertEqual(ctypes.CDLL(None).syscall(call, int(os.path.basename(task)), attributes, 48, 0), 0)
            slices.append(int.from_bytes(attributes.raw[24:32], "little"))
        self.assertTrue(slices)
        self.assertEqual(set(slices), {100000})


class LameDuck(Case):
    COREFILE = ".:{port} {\n whoami\n ready 127.0.0.1:{http2}\n health 127.0.0.1:{http} {\n lameduck 2s\n }\n}\n"

    def test_serves_until_its_end(self):
        s = self.server(self.COREFILE)
        self.assertEqual(s.http("/ready", s.number("http2")).status, 200)
        s.signal(signal.SIGTERM)
        began = time.monotonic()
        s.wait_log(r"^\[INFO\] plugin/health: Going into lameduck mode for 2s$")
        answered = 0
        while time.monotonic() - began < 1.5:
            self.assertEqual(s.query("a.test").rcode, "NOERROR")
            self.assertEqual(s.query("a.test", transport="tcp").rcode, "NOERROR")
            self.assertEqual(s.http("/health").body, "OK")
            ready = s.http("/ready", s.number("http2"))
            self.assertEqual((ready.status, ready.body.strip()), (503, "Shutting down"))
            answered += 1
            time.sleep(0.05)
        self.assertGreater(answered, 3)
        self.assertEqual(s.wait(10), 0)
        self.assertGreaterEqual(time.monotonic() - began, 1.9)

    def test_second_term_changes_nothing(self):
        s = self.server(self.COREFILE)
        s.signal(signal.SIGTERM)
        s.wait_log("lameduck mode")
        s.signal(signal.SIGTERM)
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        self.assertEqual(s.wait(10), 0)
        self.assertEqual(s.count_log("lameduck mode"), 1)

    def test_reload_during_lame_duck_is_refused(self):
        s = self.server(self.COREFILE)
        s.signal(signal.SIGTERM)
        s.wait_log("lameduck mode")
        s.signal(signal.SIGUSR1)
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        self.assertEqual(s.wait(10), 0)
        self.assertNotIn("Reloading complete", s.out)


class LastQueries(Case):
    def slow(self):
        """An upstream that answers when .set() is called, and a server that asks it."""
        self.gate = threading.Event()
        self.addCleanup(self.gate.set)

        def answer(q):
            self.gate.wait(20 * SCALE)
            return q.reply(answer=[(None, "A", 60, "192.0.2.1")])
        upstream = self.upstream(answer)
        return upstream, self.server(f".:{{port}} {{\n forward . {upstream.to} {{\n max_fails 0\n }}\n}}\n")

    def test_query_in_flight_over_udp_is_answered(self):
        upstream, s = self.slow()
        with s.udp() as c:
            c.send(harness.pack_query("slow.test"))
            upstream.wait_asked()
            s.signal(signal.SIGTERM)
            s.wait_log("SIGTERM")
            self.assertIsNone(c.recv_raw(0.3 / SCALE))
            self.gate.set()
            reply = c.recv(5)
        self.assertIsNotNone(reply, "the query in flight got no answer")
        self.assertEqual(reply.values(), ["192.0.2.1"])
        self.assertEqual(s.wait(10), 0)

    def test_queries_in_flight_over_tcp_are_answered(self):
        upstream, s = self.slow()
        with s.tcp() as c:
            c.send(*(harness.pack_query(f"slow{i}.test", qid=i) for i in range(5)))
            upstream.wait_asked(5)
            s.signal(signal.SIGTERM)
            s.wait_log("SIGTERM")
            self.gate.set()
            replies = [c.recv(5) for _ in range(5)]
            self.assertEqual(sorted(r.id for r in replies if r), [0, 1, 2, 3, 4])
            self.assertTrue(c.closed_by_peer())
        self.assertEqual(s.wait(10), 0)

    def test_idle_tcp_connection_does_not_hold_the_end(self):
        s = self.server(WHOAMI)
        with s.tcp() as idle, s.tcp() as used:
            self.assertEqual(used.ask("a.test").rcode, "NOERROR")
            began = time.monotonic()
            s.signal(signal.SIGTERM)
            self.assertTrue(idle.closed_by_peer())
            self.assertTrue(used.closed_by_peer())
            self.assertEqual(s.wait(10), 0)
            self.assertLess(time.monotonic() - began, 3 * SCALE)

    def test_half_a_message_does_not_hold_the_end(self):
        s = self.server(WHOAMI)
        with s.tcp() as c:
            c.send_raw(b"\x00\x20half")
            self.assertEqual(s.query("a.test").rcode, "NOERROR")
            began = time.monotonic()
            s.signal(signal.SIGTERM)
            self.assertEqual(s.wait(10), 0)
            self.assertLess(time.monotonic() - began, 6 * SCALE)

    def test_upstream_that_never_answers_does_not_hold_the_end(self):
        upstream, s = self.slow()
        with s.udp() as c:
            c.send(harness.pack_query("slow.test"))
            upstream.wait_asked()
            began = time.monotonic()
            s.signal(signal.SIGTERM)
            self.assertEqual(s.wait(15), 0)
            self.assertLess(time.monotonic() - began, 7 * SCALE)

    def test_new_queries_are_no_longer_taken(self):
        s = self.server(WHOAMI)
        port = s.port
        s.stop()
        with self.assertRaises(ConnectionRefusedError):
            harness.TCPClient(port)


class FailingStart(Case):
    def test_port_of_another_server(self):
        for kind, name in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
            with self.subTest(name), socket.socket(socket.AF_INET, kind) as other:
                port = free_port()
                other.bind(("127.0.0.1", port))
                if kind == socket.SOCK_STREAM:
                    other.listen()
                e = self.start_fails(WHOAMI, port=port)
                self.assertEqual(e.code, 1)
                self.assertRegex(e.err.lower(), rf"listen {name} .*:{port}: bind: address already in use")
                self.assertNotIn("linux/", e.out)

    def test_http_port_of_another_server(self):
        for plugin in ("health", "ready", "prometheus"):
            with self.subTest(plugin), socket.socket() as other:
                port = free_port()
                other.bind(("127.0.0.1", port))
                other.listen()
                e = self.start_fails(f".:{{port}} {{\n whoami\n {plugin} 127.0.0.1:{port}\n}}\n")
                self.assertEqual(e.code, 1)
                self.assertIn(str(port), e.err)
                self.assertIn("address already in use", e.err.lower())

    def test_no_permission_for_port_53(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to become a user without rights")
        # A network of its own: there port 53 is free and the limit for ports is the usual one.
        prefix = ["unshare", "-n", "sh", "-c", "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start; exec setpriv "
                  "--reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all \"$@\"", "sh"]
        e = self.start_fails(". {\n whoami\n}\n", prefix=prefix)
        self.assertEqual(e.code, 1)
        self.assertRegex(e.err.lower(), r"listen tcp .*:53: bind: permission denied")
        self.assertIn("CAP_NET_BIND_SERVICE", e.err)

    def test_address_that_the_host_does_not_have(self):
        e = self.start_fails(".:{port} {\n bind 203.0.113.77\n whoami\n}\n")
        self.assertEqual(e.code, 1)
        self.assertIn("203.0.113.77", e.err)

    def broken(self, corefile, files=None):
        e = self.start_fails(corefile, files=files)
        self.assertEqual(e.code, 1)
        self.assertEqual(e.out, "", "a fatal error goes to stderr only")
        self.assertTrue(e.err.endswith("\n"))
        return e.err

    def test_unknown_directive(self):
        err = self.broken(".:{port} {\n whoami\n banana\n}\n")
        self.assertRegex(err, r"/Corefile:3 - Error during parsing: Unknown directive 'banana'")

    def test_bad_option(self):
        err = self.broken(".:{port} {\n whoami\n hosts {\n  ttl banana\n }\n}\n")
        self.assertRegex(err, r"/Corefile:4: hosts: ttl: .*banana")

    def test_unbalanced_braces(self):
        self.assertRegex(self.broken(".:{port} {\n whoami\n"), r"Corefile:\d+ - .*(Unexpected|EOF)")
        self.assertRegex(self.broken(".:{port} {\n whoami\n}\na.test, {\n whoami\n}\n"),
                         r"Corefile:4 - .*Expected another address but had '{'")

    def test_missing_import(self):
        err = self.broken(".:{port} {\n whoami\n import nowhere.conf\n}\n")
        self.assertRegex(err, r"/Corefile:3 - Error during parsing: File to import not found: nowhere\.conf")

    def test_error_in_an_imported_file_names_that_file(self):
        err = self.broken(".:{port} {\n whoami\n import more.conf\n}\n", {"more.conf": "\nbanana\n"})
        self.assertRegex(err, r"more\.conf:2 - Error during parsing: Unknown directive 'banana'")

    def test_error_in_a_plugin_file_names_that_file(self):
        err = self.broken(".:{port} {\n broken\n whoami\n}\n", {"broken.lua": "local x = \n\nreturn ][\n"})
        self.assertRegex(err, r"broken\.lua:3: ")

    def test_nothing_is_left_listening(self):
        # The first block's port was open when the second failed.
        e = self.start_fails(".:{port} {\n whoami\n}\n.:{port2} {\n whoami\n bind 203.0.113.77\n}\n")
        self.assertEqual(e.code, 1)

    def test_missing_hosts_file_is_a_warning(self):
        s = self.server(".:{port} {\n hosts {dir}/nowhere {\n 192.0.2.1 inline.test\n }\n}\n")
        self.assertRegex(s.out, r"(?m)^\[WARNING\] .*nowhere")
        self.assertEqual(s.query("inline.test").values(), ["192.0.2.1"])
        s.stop()

    def test_glob_that_matches_nothing_is_a_warning(self):
        s = self.server(".:{port} {\n whoami\n import {dir}/*.override\n}\n")
        s.wait_log(r"^\[WARNING\] No files matching import glob pattern: .*\*\.override$")
        s.stop()


class Output(Case):
    def test_banner(self):
        s = self.server(WHOAMI)
        s.stop()
        self.assertRegex(s.out, rf"(?m)^\.:{s.port}\n{BANNER_END}")
        self.assertEqual(s.err, "")

    def test_banner_warns_of_unusual_names(self):
        s = self.server("a_b.test:{port} 2.test:{port} good-1.test:{port} 10.in-addr.arpa:{port} x-.test:{port} {\n"
                        " bind 127.0.0.1 127.0.0.2\n whoami\n}\n")
        warned = [line for line in s.lines() if line.startswith("Warning")]
        self.assertEqual(warned, [f'Warning: Domain "{zone}" does not follow RFC1035 preferred syntax'
                                  for zone in ("a_b.test.", "2.test.", "x-.test.") for _ in range(2)])
        self.assertEqual(s.lines()[1], f"a_b.test.:{s.port} on 127.0.0.1")

    def test_banner_has_a_line_for_each_key(self):
        s = self.server("example.org:{port} sub.example.net:{port2} {\n bind 127.0.0.1\n whoami\n}\n"
                        ".:{port} {\n bind 127.0.0.1\n whoami\n}\n")
        s.stop()
        self.assertRegex(s.out, rf"(?m)^example\.org\.:{s.port} on 127\.0\.0\.1\n"
                         rf"sub\.example\.net\.:{s.number('port2')} on 127\.0\.0\.1\n"
                         rf"\.:{s.port} on 127\.0\.0\.1\n{BANNER_END}")

    def test_closed_stdout(self):
        read, write = os.pipe()
        s = self.server(LOGGED, stdout=write, ready="answer")
        os.close(write)
        os.close(read)
        for i in range(200):
            self.assertEqual(s.query(f"a{i}.test").rcode, "NOERROR")
        s.stop()

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            s = self.server(LOGGED, stdout=full, ready="answer")
            for i in range(200):
                self.assertEqual(s.query(f"a{i}.test").rcode, "NOERROR")
            s.stop()

    def test_stdout_that_nobody_reads(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        s = self.server(LOGGED, stdout=write, ready="answer")
        os.close(write)
        # Far more lines than the pipe holds.
        done = self.load(s.port, [f"a{i}.a-longer-name-than-most.test A" for i in range(100)], seconds=3, qps=2000,
                         timeout=2).finish()
        self.assertGreater(done["completed"], 2000)
        self.assertEqual(done["lost"], 0)
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        s.stop(timeout=20)

    def test_log_lines_survive_the_end(self):
        s = self.server(LOGGED)
        with s.udp() as c:
            for i in range(50):
                self.assertIsNotNone(c.ask(f"last{i}.test"))
        s.stop()
        self.assertEqual(len(re.findall(r'"A IN last\d+\.test\. udp', s.out)), 50)

    def test_closed_stdin_and_stderr(self):
        # As under some supervisors. A descriptor of the server must not become "stderr".
        port = free_port()
        child = subprocess.Popen(["sh", "-c", 'exec "$0" "$@" <&- 2>&-', harness.BINARY, "-conf", "/dev/null", "-p",
                                  str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/")
        try:
            def answers():
                self.assertIsNone(child.poll(), "it ended")
                with harness.UDPClient(port) as c:
                    try:
                        return c.ask("a.test", timeout=0.2 / SCALE)
                    except ConnectionError:
                        return None
            harness.wait_until(answers, 10, "an answer")
            child.terminate()
            self.assertEqual(child.wait(10 * SCALE), 0)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            child.stdout.close()


if __name__ == "__main__":
    unittest.main()
