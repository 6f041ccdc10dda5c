"""Whom the server asks: scripted ones for faults that no real one shows, and real ones from packages."""

import contextlib
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading

from clients import UDPClient
from environment import SCALE, free_port, wait_until
from processes import Process
from wire import Message, WireError, pack_reply


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
