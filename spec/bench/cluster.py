"""The kubernetes cases: a scripted API server with 10,000 services, and the store by itself."""

import json
import os
import re
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import machine
import traffic
from machine import Broken
from traffic import NOERROR

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICES = 10_000
MISSING = "nothing-00001.team-0001.svc.cluster.local"
EVENTS = 300  # changes whose way to the answer is timed
UPDATES = 5_000  # slices a second
WATCH = "luna-kube"  # the threads of the watch
# As many slices as the plugin took a change of: it tells how old each was.
TAKEN = re.compile(r"^coredns_kubernetes_dns_programming_duration_seconds_count\S* (\S+)$", re.M)


class Api:
    """spec/kubernetes/fake/run: its URL and its control port."""

    def __init__(self, core):
        command = ["python3", os.path.join(ROOT, "spec", "kubernetes", "fake", "run"), "--large", str(SERVICES)]
        self.process = machine.start(command, [core], stdout=subprocess.PIPE, text=True)
        lines = [self.process.stdout.readline() for _ in range(2)]
        if not lines[1]:
            raise Broken("the scripted API server did not start")
        self.url, self.control = (line.split()[1] for line in lines)

    def call(self, what, **body):
        request = urllib.request.Request(f"{self.control}/{what}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def served(self):
        with urllib.request.urlopen(self.control, timeout=60) as reply:
            return json.load(reply)

    def put_service(self, name, address):
        self.call("put", apiVersion="v1", kind="Service", metadata={"name": name, "namespace": "team-0001"},
                  spec={"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address],
                        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}, status={})


    def update(self, rate):
        """So many slices change a second from now on. Returns how many did so far."""
        return self.call("updates", rate=rate)


@contextmanager
def api(core):
    server = Api(core)
    try:
        yield server
    finally:
        machine.stop(server.process)


def size(process, place, server):
    """What the cluster costs: the first list, memory, memory while all is listed again, and the way of a change."""
    figures = {"sync_cpu_s": machine.cpu_seconds(process.pid), "rss_kb": machine.memory_kb(process.pid)[0]}
    times = []
    for n in range(EVENTS):
        address = f"10.200.{n >> 8}.{n & 255}"
        server.put_service("changing", address)  # returns after the event was sent off
        begin = time.monotonic()
        while traffic.ask(place.port, "changing.team-0001.svc.cluster.local") != (NOERROR, address):
            if time.monotonic() - begin > 10:
                raise Broken("a change never came into the answers")
        times.append(time.monotonic() - begin)
    times.sort()
    figures["event_p99_ms"] = times[len(times) * 99 // 100] * 1e3
    peak = 0
    for n in range(3):
        before = sum(1 for r in server.served() if r["resource"] == "endpointslices")
        server.put_service("mark", f"10.201.0.{n}")
        server.call("compact")
        server.call("cut")
        begin = time.monotonic()
        while (traffic.ask(place.port, "mark.team-0001.svc.cluster.local") != (NOERROR, f"10.201.0.{n}") or
               sum(1 for r in server.served() if r["resource"] == "endpointslices") <= before):
            peak = max(peak, machine.memory_kb(process.pid)[0])
            if time.monotonic() - begin > 60:
                raise Broken("the cluster was not listed again within 60 s")
            time.sleep(0.02)
    peak = max(peak, machine.memory_kb(process.pid)[0])
    figures["relist_percent"] = (peak / figures["rss_kb"] - 1) * 100
    return figures


def taken(place):
    """(time, changes of slices taken since the start), from /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{place.ports[0]}/metrics", timeout=10) as reply:
        return time.monotonic(), sum(float(n) for n in TAKEN.findall(reply.read().decode()))


def updates(process, place, server, saturate):
    """What queries lose while slices change: loads without and with that, in turn. saturate: asks for a while.

    Queries and the watch share the server's one core: at saturation queries lose the part of it that the watch takes, and what
    a query itself costs more beside it. Neither depends on what else the machine does.
    """
    pace = UPDATES * 51 // 50  # more than has to be reached
    server.update(pace)  # all is encoded in the first call
    used, answered, rates, watch = {0: 0.0, pace: 0.0}, {0: 0, pace: 0}, [], []

    def spent():
        return machine.cpu_seconds(process.pid), machine.thread_seconds(process.pid, WATCH)

    for rate in (0, pace, pace, 0):
        drain(place, server.update(0))
        server.update(rate)
        (begin, before), (cpu, watching) = taken(place), spent()
        load = saturate()
        (cpu_then, watching_then), (end, after) = spent(), taken(place)
        used[rate] += cpu_then - cpu - (watching_then - watching)
        answered[rate] += load["answered"]
        if rate:
            rates.append((after - before) / (end - begin))
            watch.append((watching_then - watching) / (end - begin))
    drain(place, server.update(0))
    if not all(answered.values()):
        raise Broken("answered nothing")
    calm, us = (used[rate] / answered[rate] * 1e6 for rate in used)
    share = sum(watch) / len(watch)
    return {"updates": min(rates), "watch_percent": share * 100, "calm_us": calm, "us": us,
            "lost_percent": (1 - (1 - share) * calm / us) * 100}


def drain(place, sent):
    """Waits until all that was sent is taken."""
    begin = time.monotonic()
    while taken(place)[1] < sent:
        if time.monotonic() - begin > 10:
            raise Broken(f"of {sent} changes of slices {taken(place)[1]:.0f} were taken")
        time.sleep(0.05)


def store(core):
    """The store by itself, spec/bench/store.c: what has no place in a whole server on two cores."""
    subprocess.run(["make", "-s", "build/bench/store"], cwd=ROOT, check=True)
    text = machine.output([os.path.join(ROOT, "build", "bench", "store")], [core], 120)

    def number(pattern):
        found = re.search(pattern, text)
        if not found:
            raise Broken(f"store: no '{pattern}' in: {text}")
        return float(found.group(1))

    answer = number(r"CPU of an answer alone +A (\d+) ns")
    beside = re.search(r"beside +(\d+) changes/s +A (\d+) ns: .*a change ([\d.]+) us", text)
    rate, slowed, change = float(beside.group(1)), float(beside.group(2)), float(beside.group(3))
    return {"pods_mb": number(r"150,000 pods .*RSS +\+([\d.]+) MB"), "answer_ns": answer, "changes": rate,
            "slowed_ns": slowed - answer, "change_us": change, "most_changes": number(r"(?s)changes/s.*beside +(\d+) changes/s")}
