"""API servers that refuse, lie, go back in time, break off and fall silent. kubernetes.md 3.2 and 7, cases 108 to 112."""

import harness
import kube  # noqa: F401 (finds the modules below)
import fixture
from watcher import WatchCase, wait_until

HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"


class FaultCase(WatchCase):
    def nothing_vanished(self, w):
        self.assertEqual(w.count_log("^remove"), 0)


class Refusals(FaultCase):
    def test_an_old_version_leads_to_a_new_list(self):
        """Case 110: 410 as an event and as a status, with and without WatchList."""
        for options in ({}, {"gone_by_http": True}, {"watchlist": False}, {"protobuf": False},
                        {"watchlist": False, "protobuf": False, "gone_by_http": True}):
            with self.subTest(options=options):
                api = self.api(**options)
                w = self.watcher(api).synced()
                mark = w.mark()
                self.change(api)
                self.change(api, "ns-a/web-1", "endpointslices")
                api.cluster.put(fixture.namespace("ns-new"))
                self.agrees(api, w)
                api.stop()
                api.cluster.delete("services", "ns-a", "lb")
                self.change(api)
                self.change(api, "ns-a/web-1", "endpointslices")
                api.cluster.put(fixture.namespace("ns-newer"))
                api.cluster.compact()
                self.change(api)
                api.start()
                w.synced("services", after=mark)
                self.agrees(api, w)
                self.nothing_vanished(w)
                task = "list" if "watchlist" in options else "initial"
                self.assertIn(api.served("services", task)[-1].query.get("resourceVersion"), ("", None))

    def test_a_410_event_in_the_middle_of_a_watch(self):
        api = self.api(watchlist=False)
        self.fault(api, "services", "watch", event=410)
        w = self.watcher(api, kinds=("services",)).synced("services")
        wait_until(lambda: len(api.served("services", "list")) >= 2)
        self.arrives(api, w)
        self.assertEqual(w.log("."), [])  # ordinary
        self.nothing_vanished(w)

    def test_too_many_requests(self):
        api = self.api(watchlist=False)
        self.fault(api, "services", "list", status=429, retry_after=1)
        w = self.watcher(api, kinds=("services",)).synced("services")
        lists = api.served("services", "list")
        self.assertGreaterEqual(lists[1].at - lists[0].at, 1)
        # In the place of a watch: the same watch again, no list.
        wait_until(lambda: len(api.served("services", "watch")) == 1)
        self.fault(api, "services", "watch", status=429, retry_after=1)
        api.cut()
        wait_until(lambda: len(api.served("services", "watch")) >= 3)
        first, refused, again = api.served("services", "watch")[:3]
        self.assertGreaterEqual(again.at - refused.at, 1)
        self.assertEqual(again.query["resourceVersion"], refused.query["resourceVersion"])
        self.assertEqual(sum("limit" in r.query and r.query["limit"] == "500" for r in api.served("services", "list")), 2)
        self.arrives(api, w)
        wait_until(lambda: len(w.log(": 429 ")) == 2)  # in between all was well
        wait_until(lambda: len(w.log("answers again")) == 2)

    def test_too_many_requests_from_the_outer_filter(self):
        """It answers in plain text."""
        api = self.api()
        self.fault(api, "services", http=429, body=b"Too many requests, please try again later.\n", times=2,
                   content_type="text/plain; charset=utf-8")
        w = self.watcher(api).synced()
        self.agrees(api, w)
        self.said_once(w, "429 the server.* text/plain.*: Too many requests")

    def test_a_version_in_the_future(self):
        api = self.api()
        self.fault(api, "services", "initial", status=504, too_large=True, retry_after=1,
                   message="Too large resource version: 9, current: 3")
        w = self.watcher(api, kinds=("services",)).synced("services")
        self.assertEqual([r.query["resourceVersion"] for r in api.served("services")], ["", ""])
        self.arrives(api, w)

    def test_forbidden_is_said_once_and_touches_nothing_else(self):
        api = self.api()
        api.options.forbidden = {"endpointslices"}
        w = self.watcher(api).synced("services", "namespaces")
        wait_until(lambda: len(api.served("endpointslices")) >= 5)
        self.arrives(api, w)
        w.expect(": 403 ")
        lines = w.log(".")
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r'^\[ERROR\] plugin/kubernetes: not allowed to list and watch endpointslices: 403 '
                                   r'endpointslices is forbidden: User "system:serviceaccount:kube-system:coredns" cannot')
        api.options.forbidden = set()
        w.synced("endpointslices")
        w.expect(r"^\[INFO\] plugin/kubernetes: the API server at \S+ answers again, after \d+ s")

    def test_a_server_that_does_not_know_its_rules_yet(self):
        """As one does that has just started."""
        api = self.api()
        self.fault(api, "services", status=403, times=2)
        self.fault(api, "namespaces", status=401, times=2)
        w = self.watcher(api).synced()
        w.expect("answers again")
        self.assertEqual(w.count_log(": 40[13] "), 0)

    def test_a_resource_that_is_not_there(self):
        api = self.api()
        self.fault(api, "serviceimports", times=3, http=404, body=b"404 page not found\n", content_type="text/plain")
        w = self.watcher(api, kinds=("services", "serviceimports")).synced("services", "serviceimports")
        self.said_once(w, "knows no serviceimports: 404")

    def test_errors_come_less_and_less_often(self):
        api = self.api()
        self.fault(api, "services", status=500, times=7)
        w = self.watcher(api, kinds=("services",), backoff_first=100, backoff_most=800).synced("services")
        at = [r.at for r in api.served("services")]
        gaps = [b - a for a, b in zip(at, at[1:])]
        self.assertEqual(len(gaps), 7)
        self.assertGreaterEqual(sum(gaps), (0.1 + 0.2 + 0.4 + 4 * 0.8) / 2 - 0.05, gaps)
        self.assertLess(gaps[-1], 3.2, gaps)  # without a bound it would be that long
        self.said_once(w, ": 500 ")

    def test_a_watch_that_ends_at_once_is_not_a_flood(self):
        api = self.api(watchlist=False)
        self.fault(api, "services", "watch", times=None, body=b"", content_type="application/json")
        self.watcher(api, kinds=("services",), backoff_first=100, backoff_most=400, brief=1000, qps=1000,
                     burst=1000).synced("services")
        self.lasts(1)
        self.assertLess(len(api.served("services")), 14 * harness.SCALE)

    def test_health_resets_the_back_off(self):
        api = self.api(watchlist=False)
        self.fault(api, "services", "list", status=500, times=8)
        w = self.watcher(api, kinds=("services",), healthy=100, backoff_first=20, backoff_most=60000).synced("services")
        self.arrives(api, w)
        self.lasts(0.2)
        api.cut()
        wait_until(lambda: len(api.served("services", "watch")) == 2, 2.5)  # 10 to 20 ms, not 2.6 to 5.1 s


