"""What an operator sees: the query log, the errors log, metrics, health and readiness."""

import re
import socket
import time
import unittest

import harness
from harness import Case, pack_query

TIME_BUCKETS = [0.00025 * 2 ** k for k in range(16)]
SIZE_BUCKETS = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000]
HOSTS = " hosts {\n  192.0.2.1 a.test\n  2001:db8::1 a.test\n }\n"


class LogLine(Case):
    def line(self, s, name, qtype="A", transport="udp", address="127.0.0.1", **options):
        """Asks once; returns (packet, the log's line for it)."""
        after, packet = s.mark(), pack_query(name, qtype, **options)
        self.assertIsNotNone(s.ask_raw(packet, transport, address=address))
        return packet, s.wait_log(r"^\[INFO\] [\[\d]", after=after)[0] and s.lines(after)[0]

    def check(self, line, pattern):
        self.assertRegex(line, "^" + pattern.replace("PORT", r"\d+").replace("SECONDS", r"\d+(\.\d+)?s") + "$")

    def test_common_format(self):
        s = self.server(".:{port} {\n log\n" + HOSTS + "}\n")
        packet, line = self.line(s, "a.test", qid=4711)
        # 46: header, question and a record with its name in full, as written before compression.
        self.check(line, rf'\[INFO\] 127\.0\.0\.1:PORT - 4711 "A IN a\.test\. udp {len(packet)} false 512" NOERROR '
                         r'qr,aa,rd 46 SECONDS')
        packet, line = self.line(s, "A.Test", "AAAA", qid=1, rd=False, edns=4096, do=True)
        self.check(line, rf'\[INFO\] 127\.0\.0\.1:PORT - 1 "AAAA IN a\.test\. udp {len(packet)} true 4096" NOERROR '
                         r'qr,aa \d+ SECONDS')
        packet, line = self.line(s, "nowhere.test", "TXT", qid=2, transport="tcp")
        self.check(line, rf'\[INFO\] 127\.0\.0\.1:PORT - 2 "TXT IN nowhere\.test\. tcp {len(packet)} false 65535" '
                         r'SERVFAIL qr(,aa)?,rd \d+ SECONDS')
        s.stop()

    def test_reply_of_an_upstream(self):
        def answer(q):
            if q.message.name == "no.test.":
                return q.reply("NXDOMAIN", ad=True, authority=[("test.", "SOA", 60, "ns.test. h.test. 1 2 3 4 5")])
            return q.reply(answer=[(None, "CNAME", 60, "b.test."), ("b.test.", "A", 60, "192.0.2.2")])
        upstream = self.upstream(answer)
        s = self.server(f".:{{port}} {{\n log\n forward . {upstream.to}\n}}\n")
        _, line = self.line(s, "no.test", qid=3)
        self.check(line, r'\[INFO\] 127\.0\.0\.1:PORT - 3 "A IN no\.test\. udp 25 false 512" NXDOMAIN qr,rd,ra,ad \d+ '
                         r'SECONDS')
        _, line = self.line(s, "c.test", qid=4, cd=True)
        self.check(line, r'\[INFO\] 127\.0\.0\.1:PORT - 4 "A IN c\.test\. udp 24 false 512" NOERROR qr,rd,ra,cd \d+ '
                         r'SECONDS')
        s.stop()

    def test_ipv6_client_in_brackets(self):
        s = self.server(".:{port} {\n log\n whoami\n}\n")
        try:
            _, line = self.line(s, "a.test", qid=5, address="::1")
        except OSError as e:
            self.skipTest(f"no IPv6 on this host: {e}")
        self.check(line, r'\[INFO\] \[::1\]:PORT - 5 "A IN a\.test\. udp 24 false 512" NOERROR qr,aa,rd \d+ SECONDS')
        s.stop()

    def test_unusual_types_classes_and_names(self):
        s = self.server(".:{port} {\n log\n whoami\n}\n")
        _, line = self.line(s, "a\\032b\\007.test", "TYPE65280", qid=6)
        self.check(line, r'\[INFO\] 127\.0\.0\.1:PORT - 6 "TYPE65280 IN a\\(032| )b\\007\.test\. udp \d+ false 512" '
                         r'NOERROR qr,aa,rd \d+ SECONDS')
        _, line = self.line(s, ".", "NS", qid=7)
        self.check(line, r'\[INFO\] 127\.0\.0\.1:PORT - 7 "NS IN \. udp 17 false 512" NOERROR qr,aa,rd \d+ SECONDS')
        s.stop()

    def test_names_format_and_classes(self):
        s = self.server('.:{port} {\n log a.test "{remote} {type} {name} {rcode} {>opcode}"\n log b.test {\n'
                        '  class error\n }\n' + HOSTS + '}\n')
        _, line = self.line(s, "a.test")
        self.assertEqual(line, "[INFO] 127.0.0.1 A a.test. NOERROR 0")
        after = s.mark()
        s.query("c.test")
        s.query("x.b.test")  # SERVFAIL: an error
        s.wait_log(r'"A IN x\.b\.test\.', after=after)
        self.assertNotIn("c.test", "\n".join(s.lines(after)))
        s.stop()

    def test_every_query_has_one_line(self):
        s = self.server(".:{port} {\n log\n" + HOSTS + "}\n")
        done = self.load(s.port, [f"n{i}.test A" for i in range(50)], seconds=2, qps=2000).finish()
        self.assertEqual(done["lost"], 0)
        s.stop()
        self.assertEqual(len(re.findall(r'(?m)^\[INFO\] 127\.0\.0\.1:\d+ - \d+ "A IN n\d+\.test\. udp .* \S+s$', s.out)),
                         done["completed"])


