/* How long it took from a change in the cluster to its answer: Kubernetes' DNS programming latency,
 * from the time that the EndpointSlice controller writes on a slice. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "../observe/observe.h"
#include "pack.h"

enum { BUCKETS = 20 };

void kube_latency_open(kube_store *s)
{
    static const char *const kinds[] = {"cluster_ip\x1f", "headless_with_selector\x1f"};
    double bound[BUCKETS];
    for (int i = 0; i < BUCKETS; i++)
        bound[i] = 0.001 * (1 << i);
    int family = luna_metric("coredns_kubernetes_dns_programming_duration_seconds",
                             "Histogram of the time (in seconds) it took to program a dns "
                             "instance.",
                             LUNA_HISTOGRAM, "service_kind", bound, BUCKETS, 1e-9);
    for (int i = 0; i < 2; i++)
        s->latency[i] = family < 0 ? 0 : luna_series(family, kinds[i]);
    s->metrics = luna_metrics_page_new(1);
}

/* RFC 3339 with any fraction of a second. Returns ns since 1970, 0 when it is none. */
static uint64_t read_time(kube_text t)
{
    char text[64];
    struct tm tm = {0};
    if (t.len == 0 || t.len >= sizeof text)
        return 0;
    memcpy(text, t.at, t.len);
    text[t.len] = 0;
    const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!p)
        return 0;
    double fraction = 0;
    int offset = 0;
    if (*p == '.') {
        char *end;
        fraction = strtod(p, &end);
        p = end;
    }
    if (*p == 'Z' || *p == 'z') {
        p++;
    } else {
        int hours, minutes, n = 0;
        if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &n) != 2)
            return 0;
        offset = (hours * 60 + minutes) * (*p == '-' ? -60 : 60);
        p += n + 1;
    }
    time_t seconds = timegm(&tm) - offset;
    if (*p || seconds <= 0)
        return 0;
    return (uint64_t)seconds * 1000000000u + (uint64_t)(fraction * 1e9);
}

void kube_latency_record(kube_store *s, const kube_slice *slice, const kube_object *o,
                         kube_why *why)
{
    kube_slice *p = (kube_slice *)slice;
    kube_text t = o->trigger;
    uint32_t hash =
        t.len ? (uint32_t)luna_hash_label(LUNA_HASH_ROOT, (const uint8_t *)t.at, t.len) : 0;
    bool same = hash == p->trigger;
    p->trigger = hash;
    /* What a list tells again has long been answered: only events of a watch count. */
    if (!hash || same || s->listing[o->kind] || o->kind != KUBE_SLICE)
        return;
    uint64_t then = read_time(t);
    const kube_service *v = p->owner->service;
    if (!then)
        kube_complain(why, "annotation endpoints.kubernetes.io/last-change-trigger-time", t,
                      "is no RFC 3339 time; DNS programming latency cannot be told");
    if (!then || !v || !s->metrics)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    luna_observe(s->metrics, s->latency[v->type == KUBE_HEADLESS], ns > then ? ns - then : 0);
}
