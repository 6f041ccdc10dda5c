"""Names, query files, single questions, and the two loads."""

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

import machine
from machine import Broken

ZONE = "bench.test"
NAMES = 5000
UPSTREAM_ADDRESS = "192.0.2.1"
NOERROR, NXDOMAIN = 0, 3
RELOAD_QPS = 20_000
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
# Queries on their way per socket of load.c, which has eight. All of them must fit into a receive
# buffer of the default size (some 200 small packets): what is measured is not who enlarges it.
WINDOW = 24


def host(number):
    return f"host-{number}.{ZONE}"


def address(number, version=10):
    return f"{version}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def write_lines(path, lines):
    with open(path, "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def write_hosts(path, count, version=10):
    return write_lines(path, (f"{address(n, version)} {host(n)}" for n in range(1, count + 1)))


def write_queries(folder, wanted):
    """Writes the query files of these names; returns their paths by name."""
    def mixed():
        choose = random.Random(1)
        # Long enough that no load comes to its end: a name asked twice would be a hit.
        for n in range(2_000_000):
            yield f"host-m{n}.{ZONE} A" if n % 10 == 0 else f"{host(choose.randint(1, NAMES))} A"

    lines = {
        "hosts": (f"{host(n)} A" for n in range(1, NAMES + 1)),
        "nx": (f"nx-{n}.{ZONE} A" for n in range(1, NAMES + 1)),
        "services": (f"service-{n:05d}.team-{n % 1000:04d}.svc.cluster.local A" for n in range(1, 10_000, 2)),
        "no-services": (f"nothing-{n:05d}.team-{n % 1000:04d}.svc.cluster.local A" for n in range(1, 10_000, 2)),
        "mixed": mixed(),
        "million": (f"{host(n)} A" for n in random.Random(2).sample(range(1, 1_000_001), NAMES)),
    }
    return {name: write_lines(os.path.join(folder, name + ".queries"), lines[name]) for name in wanted}


def ask(port, name, tcp=False, timeout=0.2):
    """Asks for A once. Returns (rcode, first address of the answer or None), or None when no reply came."""
    query = struct.pack(">HHHHHH", random.getrandbits(16), 0x0100, 1, 0, 0, 0)
    query += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(timeout)
        try:
            s.connect(("127.0.0.1", port))
            s.sendall(struct.pack(">H", len(query)) + query if tcp else query)
            reply = s.recv(4096)[2 if tcp else 0:]
        except OSError:
            return None
    if len(reply) < 12 or reply[:2] != query[:2] or not reply[2] & 0x80:
        return None
    found = None
    at = len(query)
    if struct.unpack(">H", reply[6:8])[0] and len(reply) > at:
        while reply[at] and reply[at] < 0xc0:
            at += reply[at] + 1
        at += 2 if reply[at] else 1
        if reply[at:at + 2] == b"\0\1":
            found = socket.inet_ntoa(reply[at + 10:at + 14])
    return reply[3] & 15, found


class Crowd:
    """Queries for names of their own over UDP, from sixteen sockets, that are sent at once and answered late."""

    def __init__(self, port):
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
        for s in self.sockets:
            s.connect(("127.0.0.1", port))
            s.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()

    def send(self, count):
        for i in range(count):
            label = b"crowd-%d" % i
            query = struct.pack(">HHHHHH", i, 0x0100, 1, 0, 0, 0) + bytes([len(label)]) + label
            query += b"".join(bytes([len(part)]) + part.encode() for part in ZONE.split(".")) + b"\0\0\1\0\1"
            self.sockets[i % 16].send(query)
            if i % 64 == 63:
                time.sleep(0.003)  # what fits into a receive buffer of the default size

    def answered(self, wanted, limit=0):
        """How many replies have come; waits up to `limit` seconds for `wanted`."""
        count, end = 0, time.monotonic() + limit
        while True:
            for s in self.sockets:
                try:
                    while s.recv(4096):
                        count += 1
                except BlockingIOError:
                    pass
            if count >= wanted or time.monotonic() > end:
                return count
            time.sleep(0.002)


def wait_for(port, name, expected, process, tcp=False, limit=30, every=0.005):
    """Asks until the reply is `expected`. Returns the seconds that took; Broken when it never is."""
    begin = time.monotonic()
    last = None
    while time.monotonic() - begin < limit:
        if process.poll() is not None:
            raise Broken(f"ended at once with exit {process.returncode}")
        last = ask(port, name, tcp) or last
        if last == expected:
            return time.monotonic() - begin
        time.sleep(every)
    raise Broken(f"{name} A: expected rcode and address {expected}, "
                 f"got {last or 'no reply'} for {limit} s")


def burst(tools, port, queries, seconds, core):
    """Saturates the server with load.c. Returns seconds, sent, answered, lost, and the answers by rcode."""
    out = machine.output([tools["load"], str(port), queries, str(seconds), str(WINDOW)], [core], seconds + 30)
    result = json.loads(out)
    result["seconds"] = seconds
    result["rcodes"] = {int(code): n for code, n in result["rcodes"].items()}
    return result


class Dnsperf:
    """A dnsperf that runs: `end` interrupts it, `result` waits for its report."""

    def __init__(self, port, queries, core, *options):
        self.command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", queries, *options]
        # A file: a pipe that nobody reads yet would hold a -v run up.
        self.report = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.process = machine.start(self.command, [core], stdout=self.report, stderr=subprocess.STDOUT)

    def end(self):
        self.process.send_signal(signal.SIGINT)

    def result(self, limit):
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Broken(f"dnsperf did not end within {limit:.0f} s") from None
        finally:
            machine.stop(self.process)
        with self.report:
            self.report.seek(0)
            return parse_dnsperf(self.report.read())


def parse_dnsperf(text):
    """Reads dnsperf's report, and with -v the latency of each query. Times in seconds."""
    def number(pattern):
        found = re.search(pattern, text)
        if not found:
            raise Broken(f"dnsperf: no '{pattern}' in its report: {text.strip()[-500:]}")
        return float(found.group(1))

    codes = re.search(r"Response codes:(.*)", text)
    return {
        "sent": int(number(r"Queries sent: +(\d+)")),
        "answered": int(number(r"Queries completed: +(\d+)")),
        "lost": int(number(r"Queries lost: +(\d+)")),
        "seconds": number(r"Run time \(s\): +([\d.]+)"),
        "slowest": number(r"max ([\d.]+)\)"),
        "latencies": sorted(float(t) for t in re.findall(r"^> \S+ \S+ \S+ ([\d.]+)$", text, re.M)),
        "rcodes": {RCODES.get(name, name): int(n)
                   for name, n in re.findall(r"([A-Z0-9]+) (\d+) \(", codes.group(1) if codes else "")},
    }


def saturate(tools, tool, port, queries, seconds, core, tcp=False):
    """The load of a CPU measure: load.c or dnsperf; TCP is always dnsperf, eight connections, pipelined."""
    if tcp or tool == "dnsperf":
        options = ["-m", "tcp", "-q", "400"] if tcp else ["-q", str(8 * WINDOW)]
        return Dnsperf(port, queries, core, "-c", "8", "-l", str(seconds), *options).result(seconds + 30)
    return burst(tools, port, queries, seconds, core)
