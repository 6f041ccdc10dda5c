"""A cluster's Corefile (without its kubernetes block) in the place where a pod has it, with real clients."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import harness
from harness import Case

# What a cluster runs, less `kubernetes`; ports and the upstream are the test's.
COREFILE = """.:{port} {
    log
    errors
    health :{http2} {
       lameduck 5s
    }
    ready :{http3}
    prometheus :{http}
    hosts {
       ADDRESS myoracledatabase.mydomain.com
       fallthrough
    }
    forward . UPSTREAM {
       max_concurrent 1000
    }
    cache 30
    loop
    reload RELOAD
    loadbalance
}
"""
ZONE = """@ 3600 SOA ns.outside.test. host.outside.test. 1 3600 600 86400 60
@ 3600 NS ns.outside.test.
ns 3600 A 192.0.2.53
www 300 A 192.0.2.80
www 300 A 192.0.2.81
www 300 AAAA 2001:db8::80
alias 300 CNAME www
big 300 TXT ( "{long}" "{long}" "{long}" "{long}" "{long}" "{long}" )
""".replace("{long}", "x" * 200)


def corefile(upstream, address="1.2.3.4", reload="30s"):
    return COREFILE.replace("UPSTREAM", upstream).replace("ADDRESS", address).replace("RELOAD", reload)


class Cluster(Case):
    # One test ends with the 5 s of lame duck; for the others SIGQUIT saves the wait.
    def start(self, **options):
        self.knot_server = self.knot({"outside.test": ZONE})
        return self.server(corefile(self.knot_server.to, **options))

    def test_starts_with_the_probes_good(self):
        s = self.start()
        self.assertIn(f".:{s.port}\n", s.out)
        self.assertEqual(s.http("/health", s.number("http2")).body, "OK")
        self.assertEqual(s.http("/ready", s.number("http3")).body, "OK")
        self.assertGreater(len(s.metrics()), 20)
        s.stop(timeout=20)

    def test_dig_kdig_and_drill(self):
        s = self.start()
        self.assertEqual(s.short("myoracledatabase.mydomain.com"), ["1.2.3.4"])
        self.assertEqual(sorted(s.short("www.outside.test")), ["192.0.2.80", "192.0.2.81"])
        self.assertEqual(s.short("www.outside.test", "AAAA", tool="kdig"), ["2001:db8::80"])
        self.assertEqual(s.short("-x", "1.2.3.4"), ["myoracledatabase.mydomain.com."])
        self.assertIn("www.outside.test.", s.dig("alias.outside.test"))
        missing = s.dig("missing.outside.test")
        self.assertIn("status: NXDOMAIN", missing)
        self.assertRegex(missing, r"outside\.test\.\s+\d+\s+IN\s+SOA")
        self.assertEqual(len(s.short("big.outside.test", "TXT")), 1, "dig came back over TCP for what UDP cannot hold")
        self.assertEqual(len(s.short("+tcp", "www.outside.test")), 2)
        drill = harness.run_tool(["drill", "-p", str(s.port), "www.outside.test", "@127.0.0.1"])
        self.assertIn("192.0.2.80", drill)
        s.wait_log(r'"A IN www\.outside\.test\. (udp|tcp) ')
        s.stop(signal.SIGQUIT)

    def test_cache_keeps_the_upstream_quiet(self):
        upstream = self.upstream(harness.addresses(ttl=300))
        s = self.server(corefile(upstream.to))
        for _ in range(50):
            self.assertEqual(s.query("often.test").values(), ["192.0.2.1"])
        self.assertEqual(upstream.asked("often.test."), 1)
        self.assertLessEqual(s.query("often.test").answer[0].ttl, 30, "cache 30 bounds the TTL")
        s.stop(signal.SIGQUIT)

    def test_dnsperf(self):
        s = self.start()
        done = self.load(s.port, ["myoracledatabase.mydomain.com A", "www.outside.test A", "www.outside.test AAAA",
                                  "missing.outside.test A"], seconds=4, qps=1500).finish()
        self.assertGreater(done["sent"], 1000)
        self.assertEqual(done["lost"], 0)
        self.assertEqual(set(done["rcodes"]), {"NOERROR", "NXDOMAIN"})
        s.stop(signal.SIGQUIT)

    def test_editing_the_hosts_block_under_load(self):
        knot = self.knot({"outside.test": ZONE})
        s = self.server(corefile(knot.to, reload="2s 1s"))
        name = "myoracledatabase.mydomain.com"
        self.assertEqual(s.query(name).values(), ["1.2.3.4"])
        load = self.load(s.port, [f"{name} A", "www.outside.test A"], seconds=9, qps=1000)
        time.sleep(0.5)  # the load is to be under way
        # The cache is before hosts, and its contents outlive a reload: a name that was asked before keeps its answer for
        # the rest of its TTL. What is new shows at once.
        fresh = "other.mydomain.com"
        after = s.mark()
        s.write("Corefile", corefile(knot.to, f"5.6.7.8 {fresh}\n       1.2.3.4", "2s 1s"))
        s.wait_log(r"^\[INFO\] Reloading complete$", 10, after)
        self.assertEqual(s.query(fresh).values(), ["5.6.7.8"])
        after = s.mark()
        s.write("Corefile", corefile(knot.to, "5.6.7.9", "2s 1s").replace("cache 30", "cache 30 elsewhere.test"))
        s.wait_log(r"^\[INFO\] Reloading complete$", 10, after)
        self.assertEqual(s.query(name).values(), ["5.6.7.9"])
        done = load.finish()
        self.assertEqual((done["lost"], set(done["rcodes"])), (0, {"NOERROR"}))
        s.stop(signal.SIGQUIT)

    def test_forward_to_itself_ends_the_process(self):
        port, text = harness.free_port(), None
        try:
            s = self.server(f".:{{port}} {{\n loop\n forward . 127.0.0.1:{port}\n}}\n", port=port)
            code, text = s.wait(40), s.out + s.err
        except harness.StartError as e:
            code, text = e.code, e.out + e.err
        self.assertEqual(code, 1)
        self.assertRegex(text, r'plugin/loop: Loop \(127\.0\.0\.1:\d+ -> .*\) detected for zone "\."')


CLIENT = """
import json, socket, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = sorted({a[4][0] for a in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})
    except socket.gaierror as e:
        found[name] = [e.args[0] == socket.EAI_NONAME and "not found" or str(e)]
