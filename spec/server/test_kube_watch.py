"""List and watch against an API server that does as it should, in each way that servers do. kubernetes.md 3.1 to 3.3."""

import random
import threading
import time

import harness
import kube  # noqa: F401 (finds the modules below)
import fixture
from watcher import WatchCase, Watcher, wait_until


class Listing(WatchCase):
    def test_a_watchlist_brings_everything_and_its_changes(self):
        api = self.api()
        w = self.watcher(api).synced()
        self.agrees(api, w)
        self.arrives(api, w)
        self.assertEqual({r.task for r in api.served()}, {"initial"})
        self.assertEqual(len(api.served()), 3)
        query = api.served("services")[0].query
        self.assertEqual((query["sendInitialEvents"], query["resourceVersionMatch"], query["resourceVersion"],
                          query["allowWatchBookmarks"]), ("true", "NotOlderThan", "", "true"))
        self.assertTrue(300 <= int(query["timeoutSeconds"]) <= 600)
        self.assertEqual(w.log("."), [])

    def test_who_we_are_and_what_we_take(self):
        api = self.api()
        self.watcher(api, kinds=("services", "namespaces", "serviceimports")).synced("services", "namespaces", "serviceimports")
        for r in api.served():
            self.assertRegex(r.headers["User-Agent"], r"^lunadns/\d")
        accept = {r.resource: r.headers["Accept"] for r in api.served()}
        self.assertEqual(accept["services"], "application/vnd.kubernetes.protobuf,application/json")
        self.assertTrue(accept["namespaces"].startswith("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;"))
        self.assertEqual(accept["serviceimports"], "application/json")

    def test_a_server_without_watchlist_is_listed(self):
        api = self.api(watchlist=False)
        w = self.watcher(api).synced()
        self.agrees(api, w)
        self.arrives(api, w)
        tasks = [r.task for r in api.served("services")]
        self.assertEqual(tasks, ["initial", "list", "watch"])
        self.assertEqual(api.served("services", "list")[0].query, {"limit": "500", "resourceVersion": "0"})
        self.assertEqual(api.served("services", "watch")[0].query["resourceVersion"], "1048")
        self.assertEqual(w.log("."), [])

    def test_a_server_without_protobuf_sends_json(self):
        for watchlist in (True, False):
            api = self.api(protobuf=False, watchlist=watchlist)
            w = self.watcher(api).synced()
            self.agrees(api, w)
            self.arrives(api, w)

    def test_long_lists_come_in_pages(self):
        api = self.api(fixture.objects() + [fixture.service(f"ns-b/s{n}", "ClusterIP", [f"10.97.{n >> 8}.{n & 255}"],
                                                            fixture.HTTP) for n in range(1200)], watchlist=False)
        w = self.watcher(api, kinds=("services",), quiet=1).synced("services")
        self.assertEqual(len(api.served("services", "list")), 1)  # from the server's cache, which knows no pages
        wait_until(lambda: api.served("services", "watch"))
        mark = w.mark()
        api.cluster.compact()
        self.change(api, "ns-b/s1")
        api.cluster.compact()
        api.cut()
        w.expect("^end services 1223 ", after=mark)
        pages = api.served("services", "list")[-3:]
        self.assertEqual([p.query.get("limit") for p in pages], ["500"] * 3)
        self.assertEqual(["continue" in p.query for p in pages], [False, True, True])
        self.assertNotIn("resourceVersion", pages[1].query)

    def test_a_continue_token_that_expires_leads_to_a_whole_list(self):
        many = [fixture.service(f"ns-b/s{n}", "ClusterIP", ["10.97.0.1"], fixture.HTTP) for n in range(600)]
        api = self.api(many, watchlist=False)
        w = self.watcher(api, kinds=("services",), quiet=1).synced("services")
        wait_until(lambda: api.served("services", "watch"))
        mark = w.mark()
        self.fault(api, "services", "list", status=410, pages=True, reason="Expired")
        api.cluster.compact()
        self.change(api, "ns-b/s1")
        api.cluster.compact()
        api.cut()
        w.expect("^end services 600 ", after=mark)
        self.assertEqual(api.served("services", "list")[-1].query, {})

    def test_a_bookmark_is_where_the_next_watch_begins(self):
        api = self.api(bookmarks=0.05)
        w = self.watcher(api, kinds=("services",)).synced("services")
        self.change(api, "ns-a/web-1", "endpointslices")  # moves the version, but no service
        version = api.cluster.version
        self.lasts(0.3)
        api.cut()
        wait_until(lambda: len(api.served("services", "watch")) >= 1)
        self.assertEqual(api.served("services", "watch")[0].query["resourceVersion"], str(version))
        self.assertEqual(len(api.served("services", "initial")), 1)
        self.arrives(api, w)

    def test_a_watch_that_ends_in_time_goes_on_from_where_it_was(self):
        api = self.api()
        w = self.watcher(api, kinds=("services",), watch_seconds=1).synced("services")
        wait_until(lambda: len(api.served("services", "watch")) >= 2)
        self.arrives(api, w)
        self.assertEqual(len(api.served("services", "initial")), 1)
        self.assertEqual(api.served("services", "list"), [])  # no check either: nothing was lost
        self.assertEqual(w.log("."), [])

    def test_everything_is_listed_anew_from_time_to_time(self):
        api = self.api()
        w = self.watcher(api, kinds=("services",), relist=300).synced("services")
        wait_until(lambda: len(api.served("services", "initial")) >= 3)
        self.assertEqual(api.served("services", "initial")[-1].query["resourceVersion"], "")
        self.assertEqual(w.count_log("^remove"), 0)
        self.agrees(api, w, ("services",))


