"""What a server that is started as root may still do."""

import os
import unittest

import harness

KEPT = 1 << 10 | 1 << 2  # CAP_NET_BIND_SERVICE, CAP_DAC_READ_SEARCH
COREFILE = ".:{port} {\n    hosts {dir}/hosts\n}\n"
HOSTS = {"hosts": "192.0.2.1 a.test b.test\n"}


def status(server, thread=None):
    with open(f"/proc/{server.pid}/task/{thread or server.pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@unittest.skipUnless(os.geteuid() == 0, "only root has privileges to give up")
class Root(harness.Case):
    def test_every_thread_keeps_two_capabilities(self):
        s = self.server(COREFILE, files=HOSTS)
        for thread in os.listdir(f"/proc/{s.pid}/task"):
            now = status(s, thread)
            for field in ("CapPrm", "CapEff", "CapBnd"):
                self.assertEqual(int(now[field], 16) & ~KEPT, 0, f"{field} of thread {thread}")
            self.assertEqual((int(now["CapInh"], 16), int(now["CapAmb"], 16), now["NoNewPrivs"]), (0, 0, "1"))

    def test_reload_reads_a_private_file_and_binds_a_low_port(self):
        s = self.server(COREFILE, files=HOSTS, prefix=["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$0" "$@"'])
        os.chmod(s.path("hosts"), 0o600)
        os.chown(s.path("hosts"), 65532, 65532)
        with open(s.conf, "a") as f:
            f.write(s.fill("b.test:53 {\n    hosts {dir}/hosts\n}\n"))
        s.reload()
        self.assertNotIn("ERROR", s.out)
        for name, port in (("a.test", s.port), ("b.test", 53)):
            said = harness.run_tool(["nsenter", f"--net=/proc/{s.pid}/ns/net", "dig", "@127.0.0.1", "-p", str(port), "+short",
                                     name])
            self.assertEqual(said, "192.0.2.1\n", f"{name}\n{s.out}")

    def test_a_wish_keeps_them(self):
        with open("/proc/self/status") as f:
            mine = next(line.split()[1] for line in f if line.startswith("CapEff"))
        s = self.server(COREFILE, files=HOSTS, env={"LUNADNS_PRIVILEGES": "keep"})
        self.assertEqual(status(s)["CapEff"], mine)

    def test_a_user_starts_as_before(self):
        s = self.server(COREFILE, files=HOSTS, prefix=["setpriv", "--reuid", "65532", "--regid", "65532", "--clear-groups"])
        self.assertEqual(int(status(s)["CapEff"], 16), 0)
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
