/* The API server's protobuf: what is read, whatever the pieces; what is broken breaks nothing. */
#include <setjmp.h>
#include <stddef.h>
#include <stdarg.h>
#include <cmocka.h>
#include "kube_record.h"
#include "kube_wire.h"

static void expect(kube_shape shape, kube_kind kind, wire w, const char *wanted)
{
    static const size_t pieces[] = {1 << 24, 1, 2, 7, 64};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *got = record_decoding(KUBE_PROTOBUF, shape, kind, w.at, w.len, pieces[i]);
        assert_string_equal(got, wanted);
        free(got);
    }
    free(w.at);
}

static wire port(const char *name, const char *protocol, int number)
{
    wire m = {0};
    wire_text(&m, 1, name);
    wire_text(&m, 2, protocol);
    wire_number(&m, 3, (uint64_t)number);
    wire_message(&m, 4, (wire){0}); /* targetPort */
    wire_number(&m, 5, 30080);
    return m;
}

static wire service(void)
{
    wire w = {0}, spec = {0}, status = {0}, balancer = {0}, ingress = {0};
    wire meta = wire_meta("web", "ns-a", "12");
    wire_pair(&meta, 11, "app", "web");
    wire_pair(&meta, 12, "note", "of no interest");
    wire_text(&meta, 17, "managed fields: anything, \xff too");
    wire_message(&w, 1, meta);
    wire_message(&spec, 1, port("http", "TCP", 80));
    wire_message(&spec, 1, port("dns", "UDP", 53));
    wire_pair(&spec, 2, "app", "web"); /* selector */
    wire_text(&spec, 3, "10.96.1.1");
    wire_text(&spec, 4, "LoadBalancer");
    wire_text(&spec, 5, "203.0.113.9");
    wire_text(&spec, 7, "None"); /* sessionAffinity */
    wire_text(&spec, 10, "");
    wire_text(&spec, 18, "10.96.1.1");
    wire_text(&spec, 18, "fd00:10:96::1");
    wire_text(&spec, 19, "IPv4");
    wire_message(&w, 2, spec);
    wire_text(&ingress, 1, "203.0.113.8");
    wire_message(&balancer, 1, ingress);
    ingress = (wire){0};
    wire_text(&ingress, 1, "");
    wire_text(&ingress, 2, "lb.example");
    wire_message(&balancer, 1, ingress);
    wire_message(&status, 1, balancer);
    wire_message(&w, 3, status);
    return w;
}

#define WEB                                                                               \
    "Service name=web in=ns-a version=12 label=app is=web type=LoadBalancer ip=10.96.1.1" \
    " ip=fd00:10:96::1 external=203.0.113.9 external=203.0.113.8 ingress=lb.example"      \
    " port=80 named=http by=TCP port=53 named=dns by=UDP\n"

static wire list_of(const char *kind, wire item, const char *next)
{
    wire list = {0}, meta = {0};
    wire_text(&meta, 1, "");
    wire_text(&meta, 2, "4711");
    wire_text(&meta, 3, next);
    if (*next)
        wire_number(&meta, 4, 9);
    wire_message(&list, 1, meta);
    wire_message(&list, 2, item);
    return wire_envelope("v1", kind, list);
}

static void reads_a_list(void **state)
{
    (void)state;
    expect(KUBE_LIST, KUBE_SERVICE, list_of("ServiceList", service(), ""),
           "listed " WEB "page version=4711 remaining=0\n");
    expect(KUBE_LIST, KUBE_SERVICE, list_of("ServiceList", service(), "eyJ2"),
           "listed " WEB "page version=4711 next=eyJ2 remaining=9\n");
    wire empty = {0}, meta = {0};
    wire_text(&meta, 2, "7");
    wire_message(&empty, 1, meta);
    expect(KUBE_LIST, KUBE_NAMESPACE, wire_envelope("v1", "NamespaceList", empty),
           "page version=7 remaining=0\n");
}

