"""113, 114, 116, 117: the process in its pod."""

import os
import shutil
import signal
import tempfile
import time

import harness
import wire
from cases import Ask, case, corefile
from expect import A, NXDOMAIN
from harness import SCALE, free_port, wait_until

S = ".svc.cluster.local"
NAMES = [f"web.ns-a{S} A", f"hl.ns-a{S} A", f"_http._tcp.web.ns-a{S} SRV", f"nosuch.ns-a{S} A", "1.1.96.10.in-addr.arpa PTR"]


class ConfigMap:
    """A directory with a file Corefile, replaced as kubelet does it: by the link ..data."""

    def __init__(self, text):
        self.dir, self.version = tempfile.mkdtemp(prefix="lunadns-configmap-"), 0
        self.write(text)
        os.symlink("..data/Corefile", self.path)

    @property
    def path(self):
        return os.path.join(self.dir, "Corefile")

    def write(self, text):
        self.version += 1
        current = f"..version-{self.version}"
        os.mkdir(os.path.join(self.dir, current))
        with open(os.path.join(self.dir, current, "Corefile"), "w") as f:
            f.write(text)
        link = os.path.join(self.dir, "..data")
        os.symlink(current, link + ".new")
        os.rename(link + ".new", link)
        shutil.rmtree(os.path.join(self.dir, f"..version-{self.version - 1}"), ignore_errors=True)


@case(113, "the Corefile changes in its ConfigMap, under load")
def reloaded(bed):
    ports = {"{port}": free_port(), "{http}": free_port(), "{http2}": free_port(), "{http3}": free_port()}

    def text(*lines, after="reload 2s 1s"):
        out = corefile(*lines, after=after).replace("UPSTREAM", bed.upstream.to)
        for word, number in ports.items():
            out = out.replace(word, str(number))
        return out
    files = ConfigMap(text())
    server = bed.server(None, args=["-conf", files.path], port=ports["{port}"], synced=False)
    try:
        server.values.update({word: str(number) for word, number in ports.items()})
        bed.wait_ready(server)
        with harness.Load(server.port, NAMES, seconds=12, qps=2000) as load:
            bed.check(server, "foo.cluster.local A", NXDOMAIN)
            files.write(text("fallthrough"))
            server.wait_log("Reloading complete", 10)
            # Now the stub upstream's own name error comes: it has no AA.
            assert "aa" not in bed.ask(server, "foo.cluster.local A").flags, "the new Corefile is not in force"
            assert bed.ready(server) == 200, "readiness was lost by a reload"
            at = server.mark()
            files.write(text("pods banana"))
            server.wait_log("banana|pods", 10, at)
            wait_until(lambda: (server.metric("coredns_reload_failed_total", port=ports["{http3}"]) or 0) >= 1 or
                       bed.subject == "coredns", 5, "coredns_reload_failed_total")
            assert "aa" not in bed.ask(server, "foo.cluster.local A").flags, "the old Corefile is no longer in force"
            done = load.finish()
        assert done["sent"] > 10000 and done["lost"] == 0, done
        assert set(done["rcodes"]) == {"NOERROR", "NXDOMAIN"}, done
    finally:
        bed.end(server)
        shutil.rmtree(files.dir)


@case(114, "SIGTERM under load with lameduck 5s")
def terminated(bed):
    text = corefile().replace("health :{http}", "health :{http} {\n        lameduck 5s\n    }")
    with bed.serving(text) as server, server.tcp() as client:
        assert client.ask(f"web.ns-a{S}").values() == ["10.96.1.1"]
        with harness.Load(server.port, NAMES, seconds=4, qps=2000) as load:
            time.sleep(0.5)
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            wait_until(lambda: bed.ready(server) != 200, 1, "/ready no longer 200")
            assert server.http("/health").status == 200, "/health in lameduck"
            for i in range(20):
                client.send(*(wire.pack_query(f"web.ns-a{S}", qid=i * 10 + j) for j in range(10)))
                got = [client.recv() for _ in range(10)]
                assert all(r and r.values() == ["10.96.1.1"] for r in got), f"TCP in lameduck: {got}"
                time.sleep(0.1)
            done = load.finish()
        assert done["sent"] > 5000 and done["lost"] == 0, done
        # A query that the server still takes is answered: asked just before the end.
        with server.udp() as last:
            answered = 0
            while server.running and time.monotonic() - began < 4.7:
                assert last.ask(f"web.ns-a{S}", timeout=1), "no answer before the end of lameduck"
                answered += 1
        code = server.wait(10)
        seconds = time.monotonic() - began
        assert code == 0, f"exit code {code}\n{server.out[-2000:]}{server.err}"
        assert 4.9 <= seconds <= 11 * SCALE, f"ended after {seconds:.1f} s"


# Names as search lists of 32 paths make them: long, with underscores, of 63-octet labels, with hyphens at the end.
LABEL = "x" * 63
LONGEST = ".".join([LABEL, LABEL, LABEL, "y" * 43, "svc.cluster.local"])
Ask(116, f"{LONGEST} A", NXDOMAIN)
Ask(116, f"{LABEL}.ns-a{S} A", NXDOMAIN)
Ask(116, f"_x._y._z.ns-a{S} A", NXDOMAIN)
Ask(116, f"_leading.ns-a{S} A", NXDOMAIN)
Ask(116, f"trailing-.ns-a{S} A", NXDOMAIN)
Ask(116, f"web-.ns-a{S} SRV", NXDOMAIN)
Ask(116, f"-.-{S} A", NXDOMAIN)
Ask(116, "---.ns-a.pod.cluster.local A", NXDOMAIN)
for i in range(32):
    # What a client with 32 search paths asks for "web" until one is found.
    path = ".".join(f"search-{i}-{j}" for j in range(8)) + S
    Ask(116, f"web.{path} A", NXDOMAIN, both=False)
Ask(116, f"web.ns-a{S} A", A("10.96.1.1"))


@case(117, "1000 idle TCP connections, and pipelined queries on each")
def connections(bed):
    with bed.serving() as server:
        before, clients = server.rss(), []
        try:
            for _ in range(1000):
                clients.append(server.tcp())
            wanted = {1: {"10.96.1.1"}, 2: {"10.96.0.1"}, 3: set()}
            packets = [wire.pack_query(name + S, qid=qid) for qid, name in
                       ((1, "web.ns-a"), (2, "kubernetes.default"), (3, "nosuch.ns-a"))]
            for client in clients:
                client.send(*packets)
            idle = server.rss()
            for number, client in enumerate(clients):
                got = [client.recv(10) for _ in packets]
                assert all(got), f"connection {number}: {got}"
                assert {r.id: set(r.values()) for r in got} == wanted, f"connection {number}: {got}"
            bed.check(server, f"web.ns-a{S} A", A("10.96.1.1"))
            print(f"    {(idle - before) / 1000 / 1024:.1f} KiB a connection")
        finally:
            for client in clients:
                client.close()