class Time(FaultCase):
    def test_versions_that_go_backwards(self):
        """Case 111: an etcd restored from a backup."""
        for options in ({}, {"watchlist": False}):
            with self.subTest(options=options):
                api = self.api(**options)
                w = self.watcher(api).synced()
                wait_until(lambda: len(api.served(task="watch" if options else "initial")) >= 3)
                self.arrives(api, w)
                api.cluster.restore([o for o in fixture.objects() if o["metadata"]["name"] != "lb"], 100)
                self.agrees(api, w)
                self.assertNotIn("Service ns-a/lb", w.held())
                w.expect(r"resourceVersion 1\d\d after 10\d\d was seen: its data has gone back in time")
                self.arrives(api, w)

    def test_versions_that_go_backwards_with_a_server_that_knows_no_rules_yet(self):
        """It refuses the question that would have shown it."""
        api = self.api(watchlist=False)
        w = self.watcher(api, kinds=("services",), qps=1000, burst=1000).synced("services")
        wait_until(lambda: api.served("services", "watch"))
        self.fault(api, "services", "list", status=403, times=2)
        api.cluster.restore([o for o in fixture.objects() if o["metadata"]["name"] != "lb"], 100)
        w.expect("its data has gone back in time")
        self.agrees(api, w, ("services",))

    def test_versions_that_go_backwards_behind_a_watch_that_stays(self):
        """It waits for a version that may not come for weeks. Its silence gives it away."""
        api = self.api(bookmarks=0.1)
        w = self.watcher(api, silence=600).synced()
        api.cluster.restore([o for o in fixture.objects() if o["metadata"]["name"] != "lb"], 100, quietly=True)
        self.agrees(api, w)
        w.expect("its data has gone back in time")

    def test_versions_that_go_backwards_within_a_watch(self):
        api = self.api()
        w = self.watcher(api, kinds=("services",)).synced("services")
        with api.cluster.changed:
            api.cluster.version = 500
            space, name = "ns-a", "web"
            o = api.cluster.get("services", space, name)
            api.cluster.events["services"].clear()
            version = api.cluster.put(o)
            api.cluster.events["services"][-1].version = 5000  # sent, although the watch is past it
        w.expect(rf"resourceVersion {version} came after 1048: its data has gone back in time")
        self.agrees(api, w, ("services",))