static void reads_a_watch(void **state)
{
    (void)state;
    wire w = {0}, bookmark = {0}, status = {0}, details = {0}, cause = {0};
    wire_event(&w, "ADDED", wire_envelope("v1", "Service", service()));
    wire meta = wire_meta("", "", "13");
    wire_pair(&meta, 12, "k8s.io/initial-events-end", "true");
    wire_message(&bookmark, 1, meta);
    wire_event(&w, "BOOKMARK", wire_envelope("v1", "Service", bookmark));
    wire_event(&w, "DELETED", wire_envelope("v1", "Service", service()));
    wire_text(&status, 2, "Failure");
    wire_text(&status, 3, "Too large resource version");
    wire_text(&status, 4, "Timeout");
    wire_text(&cause, 1, "ResourceVersionTooLarge");
    wire_message(&details, 4, cause);
    wire_number(&details, 5, 1);
    wire_message(&status, 5, details);
    wire_number(&status, 6, 504);
    wire_event(&w, "ERROR", wire_envelope("v1", "Status", status));
    expect(KUBE_WATCH, KUBE_SERVICE, w,
           "added " WEB "bookmark initial_end version=13\ndeleted " WEB
           "status code=504 too_large after=1 reason=Timeout"
           " message=Too\\20large\\20resource\\20version\n");
}

static void endpoint(wire *slice, const char *address, const char *hostname, int ready)
{
    wire e = {0}, conditions = {0}, target = {0};
    wire_text(&e, 1, address);
    if (ready >= 0)
        wire_number(&conditions, 1, (uint64_t)ready);
    wire_number(&conditions, 2, 1);
    wire_message(&e, 2, conditions);
    if (*hostname)
        wire_text(&e, 3, hostname);
    wire_text(&target, 1, "Pod");
    wire_text(&target, 3, "pod-of-it");
    wire_message(&e, 4, target);
    wire_text(&e, 6, "node-1");
    wire_text(&e, 7, "zone-a");
    wire_message(slice, 2, e);
}

static wire slice(const char *label)
{
    wire w = {0}, meta = wire_meta("hl-1", "ns-a", "9"), p = {0};
    wire_pair(&meta, 11, label, "hl");
    wire_pair(&meta, 11, "multicluster.kubernetes.io/source-cluster", "east");
    wire_pair(&meta, 12, "endpoints.kubernetes.io/last-change-trigger-time",
              "2026-01-02T03:04:05Z");
    wire_message(&w, 1, meta);
    endpoint(&w, "10.244.2.1", "pod-0", 1);
    endpoint(&w, "10.244.2.2", "", -1);
    endpoint(&w, "10.244.2.3", "", 0);
    wire_text(&p, 1, "http");
    wire_text(&p, 2, "TCP");
    wire_number(&p, 3, 80);
    wire_message(&w, 3, p);
    wire_text(&w, 4, "IPv4");
    return w;
}

static void reads_slices(void **state)
{
    (void)state;
#define SLICE(label)                                                                             \
    "listed EndpointSlice name=hl-1 in=ns-a version=9 trigger=2026-01-02T03:04:05Z label=" label \
    " is=hl label=multicluster.kubernetes.io/source-cluster is=east service=hl cluster=east"     \
    " family=IPv4 ready at=10.244.2.1 hostname=pod-0 target=pod-of-it node=node-1 zone=zone-a"   \
    " ready at=10.244.2.2 target=pod-of-it node=node-1 zone=zone-a"                              \
    " unready at=10.244.2.3 target=pod-of-it node=node-1 zone=zone-a"                            \
    " port=80 named=http by=TCP\npage version=4711 remaining=0\n"
    expect(KUBE_LIST, KUBE_SLICE,
           list_of("EndpointSliceList", slice("kubernetes.io/service-name"), ""),
           SLICE("kubernetes.io/service-name"));
    expect(KUBE_LIST, KUBE_IMPORT_SLICE,
           list_of("EndpointSliceList", slice("multicluster.kubernetes.io/service-name"), ""),
           SLICE("multicluster.kubernetes.io/service-name"));
}

static void reads_pods_and_namespaces(void **state)
{
    (void)state;
    wire pod = {0}, status = {0}, ip = {0}, meta = wire_meta("p4", "ns-a", "3");
    wire_message(&meta, 9, (wire){0}); /* deletionTimestamp */
    wire_message(&pod, 1, meta);
    wire_text(&pod, 2, "the spec, which is not looked into");
    wire_text(&status, 1, "Running");
    wire_text(&status, 6, "10.244.9.11");
    wire_text(&ip, 1, "10.244.9.11");
    wire_message(&status, 12, ip);
    ip = (wire){0};
    wire_text(&ip, 1, "fd00:10:244:9::b");
    wire_message(&status, 12, ip);
    wire_message(&pod, 3, status);
    expect(KUBE_LIST, KUBE_POD, list_of("PodList", pod, ""),
           "listed Pod name=p4 in=ns-a version=3 deleting phase=Running ip=10.244.9.11"
           " ip=fd00:10:244:9::b\npage version=4711 remaining=0\n");
    wire space = {0};
    wire_message(&space, 1, wire_meta("ns-a", "", "5"));
    expect(KUBE_LIST, KUBE_NAMESPACE, list_of("PartialObjectMetadataList", space, ""),
           "listed Namespace name=ns-a version=5\npage version=4711 remaining=0\n");
}

