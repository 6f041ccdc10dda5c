/* Metrics of the client, as client-go's in CoreDNS (coredns.md section 3). */
#ifndef LUNA_KUBERNETES_MEASURE_H
#define LUNA_KUBERNETES_MEASURE_H
#include <stdint.h>

typedef struct kube_measure {
    uint64_t *page; /* of metrics; NULL without memory */
    const char *host;
    int duration, limiter; /* series */
    int requests;          /* family */
} kube_measure;

/* host lives as long as the measure. */
void kube_measure_open(kube_measure *m, const char *host);
void kube_measure_close(kube_measure *m);
/* A request was answered with this status code (0 = not at all) after so many ns. */
void kube_measure_answer(kube_measure *m, int code, uint64_t ns);
/* A request waited so many ns for its turn. */
void kube_measure_wait(kube_measure *m, uint64_t ns);

#endif