class Connections(FaultCase):
    def test_a_server_that_is_not_there_at_the_start(self):
        """Case 108."""
        api = self.api()
        api.stop()
        w = self.watcher(api, repeat=60000)
        w.expect(r"^\[WARNING\] plugin/kubernetes: cannot reach the API server: 127.0.0.1:\d+: Connection refused; there is no "
                 "data yet")
        self.lasts(0.7)
        self.assertEqual(len(w.log(".")), 1, w.log("."))  # of all three resources together
        api.start()
        w.synced()
        self.agrees(api, w)
        w.expect(r"answers again, after \d+ s")

    def test_a_server_that_goes_away(self):
        """Case 109: everything stays, its age grows, and the watch goes on where it was."""
        api = self.api(bookmarks=0.1)
        w = self.watcher(api).synced()
        version = self.change(api)
        w.expect(f"^put Service ns-a/web {version} ")
        held = w.held()
        api.stop()
        w.expect("cannot reach the API server: .*; names are answered from the last known data")
        self.assertEqual(w.held(), held)
        wait_until(lambda: self.age(w, "services") >= 1.5)
        api.start()
        wait_until(lambda: self.age(w, "services") < 1)
        self.arrives(api, w)
        self.assertEqual(len(api.served("services", "initial")), 1)
        self.assertEqual(w.count_log("^begin services"), 1)
        self.nothing_vanished(w)

    def age(self, w, resource):
        return [v for name, labels, v in harness.parse_metrics(w.metrics())
                if name == "lunadns_kubernetes_data_age_seconds" and labels == {"resource": resource}][0]

    def test_a_connection_that_falls_silent(self):
        api = self.api(watchlist=False)
        self.fault(api, "services", "watch", silent=True)
        w = self.watcher(api, kinds=("services",), silence=400).synced("services")
        w.expect("nothing was heard for 0 s")
        self.arrives(api, w)
        self.assertGreaterEqual(len(api.served("services", "list")), 2)  # the list and a check

    def test_a_server_that_takes_and_says_nothing(self):
        api = self.api()
        self.fault(api, "services", silent=True, before_head=True)
        w = self.watcher(api, silence=400).synced()
        self.agrees(api, w)

    def test_bookmarks_keep_a_watch_from_being_silent(self):
        api = self.api(bookmarks=0.1)
        w = self.watcher(api, kinds=("services",), silence=1000).synced("services")
        self.lasts(2)
        self.assertEqual(len(api.served("services")), 1)
        self.arrives(api, w)

    def test_a_watchlist_without_an_end(self):
        api = self.api()
        self.fault(api, "services", "initial", no_end=True, times=None)
        w = self.watcher(api, initial=300).synced()
        self.agrees(api, w)
        wait_until(lambda: [r.task for r in api.served("services")] == ["initial", "list", "watch"])

    def test_a_way_that_bears_no_watchlist(self):
        """Something between cuts it each time."""
        api = self.api()
        self.fault(api, "services", "initial", cut=1000, times=None)
        w = self.watcher(api).synced()
        self.agrees(api, w)
        self.assertEqual(len(api.served("services", "initial")), 3)

    def test_streams_that_break_off_anywhere(self):
        for options in ({}, {"watchlist": False}, {"protobuf": False}, {"watchlist": False, "protobuf": False}):
            with self.subTest(options=options):
                api = self.api(**options)
                for cut in (0, 1, 5, 40, 300, 1000, 3000):
                    self.fault(api, "services", cut=cut)
                w = self.watcher(api, kinds=("services",), backoff_first=5, backoff_most=5, qps=1000,
                                 burst=1000).synced("services")
                self.agrees(api, w, ("services",))
                self.arrives(api, w)
                self.nothing_vanished(w)

    def test_streams_with_a_wrong_octet(self):
        """What is read then may be wrong, until a list corrects it; what is noticed leads to one at once."""
        for options in ({}, {"watchlist": False}, {"protobuf": False}, {"watchlist": False, "protobuf": False}):
            with self.subTest(options=options):
                api = self.api(**options)
                for at in (0, 2, 9, 33, 111, 333, 1111, 3333):
                    self.fault(api, "services", corrupt=at)
                w = self.watcher(api, kinds=("services",), backoff_first=5, backoff_most=5, qps=1000, burst=1000,
                                 relist=300, initial=300).synced("services")
                self.agrees(api, w, ("services",))
                w.stop()

    def test_slow_streams(self):
        api = self.api()
        self.fault(api, "services", slow=20000)
        w = self.watcher(api, silence=300, initial=300)
        w.synced("endpointslices", "namespaces")
        w.synced("services")
        self.agrees(api, w)


