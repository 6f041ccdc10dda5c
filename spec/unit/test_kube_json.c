/* The API server's JSON: what is read, whatever the pieces; what is broken breaks nothing. */
#include <setjmp.h>
#include <stddef.h>
#include <stdarg.h>
#include <cmocka.h>
#include "kube_record.h"

static void expect(kube_shape shape, kube_kind kind, const char *json, const char *wanted)
{
    static const size_t pieces[] = {1 << 24, 1, 2, 7, 64};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *got = record_decoding(KUBE_JSON, shape, kind, json, strlen(json), pieces[i]);
        assert_string_equal(got, wanted);
        free(got);
    }
}

#define SERVICE                                                                                \
    "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns-a\",\"resourceVersion\":\"12\","       \
    "\"labels\":{\"app\":\"web\"},\"annotations\":{\"note\":\"\\\"}]\\\"\"},"                  \
    "\"managedFields\":[{\"fieldsV1\":{\"f:spec\":{\"f:ports\":{}}}}]},"                       \
    "\"status\":{\"conditions\":null,\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.8\","  \
    "\"ports\":[]},{\"hostname\":\"lb.example\"}]}},"                                          \
    "\"spec\":{\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":80,\"targetPort\":" \
    "\"x\"}],\"selector\":{\"app\":\"web\"},\"clusterIP\":\"10.96.1.1\",\"clusterIPs\":"       \
    "[\"10.96.1.1\",\"fd00:10:96::1\"],\"type\":\"LoadBalancer\",\"externalIPs\":"             \
    "[\"203.0.113.9\"],\"allocateLoadBalancerNodePorts\":true,\"x\":-1.5e3}}"
#define WEB                                                                               \
    "Service name=web in=ns-a version=12 label=app is=web type=LoadBalancer ip=10.96.1.1" \
    " ip=fd00:10:96::1 external=203.0.113.9 external=203.0.113.8 ingress=lb.example"      \
    " port=80 named=http by=TCP\n"

static void reads_a_list(void **state)
{
    (void)state;
    expect(KUBE_LIST, KUBE_SERVICE,
           "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
           "\"4711\",\"continue\":\"eyJ2\",\"remainingItemCount\":9},\"items\":[" SERVICE
           " ,\n" SERVICE "]}\n",
           "listed " WEB "listed " WEB "page version=4711 next=eyJ2 remaining=9\n");
    /* As of a CRD: members in alphabetical order, metadata last. */
    expect(KUBE_LIST, KUBE_IMPORT,
           "{\"apiVersion\":\"multicluster.x-k8s.io/v1alpha1\",\"items\":[{\"apiVersion\":"
           "\"multicluster.x-k8s.io/v1alpha1\",\"kind\":\"ServiceImport\",\"metadata\":{\"name\":"
           "\"web\",\"namespace\":\"ns-a\",\"resourceVersion\":\"2\"},\"spec\":{\"ips\":"
           "[\"10.1.0.1\"],\"ports\":[{\"port\":80,\"protocol\":\"TCP\"}],\"type\":"
           "\"ClusterSetIP\"}}],\"kind\":\"ServiceImportList\",\"metadata\":{\"continue\":\"\","
           "\"resourceVersion\":\"7\"}}",
           "listed ServiceImport name=web in=ns-a version=2 type=ClusterSetIP ip=10.1.0.1 port=80"
           " by=TCP\npage version=7 remaining=0\n");
    expect(KUBE_LIST, KUBE_NAMESPACE,
           " { \"kind\" : \"NamespaceList\" , \"items\" : [ ] , \"metadata\" :"
           " { \"resourceVersion\" : \"7\" } } ",
           "page version=7 remaining=0\n");
    expect(KUBE_LIST, KUBE_NAMESPACE,
           "{\"kind\":\"PartialObjectMetadataList\",\"items\":null,\"metadata\":"
           "{\"resourceVersion\":\"7\"}}",
           "page version=7 remaining=0\n");
}

