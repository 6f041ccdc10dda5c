"""Slices that change thousands of times a second, at little cost for whoever shares the core with this server.

Each slice is encoded twice beforehand: its first endpoint has one address or the other, and the time of its trigger annotation
says which. What is left to be done for an update is to write its version into the octets.
"""

import copy
import gc
import threading
import time

from cluster import Event, Stored

TURN = 0.01  # s; what is due is sent so often
WIDTH = 10   # digits of a version, so that all have the same room in an encoding
HISTORY = 20_000  # events kept


class Encoded(Stored):
    """One version of a slice, its event made of an earlier one's octets."""

    def __init__(self, form, version):
        obj, self.octets, self.at = form
        super().__init__(obj, version)

    def event(self, kind, form):
        if (kind, form) != ("MODIFIED", "protobuf"):
            return super().event(kind, form)
        return self.octets[:self.at] + b"%d" % self.version + self.octets[self.at + WIDTH:]


class Updates:
    """All slices of a cluster, changed in turn: pace(N) makes it N a second, pace(0) ends it."""

    def __init__(self, cluster):
        self.cluster, self.forms, self.sent = cluster, [], 0
        self.stop = self.thread = None

    def pace(self, rate):
        """Returns how many updates were made so far; in the first call, after all is encoded."""
        if self.thread:
            self.stop.set()
            self.thread.join()
            self.thread = None
        if rate:
            if not self.forms:
                self._prepare()
            self.stop = threading.Event()
            self.thread = threading.Thread(target=self._run, args=(rate, self.stop), daemon=True)
            self.thread.start()
        return self.sent

    def _prepare(self):
        cluster = self.cluster
        with cluster.changed:
            cluster.version = max(cluster.version, 10 ** (WIDTH - 1))
            mark = str(cluster.version)
            slices = [stored.object for stored in cluster.held["endpointslices"].values()]
        for minute in range(2):
            for obj in slices:
                obj = copy.deepcopy(obj)
                meta = obj["metadata"]
                meta["resourceVersion"] = mark
                meta["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] = f"2026-01-02T03:0{minute}:05Z"
                first = obj["endpoints"][0]["addresses"]
                a, b, rest = first[0].split(".", 2)
                first[0] = f"{a}.{int(b) + 60 * (minute + 1)}.{rest}"
                octets = Stored(obj, 0).event("MODIFIED", "protobuf")
                self.forms.append((obj, octets, octets.index(mark.encode())))
        gc.collect()
        gc.freeze()  # a search through all of this would hold the next updates up

    def _run(self, rate, stop):
        began, done = time.monotonic(), 0
        while not stop.wait(TURN):
            due = int((time.monotonic() - began) * rate)
            self._send(due - done)
            done = due

    def _send(self, count):
        cluster = self.cluster
        with cluster.changed:
            held, events = cluster.held["endpointslices"], cluster.events["endpointslices"]
            for _ in range(count):
                cluster.version += 1
                now = Encoded(self.forms[self.sent % len(self.forms)], cluster.version)
                self.sent += 1
                events.append(Event("MODIFIED", now, held.get(now.key), now.version))
                held[now.key] = now
            spare = len(events) - HISTORY
            if spare > 0:
                cluster.forgotten["endpointslices"] = events[spare - 1].version
                del events[:spare]
            cluster.changed.notify_all()
