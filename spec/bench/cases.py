"""The cases: what each asks, of whom, and how one measure of one subject goes."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass

import cluster
import machine
import subjects
import traffic
from machine import Broken
from traffic import NOERROR, NXDOMAIN, RELOAD_QPS, UPSTREAM_ADDRESS, ZONE

LATENCY_QPS = 2000    # the rate of the latency runs: far from saturation
MILLION = 1_000_000
WAITING = 10_000


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    kind: str = "cpu"            # the method of Bench that measures it
    role: str = "hosts"          # see subjects.py
    queries: str = "hosts"       # the file asked from; see traffic.write_queries
    warm: str = ""               # the file asked once before; default: `queries`
    probe: str = traffic.host(1)
    tcp: bool = False
    also: tuple = ()             # subjects that play another role here: ((subject, role), ...)
    without: tuple = ()          # subjects left out
    rounds: int = 0              # 0: as many as asked for
    load: str = ""               # the load whatever is asked for; see traffic.saturate


CASES = [
    Case("hosts", "5000 names of a hosts file or zone"),
    Case("cached", "5000 cached names: errors, prometheus, cache, loadbalance, forward",
         role="cached"),
    Case("cached-log", "the same with log, stdout to a file", role="cached-log"),
    Case("forward", "UDP to UDP, nothing cached", role="forward"),
    Case("hits90", "as cached; every tenth name is new", role="cached",
         queries="mixed", warm="hosts", without=("dnsmasq",)),
    Case("nxdomain", "5000 names that do not exist: cached, or from the zone",
         role="cached", queries="nx", probe="nx-1." + ZONE,
         also=(("knotd", "hosts"),)),
    Case("tcp", "as hosts, over TCP: 8 connections, pipelined",
         tcp=True, without=("dnsmasq",)),  # dnsmasq forks for TCP
    Case("plugin", "as hosts, behind a Lua plugin that passes every query on", role="plugin"),
    Case("kubernetes", "ClusterIP A of 10,000 services, through a cluster's chain", role="kubernetes", queries="services",
         probe=cluster.MISSING),
    Case("kubernetes-nx", "NXDOMAIN in the cluster's zone, the same chain", role="kubernetes", queries="no-services",
         probe=cluster.MISSING),
    Case("kubernetes-size", "10,000 services, 80,000 endpoints, 1,000 namespaces", kind="cluster", role="kubernetes",
         probe=cluster.MISSING, without=("floor",)),
    Case("kubernetes-updates", f"the same while {cluster.UPDATES:,} slices change a second, and without", kind="updates",
         role="kubernetes", queries="services", probe=cluster.MISSING, without=("floor", "coredns")),
    Case("kubernetes-store", "the store by itself", kind="store", role="kubernetes", without=("floor", "coredns")),
    Case("idle", "memory of a default Corefile without kubernetes, 2 workers", kind="idle",
         role="idle", probe="static." + ZONE),
    Case("waiting-sleep", "10,000 queries at once whose handlers wait in dns.sleep", kind="waiting",
         role="waiting-sleep", probe="static." + ZONE),
    Case("waiting-resolve", "the same in dns.resolve, for an upstream that is silent", kind="waiting",
         role="waiting-resolve", probe="static." + ZONE),
    Case("waiting-forward", "the same in forward, to an upstream that is silent", kind="waiting",
         role="waiting-forward", probe="static." + ZONE),
    Case("million", "1,000,000 hosts, and a reload of the file at 2,000 queries/s", kind="million",
         role="million", queries="million", probe=traffic.host(MILLION)),
    Case("reload", "reloads of the Corefile at 20,000 queries/s", kind="reload", role="reload",
         probe="generation." + ZONE, rounds=1),
    Case("plugin-reload", "edits of a Lua plugin at 20,000 queries/s", kind="plugin_reload", role="plugin-reload",
         probe="generation." + ZONE),
]


# Measured within the case tcp, under the load of that case.
UDP_FLOOR = Case("tcp", "the floor over UDP", load="dnsperf")
# Measured within the case plugin: what the plugin adds is the difference within a round.
WITHOUT_PLUGIN = Case("plugin", "the same without the plugin")


def role_of(case, subject):
    """The role the subject plays in the case, None when it takes no part."""
    role = dict(case.also).get(subject, case.role)
    if subject in case.without or role not in subjects.ROLES[subject]:
        return None
    return role


@contextmanager
def silence():
    """The port of an upstream that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


