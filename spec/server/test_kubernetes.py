"""The whole server with plugin kubernetes and the fake API server: what an operator meets in a cluster's life.
kubernetes.md 1.4, cases 103 to 115, where no real API server is."""

import os
import random
import shutil
import signal
import tempfile
import threading

import harness
import kube  # noqa: F401 (finds the modules below)
import fixture
import large
from directory import Directory
from faults import Fault
from server import FakeApi
from watcher import Authority, wait_until

NOERROR, NXDOMAIN, SERVFAIL = "NOERROR", "NXDOMAIN", "SERVFAIL"

COREFILE = """.:{port} {
    errors
    health 127.0.0.1:{http}
    ready 127.0.0.1:{http2}
    prometheus 127.0.0.1:{http3}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint URL
        pods insecure
        ttl 30
        OPTIONS
    }
    cache 30
    loadbalance
}
"""


class Kubernetes(harness.Case):
    def api(self, objects=None, **options):
        api = self.keep(FakeApi(**options))
        api.cluster.load(fixture.objects() if objects is None else objects, own=objects is not None)
        return api

    def cluster(self, api, options="", **more):
        return self.server(COREFILE.replace("URL", api.url).replace("OPTIONS", options), **more)

    def values(self, s, name, qtype="A"):
        return sorted(s.query(name + ".svc.cluster.local", qtype).values())

    def becomes(self, s, name, *values, qtype="A", timeout=20):
        """Waits until the name has these values."""
        wait_until(lambda: self.values(s, name, qtype) == sorted(values), timeout)

    def rcode(self, s, name, qtype="A"):
        return s.query(name, qtype).rcode

    def age(self, s, resource):
        return s.metric("lunadns_kubernetes_data_age_seconds", {"resource": resource}, port=s.number("http3"))

    def ready(self, s):
        return s.http("/ready", s.number("http2")).status


