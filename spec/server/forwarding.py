"""A server that forwards to upstreams of the test, and answers names of its own at once whatever they do."""

import socket
import threading
import time

import harness
from harness import addresses, free_port, SCALE, wait_until

UP = "203.0.113.1"
GOOD = addresses(value=UP)


class Forwarding(harness.Case):
    def forward(self, *to, options="read_timeout 300ms\nmax_connect_attempts 1", cache="", **more):
        """A server with a.test of its own that asks these upstreams for names below up."""
        text = "test:{port} {\n prometheus 127.0.0.1:{http}\n hosts {\n 192.0.2.1 a.test\n }\n}\n" \
            f"up:{{port}} {{\n prometheus 127.0.0.1:{{http}}\n errors\n {cache}\n forward . " \
            f"{' '.join(getattr(u, 'to', u) for u in to)} {{\n {options}\n }}\n}}\n"
        return self.server(text, **more)

    def local(self, s):
        for transport in ("udp", "tcp"):
            began = time.monotonic()
            self.assertEqual(s.query("a.test", transport=transport).values(), ["192.0.2.1"])
            self.assertLess(time.monotonic() - began, 0.5 * SCALE)

    def good(self, s, name="good.up", transport="udp"):
        reply = s.query(name, transport=transport)
        self.assertEqual((reply.rcode, reply.values()), ("NOERROR", [UP]), name)
        self.local(s)

    def bad(self, s, name="bad.up", transport="udp", within=1.5):
        began = time.monotonic()
        reply = s.query(name, transport=transport)
        self.assertEqual((reply.rcode, reply.answer), ("SERVFAIL", []), name)
        self.assertLess(time.monotonic() - began, within * SCALE)
        self.local(s)

    def dead_port(self):
        """A UDP port that takes queries and says nothing; TCP is refused. Returns (socket, "address:port")."""
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        port = free_port()
        sock.bind(("127.0.0.1", port))
        return sock, f"127.0.0.1:{port}"

    def upstream_again(self, answer, port):
        """An upstream on the port of one that was closed: a thread of that may hold it a moment longer."""
        def opened():
            try:
                return self.upstream(answer, port=port)
            except OSError:
                return None
        return wait_until(opened, 5, f"port {port} vacant again")

    def released(self):
        """An event that is set at the end of the test whatever happens: answer functions wait for it."""
        event = threading.Event()
        self.addCleanup(event.set)
        return event
