"""The server under test."""

import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import environment
from clients import TCPClient, UDPClient, run_tool
from endpoints import http, parse_metrics
from environment import SANITIZER_REPORT, SCALE, free_port, wait_until
from processes import Process
from wire import Message, pack_query


class StartError(AssertionError):
    """The server ended before it was ready. Has .code, .out and .err."""

    def __init__(self, code, out, err):
        super().__init__(f"ended with code {code} before it was ready\n--- stdout\n{out}\n--- stderr\n{err}")
        self.code, self.out, self.err = code, out, err


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
        command = [*prefix, environment.BINARY]
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
