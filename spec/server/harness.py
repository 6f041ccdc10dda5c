"""Starts the real server, and what it talks to, for the whole-server tests.

Binary: environment LUNADNS (default build/lunadns). LUNADNS_TIME_SCALE multiplies every time limit (sanitizer builds,
slow machines). Everything started here is ended by its own process id, whatever a test does.

    class Answers(harness.Case):
        def test_hosts(self):
            s = self.server(".:{port} {\\n hosts {\\n 192.0.2.1 a.test\\n }\\n}\\n")
            self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
"""

import contextlib
import fcntl
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import wire
from wire import Message, WireError, pack_query, pack_reply  # noqa: F401 (used by tests through harness)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("LUNADNS", os.path.join(ROOT, "build", "lunadns")))
SCALE = float(os.environ.get("LUNADNS_TIME_SCALE", "1"))
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
SANITIZER_REPORT = re.compile(r"(ERROR|WARNING): (Address|Thread|Memory|Leak)Sanitizer|runtime error: ")


def _sanitized():
    try:
        with open(BINARY, "rb") as f:
            data = f.read()
    except OSError:
        return False
    return any(mark in data for mark in (b"__asan_init", b"__tsan_init", b"__ubsan_handle"))


SANITIZED = _sanitized()  # figures (memory, speed) mean nothing then


class StartError(AssertionError):
    """The server ended before it was ready. Has .code, .out and .err."""

    def __init__(self, code, out, err):
        super().__init__(f"ended with code {code} before it was ready\n--- stdout\n{out}\n--- stderr\n{err}")
        self.code, self.out, self.err = code, out, err


# ---------------------------------------------------------------- waiting and ports


def wait_until(condition, timeout=5, what="the condition"):
    """Returns the first true value of condition(); fails after timeout seconds (scaled)."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout * SCALE:g} s")
        time.sleep(0.01)


_port_locks = []


def _vacant(port):
    with contextlib.ExitStack() as stack:
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                try:
                    s = stack.enter_context(socket.socket(family, kind))
                    if family == socket.AF_INET6:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((host, port))
                except OSError as e:
                    if e.errno in (97, 99):  # no IPv6 here
                        continue
                    return False
    return True


def free_port():
    """A port for UDP and TCP that nobody has. SO_REUSEPORT would let two suites share one without a word, so a lock
    file says whose it is until this process ends; the range is outside the kernel's for clients."""
    directory = os.path.join(tempfile.gettempdir(), "lunadns-test-ports")
    os.makedirs(directory, exist_ok=True)
    for _ in range(2000):
        port = random.SystemRandom().randrange(10000, 32000)
        lock = open(os.path.join(directory, str(port)), "a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if _vacant(port):
            _port_locks.append(lock)
            return port
        lock.close()
    raise AssertionError("no free port")


def raise_descriptors(wanted):
    """Room for so many descriptors in this process; False when the system does not permit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted


def descriptors(count):
    """A preexec function: the server may have so many descriptors."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


# ---------------------------------------------------------------- processes


class Process:
    """A child whose stdout and stderr are collected. close() always ends it."""

    def __init__(self, command, cwd=None, env=None, stdin=None, stdout=subprocess.PIPE, preexec=None):
        self.command = command
        self._lines, self._err, self._lock = [], [], threading.Condition()
        self.child = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE if stdin is not None
                                      else subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                      preexec_fn=preexec)
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.child.stdin.write(stdin.encode())
                self.child.stdin.close()
        self.pid = self.child.pid
        self._readers = []
        for pipe, into in ((self.child.stdout, self._lines), (self.child.stderr, self._err)):
            if pipe:
                t = threading.Thread(target=self._collect, args=(pipe, into), daemon=True)
                t.start()
                self._readers.append(t)

    def _collect(self, pipe, into):
        try:
            for line in iter(pipe.readline, b""):
                with self._lock:
                    into.append(line.decode("utf-8", "replace"))
                    self._lock.notify_all()
        except ValueError:
            pass  # closed under it at the end

    @property
    def out(self):
        with self._lock:
            return "".join(self._lines)

    @property
    def err(self):
        with self._lock:
            return "".join(self._err)

    def mark(self):
        """Where stdout is now: wait_log(..., after=mark) looks behind it only."""
        with self._lock:
            return len(self._lines)

    def lines(self, after=0):
        with self._lock:
            return [line.rstrip("\n") for line in self._lines[after:]]

    def wait_log(self, pattern, timeout=5, after=0):
        """The match object of the first stdout line that the pattern is found in."""
        wanted, deadline = re.compile(pattern), time.monotonic() + timeout * SCALE
        with self._lock:
            at = after
            while True:
                while at < len(self._lines):
                    found = wanted.search(self._lines[at].rstrip("\n"))
                    if found:
                        return found
                    at += 1
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no line matches {pattern!r} within {timeout * SCALE:g} s\n--- stdout\n"
                                         + "".join(self._lines[after:]) + "--- stderr\n" + "".join(self._err))
                if self.child.poll() is not None and not self._readers[0].is_alive():
                    raise AssertionError(f"the process ended ({self.child.returncode}) without a line that matches "
                                         f"{pattern!r}\n--- stdout\n" + "".join(self._lines[after:])
                                         + "--- stderr\n" + "".join(self._err))
                self._lock.wait(min(left, 0.1))

    def count_log(self, pattern, after=0):
        return sum(bool(re.search(pattern, line)) for line in self.lines(after))

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout=15):
        """Waits for its end and for all of its output; returns the exit code."""
        try:
            code = self.child.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command[0]} (pid {self.pid}) still runs after {timeout * SCALE:g} s\n"
                                 f"--- stdout\n{self.out}\n--- stderr\n{self.err}") from None
        for reader in self._readers:
            reader.join(5)
        return code

    @property
    def running(self):
        return self.child.poll() is None

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.child.stdout, self.child.stderr):
            if pipe:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---------------------------------------------------------------- clients