print(json.dumps(found))
"""


class ResolvConf(Case):
    """A pod's view: a network and /etc/resolv.conf of its own, the server on port 53, the C library as client."""

    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("needs root, for a network namespace with port 53 and a resolv.conf of its own")

    def test_search_list_with_ndots_5(self):
        hosts = """10.0.0.10 db.shop.svc.cluster.local
       10.0.0.11 kubernetes.default.svc.cluster.local
       2001:db8::11 six.shop.svc.cluster.local
       192.0.2.80 www.outside.test"""
        with tempfile.TemporaryDirectory() as directory:
            for name, text in (
                    ("Corefile", f".:53 {{\n log\n errors\n hosts {{\n {hosts}\n fallthrough\n }}\n"
                                 " forward . 127.0.0.1:5301\n cache 30\n loadbalance\n}\n"),
                    ("resolv.conf", "nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\n"
                                    "options ndots:5 timeout:2 attempts:2\n"),
                    ("nsswitch.conf", "hosts: dns\n"), ("client.py", CLIENT)):
                with open(os.path.join(directory, name), "w") as f:
                    f.write(text)
            # NXDOMAIN for what hosts does not have: knotd as the upstream, in the same namespace.
            with open(os.path.join(directory, "root.zone"), "w") as f:
                f.write("@ 60 SOA ns. host. 1 3600 600 86400 60\n@ 60 NS ns.\nns 60 A 127.0.0.1\n"
                        "www.knot.test. 60 A 192.0.2.99\n")
            with open(os.path.join(directory, "knot.conf"), "w") as f:
                f.write(f"server:\n  listen: 127.0.0.1@5301\n  rundir: {directory}\n  udp-workers: 1\n  tcp-workers: 1\n"
                        f"database:\n  storage: {directory}\nzone:\n  - domain: .\n    storage: {directory}\n"
                        "    file: root.zone\n")
            corefile_path = os.path.join(directory, "Corefile")
            names = ["db", "db.shop", "kubernetes.default", "kubernetes.default.svc.cluster.local", "six",
                     "www.outside.test", "www.knot.test", "missing", "missing.outside.test"]
            script = f"""
set -e
ip link set lo up
mount --bind {directory}/resolv.conf /etc/resolv.conf
mount --bind {directory}/nsswitch.conf /etc/nsswitch.conf
knotd -c {directory}/knot.conf >{directory}/knot.log 2>&1 & knot=$!
{harness.BINARY} -conf {corefile_path} >{directory}/out 2>{directory}/err & server=$!
trap 'kill $server $knot 2>/dev/null || :; wait' EXIT
n=0
until dig +time=1 +tries=1 @127.0.0.1 www.knot.test +short | grep -q 192.0.2.99; do
    n=$((n + 1)); test $n -lt 50 || {{ echo "no answer" >&2; cat {directory}/out {directory}/err >&2; exit 1; }}
    sleep 0.1
done
{sys.executable} {directory}/client.py {' '.join(names)}
getent ahosts db | head -1
kill -TERM $server
wait $server
"""
            done = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
                                           script], capture_output=True, text=True, timeout=60 * harness.SCALE)
            with open(os.path.join(directory, "out")) as f:
                log = f.read()
            with open(os.path.join(directory, "err")) as f:
                err = f.read()
        self.assertEqual(done.returncode, 0, f"{done.stderr}\n{log}\n{err}")
        self.assertIsNone(harness.SANITIZER_REPORT.search(err), err)
        first, second = done.stdout.splitlines()[:2]
        self.assertEqual(json.loads(first), {
            "db": ["10.0.0.10"], "db.shop": ["10.0.0.10"], "kubernetes.default": ["10.0.0.11"],
            "kubernetes.default.svc.cluster.local": ["10.0.0.11"], "six": ["2001:db8::11"],
            "www.outside.test": ["192.0.2.80"], "www.knot.test": ["192.0.2.99"], "missing": ["not found"],
            "missing.outside.test": ["not found"]})
        self.assertRegex(second, r"^10\.0\.0\.10\s")
        # ndots:5 made the C library try the search list first.
        self.assertIn('"A IN www.outside.test.shop.svc.cluster.local. udp', log)


if __name__ == "__main__":
    unittest.main()
