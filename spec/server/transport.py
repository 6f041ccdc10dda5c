"""A server with names of its own and a slow upstream, for tests of sockets."""

import struct
import threading
import time

import harness
from harness import SCALE

LOTS = 250  # addresses of lots.test: a reply of about 4 KiB
HOSTS = "192.0.2.1 a.test b.test\n" + "".join(f"198.51.100.{i + 1} lots.test\n" for i in range(LOTS))
LOCAL = """test:{port} {
    prometheus 127.0.0.1:{http}
    hosts {dir}/hosts
}
"""


def with_timeouts(text):
    """LOCAL with a plugin timeouts."""
    return LOCAL.replace("hosts {dir}", f"timeouts {{\n{text}\n}}\nhosts {{dir}}")


def frame(*packets):
    return b"".join(struct.pack("!H", len(p)) + p for p in packets)


class Transport(harness.Case):
    def local(self, corefile=LOCAL, **options):
        return self.server(corefile, files={"hosts": HOSTS}, **options)

    def forwarding(self, answer, options="", **more):
        """A server of LOCAL's names that asks a scripted upstream for those below up."""
        up = self.upstream(answer)
        s = self.local(LOCAL + f"up:{{port}} {{\n forward . {up.to} {{\n {options}\n }}\n}}\n", **more)
        return s, up

    def answers(self, s, **options):
        """A local name, at once."""
        for transport in ("udp", "tcp"):
            began = time.monotonic()
            self.assertEqual(s.query("a.test", transport=transport, **options).values(), ["192.0.2.1"])
            self.assertLess(time.monotonic() - began, 1 * SCALE, transport)

    def take(self, client, count, timeout=10):
        """So many replies; returns their ids in order of arrival."""
        ids = []
        while len(ids) < count:
            reply = client.recv(timeout)
            self.assertIsNotNone(reply, f"{len(ids)} of {count} replies")
            ids.append(reply.id)
        return ids


class Held:
    """An answer function that keeps what it is asked until release()."""

    def __init__(self, fast=()):
        self.event, self.fast = threading.Event(), fast
        self.release = self.event.set

    def __call__(self, q):
        if q.message.name not in self.fast:
            self.event.wait(30)
        return q.reply(answer=[(None, "A", 60, "203.0.113.1")])