class Scope(WatchCase):
    def test_selectors_go_to_the_server(self):
        objects = fixture.objects()
        for o in objects:
            if o["metadata"]["name"] in ("web", "web-1", "ns-a"):
                o["metadata"]["labels"] = {**o["metadata"].get("labels", {}), "app": "x"}
        api = self.api(objects)
        w = self.watcher(api, labels="app=x", namespace_labels="app in (x)",
                         kinds=("services", "endpointslices", "namespaces", "pods")).synced()
        self.assertEqual(sorted(w.held()), ["EndpointSlice ns-a/web-1", "Namespace ns-a", "Service ns-a/web", "Service ns-b/web"])
        self.assertEqual(api.served("endpointslices")[0].query["labelSelector"], "kubernetes.io/service-name,app=x")
        # A label that goes takes the object out of what is seen.
        o = api.cluster.get("services", "ns-b", "web")
        del o["metadata"]["labels"]["app"]
        api.cluster.put(o)
        w.expect("^remove Service ns-b/web")

    def test_pods_that_have_ended_are_not_asked_for(self):
        api = self.api()
        w = self.watcher(api, kinds=("pods",)).synced("pods")
        self.assertEqual(sorted(w.held()), ["Pod ns-a/p1", "Pod ns-a/p4", "Pod ns-b/p3"])
        w.expect(r"^put Pod ns-a/p4 \d+ 10.244.9.11 fd00:10:244:9::b$")
        o = api.cluster.get("pods", "ns-a", "p1")
        o["status"]["phase"] = "Failed"
        api.cluster.put(o)
        w.expect("^remove Pod ns-a/p1")

    def test_slices_of_no_service_are_not_asked_for(self):
        stray = fixture.slice_of("ns-a/web", "stray", "IPv4", [fixture.end("10.244.7.7")])
        del stray["metadata"]["labels"]["kubernetes.io/service-name"]
        api = self.api(fixture.objects() + [stray])
        w = self.watcher(api).synced()
        self.assertNotIn("EndpointSlice ns-a/stray", w.held())

    def test_multicluster_objects(self):
        imported = {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport",
                    "metadata": {"name": "web", "namespace": "ns-a"},
                    "spec": {"type": "ClusterSetIP", "ips": ["10.1.0.1"], "ports": [{"port": 80, "protocol": "TCP"}]}}
        theirs = fixture.slice_of("ns-a/web", "web-east", "IPv4", [fixture.end("10.9.0.1")])
        theirs["metadata"]["labels"] = {"multicluster.kubernetes.io/service-name": "web",
                                        "multicluster.kubernetes.io/source-cluster": "east"}
        api = self.api([imported, theirs])
        w = self.watcher(api, kinds=("serviceimports", "import slices")).synced("serviceimports", "endpointslices")
        w.expect(r"^put ServiceImport ns-a/web \d+ 10.1.0.1$")
        w.expect(r"^put EndpointSlice ns-a/web-east \d+ 10.9.0.1$")

    def test_few_namespaces_are_watched_one_by_one(self):
        api = self.api()
        w = self.watcher(api, namespaces="ns-a,svc").synced()
        self.assertEqual({r.space for r in api.served("services")}, {"ns-a", "svc"})
        self.assertEqual({r.space for r in api.served("namespaces")}, {None})
        self.assertEqual({k.split(" ")[1].split("/")[0] for k in w.held()}, {"ns-a", "svc"})
        self.assertEqual(w.count_log("^end services"), 1)  # one list of all
        self.arrives(api, w)
        # What one of them has to list anew, all have to.
        mark = w.mark()
        api.cluster.compact()
        self.change(api)
        api.cluster.compact()
        api.cut()
        w.expect("^end services 19 ", after=mark)
        self.assertEqual({k.split(" ")[1].split("/")[0] for k in w.held()}, {"ns-a", "svc"})

    def test_what_goes_while_a_list_breaks_off_is_gone(self):
        for spaces in (None, "ns-a", "ns-a,ns-empty"):
            with self.subTest(spaces=spaces):
                api = self.api()
                self.fault(api, "services", "initial", cut=3000, times=2 if spaces == "ns-a,ns-empty" else 1)
                w = self.watcher(api, namespaces=spaces, kinds=("services",), backoff_first=1000)
                w.expect("^put Service ns-a/1st ")
                api.cluster.delete("services", "ns-a", "1st")
                w.synced("services")
                wait_until(lambda: "Service ns-a/1st" not in w.held())
                self.assertIn("Service ns-a/web", w.held())

    def test_of_many_namespaces_all_are_watched_and_the_rest_is_dropped(self):
        api = self.api()
        w = self.watcher(api, namespaces="ns-a,svc,a,b,c").synced()
        self.assertEqual({r.space for r in api.served()}, {None})
        self.assertEqual({k.split(" ")[1].split("/")[0] for k in w.held()}, {"ns-a", "svc"})

    def test_one_namespace_is_asked_for_by_name(self):
        api = self.api()
        w = self.watcher(api, namespaces="ns-b", kinds=("namespaces",)).synced("namespaces")
        self.assertEqual(list(w.held()), ["Namespace ns-b"])
        self.assertEqual(api.served("namespaces")[0].query["fieldSelector"], "metadata.name=ns-b")


