"""The real watch of src/kubernetes with a store that writes down what it is told (watcher.c), against a FakeApi."""

import os
import re
import signal
import subprocess
import time

import fixture
import harness
from faults import Fault
from server import FakeApi

PROGRAM = os.path.join(os.path.dirname(harness.BINARY), "kube-watcher")

# Quick, so that tests need not wait; what a test is about it sets itself.
PACE = {"backoff_first": 40, "backoff_most": 300, "silence": 60000, "initial": 60000, "brief": 30}
KINDS = {"services": 1, "endpointslices": 2, "namespaces": 4, "pods": 8, "serviceimports": 16, "import slices": 32}


def wait_until(condition, timeout=20):
    """Nothing here is about speed: a busy machine may take its time."""
    return harness.wait_until(condition, timeout)


class Watcher(harness.Process):
    """kinds: names of KINDS; other arguments are those of watcher.c."""

    def __init__(self, api=None, kinds=("services", "endpointslices", "namespaces"), env=None, **options):
        given = {**PACE, "kinds": sum(KINDS[k] for k in kinds)}
        if api:
            given["endpoint"] = api.url
        given.update(options)
        super().__init__([PROGRAM, *(f"{k}={v}" for k, v in given.items() if v is not None)],
                         env={**os.environ, **(env or {})})

    def expect(self, pattern, timeout=20, after=0):
        """Waits for a line that matches; returns the match."""
        return self.wait_log(pattern, timeout, after)

    def metrics(self):
        """The metrics page as text."""
        mark = self.mark()
        self.signal(signal.SIGUSR1)
        self.expect("^end of metrics", after=mark)
        lines = [line for line in self.lines(mark) if not line.startswith("[")]  # the log is on stdout too
        return "\n".join(lines[:lines.index("end of metrics")])

    def stop(self):
        """Ends as it should; a crash or a sanitizer's report is an error."""
        if not self.running:
            return
        self.signal(signal.SIGTERM)
        code = self.wait()
        if code or harness.SANITIZER_REPORT.search(self.err):
            raise AssertionError(f"the watcher ended with {code}\n{self.out[-2000:]}\n{self.err}")

    def synced(self, *plurals, after=0):
        for plural in plurals or ("services", "endpointslices", "namespaces"):
            self.expect(rf"^end {plural} ", after=after)
        return self

    def held(self):
        """What the store would hold now: "Service ns-a/web" -> the rest of its last line. Replays marks and sweeps."""
        held, touched, open_lists = {}, set(), {}
        kinds = {"services": "Service", "endpointslices": "EndpointSlice", "namespaces": "Namespace", "pods": "Pod",
                 "serviceimports": "ServiceImport"}
        for line in self.lines():
            word, _, rest = line.strip().partition(" ")
            if word == "begin":
                kind = kinds[rest]
                open_lists[kind] = True
                touched = {t for t in touched if not t.startswith(kind + " ")}
            elif word == "put":
                kind, name, *more = rest.split(" ")
                held[f"{kind} {name}"] = " ".join(more)
                touched.add(f"{kind} {name}")
            elif word == "remove":
                held.pop(rest, None)
            elif word == "end":
                kind = kinds[rest.split(" ")[0]]
                held = {k: v for k, v in held.items() if not k.startswith(kind + " ") or k in touched}
        return held

    def log(self, pattern):
        return [line for line in self.lines() if line.startswith("[") and re.search(pattern, line)]


class WatchCase(harness.Case):
    """A test of the watch against the fake server."""

    def api(self, objects=None, **options):
        api = self.keep(FakeApi(**options))
        api.cluster.load(fixture.objects() if objects is None else objects)
        return api

    def watcher(self, api=None, **options):
        w = self.keep(Watcher(api, **options))
        self.addCleanup(w.stop)
        return w

    def fault(self, api, *args, **what):
        return api.faults.add(Fault(*args, **what))

    def agrees(self, api, w, plurals=("services", "endpointslices", "namespaces"), timeout=20):
        """Waits until the store holds what the cluster does, in the same versions."""
        def wanted():
            with api.cluster.changed:
                return {f"{s.object['kind']} {'/'.join(k for k in s.key if k)}": str(s.version)
                        for plural in plurals for s in api.cluster.held[plural].values()
                        if plural != "endpointslices" or "kubernetes.io/service-name" in s.labels}
        try:
            wait_until(lambda: {k: v.split(" ")[0] for k, v in w.held().items()} == wanted(), timeout)
        except AssertionError:
            held = {k: v.split(" ")[0] for k, v in w.held().items()}
            self.assertEqual(held, wanted(), f"the watcher said\n{w.out[-3000:]}{w.err}")

    def change(self, api, name="ns-a/web", plural="services"):
        """Some change, which the watch has to bring; returns its version."""
        space, name = name.split("/")
        return api.cluster.put(api.cluster.get(plural, space, name))

    def arrives(self, api, w, timeout=20):
        """A change now reaches the store."""
        version = self.change(api)
        w.expect(rf"^put Service ns-a/web {version} ", timeout)

    def said_once(self, w, pattern):
        w.expect(pattern)  # the log is written a little later
        self.assertEqual(len(w.log(pattern)), 1, w.log("."))

    def lasts(self, seconds):
        """Waits for so long: for what must not happen."""
        time.sleep(seconds * harness.SCALE)


class Authority:
    """A certificate authority in a folder; .ca is its certificate."""

    def __init__(self, folder):
        self.folder, self.made = folder, 0
        self.ca = self.path("ca.pem")
        self._openssl("req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.folder)

    def certificate(self, names="IP:127.0.0.1", subject="/CN=kubernetes"):
        """(certificate file, key file) for these subject alternative names."""
        self.made += 1
        cert, key = f"cert{self.made}.pem", f"key{self.made}.pem"
        self._openssl("req", *CURVE, "-keyout", key, "-out", "req.pem", "-subj", subject)
        with open(self.path("names"), "w") as f:
            f.write("subjectAltName=" + names)
        self._openssl("x509", "-req", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                      "-extfile", "names", "-out", cert)
        return self.path(cert), self.path(key)


CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