class Bench:
    """One run: the tools, the files, the cores, and the options."""

    def __init__(self, options, tools, binaries, folder):
        self.options = options
        self.tools = tools
        self.binaries = binaries
        self.folder = folder
        self.load_core, self.server_core = machine.cores(options.cores)
        os.sched_setaffinity(0, {self.load_core})  # what edits and asks meanwhile is load too
        wanted = {file for case in CASES if not options.case or case.name in options.case
                  for file in (case.queries, case.warm) if file}
        self.queries = traffic.write_queries(folder, wanted | {"hosts"})
        self.hosts = traffic.write_hosts(os.path.join(folder, "hosts"), traffic.NAMES)
        self.millions = []

    def million_hosts(self):
        """Two hosts files with a million names each and other addresses; written when first needed."""
        if not self.millions:
            self.millions = [traffic.write_hosts(os.path.join(self.folder, f"million-{v}"), MILLION, v)
                             for v in (10, 11)]
        return self.millions

    def measure(self, case, subject):
        """Measures one subject once. Returns the figures as a dict."""
        run = {"cpu": self.cpu, "idle": self.idle, "million": self.million, "reload": self.reload,
               "plugin_reload": self.plugin_reload, "cluster": self.cluster, "updates": self.updates,
               "store": self.store, "waiting": self.waiting}
        folder = tempfile.mkdtemp(dir=self.folder)
        try:
            return run[case.kind](case, subject, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def echo(self, mode, core):
        process = machine.start([self.tools["echo"], mode, "0"], [core], stdout=subprocess.PIPE, text=True)
        try:
            yield int(process.stdout.readline()), process
        finally:
            machine.stop(process)

    @contextmanager
    def server(self, case, subject, folder, hosts="", cores=None):
        """Starts the subject, and an upstream which idles where the role does not forward.

        Yields (process, place, seconds until it answered).
        """
        role = role_of(case, subject)
        if subject == "floor":
            with self.echo("tcp" if case.tcp else "udp", self.server_core) as (port, process):
                yield process, subjects.Place(folder, port), 0
            return
        with self.echo("upstream", self.load_core) as (upstream, _), self.api(role) as api, silence() as silent:
            place = subjects.Place(folder, machine.free_port(), upstream, hosts or self.hosts,
                                   tuple(machine.free_port() for _ in range(3)), silent=silent, api=api)
            command = subjects.command(subject, self.binaries[subject], role, place)
            with open(os.path.join(folder, "stdout"), "wb") as out, \
                    open(os.path.join(folder, "stderr"), "wb") as err:
                process = machine.start(command, cores or [self.server_core], cwd=folder, stdout=out, stderr=err)
            try:
                ready = traffic.wait_for(place.port, case.probe, self.expected(case, role), process, case.tcp,
                                         limit=60)
                yield process, place, ready
            except Broken as problem:
                raise Broken(f"{problem}{tail(folder)}") from None
            finally:
                machine.stop(process)

    @contextmanager
    def api(self, role):
        if role != "kubernetes":
            yield None
            return
        with cluster.api(self.load_core) as server:
            yield server

    def cluster(self, case, subject, folder):
        with self.server(case, subject, folder) as (process, place, _):
            return cluster.size(process, place, place.api)

    def updates(self, case, subject, folder):
        with self.server(case, subject, folder) as (process, place, _):
            def saturate():
                return traffic.saturate(self.tools, self.options.load, place.port, self.queries[case.queries],
                                        self.options.seconds, self.load_core)
            return cluster.updates(process, place, place.api, saturate)

    def store(self, _case, _subject, _folder):
        return cluster.store(self.server_core)

    @staticmethod
    def expected(case, role):
        if role == "kubernetes":
            return NXDOMAIN, None  # not before all is there
        if case.queries == "nx":
            return NXDOMAIN, None
        if role == "idle" or role.startswith("waiting"):
            return NOERROR, "192.0.2.7"
        if role in ("reload", "plugin-reload"):
            return NOERROR, traffic.address(0)
        if role == "million":
            return NOERROR, traffic.address(MILLION)
        return NOERROR, traffic.address(1) if role in ("hosts", "plugin") else UPSTREAM_ADDRESS

    def cpu(self, case, subject, folder):
        """Warms, saturates, and reads the process's own CPU time; then latency at a low rate."""
        seconds = self.options.seconds
        queries, warm = self.queries[case.queries], self.queries[case.warm or case.queries]
        mode = ["-m", "tcp"] if case.tcp else []
        with self.server(case, subject, folder) as (process, place, _):
            def dnsperf(path, *options):
                return traffic.Dnsperf(place.port, path, self.load_core, *mode, *options).result(60)

            def saturate(path, time_limit):
                return traffic.saturate(self.tools, case.load or self.options.load, place.port, path, time_limit,
                                        self.load_core, case.tcp)

            dnsperf(warm, "-n", "1", "-q", "64")
            saturate(warm, min(1, seconds))
            waited, before = machine.waited_seconds(process.pid), machine.cpu_seconds(process.pid)
            load = saturate(queries, seconds)
            used = machine.cpu_seconds(process.pid) - before
            waited = machine.waited_seconds(process.pid) - waited
            slow = dnsperf(warm, "-v", "-Q", str(LATENCY_QPS), "-l", str(min(2, seconds)))
            rss = machine.memory_kb(process.pid)[0]
        if load["answered"] == 0:
            raise Broken("answered nothing")
        rcode = NXDOMAIN if case.queries in ("nx", "no-services") and subject != "floor" else NOERROR
        wrong = load["answered"] - load["rcodes"].get(rcode, 0)
        if wrong > load["answered"] / 1000:
            raise Broken(f"{wrong} of {load['answered']} replies have a wrong rcode: {load['rcodes']}")
        times = slow["latencies"]
        return {
            "us": used / load["answered"] * 1e6,
            "qps": load["answered"] / load["seconds"],
            "busy": used / load["seconds"],
            # Only the floor is one thread: others also wait for themselves.
            **({"waited": waited / load["seconds"]} if subject == "floor" else {}),
            "sent": load["sent"], "lost": load["lost"], "wrong": wrong,
            "p50_us": times[len(times) // 2] * 1e6, "p99_us": times[len(times) * 99 // 100] * 1e6,
            "rss_kb": rss,
        }

    def idle(self, case, subject, folder):
        with self.server(case, subject, folder, cores=[self.load_core, self.server_core]) as (process, *_):
            time.sleep(min(3, self.options.seconds))  # idle is a time without queries
            rss, peak = machine.memory_kb(process.pid)
        return {"rss_kb": rss, "peak_kb": peak}

    def waiting(self, case, subject, folder):
        """Resident memory while WAITING queries wait. Each is answered in the end, and none is before it is measured."""
        with self.server(case, subject, folder) as (process, place, _), traffic.Crowd(place.port) as crowd:
            before = machine.memory_kb(process.pid)[0]
            crowd.send(WAITING)
            time.sleep(0.5)  # they are read
            early = crowd.answered(0)
            rss = machine.memory_kb(process.pid)[0]
            answered = crowd.answered(WAITING, 20)
            peak = machine.memory_kb(process.pid)[1]
        if early or answered < WAITING:
            raise Broken(f"of {WAITING} queries {early} were answered at once, {answered} after they had waited")
        return {"waiting": answered, "rss_kb": rss, "peak_kb": peak, "each_kb": (rss - before) / WAITING}

    def million(self, case, subject, folder):
        first, second = self.million_hosts()
        hosts = os.path.join(folder, "hosts")
        os.link(first, hosts)
        with self.server(case, subject, folder, hosts) as (process, place, ready):
            rss = machine.memory_kb(process.pid)[0]
            load = traffic.Dnsperf(place.port, self.queries["million"], self.load_core,
                                   "-Q", str(LATENCY_QPS), "-l", "300", "-c", "8")
            time.sleep(0.5)  # a few queries before the file changes
            reload_seconds = 0.0
            if subject == "floor":
                time.sleep(min(3, self.options.seconds))
            else:
                os.link(second, hosts + ".new")
                os.replace(hosts + ".new", hosts)
                reload_seconds = traffic.wait_for(place.port, case.probe, (NOERROR, traffic.address(MILLION, 11)),
                                                  process, limit=60, every=0.05)
                time.sleep(1.5)  # the old table is freed after the new one answers
            after, peak = machine.memory_kb(process.pid)
            load.end()
            steady = load.result(10)
        figures = {"slowest_ms": steady["slowest"] * 1e3, "lost": steady["lost"], "sent": steady["sent"]}
        if subject != "floor":
            figures.update(ready_s=ready, rss_kb=rss, rss_after_kb=after, peak_kb=peak, reload_s=reload_seconds)
        return figures

    def reload(self, case, subject, folder):
        """Edits the Corefile again and again: nine of ten edits are announced by SIGUSR1, the last tenth is found.

        The two ways follow each other, as CoreDNS fails when a signal meets the poll of its reload plugin.
        """
        count = self.options.reloads
        signalled = count - count // 10
        with self.server(case, subject, folder) as (process, place, _):
            load = traffic.Dnsperf(place.port, self.queries["hosts"], self.load_core,
                                   "-Q", str(RELOAD_QPS), "-l", "900", "-c", "8", "-q", str(8 * traffic.WINDOW), "-t", "3")
            if subject == "floor":  # what the machine's own noise loses
                count = 0
                time.sleep(max(5, self.options.seconds))
            for n in range(1, count + 1):
                place.generation = n
                place.polled = n >= signalled
                subjects.write_corefile("reload", place)
                if n <= signalled:
                    process.send_signal(signal.SIGUSR1)
                traffic.wait_for(place.port, case.probe, (NOERROR, traffic.address(n)), process, every=0.02)
                time.sleep(0.1)  # the pace: some 2,000 queries in each generation
            load.end()
            steady = load.result(10)
        failed = steady["answered"] - steady["rcodes"].get(NOERROR, 0)
        return {"reloads": count, "lost": steady["lost"], "failed": failed, "sent": steady["sent"],
                "qps": steady["answered"] / steady["seconds"], "slowest_ms": steady["slowest"] * 1e3}


    def plugin_reload(self, case, subject, folder):
        """Edits a plugin's file again and again. Latencies while every query meets a reload, and before, while a file is
        edited that the server does not read."""
        with self.server(case, subject, folder) as (process, place, _):
            def edits(count, folder, told):
                load = traffic.Dnsperf(place.port, self.queries["hosts"], self.load_core, "-v", "-Q", str(RELOAD_QPS),
                                       "-l", "900", "-c", "8", "-q", str(8 * traffic.WINDOW), "-t", "3")
                for n in range(1, count + 1):
                    subjects.write_plugin(folder, n)
                    if told:
                        place.generation = n
                        process.send_signal(signal.SIGUSR1)
                    traffic.wait_for(place.port, case.probe, (NOERROR, traffic.address(place.generation)), process, every=0.02)
                    time.sleep(0.1)
                load.end()
                return load.result(20)

            elsewhere = os.path.join(folder, "elsewhere")
            os.mkdir(elsewhere)
            calm = edits(self.options.reloads // 2, elsewhere, False)
            steady = edits(self.options.reloads, folder, True)

        def p99(result):
            return result["latencies"][len(result["latencies"]) * 99 // 100]
        return {"reloads": self.options.reloads, "lost": steady["lost"],
                "failed": steady["answered"] - steady["rcodes"].get(NOERROR, 0), "sent": steady["sent"],
                "qps": steady["answered"] / steady["seconds"], "calm_p99_us": p99(calm) * 1e6,
                "p99_us": p99(steady) * 1e6, "p99_ratio": p99(steady) / p99(calm),
                "slowest_ms": steady["slowest"] * 1e3}


def tail(folder):
    """The end of what the server said: the reason, when it did not start."""
    text = ""
    for name in ("stderr", "stdout"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                file.seek(max(0, os.path.getsize(path) - 600))
                text += file.read().decode("utf-8", "replace")
    return "".join("\n    | " + line for line in text.strip().splitlines()[-5:])