class Errors(Case):
    def test_upstream_that_is_not_there(self):
        port = harness.free_port()
        s = self.server(f".:{{port}} {{\n errors\n forward . 127.0.0.1:{port}\n}}\n")
        self.assertEqual(s.query("a.test", timeout=10).rcode, "SERVFAIL")
        s.wait_log(rf"^\[ERROR\] plugin/errors: 2 a\.test\. A: read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:{port}: "
                   r"(recvfrom|read): connection refused$")
        s.stop()

    def test_upstream_that_is_silent(self):
        upstream = self.upstream(lambda q: None)
        s = self.server(f".:{{port}} {{\n errors\n forward . {upstream.to}\n}}\n")
        self.assertEqual(s.query("a.test", timeout=15).rcode, "SERVFAIL")
        s.wait_log(rf"^\[ERROR\] plugin/errors: 2 a\.test\. A: read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:{upstream.port}: "
                   r"i/o timeout$")
        s.stop()

    def test_no_plugin_that_answers(self):
        s = self.server(".:{port} {\n errors\n cache\n}\n")
        self.assertEqual(s.query("a.test").rcode, "SERVFAIL")
        s.wait_log(r"^\[ERROR\] plugin/errors: 2 a\.test\. A: plugin/cache: no next plugin found$")
        s.stop()