class Life(Kubernetes):
    def test_names_of_every_kind(self):
        s = self.cluster(self.api())
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        self.assertEqual(self.values(s, "dual.ns-a", "AAAA"), ["fd00:10:96::3"])
        self.assertEqual(self.values(s, "hl.ns-a"), ["10.244.2.1", "10.244.2.2", "10.244.2.3", "10.244.2.6"])
        self.assertEqual(self.values(s, "pod-0.hl.ns-a"), ["10.244.2.1", "10.244.2.6"])
        self.assertEqual(len(self.values(s, "_http._tcp.web.ns-a", "SRV")), 1)
        self.assertEqual(s.query("1.1.96.10.in-addr.arpa", "PTR").values(), ["web.ns-a.svc.cluster.local."])
        self.assertEqual(s.query("10-244-2-1.ns-a.pod.cluster.local").values(), ["10.244.2.1"])
        self.assertEqual(self.rcode(s, "no.ns-a.svc.cluster.local"), NXDOMAIN)
        self.assertEqual(self.ready(s), 200)

    def test_the_log_names_service_and_pod(self):
        """Plugin metadata: the line is CoreDNS 1.15's, to the octet."""
        objects = fixture.objects() + [fixture.pod("ns-b/asker", "Running", ["127.0.0.1"])]
        labels = ("namespace", "service", "port-name", "endpoint", "parse-error", "client-namespace", "client-pod-name")
        fields = " ".join("{/kubernetes/%s}" % label for label in labels)
        own = "errors\n    metadata\n    log . \"{name} %s {/forward/upstream}|\"\n" % fields
        corefile = COREFILE.replace("errors\n", own).replace("pods insecure", "pods verified").replace("OPTIONS", "")
        s = self.server(corefile.replace("URL", self.api(objects).url))
        for name, qtype, parts in (
            ("WEB.ns-a.svc.cluster.local", "A", "ns-a web   -"),
            ("_http._tcp.web.ns-a.svc.cluster.local", "SRV", "ns-a web http  -"),
            ("pod-0.hl.ns-a.svc.cluster.local", "A", "ns-a hl  pod-0 -"),
            ("no.cluster.local", "A", "- - - - invalid query name"),
            ("example.org", "A", "- - - - -"),
        ):
            s.query(name, qtype)
            s.wait_log(rf"^\[INFO\] {name.lower()}\. {parts} ns-b asker -\|$")

    def test_what_changes_is_in_the_next_answer(self):
        """Cases 103 to 107, in both encodings."""
        for protobuf in (True, False):
            with self.subTest(protobuf=protobuf):
                api = self.api(protobuf=protobuf)
                s, put, gone = self.cluster(api), api.cluster.put, api.cluster.delete
                self.assertEqual(self.rcode(s, "new.ns-a.svc.cluster.local"), NXDOMAIN)  # never cached
                put(fixture.service("ns-a/new", "ClusterIP", ["10.96.9.1"], fixture.HTTP))
                self.becomes(s, "new.ns-a", "10.96.9.1")
                put(fixture.service("ns-a/new", "ExternalName", [], (), {"externalName": "web.ns-b.svc.cluster.local"}))
                self.becomes(s, "new.ns-a", "web.ns-b.svc.cluster.local.", "10.96.2.1")
                put(fixture.service("ns-a/new", "ClusterIP", ["10.96.9.2"], fixture.HTTP))
                self.becomes(s, "new.ns-a", "10.96.9.2")
                gone("services", "ns-a", "new")
                wait_until(lambda: self.rcode(s, "new.ns-a.svc.cluster.local") == NXDOMAIN)
                self.assertEqual(self.rcode(s, "2.9.96.10.in-addr.arpa", "PTR"), NXDOMAIN)
                slices = api.cluster.get("endpointslices", "ns-a", "s2")
                slices["endpoints"][1]["conditions"] = {"ready": False}
                put(slices)
                self.becomes(s, "pod-0.hl.ns-a", "10.244.2.1")
                gone("endpointslices", "ns-a", "s2")
                gone("endpointslices", "ns-a", "s1")
                wait_until(lambda: self.rcode(s, "hl.ns-a.svc.cluster.local") == NOERROR and not self.values(s, "hl.ns-a"))
                gone("namespaces", "", "ns-b")
                wait_until(lambda: self.rcode(s, "web.ns-b.svc.cluster.local") == NXDOMAIN)
                self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])

    def test_without_the_api_server_nothing_is_denied(self):
        """Case 108."""
        api = self.api()
        api.stop()
        s = self.cluster(api, "startup_timeout 300ms")
        s.wait_log("plugin/kubernetes: cannot reach the API server: .*; there is no data yet")
        s.wait_log("plugin/kubernetes: starting server with unsynced Kubernetes API")
        self.assertEqual(self.rcode(s, "web.ns-a.svc.cluster.local"), SERVFAIL)
        self.assertEqual(self.rcode(s, "no.ns-a.svc.cluster.local"), SERVFAIL)
        self.assertEqual(s.http("/health").status, 200)
        page = s.http("/ready", s.number("http2"))
        self.assertEqual((page.status, page.body), (503, "kubernetes/endpointslices,kubernetes/namespaces,kubernetes/services"))
        api.start()
        wait_until(lambda: self.ready(s) == 200)
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        self.assertEqual(self.rcode(s, "no.ns-a.svc.cluster.local"), NXDOMAIN)

    def test_a_resource_that_is_forbidden_is_named(self):
        api = self.api()
        api.options.forbidden = {"endpointslices"}
        s = self.cluster(api, "startup_timeout 100ms")
        wait_until(lambda: s.http("/ready", s.number("http2")).body == "kubernetes/endpointslices")
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        self.assertEqual(self.rcode(s, "no.ns-a.svc.cluster.local"), SERVFAIL)
        s.wait_log(r"^\[ERROR\] plugin/kubernetes: not allowed to list and watch endpointslices: 403 ", 20)
        api.options.forbidden = set()
        wait_until(lambda: self.ready(s) == 200)

    def test_without_the_api_server_everything_goes_on(self):
        """Case 109."""
        api = self.api()
        s = self.cluster(api)
        api.stop()
        s.wait_log("cannot reach the API server: .*; names are answered from the last known data")
        wait_until(lambda: self.age(s, "services") >= 2)
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        self.assertEqual(self.rcode(s, "no.ns-a.svc.cluster.local"), NXDOMAIN)
        self.assertEqual(self.ready(s), 200)
        api.start()
        o = api.cluster.get("services", "ns-a", "web")
        o["spec"]["clusterIPs"] = ["10.96.1.99"]
        api.cluster.put(o)
        self.becomes(s, "web.ns-a", "10.96.1.99")

    def test_a_resource_that_is_no_longer_granted(self):
        """What is known of it stays, and its age tells that it is not of today; that of others does not grow."""
        api = self.api(bookmarks=0.1)
        s = self.cluster(api)
        api.options.forbidden = {"endpointslices"}
        api.cut()
        s.wait_log(r"^\[ERROR\] plugin/kubernetes: not allowed to list and watch endpointslices: 403 ", 20)
        wait_until(lambda: self.age(s, "endpointslices") >= 2)
        wait_until(lambda: self.age(s, "services") < 2)
        self.assertEqual(self.ready(s), 200)
        self.assertEqual(self.values(s, "pod-0.hl.ns-a"), ["10.244.2.1", "10.244.2.6"])
        api.options.forbidden = set()
        wait_until(lambda: self.age(s, "endpointslices") < 2, 40)

    def test_a_restarted_api_server_and_lost_history(self):
        """Case 110: nothing vanishes meanwhile."""
        api = self.api()
        s = self.cluster(api)
        wrong, done = [], threading.Event()

        def ask():
            while not done.is_set():
                for name, value in (("web.ns-a", "10.96.1.1"), ("pod-1.hl.ns-a", "10.244.2.2")):
                    got = self.values(s, name)
                    if got != [value]:
                        wrong.append((name, got))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for round_ in range(3):
                api.stop()
                api.cluster.put(fixture.service("ns-a/round", "ClusterIP", [f"10.96.9.{round_ + 1}"], fixture.HTTP))
                api.cluster.compact()
                api.start()
                self.becomes(s, "round.ns-a", f"10.96.9.{round_ + 1}", timeout=90)
        finally:
            done.set()
            asking.join()
        self.assertEqual(wrong, [])

    def test_a_restored_etcd(self):
        """Case 111."""
        api = self.api()
        s = self.cluster(api)
        api.cluster.put(fixture.service("ns-a/new", "ClusterIP", ["10.96.9.1"], fixture.HTTP))
        self.becomes(s, "new.ns-a", "10.96.9.1")
        api.cluster.restore(fixture.objects(), 100)
        wait_until(lambda: self.rcode(s, "new.ns-a.svc.cluster.local") == NXDOMAIN)
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])

    def test_a_token_that_is_renewed(self):
        """Case 112."""
        api = self.api(accepted=["Bearer first"])
        s = self.server(COREFILE.replace("endpoint URL", "kubeconfig {dir}/config me").replace("OPTIONS", ""), files={
            "token": "first",
            "config": f"""{{current-context: other, contexts: [{{name: me, context: {{cluster: c, user: u}}}}],
                clusters: [{{name: c, cluster: {{server: "{api.url}"}}}}], users: [{{name: u, user: {{tokenFile: token}}}}]}}"""})
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        s.write("token", "second")
        api.options.accepted = ["Bearer second"]
        api.cut()
        api.cluster.put(fixture.service("ns-a/new", "ClusterIP", ["10.96.9.1"], fixture.HTTP))
        self.becomes(s, "new.ns-a", "10.96.9.1")
        self.assertEqual(s.count_log("credentials"), 0)

    def test_tls_by_the_directive(self):
        ca = Authority(self.folder())
        api = self.api(certificate=ca.certificate(), client_ca=ca.ca)
        cert, key = ca.certificate("DNS:client")
        s = self.cluster(api, f"tls {cert} {key} {ca.ca}")
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        error = self.start_fails(COREFILE.replace("URL", api.url).replace("OPTIONS", "tls /no/cert /no/key /no/ca"))
        self.assertIn("certificate authority: /no/ca: No such file or directory", error.out + error.err)

    def folder(self):
        folder = tempfile.mkdtemp(prefix="lunadns-kube-")
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def test_nonsense_in_the_stream(self):
        """Reported with its name, and everything else is served."""
        objects = fixture.objects()
        for n, address in enumerate(("no address", "300.1.2.3", "")):
            objects.append(fixture.service(f"ns-a/bad{n}", "ClusterIP", [address], fixture.HTTP))
        objects.append(fixture.slice_of("ns-a/hl", "strange", "IPv9", [fixture.end("10.244.2.99", "pod-9")]))
        many = [fixture.end(f"10.245.{n >> 8}.{n & 255}", f"m{n}") for n in range(1000)]
        objects.append(fixture.slice_of("ns-a/hl-none", "many", "IPv4", many))
        api = self.api(objects)
        for fault in ({"cut": 500}, {"corrupt": 300}, {"body": b"<html>", "content_type": "text/html"}):
            api.faults.add(Fault("services", **fault))
        s = self.cluster(api)
        wait_until(lambda: self.ready(s) == 200)
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        self.assertEqual(self.values(s, "m999.hl-none.ns-a"), ["10.245.3.231"])
        self.assertEqual(self.rcode(s, "pod-9.hl.ns-a.svc.cluster.local"), NXDOMAIN)
        s.wait_log(r"^\[WARNING\] plugin/kubernetes: Service ns-a/bad1: .*300.1.2.3")

    def test_a_reload_keeps_the_watch(self):
        api = self.api()
        s = self.cluster(api)
        before = len(api.served())
        s.write("Corefile", COREFILE.replace("URL", api.url).replace("OPTIONS", "").replace("ttl 30", "ttl 7"))
        s.reload()
        reply = s.query("web.ns-a.svc.cluster.local")
        self.assertEqual((reply.values(), reply.answer[0].ttl), (["10.96.1.1"], 7))
        self.assertEqual(len(api.served()), before)

    def test_churn_under_questions(self):
        """Whatever happens to the connection, the answers end up as the cluster is."""
        dice = random.Random(5)
        api = self.api(bookmarks=0.05)
        s = self.cluster(api, "apiserver_qps 1000\napiserver_burst 1000")
        wanted = {}
        for n in range(300):
            name = f"c{dice.randrange(20)}"
            if dice.random() < 0.3 and wanted.get(name):
                api.cluster.delete("services", "ns-b", name)
                wanted[name] = None
            else:
                wanted[name] = f"10.98.0.{n % 250}"
                api.cluster.put(fixture.service(f"ns-b/{name}", "ClusterIP", [wanted[name]], fixture.HTTP))
            if dice.random() < 0.02:
                api.cut()
            if dice.random() < 0.02:
                api.cluster.compact()
            self.values(s, f"{name}.ns-b")
        for name, address in wanted.items():
            self.becomes(s, f"{name}.ns-b", *([address] if address else []))
            self.assertEqual(self.rcode(s, f"{name}.ns-b.svc.cluster.local"), NOERROR if address else NXDOMAIN)


