"""What a case is given: a cluster with fixture K, a stub upstream, and servers under test on them."""

import contextlib
import json
import os
import signal
import time

import harness
import isolate
import question
from account import Account
from cases import BASE
from control_plane import ControlPlane
from gate import Gate
from harness import SCALE, ScriptedUpstream, Server, wait_until

# What the world outside the cluster knows: everything else is a name error.
OUTSIDE = {
    ("ext.example.", "A"): "192.0.2.80", ("ext.example.", "AAAA"): "2001:db8::80",
    ("nosuchsvc.example.", "A"): "192.0.2.81", ("99.99.99.10.in-addr.arpa.", "PTR"): "up.example.",
}
SOA = ("example.", "SOA", 60, "ns.example. host.example. 1 3600 600 86400 60")


def outside(query):
    name, qtype = query.message.name.lower(), query.message.type
    data = OUTSIDE.get((name, qtype))
    if data:
        return query.reply(answer=[(None, qtype, 60, data)])
    known = any(n == name for n, _ in OUTSIDE)
    return query.reply("NOERROR" if known else "NXDOMAIN", authority=[SOA])


class Bed:
    """subject: "lunadns" or "coredns"; cluster: a ControlPlane with the fixture."""

    def __init__(self, subject, **options):
        self.subject, self._servers, self._base = subject, [], None
        self.patience = 1  # a factor on what eventually() waits
        if not os.path.exists(harness.BINARY):
            raise SystemExit(f"{harness.BINARY} is not there: run make")
        self.cluster = ControlPlane(**options)
        try:
            self.cluster.apply("fixture")
            self.upstream = ScriptedUpstream(outside)
            self.gate = Gate((self.cluster.address, self.cluster.port))
            with open(self.cluster.authority.cert) as f:
                self.account = Account(isolate.ACCOUNT, self.cluster.token(), f.read())
        except BaseException:
            self.cluster.close()
            raise

    # servers

    def server(self, corefile=BASE, gate=None, synced=True, **options):
        """Starts the server under test as a pod of the cluster would be; waits until it is ready. gate: another way to
        the API server; synced: False does not wait."""
        environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1",
                       "KUBERNETES_SERVICE_PORT": str((gate or self.gate).port), **options.pop("env", {})}
        server = Server(corefile and corefile.replace("UPSTREAM", self.upstream.to), env=environment, **options)
        self._servers.append(server)
        if synced:
            self.wait_ready(server)
        return server

    def wait_ready(self, server, timeout=20):
        wait_until(lambda: self.ready(server) == 200, timeout, f"/ready of the server\n{server.out[-3000:]}{server.err}")

    @staticmethod
    def ready(server):
        """The status of /ready, or None when nobody listens."""
        try:
            return server.http("/ready", server.number("http2")).status
        except OSError:
            return None

    def base(self):
        """A server with the fixture's Corefile, shared by cases that do it no harm."""
        if not self._base or not self._base.running:
            self._base = self.server()
        return self._base

    def end(self, server):
        if server is self._base:
            self._base = None
        if server in self._servers:
            self._servers.remove(server)
        if server.running:
            server.signal(signal.SIGQUIT)
            server.wait()
        server.close()

    @contextlib.contextmanager
    def serving(self, corefile=BASE, **options):
        """A server for the time of a with block."""
        server = self.server(corefile, **options)
        try:
            yield server
        finally:
            self.end(server)

    # questions

    def ask(self, server, text, client=None):
        name, qtype, *flags = text.split()
        return question.ask(server.port, name, qtype, *flags, address=isolate.OWN if client == "pod" else "127.0.0.1",
                            prefix=isolate.in_pod() if client == "pod" else ())

    def problems(self, server, text, expected, zone="cluster.local", ttl=30, client=None):
        """Sentences on what is not as expected; none when all is well."""
        name, qtype, *flags = text.split()
        try:
            reply = self.ask(server, text, client)
        except question.NoReply as e:
            return [str(e)]
        end = name.rstrip(".")[-len(zone):]
        found = expected.problems(reply, name, end if end.lower() == zone.lower() else zone, ttl)
        question_class = flags[flags.index("-c") + 1] if "-c" in flags else "IN"
        if reply.question != f"{name.rstrip('.')}. {question_class} {qtype}":
            found.append(f"question {reply.question!r} in the reply")
        return [*found, f"got {reply!r}"] if found else []

    def check(self, server, text, expected, coredns=None, **options):
        """Asks once, and fails unless the reply is as expected. coredns: what CoreDNS answers where it differs."""
        expected = coredns if coredns and self.subject == "coredns" else expected
        found = self.problems(server, text, expected, **options)
        assert not found, f"{text}: expected {expected!r}\n    " + "\n    ".join(found)

    def eventually(self, server, text, expected, timeout=10, **options):
        """Asks until the reply is as expected; returns how many seconds that took."""
        began = time.monotonic()
        while True:
            found = self.problems(server, text, expected, **options)
            if not found:
                return time.monotonic() - began
            if time.monotonic() - began > timeout * SCALE * self.patience:
                raise AssertionError(f"{text}: not within {timeout * SCALE:g} s: expected {expected!r}\n    "
                                     + "\n    ".join(found))
            time.sleep(0.02)

    # the cluster

    def put(self, *objects):
        """Creates objects, or replaces what is there (kubectl apply, server side)."""
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-",
                             stdin="\n---\n".join(json.dumps(o) for o in objects))

    def remove(self, *objects):
        self.cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-",
                             stdin="\n---\n".join(json.dumps(o) for o in objects))

    @contextlib.contextmanager
    def having(self, *objects):
        """Objects that are there for the time of a with block."""
        self.put(*objects)
        try:
            yield
        finally:
            self.remove(*objects)

    def service(self, namespace, name, spec):
        return self.having(service(namespace, name, spec))

    @contextlib.contextmanager
    def outside(self, more):
        """The stub upstream knows more, {(name, type): data}, for the time of a with block."""
        OUTSIDE.update(more)
        try:
            yield
        finally:
            for key in more:
                del OUTSIDE[key]

    @contextlib.contextmanager
    def upstream_down(self):
        """The stub upstream does not answer for the time of a with block."""
        answer, self.upstream.answer = self.upstream.answer, lambda query: None
        try:
            yield
        finally:
            self.upstream.answer = answer

    def restore_account(self):
        """The service account's files as a kubelet keeps them: a good token, the cluster's CA."""
        with open(self.cluster.authority.cert) as f:
            self.account.write(self.cluster.token(), f.read())

    def close(self):
        for server in self._servers:
            server.close()
        self.gate.close()
        self.upstream.close()
        self.cluster.close()


# objects


def service(namespace, name, spec, labels=None):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace,
            "labels": labels or {}}, "spec": spec}


def namespace(name, labels=None):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}


def endpoint(address, hostname=None, ready=True, zone=None):
    e = {"addresses": [address], "conditions": {"ready": ready}}
    return {**e, **({"hostname": hostname} if hostname else {}), **({"zone": zone} if zone else {})}


def endpointslice(namespace, name, of, endpoints, ports=(("http", 80, "TCP"),), family="IPv4", labels=None):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": {"name": name, "namespace": namespace,
                         "labels": {"kubernetes.io/service-name": of} if labels is None else labels},
            "ports": [{"name": n, "port": p, "protocol": t} for n, p, t in ports], "endpoints": list(endpoints)}


HEADLESS = {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}


def cluster_ip(address):
    return {"clusterIP": address, "ports": [{"name": "http", "port": 80}]}