class Metrics(Case):
    def setUp(self):
        super().setUp()
        self.up = self.upstream(harness.addresses(ttl=300))
        self.s = self.server(f".:{{port}} {{\n prometheus 127.0.0.1:{{http}}\n cache\n hosts {{\n  192.0.2.1 a.test\n"
                             f"  fallthrough\n }}\n forward . {self.up.to}\n}}\n")
        self.site = {"server": f"dns://:{self.s.port}", "zone": ".", "view": ""}

    def labels(self, name):
        """The label names of a family, the same for each of its samples ("le" aside)."""
        found = {tuple(sorted(l for l in labels if l != "le")) for n, labels, _ in self.s.metrics() if n == name}
        self.assertEqual(len(found), 1, f"{name}: {found}")
        return set(found.pop())

    def test_content_type_and_form(self):
        reply = self.s.http("/metrics")
        self.assertEqual(reply.status, 200)
        self.assertRegex(reply.headers["Content-Type"], r"^text/plain; version=0\.0\.4")
        described, typed, seen = set(), set(), set()
        for line in reply.body.splitlines():
            if line.startswith("# HELP "):
                described.add(line.split()[2])
            elif line.startswith("# TYPE "):
                typed.add(line.split()[2])
                self.assertNotIn(line.split()[2], seen, "a TYPE line comes before its samples")
            else:
                name = re.match(r"\w+", line)[0]
                seen.add(name)
                self.assertTrue(name in typed or re.sub("_(bucket|sum|count)$", "", name) in typed, line)
        self.assertEqual(described, typed)
        samples = harness.parse_metrics(reply.body)
        keys = [(n, tuple(sorted(l.items()))) for n, l, _ in samples]
        self.assertEqual(len(keys), len(set(keys)), "a sample appears once")

    def test_gzip(self):
        s = self.s
        s.query("a.test")
        address = f"http://127.0.0.1:{s.number('http')}/metrics"
        plain = harness.run_tool(["curl", "-s", "-D", s.path("head"), address], check=True)
        self.assertIn("coredns_dns_requests_total", plain)
        self.assertNotIn("Content-Encoding", open(s.path("head")).read())
        packed = harness.run_tool(["curl", "-s", "-D", s.path("head"), "--compressed", address], check=True)
        head = open(s.path("head")).read()
        self.assertRegex(head, r"(?i)content-encoding: gzip\r?\n")
        self.assertRegex(head, r"(?i)content-type: text/plain; version=0\.0\.4")
        self.assertEqual(sorted(n for n, _, _ in harness.parse_metrics(packed)),
                         sorted(n for n, _, _ in harness.parse_metrics(plain)))
        self.assertLess(int(re.search(r"(?i)content-length: (\d+)", head)[1]), len(plain) // 3)

    def test_what_no_zone_takes(self):
        s = self.server("a.test:{port} {\n prometheus 127.0.0.1:{http}\n whoami\n}\n")
        for _ in range(3):
            self.assertEqual(s.query("b.test").rcode, "REFUSED")
        self.assertEqual(s.query("a.test", qclass="CH").rcode, "REFUSED")
        dropped = {"server": f"dns://:{s.port}", "zone": "dropped", "view": ""}
        self.assertEqual(s.metric("coredns_dns_requests_total", {**dropped, "proto": "udp", "type": "A"}), 4)
        self.assertEqual(s.metric("coredns_dns_responses_total", {**dropped, "rcode": "REFUSED", "plugin": ""}), 4)
        self.assertEqual(s.metric("coredns_dns_request_duration_seconds_count", dropped), 4)
        s.reload()
        self.assertEqual(s.query("b.test").rcode, "REFUSED")
        self.assertEqual(s.metric("coredns_dns_requests_total", dropped), 5)
        s.stop()

    def test_several_addresses(self):
        s = self.server(".:{port} {\n bind 127.0.0.1 127.0.0.2\n prometheus 127.0.0.1:{http}\n cache\n whoami\n}\n")
        for address, count in (("127.0.0.1", 2), ("127.0.0.2", 3)):
            for _ in range(count):
                self.assertEqual(s.query("a.test", address=address).rcode, "NOERROR")
        for address, count in (("127.0.0.1", 2), ("127.0.0.2", 3)):
            server = {"server": f"dns://{address}:{s.port}"}
            self.assertEqual(s.metric("coredns_dns_requests_total", {**server, "zone": "."}), count)
            self.assertEqual(s.metric("coredns_cache_requests_total", server), count)
        s.stop()

    def test_requests_and_responses(self):
        s, site = self.s, self.site
        for _ in range(3):
            s.query("a.test")
        s.query("a.test", transport="tcp")
        s.query("other.test", "MX")
        s.query("other.test", "TYPE999")
        s.query("b.test", do=True)
        total = "coredns_dns_requests_total"
        self.assertEqual(s.metric(total, {**site, "proto": "udp", "family": "1", "type": "A"}), 4)
        self.assertEqual(s.metric(total, {**site, "proto": "tcp", "family": "1", "type": "A"}), 1)
        self.assertEqual(s.metric(total, {**site, "type": "MX"}), 1)
        self.assertEqual(s.metric(total, {**site, "type": "other"}), 1)
        self.assertEqual(self.labels(total), {"server", "zone", "view", "proto", "family", "type"})
        self.assertEqual(s.metric("coredns_dns_do_requests_total", site), 1)
        responses = "coredns_dns_responses_total"
        self.assertEqual(self.labels(responses), {"server", "zone", "view", "rcode", "plugin"})
        self.assertEqual(s.metric(responses, {**site, "rcode": "NOERROR"}), 7)
        # In a block with a cache it is the cache that writes every reply, misses too.
        self.assertEqual(s.metric(responses, {**site, "plugin": "cache"}), 7)

    def test_responses_name_the_plugin_that_wrote(self):
        s = self.server(f".:{{port}} {{\n prometheus 127.0.0.1:{{http}}\n hosts {{\n  192.0.2.1 a.test\n  fallthrough\n"
                        f" }}\n forward . {self.up.to}\n}}\n")
        for name in ("a.test", "a.test", "b.test"):
            s.query(name)
        self.assertEqual(s.metric("coredns_dns_responses_total", {"plugin": "hosts"}), 2)
        self.assertEqual(s.metric("coredns_dns_responses_total", {"plugin": "forward"}), 1)
        s.stop()

    def test_histograms(self):
        s, site = self.s, self.site
        for _ in range(5):
            s.query("a.test")
        for name, labels, bounds in (
                ("coredns_dns_request_duration_seconds", site, TIME_BUCKETS),
                ("coredns_dns_request_size_bytes", {**site, "proto": "udp"}, SIZE_BUCKETS),
                ("coredns_dns_response_size_bytes", {**site, "proto": "udp"}, SIZE_BUCKETS)):
            with self.subTest(name):
                self.assertEqual(s.metric(name + "_count", labels), 5)
                self.assertGreater(s.metric(name + "_sum", labels), 0)
                buckets = [(float(l["le"]), v) for n, l, v in s.metrics() if n == name + "_bucket" and
                           all(l[k] == labels[k] for k in labels)]
                self.assertEqual([le for le, _ in buckets], [*bounds, float("inf")])
                counts = [v for _, v in buckets]
                self.assertEqual(counts, sorted(counts))
                self.assertEqual(counts[-1], 5)
                self.assertEqual(self.labels(name + "_count"), set(labels))
        self.assertEqual(s.metric("coredns_dns_request_size_bytes_sum"), 5 * len(pack_query("a.test")))

    def test_what_no_chain_took_is_not_counted_to_a_zone(self):
        s = self.server("in.test:{port} {\n prometheus 127.0.0.1:{http}\n whoami\n}\n")
        self.assertEqual(s.query("a.out.test").rcode, "REFUSED")
        self.assertEqual(s.query("a.in.test").rcode, "NOERROR")
        self.assertEqual(s.metric("coredns_dns_requests_total", {"zone": "in.test."}), 1)
        s.stop()

    def test_cache_and_forward_families(self):
        s = self.s
        for _ in range(3):
            s.query("x.test")
        where = {"server": self.site["server"], "zones": ".", "view": ""}
        self.assertEqual(s.metric("coredns_cache_requests_total", where), 3)
        self.assertEqual(s.metric("coredns_cache_hits_total", {**where, "type": "success"}), 2)
        self.assertEqual(s.metric("coredns_cache_misses_total", where), 1)
        self.assertEqual(s.metric("coredns_cache_entries", {**where, "type": "success"}), 1)
        self.assertEqual(s.metric("coredns_cache_entries", {**where, "type": "denial"}), 0)
        to = {"proxy_name": "forward", "to": self.up.to}
        self.assertEqual(s.metric("coredns_proxy_request_duration_seconds_count", {**to, "rcode": "NOERROR"}), 1)
        self.assertEqual(self.labels("coredns_proxy_request_duration_seconds_count"), {"proxy_name", "to", "rcode"})
        self.assertIsNotNone(s.metric("coredns_forward_healthcheck_broken_total"))
        self.assertIsNotNone(s.metric("coredns_forward_max_concurrent_rejects_total"))

    def test_hosts_families(self):
        s = self.server(".:{port} {\n prometheus 127.0.0.1:{http}\n hosts {dir}/hosts\n}\n",
                        files={"hosts": "192.0.2.1 a.test b.test\n2001:db8::1 a.test\n"})
        self.assertGreater(s.metric("coredns_hosts_entries"), 0)
        self.assertGreater(s.metric("coredns_hosts_reload_timestamp_seconds"), 1e9)
        s.stop()

    def test_build_panics_reload_and_plugins(self):
        s = self.s
        self.assertEqual(s.metric("coredns_build_info"), 1)
        self.assertEqual(self.labels("coredns_build_info"), {"version", "revision", "goversion"})
        self.assertEqual(s.metric("coredns_panics_total"), 0)
        self.assertEqual(s.metric("coredns_reload_failed_total"), 0)
        for name in ("prometheus", "cache", "hosts", "forward"):
            self.assertEqual(s.metric("coredns_plugin_enabled", {**self.site, "name": name}), 1, name)

    def test_process(self):
        s = self.s
        page = s.rss() / 2
        self.assertGreater(s.metric("process_resident_memory_bytes"), page)
        self.assertGreater(s.metric("process_virtual_memory_bytes"), page)
        self.assertGreater(s.metric("process_open_fds"), 5)
        self.assertGreater(s.metric("process_max_fds"), 100)
        started = s.metric("process_start_time_seconds")
        self.assertLess(abs(time.time() - started), 120)
        used = s.metric("process_cpu_seconds_total")
        self.assertGreaterEqual(used, 0)
        self.load(s.port, ["a.test A"], seconds=1, qps=5000).finish()
        self.assertGreater(s.metric("process_cpu_seconds_total"), used)

    def test_all_queries_of_all_workers_are_counted(self):
        done = self.load(self.s.port, ["a.test A"], seconds=2, qps=2000, clients=16).finish()
        self.assertEqual(self.s.metric("coredns_dns_requests_total", {"type": "A"}), done["completed"])

    def test_panics_are_counted(self):
        s = self.server(".:{port} {\n prometheus 127.0.0.1:{http}\n broken\n}\n", files={
            "broken.lua": 'local dns = require "dns"\nreturn dns.plugin {\n  name = "broken", options = {},\n'
                          '  setup = function() return function() error("on purpose") end end,\n}\n'})
        for _ in range(4):
            self.assertEqual(s.query("a.test").rcode, "SERVFAIL")
        s.wait_log(r"^\[ERROR\] .*broken\.lua:4: on purpose")
        self.assertEqual(s.metric("coredns_panics_total"), 4)
        s.stop()


class Endpoints(Case):
    def curl(self, *args):
        return harness.run_tool(["curl", "-sS", "--noproxy", "*", "--max-time", "5", *args], check=True)

    def test_health_ready_metrics_and_other(self):
        s = self.server(".:{port} {\n whoami\n health 127.0.0.1:{http}\n ready 127.0.0.1:{http2}\n"
                        " prometheus 127.0.0.1:{http3}\n}\n")
        for word, path in (("http", "/health"), ("http2", "/ready")):
            base = f"http://127.0.0.1:{s.number(word)}"
            self.assertEqual(self.curl(base + path, "-w", " %{http_code}"), "OK 200")
        for word in ("http", "http2", "http3"):
            base = f"http://127.0.0.1:{s.number(word)}"
            for path in ("/", "/other", "/healthz"):
                self.assertEqual(self.curl(base + path, "-w", "%{http_code}"), "404 page not found\n404", path)
        s.stop()

    def test_each_path_belongs_to_its_own_port(self):
        s = self.server(".:{port} {\n whoami\n health 127.0.0.1:{http}\n ready 127.0.0.1:{http2}\n}\n")
        self.assertEqual(s.http("/ready").status, 404)
        self.assertEqual(s.http("/health", s.number("http2")).status, 404)
        s.stop()

    def test_methods_queries_and_kept_connections(self):
        s = self.server(".:{port} {\n whoami\n health 127.0.0.1:{http}\n}\n")
        base = f"http://127.0.0.1:{s.number('http')}/health"
        self.assertEqual(self.curl("-X", "POST", base), "OK")
        self.assertIn("200 OK", self.curl("-I", base))
        self.assertEqual(self.curl(base + "?a=b", base), "OKOK")
        s.stop()

    def test_health_in_two_blocks(self):
        s = self.server("a.test:{port} {\n whoami\n health 127.0.0.1:{http}\n}\n"
                        "b.test:{port} {\n whoami\n health 127.0.0.1:{http2}\n}\n")
        self.assertEqual(s.http("/health").body, "OK")
        self.assertEqual(s.http("/health", s.number("http2")).body, "OK")
        s.stop()

    def test_one_address_for_the_metrics_of_several_blocks(self):
        s = self.server("a.test:{port} {\n whoami\n prometheus 127.0.0.1:{http}\n}\n"
                        "b.test:{port} {\n whoami\n prometheus 127.0.0.1:{http}\n}\n")
        for name in ("x.a.test", "y.b.test", "z.b.test"):
            s.query(name)
        self.assertEqual(s.metric("coredns_dns_requests_total", {"zone": "a.test."}), 1)
        self.assertEqual(s.metric("coredns_dns_requests_total", {"zone": "b.test."}), 2)
        s.stop()

    def test_all_addresses(self):
        s = self.server(".:{port} {\n whoami\n health :{http}\n}\n")
        self.assertEqual(s.http("/health").body, "OK")
        self.assertEqual(s.http("/health", address="127.0.0.2").body, "OK")
        s.stop()

    def test_silent_clients_do_not_block_the_others(self):
        s = self.server(".:{port} {\n whoami\n health 127.0.0.1:{http}\n}\n")
        silent = [socket.create_connection(("127.0.0.1", s.number("http"))) for _ in range(50)]
        try:
            for _ in range(5):
                self.assertEqual(s.http("/health").body, "OK")
        finally:
            for c in silent:
                c.close()
        s.stop()


if __name__ == "__main__":
    unittest.main()