static void reads_a_status_in_the_place_of_a_list(void **state)
{
    (void)state;
    wire status = {0};
    wire_text(&status, 2, "Failure");
    wire_text(&status, 4, "Forbidden");
    wire_number(&status, 6, 403);
    expect(KUBE_LIST, KUBE_POD, wire_envelope("v1", "Status", status),
           "status code=403 reason=Forbidden\n");
}

/* Fields of every wire type that no version of Kubernetes has yet. */
static void passes_over_what_it_does_not_know(void **state)
{
    (void)state;
    wire list = {0}, meta = {0}, item = service();
    wire_number(&item, 900, 1ull << 63);
    wire_varint(&item, 901 << 3 | 1);
    wire_raw(&item, "12345678", 8);
    wire_varint(&item, 902 << 3 | 5);
    wire_raw(&item, "1234", 4);
    wire_number(&list, 77, 5);
    wire_text(&meta, 2, "1");
    wire_message(&list, 1, meta);
    wire_varint(&list, 78 << 3 | 5);
    wire_raw(&list, "1234", 4);
    wire_message(&list, 2, item);
    wire_text(&list, 79, "more");
    wire_varint(&list, 80 << 3 | 1);
    wire_raw(&list, "12345678", 8);
    expect(KUBE_LIST, KUBE_SERVICE, wire_envelope("v1", "ServiceList", list),
           "listed " WEB "page version=1 remaining=0\n");
}

static void names_what_it_leaves_out(void **state)
{
    (void)state;
    wire list = {0}, meta = {0}, broken = {0}, nameless = {0};
    wire_text(&meta, 2, "1");
    wire_message(&list, 1, meta);
    wire_message(&broken, 1, wire_meta("bad", "ns-a", "2"));
    wire_number(&broken, 2, 7); /* spec is a message */
    wire_message(&list, 2, broken);
    wire_text(&nameless, 3, "");
    wire_message(&list, 2, nameless);
    wire_message(&list, 2, service());
    expect(KUBE_LIST, KUBE_SERVICE, wire_envelope("v1", "ServiceList", list),
           " skipped=Service\\20ns-a/bad\\20left\\20out:\\20its\\20protobuf\\20has\\20a\\20number"
           "\\20in\\20the\\20place\\20of\\20a\\20text\\20or\\20message\n"
           " skipped=Service\\20(without\\20a\\20name)\\20left\\20out:\\20it\\20has\\20no\\20name\n"
           "listed " WEB "page version=1 remaining=0\n");
}

static void refuses_what_is_no_such_list(void **state)
{
    (void)state;
    wire w = {0};
    wire_raw(&w, "<html>", 6);
    expect(KUBE_LIST, KUBE_POD, w, "error: protobuf that does not begin with \"k8s\\0\"\n");
    expect(KUBE_LIST, KUBE_POD, list_of("ServiceList", service(), ""),
           "error: expected a PodList, the server sent \"ServiceList\"\n");
    w = (wire){0};
    wire_event(&w, "ADDED", wire_envelope("v1", "Service", service()));
    expect(KUBE_WATCH, KUBE_POD, w, "error: expected a Pod, the server sent \"Service\"\n");
    w = (wire){0};
    wire_event(&w, "RENAMED", wire_envelope("v1", "Service", service()));
    expect(KUBE_WATCH, KUBE_SERVICE, w, "error: a watch event of unknown type \"RENAMED\"\n");
    w = (wire){0};
    wire_raw(&w, "\xff\xff\xff\xff<html>", 10);
    expect(KUBE_WATCH, KUBE_SERVICE, w, "error: a watch frame of 4294967295 octets\n");
    expect(KUBE_LIST, KUBE_POD, (wire){0}, "error: the list is cut short\n");
    expect(KUBE_WATCH, KUBE_POD, (wire){0}, "");
}