static void reads_a_watch(void **state)
{
    (void)state;
    expect(KUBE_WATCH, KUBE_SLICE,
           "{\"type\":\"ADDED\",\"object\":{\"kind\":\"EndpointSlice\",\"apiVersion\":"
           "\"discovery.k8s.io/v1\",\"metadata\":{\"name\":\"hl-1\",\"namespace\":\"ns-a\","
           "\"resourceVersion\":\"9\",\"deletionTimestamp\":\"2026-01-02T03:04:05Z\",\"labels\":"
           "{\"kubernetes.io/service-name\":\"hl\"},\"annotations\":{\"endpoints.kubernetes.io/"
           "last-change-trigger-time\":\"2026-01-02T03:04:05Z\"}},\"addressType\":\"IPv4\","
           "\"endpoints\":[{\"addresses\":[\"10.244.2.1\"],\"conditions\":{\"ready\":true,"
           "\"serving\":true},\"hostname\":\"pod-0\",\"targetRef\":{\"kind\":\"Pod\",\"name\":"
           "\"pod-of-it\"},\"nodeName\":\"node-1\",\"zone\":\"zone-a\"},{\"addresses\":"
           "[\"10.244.2.2\"],\"conditions\":{\"ready\":null}},{\"addresses\":[\"10.244.2.3\"],"
           "\"conditions\":{\"ready\":false}},{\"addresses\":null}],\"ports\":null}}\n"
           "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"EndpointSlice\",\"metadata\":"
           "{\"resourceVersion\":\"13\",\"creationTimestamp\":null,\"annotations\":"
           "{\"k8s.io/initial-events-end\":\"true\"}},\"endpoints\":null,\"ports\":null}}\n"
           "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"metadata\":{},\"status\":"
           "\"Failure\",\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}}\n",
           "added EndpointSlice name=hl-1 in=ns-a version=9 trigger=2026-01-02T03:04:05Z deleting"
           " label=kubernetes.io/service-name is=hl service=hl family=IPv4"
           " ready at=10.244.2.1 hostname=pod-0 target=pod-of-it node=node-1 zone=zone-a"
           " ready at=10.244.2.2 unready at=10.244.2.3 ready\n"
           "bookmark initial_end version=13\n"
           "status code=410 reason=Expired message=too\\20old\n");
}

static void reads_pods(void **state)
{
    (void)state;
    expect(KUBE_WATCH, KUBE_POD,
           "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p4\","
           "\"namespace\":\"ns-a\",\"resourceVersion\":\"3\"},\"spec\":{\"containers\":[{}]},"
           "\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"10.244.9.11\"},"
           "{\"ip\":\"fd00:10:244:9::b\"}],\"podIP\":\"10.244.9.11\"}}}",
           "modified Pod name=p4 in=ns-a version=3 phase=Running ip=10.244.9.11"
           " ip=fd00:10:244:9::b\n");
}

static void reads_a_status_in_the_place_of_a_list(void **state)
{
    (void)state;
    const char *status = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                         "\"Failure\",\"message\":\"no\",\"reason\":\"Timeout\",\"details\":"
                         "{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}],"
                         "\"retryAfterSeconds\":1},\"code\":504}";
    const char *wanted = "status code=504 too_large after=1 reason=Timeout message=no\n";
    expect(KUBE_LIST, KUBE_POD, status, wanted);
    expect(KUBE_WATCH, KUBE_POD, status, wanted);
}

static void expect_name(const char *in_json, const char *recorded)
{
    char json[512], wanted[512];
    snprintf(json, sizeof json,
             "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":%s}}}",
             in_json);
    snprintf(wanted, sizeof wanted, "added Pod name=%s\n", recorded);
    expect(KUBE_WATCH, KUBE_POD, json, wanted);
}

static void reads_escapes(void **state)
{
    (void)state;
    expect_name("\"a\\\"\\\\\\/b\"", "a\"\\5c/b");
    expect_name("\"\\b\\f\\n\\r\\t\"", "\\08\\0c\\0a\\0d\\09");
    expect_name("\"\\u0061\\u00e9\\u20AC\"", "a\\c3\\a9\\e2\\82\\ac");
    expect_name("\"\\ud83d\\ude00\"", "\\f0\\9f\\98\\80");
    expect_name("\"\\ud83d\\u0061\"", "\\ef\\bf\\bda");
    expect_name("\"\\ude00\"", "\\ef\\bf\\bd");
    expect_name("\"x\",\"\\u006eame\":\"last\"", "last"); /* twice: the last counts */
    expect_name("\"x\",\"labels\":{\"a\":\"1\"},\"labels\":{\"b\":\"2\"}", "x label=b is=2");
}

static void expect_left_out(const char *object, const char *why)
{
    char json[4096], wanted[512];
    snprintf(json, sizeof json,
             "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":"
             "[{\"metadata\":{\"name\":\"bad\",\"namespace\":\"ns-a\"},%s},%s]}",
             object, SERVICE);
    snprintf(wanted, sizeof wanted,
             " skipped=Service\\20ns-a/bad\\20left\\20out:\\20its\\20JSON\\20%s\nlisted " WEB
             "page version=1 remaining=0\n",
             why);
    expect(KUBE_LIST, KUBE_SERVICE, json, wanted);
}

static void names_what_it_leaves_out(void **state)
{
    (void)state;
    char deep[1024];
    expect_left_out("\"spec\":7",
                    "has\\20something\\20else\\20where\\20an\\20object\\20is\\20expected");
    expect_left_out("\"spec\":{\"ports\":\"http\"}",
                    "has\\20something\\20else\\20where\\20an\\20array\\20is\\20expected");
    expect_left_out("\"spec\":{\"type\":[]}",
                    "has\\20something\\20else\\20where\\20a\\20text\\20is\\20expected");
    expect_left_out("\"spec\":{\"ports\":[{\"port\":80.5}]}",
                    "has\\20something\\20else\\20where\\20a\\20whole\\20number\\20is\\20expected");
    expect_left_out("\"spec\":{\"ports\":[{\"port\":4294967376}]}",
                    "has\\20a\\20number\\20that\\20is\\20out\\20of\\20range");
    expect_left_out("\"spec\":{\"type\":\"\\x\"}",
                    "has\\20a\\20wrong\\20escape\\20in\\20a\\20text");
    expect_left_out("\"x\":[1}", "closes\\20a\\20bracket\\20that\\20is\\20not\\20open");
    expect_left_out("\"spec\" {}", "lacks\\20a\\20colon");
    expect_left_out("\"x\":", "lacks\\20a\\20value\\20or\\20breaks\\20off");
    size_t n = (size_t)sprintf(deep, "\"x\":");
    memset(deep + n, '[', 200);
    memset(deep + n + 200, ']', 200);
    deep[n + 400] = 0;
    expect_left_out(deep, "is\\20nested\\20too\\20deeply");
}

