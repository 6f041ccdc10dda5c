"""Who asks: sockets of our own, and the programs of packages."""

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile

from environment import SCALE
from processes import Process
from wire import Message, pack_query


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