class Limits(WatchCase):
    def test_qps_and_burst(self):
        api = self.api()
        w = self.watcher(api, qps=5, burst=1).synced()
        at = [r.at for r in api.served()]
        self.assertEqual(len(at), 3)
        self.assertGreaterEqual(at[2] - at[0], 0.3)
        samples = harness.parse_metrics(w.metrics())
        name = "coredns_kubernetes_rest_client_rate_limiter_duration_seconds"
        host = api.url.partition("//")[2]
        self.assertIn((name + "_count", {"verb": "GET", "host": host}, 3.0), samples)
        waited = [v for n, _, v in samples if n == name + "_sum"][0]
        self.assertGreaterEqual(waited, 0.5)

    def test_lists_at_once(self):
        api = self.api()
        self.fault(api, "services", "initial", no_end=True)  # it never ends
        self.watcher(api, max_inflight=1, initial=500).synced()
        first, second = api.served()[:2]
        self.assertGreaterEqual(second.at - first.at, 0.4)

    def test_metrics_of_requests(self):
        api = self.api(watchlist=False)
        w = self.watcher(api).synced()
        wait_until(lambda: len(api.served(task="watch")) == 3)
        host = api.url.partition("//")[2]
        samples = harness.parse_metrics(w.metrics())
        name = "coredns_kubernetes_rest_client_requests_total"
        self.assertIn((name, {"code": "422", "method": "GET", "host": host}, 3.0), samples)
        self.assertIn((name, {"code": "200", "method": "GET", "host": host}, 6.0), samples)
        self.assertIn(("coredns_kubernetes_rest_client_request_duration_seconds_count", {"verb": "GET", "host": host}, 9.0),
                      samples)


class Churn(WatchCase):
    """Random changes, cut connections and lost histories: the store always ends up with what the cluster holds."""

    def churn(self, seed, **options):
        dice = random.Random(seed)
        api = self.api(bookmarks=0.05, **options)
        w = self.watcher(api, watch_seconds=1, burst=1000, qps=1000, relist=2000).synced()
        for n in range(400):
            space, name = dice.choice(("ns-a", "ns-b")), f"c{dice.randrange(20)}"
            if dice.random() < 0.3:
                try:
                    api.cluster.delete("services", space, name)
                except KeyError:
                    pass
            else:
                api.cluster.put(fixture.service(f"{space}/{name}", "ClusterIP", [f"10.98.0.{n % 250}"], fixture.HTTP))
            if dice.random() < 0.02:
                api.cut()
            if dice.random() < 0.02:
                api.cluster.compact()
            if dice.random() < 0.01:
                self.fault(api, None, "stream", cut=dice.randrange(3000))
            if dice.random() < 0.2:
                time.sleep(0.005)
        api.faults.clear()
        self.agrees(api, w, timeout=20)
        w.stop()

    def test_protobuf_and_watchlist(self):
        self.churn(1)

    def test_protobuf_and_list(self):
        self.churn(2, watchlist=False, gone_by_http=True)

    def test_json(self):
        self.churn(3, protobuf=False)


class Ending(WatchCase):
    def test_it_ends_at_once_whatever_it_does(self):
        api = self.api(objects=[])
        for fault in ({}, {"silent": True}, {"silent": True, "before_head": True}, {"status": 503}):
            api.faults.clear()
            if fault:
                self.fault(api, times=None, **fault)
            w = self.watcher(api)
            wait_until(lambda: len(api.served()) >= 3)
            began = time.monotonic()
            w.stop()
            self.assertLess(time.monotonic() - began, 5 * harness.SCALE)
            api.requests.clear()

    def test_many_at_once_do_not_disturb_each_other(self):
        api = self.api()
        watchers = []
        threads = [threading.Thread(target=lambda: watchers.append(Watcher(api))) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for w in watchers:
            self.keep(w).synced()
        self.arrives(api, watchers[0])
        for w in watchers:
            self.agrees(api, w)
            w.stop()