static void refuses_what_is_no_such_list(void **state)
{
    (void)state;
    expect(KUBE_LIST, KUBE_POD, "[", "error: expected the \"{\" of JSON, the server sent: [\n");
    expect(KUBE_LIST, KUBE_POD, "{\"kind\":\"ServiceList\",\"items\":[]}",
           "error: expected a PodList, the server sent \"ServiceList\"\n");
    expect(KUBE_LIST, KUBE_POD, "{}",
           "error: expected a PodList, the server sent an object without a kind\n");
    expect(KUBE_LIST, KUBE_POD, "{\"kind\":\"PodList\"}",
           "error: a list without a resourceVersion\n");
    expect(KUBE_LIST, KUBE_POD, "{\"kind\":1}",
           "error: a list whose \"kind\" cannot be read: its JSON has something else where a text"
           " is expected\n");
    expect(KUBE_WATCH, KUBE_POD, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Service\"}}",
           "error: expected a Pod, the server sent \"Service\"\n");
    expect(KUBE_WATCH, KUBE_POD, "{\"type\":\"ADDED\",\"object\":{\"ki",
           "error: the watch broke off within an event\n");
    const char *html = "<!DOCTYPE html>\n<html><title>Sign in</title></html>";
    char *got = record_decoding(KUBE_JSON, KUBE_LIST, KUBE_POD, html, strlen(html), 4096);
    assert_string_equal(got, "error: expected the \"{\" of JSON, the server sent: "
                             "<!DOCTYPE html> <html><title>Sign in</title></html>\n");
    free(got);
}

static void leaves_out_what_is_too_big(void **state)
{
    (void)state;
    static const char head[] = "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"1\"},"
                               "\"items\":[{\"x\":\"",
                      tail[] = "\"}," SERVICE "]}";
    size_t len = KUBE_ITEM_MAX + sizeof head + sizeof tail;
    char *json = malloc(len);
    memset(json, 'x', len);
    memcpy(json, head, sizeof head - 1);
    memcpy(json + len - sizeof tail + 1, tail, sizeof tail - 1);
    for (size_t piece = 4096; piece <= len; piece += len - 4096) {
        char *got = record_decoding(KUBE_JSON, KUBE_LIST, KUBE_SERVICE, json, len, piece);
        assert_non_null(strstr(got, "of\\20more\\20than\\204\\20MiB\\20left\\20out"));
        assert_non_null(strstr(got, "listed " WEB "page version=1 remaining=0\n"));
        free(got);
    }
    free(json);
}

static void survives(kube_shape shape, kube_kind kind, const char *json)
{
    size_t n = strlen(json);
    char *copy = strdup(json);
    for (size_t len = 0; len < n; len++) {
        char *got = record_decoding(KUBE_JSON, shape, kind, json, len, 1 << 24);
        if (shape == KUBE_LIST) {
            assert_non_null(strstr(got, "error: "));
            assert_null(strstr(got, "page"));
        }
        free(got);
    }
    static const char values[] = "\0 \"\\{}[],:0anu\xff\x7f";
    for (size_t at = 0; at < n; at++) {
        for (size_t v = 0; v < sizeof values - 1; v++) {
            copy[at] = values[v];
            free(record_decoding(KUBE_JSON, shape, kind, copy, n, 1 << 24));
        }
        copy[at] = json[at];
    }
    free(copy);
}

static void survives_cuts_and_corruption(void **state)
{
    (void)state;
    survives(
        KUBE_LIST, KUBE_SERVICE,
        "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[" SERVICE
        "]}");
    survives(KUBE_WATCH, KUBE_SLICE,
             "{\"type\":\"ADDED\",\"object\":{\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":"
             "\"\\u0061\\ud83d\\ude00\"},\"endpoints\":[{\"addresses\":[\"::1\"],\"conditions\":"
             "{\"ready\":false}}],\"ports\":[{\"port\":80}]}}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_list),
        cmocka_unit_test(reads_a_watch),
        cmocka_unit_test(reads_pods),
        cmocka_unit_test(reads_a_status_in_the_place_of_a_list),
        cmocka_unit_test(reads_escapes),
        cmocka_unit_test(names_what_it_leaves_out),
        cmocka_unit_test(refuses_what_is_no_such_list),
        cmocka_unit_test(leaves_out_what_is_too_big),
        cmocka_unit_test(survives_cuts_and_corruption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
