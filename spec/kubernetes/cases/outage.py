"""108-112: the API server away, restarted, restored from a backup, with other credentials."""

import signal
import time

import harness
from bed import cluster_ip, service
from cases import case
from cases.reverse import back
from expect import A, Check, Expected, NXDOMAIN
from gate import Gate
from harness import SCALE, wait_until
from steady import FIXTURE, PRESENT, Steady

S = ".svc.cluster.local"
WEB, NOSUCH = f"web.ns-a{S} A", f"nosuch.ns-a{S} A"
UNSYNCED = Check("SERVFAIL with the zone's SOA", lambda reply, asked, zone, ttl: [] if reply.rcode == "SERVFAIL" and [
    (r.name, r.type) for r in reply.authority] == [(zone + ".", "SOA")] else [f"{reply.rcode} {reply.authority}"])
# Back-off of a watch goes up to 30 s, doubled by jitter: what changed while the API server was away shows after that at the most.
CATCH_UP = 70
# A backup's content shows after that and a list that nobody but the server itself asks for.
RESTORED = 90


def gated(bed, **options):
    """A server with a way of its own to the API server."""
    way = Gate((bed.cluster.address, bed.cluster.port))
    return way, bed.serving(gate=way, **options)


@case(108, "the API server is unreachable at start")
def cold(bed):
    way, serving = gated(bed, synced=False)
    way.refuse()
    with serving as server:
        for name in (WEB, NOSUCH, f"{back('10.96.1.1')} PTR", "10-1-2-3.ns-a.pod.cluster.local A"):
            bed.check(server, name, UNSYNCED, zone="in-addr.arpa" if "PTR" in name else "cluster.local")
        bed.check(server, "ext.example A", Expected(answer=[(None, 60, "A", "192.0.2.80")], aa=False))
        assert server.http("/health").body == "OK"
        ready = server.http("/ready", server.number("http2"))
        assert ready.status == 503 and "kubernetes" in ready.body, ready
        way.open()
        # From the first answer on it is the true one: never NXDOMAIN for what is there.
        began = time.monotonic()
        while True:
            reply = bed.ask(server, WEB)
            assert reply.rcode in ("SERVFAIL", "NOERROR"), reply
            if reply.rcode == "NOERROR":
                break
            assert time.monotonic() - began < CATCH_UP * SCALE, f"no answer {CATCH_UP} s after the API server came"
        bed.wait_ready(server, CATCH_UP)
        bed.check(server, NOSUCH, NXDOMAIN)
        server.signal(signal.SIGQUIT)
        server.wait()
    way.close()


def stale_ages(server):
    """Samples that say how old the data is."""
    return {str(sorted(labels.items())): value for name, labels, value in server.metrics(server.number("http3"))
            if name.startswith("lunadns_kubernetes_") and "age" in name}


@case(109, "the API server is lost: last-known data for ever, and its age is told")
def lost(bed):
    way, serving = gated(bed)
    with serving as server, bed.service("ns-b", "kept", cluster_ip("10.96.109.1")):
        bed.eventually(server, f"kept.ns-b{S} A", A("10.96.109.1"))
        with Steady(server, {**FIXTURE, f"kept.ns-b{S}": ("A", "NOERROR", {"10.96.109.1"})}) as steady:
            ages = []
            for state in (way.refuse, way.open, way.silence):  # gone; there for a moment; gone without a word
                state()
                for _ in range(5):
                    time.sleep(1)
                    assert bed.ready(server) == 200 and server.http("/health").status == 200
                    ages.append(stale_ages(server))
            steady.check()
        if bed.subject == "lunadns":
            assert ages[0], "no metric lunadns_kubernetes_...age..."
            grown = [key for key in ages[0] if ages[4][key] - ages[0][key] >= 3]
            assert grown, f"no age grew by 3 s in 4 s without the API server: {ages[0]} {ages[4]}"
        way.open()
    way.close()


@case(110, "the API server restarts, what it remembers is too new: a relist", last=1)
def relisted(bed):
    way, serving = gated(bed)
    gone = service("ns-b", "gone-meanwhile", cluster_ip("10.96.110.1"))
    bed.put(gone)
    with serving as server:
        bed.eventually(server, f"gone-meanwhile.ns-b{S} A", A("10.96.110.1"))
        with Steady(server, FIXTURE):
            way.refuse()
            bed.remove(gone)
            with bed.service("ns-b", "new-meanwhile", cluster_ip("10.96.110.2")):
                for i in range(20):
                    bed.cluster.kubectl("annotate", "--overwrite", "namespace", "ns-empty", f"turn={i}")
                bed.cluster.etcd.compact()
                bed.cluster.restart_api()
                way.open()
                seconds = bed.eventually(server, f"new-meanwhile.ns-b{S} A", A("10.96.110.2"), CATCH_UP)
                print(f"    caught up {seconds:.1f} s after the API server was there again")
                bed.eventually(server, f"gone-meanwhile.ns-b{S} A", NXDOMAIN, CATCH_UP)
                bed.check(server, f"{back('10.96.110.1')} PTR", NXDOMAIN, zone="in-addr.arpa")
                # The same with the watch standing until the API server dies under it.
                bed.cluster.restart_api()
                bed.put(service("ns-b", "new-after", cluster_ip("10.96.110.3")))
                bed.eventually(server, f"new-after.ns-b{S} A", A("10.96.110.3"), CATCH_UP)
            bed.remove(service("ns-b", "new-after", cluster_ip("10.96.110.3")))
    way.close()