class Scale(Kubernetes):
    def test_ten_thousand_services(self):
        """Case 115."""
        api = self.api(large.objects())
        s = self.cluster(api, "startup_timeout 60s", start_timeout=90)
        for n in random.Random(1).sample(range(10000), 500):
            space, name = large.place(n, 1000)
            self.assertEqual(self.values(s, f"{name}.{space}"), [f"10.96.{n >> 8}.{n & 255}"])
        first = s.rss()
        for round_ in range(3):  # the same list again, in place
            api.cluster.compact()
            for plural in ("services", "endpointslices", "namespaces"):
                key, stored = next(iter(api.cluster.held[plural].items()))
                api.cluster.put(stored.object)
            name, address = f"mark{round_}", f"10.200.0.{round_}"
            api.cluster.put(fixture.service(f"team-0001/{name}", "ClusterIP", ["None"], fixture.HTTP))
            api.cluster.put(fixture.slice_of(f"team-0001/{name}", name, "IPv4", [fixture.end(address)]))
            api.cluster.compact()
            api.cut()
            self.becomes(s, f"{name}.team-0001", address, timeout=90)
        if not harness.SANITIZED:
            self.assertLess(first, 60 << 20)
            self.assertLess(s.rss(), first * 1.15)


class Seed(Kubernetes):
    def test_the_usual_corefile(self):
        """A name inside the cluster and one outside it, both logged."""
        api = self.api()
        up = self.upstream(harness.addresses(value="192.0.2.7"))
        s = self.server(""".:{port} {
    log
    errors
    health 127.0.0.1:{http}
    ready 127.0.0.1:{http2}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint URL
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus 127.0.0.1:{http3}
    hosts {
        192.0.2.1 oracle.test
        fallthrough
    }
    forward . UPSTREAM
    cache 30
    loop
    reload
    loadbalance
}
""".replace("URL", api.url).replace("UPSTREAM", up.to))
        self.assertEqual(self.values(s, "web.ns-a"), ["10.96.1.1"])
        self.assertEqual(s.query("outside.test").values(), ["192.0.2.7"])
        self.assertEqual(s.query("oracle.test").values(), ["192.0.2.1"])
        self.assertEqual(self.ready(s), 200)
        s.wait_log(r'"A IN web\.ns-a\.svc\.cluster\.local\. udp .*" NOERROR ')
        s.wait_log(r'"A IN outside\.test\. udp .*" NOERROR ')
        s.stop(signal.SIGQUIT)


