#include "measure.h"
#include "../observe/observe.h"
#include <stdio.h>

/* The default buckets of Prometheus' client. */
static const double buckets[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
enum { BUCKETS = sizeof buckets / sizeof *buckets };

static int histogram(const char *name, const char *help, const char *host)
{
    char values[LUNA_LABEL_VALUE_MAX];
    int family = luna_metric(name, help, LUNA_HISTOGRAM, "verb,host", buckets, BUCKETS, 1e-9);
    snprintf(values, sizeof values, "GET\x1f%.*s\x1f", 512, host);
    int series = family < 0 ? family : luna_series(family, values);
    return series < 0 ? 0 : series; /* slot 0 is nobody's */
}

void kube_measure_open(kube_measure *m, const char *host)
{
    m->host = host;
    m->page = luna_metrics_page_new(1);
    m->duration = histogram("coredns_kubernetes_rest_client_request_duration_seconds",
                            "Request latency in seconds. Broken down by verb and host.", host);
    m->limiter = histogram("coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
                           "Client side rate limiter latency in seconds. Broken down by verb and "
                           "host.",
                           host);
    m->requests = luna_metric("coredns_kubernetes_rest_client_requests_total",
                              "Number of HTTP requests, partitioned by status code, method, and "
                              "host.",
                              LUNA_COUNTER, "code,method,host", NULL, 0, 1);
}

void kube_measure_close(kube_measure *m)
{
    if (m->page)
        luna_metrics_page_free(m->page);
    m->page = NULL;
}

void kube_measure_answer(kube_measure *m, int code, uint64_t ns)
{
    char values[LUNA_LABEL_VALUE_MAX];
    if (!m->page || m->requests < 0)
        return;
    if (code)
        snprintf(values, sizeof values, "%d\x1fGET\x1f%.*s\x1f", code, 512, m->host);
    else
        snprintf(values, sizeof values, "<error>\x1fGET\x1f%.*s\x1f", 512, m->host);
    int series = luna_series(m->requests, values);
    if (series > 0)
        luna_counter_add(series, 1);
    luna_observe(m->page, m->duration, ns);
}

void kube_measure_wait(kube_measure *m, uint64_t ns)
{
    if (m->page)
        luna_observe(m->page, m->limiter, ns);
}