class UDPClient:
    """One UDP socket towards a server; replies are matched by nobody: what comes is what you get."""

    def __init__(self, port, address="127.0.0.1", source=None, connect=True):
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.socket(self.family, socket.SOCK_DGRAM)
        self.peer = (address, port)
        if source:
            self.sock.bind((source, 0))
        if connect:
            self.sock.connect(self.peer)
        self.connected = connect

    def send(self, packet):
        if self.connected:
            self.sock.send(packet)
        else:
            self.sock.sendto(packet, self.peer)

    def recv_raw(self, timeout=3):
        """Octets of the next datagram, or None. .source is where it came from."""
        self.sock.settimeout(timeout * SCALE)
        try:
            data, self.source = self.sock.recvfrom(65535)
            return data
        except (TimeoutError, ConnectionRefusedError):
            return None

    def recv(self, timeout=3):
        data = self.recv_raw(timeout)
        return None if data is None else Message(data)

    def ask(self, name, qtype="A", timeout=3, **options):
        self.send(pack_query(name, qtype, **options))
        return self.recv(timeout)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class TCPClient:
    """One TCP connection; send() adds the length, recv() takes it off."""

    def __init__(self, port, address="127.0.0.1", source=None, timeout=5):
        self.sock = socket.create_connection((address, port), timeout * SCALE, (source, 0) if source else None)
        self.buffer = b""

    def send(self, *packets):
        self.sock.sendall(b"".join(struct.pack("!H", len(p)) + p for p in packets))

    def send_raw(self, octets):
        self.sock.sendall(octets)

    def recv_raw(self, timeout=5):
        """The next message's octets; None at the end of the connection or of the time."""
        self.sock.settimeout(timeout * SCALE)
        try:
            while len(self.buffer) < 2 or len(self.buffer) < 2 + struct.unpack("!H", self.buffer[:2])[0]:
                more = self.sock.recv(65536)
                if not more:
                    return None
                self.buffer += more
        except (TimeoutError, ConnectionError):
            return None
        n = struct.unpack("!H", self.buffer[:2])[0]
        data, self.buffer = self.buffer[2:2 + n], self.buffer[2 + n:]
        return data

    def recv(self, timeout=5):
        data = self.recv_raw(timeout)
        return None if data is None else Message(data)

    def ask(self, name, qtype="A", timeout=5, **options):
        self.send(pack_query(name, qtype, **options))
        return self.recv(timeout)

    def closed_by_peer(self, timeout=5):
        """True when the server ends the connection within the time."""
        self.sock.settimeout(timeout * SCALE)
        try:
            while True:
                if not self.sock.recv(65536):
                    return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Answered:
    """An HTTP reply: status, body (text), headers."""

    def __init__(self, status, body, headers):
        self.status, self.body, self.headers = status, body, headers

    def __repr__(self):
        return f"<{self.status} {self.body[:200]!r}>"