class Nonsense(FaultCase):
    def meets(self, pattern, *lines, resource="services", **what):
        api = self.api()
        self.fault(api, resource, times=3, **what)
        w = self.watcher(api).synced()
        self.agrees(api, w)
        self.said_once(w, pattern)

    def test_html(self):
        self.meets("failed to list services: the server, or a proxy before it, sent text/html: <!DOCTYPE html>", body=HTML,
                   content_type="text/html")
        self.meets("failed to list services: 503 the server, or a proxy before it, sent text/html: <!DOCTYPE html>", http=503,
                   body=HTML, content_type="text/html")

    def test_html_that_says_it_is_json_or_protobuf(self):
        self.meets('failed to list services: expected the "{" of JSON, the server sent: <!DOCTYPE html> <html>', body=HTML)
        self.meets("failed to list services: a watch frame of", body=HTML,
                   content_type="application/vnd.kubernetes.protobuf;stream=watch")

    def test_a_status_in_the_place_of_events(self):
        self.meets("failed to list services: 500 etcdserver: request timed out",
                   body=b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":'
                        b'"etcdserver: request timed out","code":500}')

    def test_another_resource(self):
        self.meets('failed to list services: expected a Service, the server sent "Pod"',
                   body=b'{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"x"}}}')

    def test_nothing(self):
        self.meets("failed to list services: it ended before it was whole", body=b"")

    def test_a_redirect(self):
        self.meets("failed to list services: 302", http=302, body=b"{}")

    def test_a_log_line_is_one_line(self):
        self.meets(r"500 one \[INFO\] two$", status=500, message="one\n[INFO] two")

    def test_objects_that_cannot_be_used_are_named_once(self):
        api = self.api()
        api.cluster.put(fixture.service("ns-a/unusable", "ClusterIP", ["10.0.0.1"], ()))
        w = self.watcher(api).synced()
        for _ in range(3):
            self.change(api, "ns-a/unusable")
        self.arrives(api, w)
        self.said_once(w, "Service ns-a/unusable: it has that name")

    def test_objects_that_are_too_large(self):
        api = self.api()
        big = fixture.service("ns-a/big", "ClusterIP", ["10.0.0.1"], ())
        big["metadata"]["annotations"] = {"x": "y" * (5 << 20)}
        for protobuf in (True, False):
            for watchlist in (True, False):
                api = self.api(fixture.objects() + [big], protobuf=protobuf, watchlist=watchlist)
                w = self.watcher(api, kinds=("services",)).synced("services")
                self.assertEqual(len(w.held()), len(fixture.SERVICES))
                w.expect(r"\[WARNING\] plugin/kubernetes: a Service of more than 4 MiB left out")
                self.arrives(api, w)

    def test_a_flood_of_them_is_held_back(self):
        objects = []
        for n in range(500):
            o = fixture.service(f"ns-a/s{n}", "ClusterIP", ["10.0.0.1"], ())
            o["spec"]["type"] = 7 if n % 2 else "ClusterIP"  # no text
            objects.append(o)
        api = self.api(objects, protobuf=False)
        w = self.watcher(api, kinds=("services",)).synced("services")
        self.assertEqual(len(w.held()), 250)
        wait_until(lambda: len(w.log("left out")) >= 50)
        self.assertLessEqual(len(w.log("left out")), 70)
        self.assertTrue(w.log(r"Service ns-a/s1 left out: its JSON has something else where a text is expected"))