class Tools(Directory):
    def corefile(self, options=""):
        self.write("Corefile", ". {\n kubernetes cluster.local {\n  %s\n }\n}\n" % options)

    def test_check_watches_nothing_and_waits_for_nothing(self):
        with FakeApi() as api:
            self.corefile("endpoint " + api.url)
            self.assertEqual(self.tool("check"), (0, "Corefile: 1 server block, 1 plugin: good\n", ""))
            self.assertEqual(api.requests, [])

    def test_check_reads_the_credentials_that_the_corefile_names(self):
        self.corefile("kubeconfig none")
        self.assertEqual(self.tool("check"), (1, "", "Corefile:2: plugin/kubernetes: kubeconfig none: No such file or directory\n"))
        self.corefile("endpoint https://192.0.2.1\n  tls none none none")
        code, _, err = self.tool("check")
        self.assertEqual(code, 1)
        self.assertIn("none: No such file or directory", err)

    def test_check_outside_a_cluster(self):
        self.corefile()
        away = {"KUBERNETES_SERVICE_HOST": "", "KUBERNETES_SERVICE_PORT": ""}
        self.assertEqual(self.tool("check", env=away)[0], 0)
        inside = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "443"}
        token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
        code, _, err = self.tool("check", env=inside)
        self.assertEqual(code, 0 if os.path.exists(token) else 1)
        self.assertIn("" if code == 0 else f"bearer token: {token}: No such file", err)

    def test_trace_asks_the_cluster(self):
        with FakeApi() as api:
            api.cluster.load(fixture.objects())
            self.corefile("endpoint " + api.url)
            code, out, err = self.tool("trace", "web.ns-a.svc.cluster.local", "A")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("answer:     web.ns-a.svc.cluster.local. 5 IN A 10.96.1.1\n", out)