def http(port, path, address="127.0.0.1", timeout=5, headers=None, method="GET"):
    """A request over HTTP. A refused connection raises OSError; an HTTP error status does not raise."""
    host = f"[{address}]" if ":" in address else address
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout * SCALE) as reply:
            return Answered(reply.status, reply.read().decode("utf-8", "replace"), reply.headers)
    except urllib.error.HTTPError as reply:
        with reply:
            return Answered(reply.code, reply.read().decode("utf-8", "replace"), reply.headers)


SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text):
    """Exposition text as a list of (name, {label: value}, number)."""
    samples = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found = SAMPLE.match(line)
            if not found:
                raise AssertionError(f"no line of the text format: {line!r}")
            samples.append((found[1], dict(LABEL.findall(found[2] or "")), float(found[3])))
    return samples


# ---------------------------------------------------------------- the server


class Server(Process):
    """The server with a Corefile in a directory of its own.

    corefile: text, None for no file and no -conf. In it, in files and in args these stand for values of this server:
    {port} {port2} {port3}: DNS ports; {http} {http2} {http3}: HTTP ports; {dir}: its directory.
    args: more flags. files: name -> text, written beside the Corefile. env: added to the environment.
    port: what {port} is (a free one otherwise). ready: "banner", "answer" (for -quiet) or None (do not wait).
    conf: the Corefile's name; stdin: text for standard input. prefix: command in front (setpriv ...).
    stdout: a file to write to in place of the collected pipe (then ready must not be "banner").
    """

    def __init__(self, corefile, args=(), files=None, env=None, port=None, ready="banner", conf="Corefile", stdin=None,
                 prefix=(), stdout=subprocess.PIPE, cwd=None, start_timeout=20, preexec=None):
        self.dir = tempfile.mkdtemp(prefix="lunadns-test-")
        os.chmod(self.dir, 0o755)
        self.values = {"{port}": str(port or free_port()), "{dir}": self.dir}
        self.port = int(self.values["{port}"])
        self.conf = os.path.join(self.dir, conf)
        for name, text in (files or {}).items():
            self.write(name, text)
        command = [*prefix, BINARY]
        if corefile is not None:
            self.write(conf, corefile)
            command += ["-conf", self.conf]
        command += [self.fill(a) for a in args]
        full = {k: v for k, v in os.environ.items() if not k.startswith("LUNADNS")}
        full.update({k: self.fill(v) for k, v in (env or {}).items()})
        try:
            super().__init__(command, cwd=cwd or self.dir, env=full, stdin=None if stdin is None else self.fill(stdin),
                             stdout=stdout, preexec=preexec)
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        try:
            if ready == "banner":
                self._await_banner(start_timeout)
            elif ready == "answer":
                self.wait_answer(start_timeout)
        except BaseException:
            self.close()
            raise

    def _await_banner(self, timeout):
        deadline = time.monotonic() + timeout * SCALE
        while not any(re.match(r"linux/\w+, ", line) for line in self.lines()):
            if self.child.poll() is not None:
                code = self.wait()
                raise StartError(code, self.out, self.err)
            if time.monotonic() > deadline:
                raise AssertionError(f"no banner within {timeout * SCALE:g} s\n--- stdout\n{self.out}\n"
                                     f"--- stderr\n{self.err}")
            with self._lock:
                self._lock.wait(0.02)

    def wait_answer(self, timeout=20):
        """Waits until any reply comes from {port}."""
        def answered():
            if self.child.poll() is not None:
                raise StartError(self.wait(), self.out, self.err)
            return self.ask_raw(pack_query("ready.test."), timeout=0.2 / SCALE)
        wait_until(answered, timeout, "an answer")

    def fill(self, text):
        """Puts this server's ports and directory in the place of their {words}."""
        def value(found):
            word = found[0]
            if word not in self.values:
                self.values[word] = str(free_port())
            return self.values[word]
        return re.sub(r"\{(?:port\d?|http\d?|dir)\}", value, text)

    def number(self, word):
        """The port behind a placeholder: number("port2"), number("http")."""
        return int(self.fill("{" + word + "}"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        """Writes a file of the server's directory in one step, so that no half of it is ever seen."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as f:
            f.write(self.fill(text))
        os.rename(path + ".new", path)

    # DNS

    def dig(self, *args, port=None, address="127.0.0.1", tool="dig"):
        """Output of dig (or kdig) with one try of 3 s."""
        return run_tool([tool, f"@{address}", "-p", str(port or self.port), f"+time={max(1, int(3 * SCALE))}",
                         "+tries=1" if tool == "dig" else "+retry=0", *args])

    def short(self, *args, **options):
        """dig +short as a list of lines."""
        return self.dig("+short", *args, **options).split("\n")[:-1]

    def ask_raw(self, packet, transport="udp", timeout=3, port=None, address="127.0.0.1", source=None):
        """The reply's octets to these octets, or None."""
        try:
            with (UDPClient if transport == "udp" else TCPClient)(port or self.port, address, source) as c:
                c.send(packet)
                return c.recv_raw(timeout)
        except ConnectionError:
            return None

    def query(self, name, qtype="A", transport="udp", timeout=5, port=None, address="127.0.0.1", source=None,
              **options):
        """Asks, and returns the parsed reply; no reply fails. options: those of wire.pack_query."""
        packet = pack_query(name, qtype, **options)
        data = self.ask_raw(packet, transport, timeout, port, address, source)
        if data is None:
            raise AssertionError(f"no reply to {name} {qtype} over {transport} within {timeout * SCALE:g} s\n"
                                 f"--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err}")
        reply = Message(data)
        if data[:2] != packet[:2]:
            raise AssertionError(f"reply has id {reply.id}, the query {struct.unpack('!H', packet[:2])[0]}")
        return reply

    def udp(self, port=None, address="127.0.0.1", **options):
        return UDPClient(port or self.port, address, **options)

    def tcp(self, port=None, address="127.0.0.1", source=None):
        return TCPClient(port or self.port, address, source)

    # HTTP

    def http(self, path, port=None, **options):
        """GET from {http}, or from another port."""
        return http(port or self.number("http"), path, **options)

    def metrics(self, port=None):
        return parse_metrics(self.http("/metrics", port).body)

    def metric(self, name, labels=None, port=None):
        """Sum of the samples of this name that have these labels; None when there is none."""
        found = [value for n, l, value in self.metrics(port) if n == name and
                 all(l.get(k) == v for k, v in (labels or {}).items())]
        return sum(found) if found else None

    def wait_metric(self, name, labels=None, at_least=1, timeout=5, port=None):
        """Waits until a metric has reached a value; returns it."""
        return wait_until(lambda: (self.metric(name, labels, port) or 0) >= at_least and
                          self.metric(name, labels, port), timeout, f"{name} {labels or ''} >= {at_least}")

    # life

    def reload(self, timeout=10):
        """SIGUSR1, and waits until the next configuration serves."""
        after = self.mark()
        self.signal(signal.SIGUSR1)
        self.wait_log(r"^\[INFO\] Reloading complete", timeout, after)

    def stop(self, number=signal.SIGTERM, code=0, timeout=15):
        """Ends the server by a signal; its exit code must be this one, and no sanitizer may have complained."""
        self.signal(number)
        found = self.wait(timeout)
        self.check_reports()
        if found != code:
            raise AssertionError(f"exit code {found}, not {code}\n--- stdout\n{self.out[-3000:]}\n"
                                 f"--- stderr\n{self.err}")

    def check_reports(self):
        report = SANITIZER_REPORT.search(self.err)
        if report:
            raise AssertionError(f"a sanitizer reports:\n{self.err[report.start():report.start() + 6000]}")

    def rss(self):
        """Resident memory in octets."""
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def close(self):
        super().close()
        shutil.rmtree(self.dir, ignore_errors=True)


def run(args, corefile=None, files=None, stdin=None, timeout=20, **options):
    """The command run to its end: (code, stdout, stderr). corefile etc. as for Server; {words} in args are filled."""
    with Server(corefile, args, files, stdin=stdin, ready=None, **options) as s:
        code = s.wait(timeout)
        s.check_reports()
        return code, s.out, s.err


def run_tool(command, stdin=None, timeout=30, check=False):
    """A client's stdout; a missing client fails the test rather than skipping it."""
    if not shutil.which(command[0]):
        raise AssertionError(f"{command[0]} is not installed: see docker/deps")
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout * SCALE)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Load(Process):
    """dnsperf at a modest rate. finish() waits for it and returns what it counted."""

    def __init__(self, port, queries, seconds=5, qps=500, mode="udp", address="127.0.0.1", clients=4, prefix=(),
                 timeout=5):
        """queries: lines "name TYPE"."""
        self.file = tempfile.NamedTemporaryFile("w", suffix=".queries", delete=False)
        self.file.write("\n".join(queries) + "\n")
        self.file.close()
        super().__init__([*prefix, "dnsperf", "-s", address, "-p", str(port), "-d", self.file.name, "-m", mode,
                          "-l", str(seconds), "-Q", str(qps), "-c", str(clients), "-t", str(timeout * SCALE)])
        self.seconds = seconds

    def finish(self):
        """{"sent", "completed", "lost", "rcodes": {"NOERROR": n}, "slowest": seconds}"""
        self.wait(self.seconds + 30)
        text = self.out

        def number(label):
            found = re.search(label + r":\s+([\d.]+)", text)
            if not found:
                raise AssertionError(f"dnsperf said nothing of {label!r}:\n{text}\n{self.err}")
            return found[1]
        codes = re.search(r"Response codes:\s+(.*)", text)
        slowest = re.search(r"max ([\d.]+)\)", text)
        return {"sent": int(number("Queries sent")), "completed": int(number("Queries completed")),
                "lost": int(number("Queries lost")),
                "rcodes": {k: int(v) for k, v in re.findall(r"([A-Z]+) (\d+) \(", codes[1] if codes else "")},
                "slowest": float(slowest[1]) if slowest else None}

    def close(self):
        super().close()
        with contextlib.suppress(OSError):
            os.unlink(self.file.name)


# ---------------------------------------------------------------- upstreams


class Query:
    """What reached a ScriptedUpstream: message (parsed; None when it cannot be), raw, transport ("udp", "tcp"),
    peer, number (1 for the first). send() may be called any number of times, from the answer function."""

    def __init__(self, upstream, raw, transport, peer, sock, number):
        self.raw, self.transport, self.peer, self.number = raw, transport, peer, number
        self.upstream, self.sock = upstream, sock
        try:
            self.message = Message(raw)
        except WireError:
            self.message = None

    def reply(self, *args, **options):
        """Octets of a reply: wire.pack_reply for this query."""
        return pack_reply(self.message, *args, **options)

    def send(self, octets):
        with contextlib.suppress(OSError):
            if self.transport == "udp":
                self.sock.sendto(octets, self.peer)
            else:
                self.sock.sendall(struct.pack("!H", len(octets)) + octets)

    def send_raw(self, octets):
        """TCP octets without a length in front."""
        with contextlib.suppress(OSError):
            self.sock.sendall(octets)

    def send_from_elsewhere(self, octets, address="127.0.0.1"):
        """A UDP datagram from another port (or address) than the one that was asked."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((address, 0))
            s.sendto(octets, self.peer)

    def close(self):
        """Ends the TCP connection; the client sees the end of it."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def reset(self):
        """Ends the TCP connection with a RST."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()


class ScriptedUpstream:
    """A DNS server on UDP and TCP whose answers a function of the test makes.

    answer(query) returns octets to send, or None for nothing (it may have used query.send itself). It runs in a
    thread per query and may sleep or wait for an event. Every query is in .queries, in order of arrival.
    Health probes (". NS") are answered by themselves and not recorded, unless probes=True.
    """

    def __init__(self, answer, udp=True, tcp=True, address="127.0.0.1", port=None, probes=False):
        self.answer, self.address, self.probes = answer, address, probes
        self.port = port or free_port()
        self.to = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.queries, self.errors, self.connections = [], [], 0
        self._lock, self._open, self._sockets = threading.Lock(), True, set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._udp = self._tcp = None
        self._threads = []
        if udp:
            self._udp = socket.socket(family, socket.SOCK_DGRAM)
            self._udp.bind((address, self.port))
            self._spawn(self._serve_udp)
        if tcp:
            self._tcp = socket.socket(family, socket.SOCK_STREAM)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._tcp.bind((address, self.port))
            self._tcp.listen(64)
            self._spawn(self._serve_tcp)

    def _spawn(self, fn, *args):
        t = threading.Thread(target=fn, args=args, daemon=True)
        self._threads.append(t)
        t.start()

    def _take(self, raw, transport, peer, sock):
        with self._lock:
            q = Query(self, raw, transport, peer, sock, len(self.queries) + 1)
            probe = not self.probes and q.message and q.message.question and q.message.question[0][:2] == (".", "NS")
            if not probe:
                self.queries.append(q)
        if probe:
            q.send(q.reply())
        else:
            threading.Thread(target=self._work, args=(q,), daemon=True).start()

    def _work(self, q):
        try:
            octets = self.answer(q)
            if octets is not None:
                q.send(octets)
        except Exception as e:  # the test sees it in errors
            self.errors.append(e)
            sys.stderr.write(f"ScriptedUpstream: {type(e).__name__}: {e}\n")

    def _serve_udp(self):
        while self._open:
            try:
                raw, peer = self._udp.recvfrom(65535)
            except ConnectionError:
                continue
            except OSError:
                return
            if self._open:
                self._take(raw, "udp", peer, self._udp)

    def _serve_tcp(self):
        while self._open:
            try:
                sock, peer = self._tcp.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets.add(sock)
            self._spawn(self._serve_connection, sock, peer)

    def _serve_connection(self, sock, peer):
        buffer = b""
        with contextlib.suppress(OSError):
            while self._open:
                more = sock.recv(65536)
                if not more:
                    break
                buffer += more
                while len(buffer) >= 2 and len(buffer) >= 2 + struct.unpack("!H", buffer[:2])[0]:
                    n = struct.unpack("!H", buffer[:2])[0]
                    raw, buffer = buffer[2:2 + n], buffer[2 + n:]
                    self._take(raw, "tcp", peer, sock)
        with self._lock:
            self._sockets.discard(sock)

    @property
    def count(self):
        return len(self.queries)

    def asked(self, name=None, qtype=None, transport=None):
        """How often: by lower-case name with its dot, type, transport."""
        with self._lock:
            return sum(q.message is not None and name in (None, q.message.name.lower()) and
                       qtype in (None, q.message.type) and transport in (None, q.transport) for q in self.queries)

    def wait_asked(self, count=1, timeout=5, **what):
        wait_until(lambda: self.asked(**what) >= count, timeout, f"{count} queries {what or ''} at the upstream")

    def close_connections(self):
        """Ends every TCP connection, as a restart of the upstream does."""
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._open = False
        for sock in (self._udp, self._tcp):
            if sock:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        self.close_connections()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def addresses(ttl=60, value="192.0.2.1"):
    """An answer function: every A gets this address, everything else an empty reply."""
    def answer(q):
        return q.reply(answer=[(None, "A", ttl, value)] if q.message.type == "A" else [])
    return answer


class _Daemon(Process):
    """A DNS server from a Debian package in a directory of its own; ready when it answers."""

    def __init__(self, name, command, config, files):
        self.dir = tempfile.mkdtemp(prefix=f"lunadns-{name}-")
        for file, text in files.items():
            with open(os.path.join(self.dir, file), "w") as f:
                f.write(text)
        with open(os.path.join(self.dir, "conf"), "w") as f:
            f.write(config.replace("{dir}", self.dir))
        self.to = f"127.0.0.1:{self.port}"
        if not shutil.which(command[0]):
            raise AssertionError(f"{command[0]} is not installed: see docker/deps")
        super().__init__([c.replace("{dir}", self.dir) for c in command])
        try:
            wait_until(self._answers, 20, f"{name} answering")
        except BaseException:
            self.close()
            raise

    def _answers(self):
        if not self.running:
            raise AssertionError(f"{self.command[0]} ended\n{self.out}\n{self.err}")
        try:
            with UDPClient(self.port) as c:
                return c.ask("ready.test.", timeout=0.2 / SCALE)
        except ConnectionError:
            return False

    def close(self):
        super().close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Knot(_Daemon):
    """knotd with zones: {"example.org": master file text}. .to is its 127.0.0.1:port."""

    def __init__(self, zones):
        self.port = free_port()
        config = f"server:\n  listen: 127.0.0.1@{self.port}\n  rundir: {{dir}}\n" \
                 "  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n" \
                 "database:\n  storage: {dir}\nlog:\n  - target: stdout\n    any: warning\n" \
                 "template:\n  - id: default\n    storage: {dir}\n    zonefile-load: whole\nzone:\n"
        files = {}
        for zone, text in zones.items():
            config += f"  - domain: {zone}\n    file: {zone.rstrip('.')}.zone\n"
            files[f"{zone.rstrip('.')}.zone"] = text
        super().__init__("knot", ["knotd", "-c", "{dir}/conf"], config, files)


class Unbound(_Daemon):
    """unbound that answers from local data only: lines in master file form."""

    def __init__(self, records):
        self.port = free_port()
        config = f"server:\n  interface: 127.0.0.1@{self.port}\n  do-daemonize: no\n  chroot: \"\"\n" \
                 "  username: \"\"\n  directory: \"{dir}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n" \
                 "  do-not-query-localhost: no\n  module-config: \"iterator\"\n" \
                 "  local-zone: \".\" static\n" + "".join(f"  local-data: '{r}'\n" for r in records) + \
                 "remote-control:\n  control-enable: no\n"
        super().__init__("unbound", ["unbound", "-d", "-p", "-c", "{dir}/conf"], config, {})


# ---------------------------------------------------------------- the test case


class Case(unittest.TestCase):
    """Whatever is made by these methods is ended with the test; a test that fails shows what its servers said."""

    maxDiff = None

    def setUp(self):
        self._things, self._problems = [], self._count_problems()
        self.addCleanup(self._end)

    def _count_problems(self):
        result = getattr(self._outcome, "result", None)
        return len(getattr(result, "failures", ())) + len(getattr(result, "errors", ()))

    def keep(self, thing):
        """Closes the thing at the end of the test."""
        self._things.append(thing)
        return thing

    def server(self, corefile, *args, **options):
        return self.keep(Server(corefile, *args, **options))

    def upstream(self, answer, **options):
        return self.keep(ScriptedUpstream(answer, **options))

    def knot(self, zones):
        return self.keep(Knot(zones))

    def unbound(self, records):
        return self.keep(Unbound(records))

    def load(self, port, queries, **options):
        return self.keep(Load(port, queries, **options))

    def start_fails(self, corefile, *args, **options):
        """Starts a server that must not start; returns the StartError (code, out, err)."""
        with self.assertRaises(StartError) as caught:
            self.server(corefile, *args, **options)
        return caught.exception

    def _end(self):
        failed = self._count_problems() > self._problems
        for thing in reversed(self._things):
            if failed and isinstance(thing, Server):
                sys.stderr.write(f"\n--- {self.id()}: stdout of pid {thing.pid}\n{thing.out[-4000:]}"
                                 f"--- stderr\n{thing.err[-4000:]}---\n")
            ended = isinstance(thing, Server) and not thing.running
            thing.close()
            if isinstance(thing, Server) and not failed:
                self.assertIsNone(SANITIZER_REPORT.search(thing.err), thing.err[-6000:])
                if ended and -thing.child.returncode in CRASHES:
                    self.fail(f"the server died by signal {-thing.child.returncode}\n{thing.err}")