static void leaves_out_what_is_too_big(void **state)
{
    (void)state;
    wire list = {0}, meta = {0}, huge = {0}, w = {0};
    char *filler = calloc(1, KUBE_ITEM_MAX);
    wire_text(&meta, 2, "1");
    wire_message(&list, 1, meta);
    wire_bytes(&huge, 12, filler, KUBE_ITEM_MAX);
    wire_message(&list, 2, huge);
    wire_message(&list, 2, service());
    w = wire_envelope("v1", "ServiceList", list);
    char *got = record_decoding(KUBE_PROTOBUF, KUBE_LIST, KUBE_SERVICE, w.at, w.len, 16384);
    assert_non_null(strstr(got, "of\\20more\\20than\\204\\20MiB\\20left\\20out"));
    assert_non_null(strstr(got, "listed " WEB "page version=1 remaining=0\n"));
    free(got);
    free(w.at);
    w = huge = (wire){0};
    wire_bytes(&huge, 12, filler, KUBE_ITEM_MAX);
    wire_event(&w, "ADDED", wire_envelope("v1", "Service", huge));
    wire_event(&w, "ADDED", wire_envelope("v1", "Service", service()));
    got = record_decoding(KUBE_PROTOBUF, KUBE_WATCH, KUBE_SERVICE, w.at, w.len, 16384);
    assert_non_null(strstr(got, "of\\20more\\20than\\204\\20MiB\\20left\\20out"));
    assert_non_null(strstr(got, "added " WEB));
    free(got);
    free(w.at);
    free(filler);
}

/* Empty endpoints cost two octets each on the wire and a struct each here. */
static void bounds_what_an_object_costs(void **state)
{
    (void)state;
    wire item = {0};
    wire_message(&item, 1, wire_meta("absurd", "ns-a", "2"));
    for (int i = 0; i < 1 << 20; i++)
        wire_message(&item, 2, (wire){0});
    wire w = list_of("EndpointSliceList", item, "");
    char *got = record_decoding(KUBE_PROTOBUF, KUBE_LIST, KUBE_SLICE, w.at, w.len, 1 << 24);
    assert_string_equal(got, " skipped=EndpointSlice\\20ns-a/absurd\\20left\\20out:\\20it\\20holds"
                             "\\20too\\20much\npage version=4711 remaining=0\n");
    free(got);
    free(w.at);
}

/* Whatever is cut or changed: an end with or without an error, and nothing else. */
static void survives(kube_shape shape, kube_kind kind, wire w)
{
    for (size_t len = 0; len <= w.len; len++)
        free(record_decoding(KUBE_PROTOBUF, shape, kind, w.at, len, 1 << 24));
    for (size_t at = 0; at < w.len; at++) {
        uint8_t before = w.at[at];
        for (unsigned v = 0; v < 256; v += 15) {
            w.at[at] = (uint8_t)v;
            free(record_decoding(KUBE_PROTOBUF, shape, kind, w.at, w.len, 1 << 24));
        }
        w.at[at] = before;
    }
    free(w.at);
}

static void survives_cuts_and_corruption(void **state)
{
    (void)state;
    wire w = {0};
    survives(KUBE_LIST, KUBE_SERVICE, list_of("ServiceList", service(), "x"));
    survives(KUBE_LIST, KUBE_SLICE,
             list_of("EndpointSliceList", slice("kubernetes.io/service-name"), ""));
    wire_event(&w, "ADDED", wire_envelope("v1", "Service", service()));
    survives(KUBE_WATCH, KUBE_SERVICE, w);
}

/* A list that is cut anywhere has no page: nobody may take it for whole. */
static void tells_a_cut_list_from_a_whole_one(void **state)
{
    (void)state;
    wire w = list_of("ServiceList", service(), "");
    /* The last four octets are the envelope's empty contentEncoding and contentType. */
    for (size_t len = 0; len < w.len - 4; len++) {
        char *got = record_decoding(KUBE_PROTOBUF, KUBE_LIST, KUBE_SERVICE, w.at, len, 5);
        assert_non_null(strstr(got, "error: "));
        assert_null(strstr(got, "page"));
        free(got);
    }
    free(w.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_list),
        cmocka_unit_test(reads_a_watch),
        cmocka_unit_test(reads_slices),
        cmocka_unit_test(reads_pods_and_namespaces),
        cmocka_unit_test(reads_a_status_in_the_place_of_a_list),
        cmocka_unit_test(passes_over_what_it_does_not_know),
        cmocka_unit_test(names_what_it_leaves_out),
        cmocka_unit_test(refuses_what_is_no_such_list),
        cmocka_unit_test(leaves_out_what_is_too_big),
        cmocka_unit_test(bounds_what_an_object_costs),
        cmocka_unit_test(survives_cuts_and_corruption),
        cmocka_unit_test(tells_a_cut_list_from_a_whole_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
