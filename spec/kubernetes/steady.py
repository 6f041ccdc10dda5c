"""A client that asks the same questions all the time: what must not change meanwhile."""

import threading
import time

import wire
from harness import SCALE, UDPClient


class Steady:
    """Asks a server some hundred times a second until the with block ends, which fails when any reply differed.

    questions: {"name": (type, rcode, set of data)}. A reply must come within 2 s.
    """

    def __init__(self, server, questions):
        self.port, self.questions = server.port, questions
        self.asked, self.wrong, self.slowest = 0, [], 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with UDPClient(self.port) as client:
            while not self._stop.is_set():
                for name, (qtype, rcode, values) in self.questions.items():
                    packet, began = wire.pack_query(name, qtype), time.monotonic()
                    try:
                        client.send(packet)
                        reply = client.recv(2)
                    except ConnectionError:
                        reply = None
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.asked += 1
                    if reply is None or reply.id != int.from_bytes(packet[:2], "big") or reply.rcode != rcode or \
                            set(reply.values()) != values:
                        self.wrong.append(f"{name} {qtype}: {reply}")
                self._stop.wait(0.005 * SCALE)

    def check(self):
        """Fails when a reply so far was not as it must be, or when there was none."""
        assert self.asked, "nothing was asked"
        assert not self.wrong, f"{len(self.wrong)} of {self.asked} replies were wrong: {self.wrong[:3]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        if kind is None:
            self.check()


# The fixture's: a service, one without addresses, and a name that does not exist.
FIXTURE = {
    "web.ns-a.svc.cluster.local": ("A", "NOERROR", {"10.96.1.1"}),
    "hl.ns-a.svc.cluster.local": ("A", "NOERROR", {"10.244.2.1", "10.244.2.2", "10.244.2.3", "10.244.2.6"}),
    "nosuch.ns-a.svc.cluster.local": ("A", "NXDOMAIN", set()),
}
PRESENT = {name: what for name, what in FIXTURE.items() if what[1] == "NOERROR"}