def write(bed, times):
    """So many changes of a service that no answer shows."""
    for i in range(times):
        bed.cluster.request("PATCH", "/api/v1/namespaces/ns-a/services/web", {"metadata": {"annotations": {
            "turn": str(i)}}}, kind="application/merge-patch+json")


def restore(bed, writes, overtake=0):
    """Restores a backup after some more writes: the server under test must come to what the backup has. overtake: writes
    after the restore, before the server reaches the API server again."""
    way, serving = gated(bed)
    before, after = (service("ns-b", name, cluster_ip(address)) for name, address in
                     (("backup-has", "10.96.111.1"), ("backup-lacks", "10.96.111.2")))
    bed.put(before)
    bed.cluster.etcd.save("backup")
    with serving as server:
        bed.put(after)
        bed.remove(before)
        bed.eventually(server, f"backup-lacks.ns-b{S} A", A("10.96.111.2"))
        bed.eventually(server, f"backup-has.ns-b{S} A", NXDOMAIN)
        write(bed, writes)
        with Steady(server, PRESENT):
            if overtake:
                way.refuse()
            bed.cluster.restore("backup")
            write(bed, overtake)
            way.open()
            seconds = bed.eventually(server, f"backup-has.ns-b{S} A", A("10.96.111.1"), RESTORED)
            seconds += bed.eventually(server, f"backup-lacks.ns-b{S} A", NXDOMAIN, CATCH_UP)
            print(f"    converged {seconds:.1f} s after the restore")
            bed.check(server, f"{back('10.96.111.2')} PTR", NXDOMAIN, zone="in-addr.arpa")
            with bed.service("ns-b", "after-restore", cluster_ip("10.96.111.3")):
                bed.eventually(server, f"after-restore.ns-b{S} A", A("10.96.111.3"), CATCH_UP)
            bed.remove(before)
    way.close()


@case(111, "etcd is restored from an old backup: resource versions go back by hundreds", last=1,
      coredns="a watch from a version of the future stands without a word from the API server", sometimes=True)
def restored(bed):
    restore(bed, 1500)


@case(111, "etcd is restored from a fresh backup: resource versions have overtaken the watch's", last=1,
      coredns="a watch goes on from the old version without a word from the API server", sometimes=True)
def overtaken(bed):
    restore(bed, 400, overtake=800)


def secret(name):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "kube-system"}}


def wait_refused(bed, token):
    """Waits until the API server takes a token no more."""
    config = bed.cluster.write_kubeconfig(bed.cluster.path("old.kubeconfig"), token=token)

    def refused():
        try:
            bed.cluster.kubectl(f"--kubeconfig={config}", "get", "services", "-n", "ns-a", "-o", "name")
        except AssertionError as e:
            return "Unauthorized" in str(e) or "must be logged in" in str(e)
    wait_until(refused, 40, "the old token being refused")


@case(112, "the token is replaced and the old one ends")
def token_rotated(bed):
    bed.put(secret("first"))
    old = bed.cluster.token(bound_to="first")
    bed.account.write(token=old)
    way, serving = gated(bed)
    try:
        with serving as server, Steady(server, FIXTURE):
            bed.remove(secret("first"))
            wait_refused(bed, old)
            way.cut()  # with the old token: 401 until the files change
            time.sleep(1)
            bed.restore_account()
            with bed.service("ns-b", "new-token", cluster_ip("10.96.112.1")):
                seconds = bed.eventually(server, f"new-token.ns-b{S} A", A("10.96.112.1"), 60 + CATCH_UP)
                print(f"    watching again {seconds:.1f} s after the new token was there")
    finally:
        bed.restore_account()
        way.close()


@case(112, "the cluster's CA is replaced", last=1, coredns="the CA's file is read again after five minutes")
def authority_rotated(bed):
    way, serving = gated(bed)
    with serving as server, Steady(server, FIXTURE):
        bed.cluster.change_authority()
        time.sleep(2)  # connections with the old CA's file fail meanwhile
        bed.restore_account()
        with bed.service("ns-b", "new-ca", cluster_ip("10.96.112.2")):
            seconds = bed.eventually(server, f"new-ca.ns-b{S} A", A("10.96.112.2"), 60 + CATCH_UP)
            print(f"    watching again {seconds:.1f} s after the new CA was there")
    way.close()
