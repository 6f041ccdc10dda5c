/* URLs of the API server. */
#define _GNU_SOURCE
#include "../core.h"
#include "stream.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *group, *plural;
} resources[] = {
    [KUBE_SERVICE] = {"/api/v1", "services"},
    [KUBE_SLICE] = {"/apis/discovery.k8s.io/v1", "endpointslices"},
    [KUBE_NAMESPACE] = {"/api/v1", "namespaces"},
    [KUBE_POD] = {"/api/v1", "pods"},
    [KUBE_IMPORT] = {"/apis/multicluster.x-k8s.io/v1alpha1", "serviceimports"},
    [KUBE_IMPORT_SLICE] = {"/apis/discovery.k8s.io/v1", "endpointslices"},
};

const char *kube_kind_plural(kube_kind kind)
{
    return resources[kind].plural;
}

/* Adds name=value, escaped, to the query. */
static void add(FILE *out, char *separator, const char *name, const char *value)
{
    fprintf(out, "%c%s=", *separator, name);
    *separator = '&';
    for (; *value; value++) {
        if (isalnum((unsigned char)*value) || strchr("-._~", *value))
            fputc(*value, out);
        else
            fprintf(out, "%%%02X", (unsigned char)*value);
    }
}

static void add_selectors(const kube_stream *s, FILE *out, char *separator)
{
    const kube_watch *w = s->watch;
    const char *labels = s->kind == KUBE_NAMESPACE ? w->namespace_labels
                         : s->kind == KUBE_IMPORT  ? NULL
                                                   : w->labels;
    /* Slices that belong to no service are of no use here. */
    const char *owner = s->kind == KUBE_SLICE          ? "kubernetes.io/service-name"
                        : s->kind == KUBE_IMPORT_SLICE ? "multicluster.kubernetes.io/service-name"
                                                       : NULL;
    char *both = NULL;
    if (labels && owner && asprintf(&both, "%s,%s", owner, labels) < 0)
        both = NULL;
    if (labels || owner)
        add(out, separator, "labelSelector", both ? both : labels ? labels : owner);
    free(both);
    if (s->kind == KUBE_POD)
        add(out, separator, "fieldSelector",
            "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown");
    if (s->kind == KUBE_NAMESPACE && w->nnamespaces == 1) {
        char field[300];
        snprintf(field, sizeof field, "metadata.name=%s", w->namespaces[0]);
        add(out, separator, "fieldSelector", field);
    }
}

static void add_watch(kube_stream *s, FILE *out, char *separator)
{
    char seconds[24];
    uint64_t least = s->watch->pace.watch_seconds;
    /* Spread, so that the replicas of a cluster do not come back together. */
    s->seconds = least + luna_random_below((uint32_t)least + 1);
    snprintf(seconds, sizeof seconds, "%llu", (unsigned long long)s->seconds);
    add(out, separator, "watch", "1");
    add(out, separator, "allowWatchBookmarks", "true");
    add(out, separator, "timeoutSeconds", seconds);
}

char *kube_stream_path(kube_stream *s)
{
    char *path = NULL, separator = '?';
    size_t len;
    const char *version = s->consistent ? "" : s->version;
    FILE *out = open_memstream(&path, &len);
    if (!out)
        return NULL;
    fprintf(out, "%s", resources[s->kind].group);
    if (s->space)
        fprintf(out, "/namespaces/%s", s->space);
    fprintf(out, "/%s", resources[s->kind].plural);
    add_selectors(s, out, &separator);
    switch (s->task) {
    case KUBE_TASK_INITIAL:
        add_watch(s, out, &separator);
        add(out, &separator, "sendInitialEvents", "true");
        add(out, &separator, "resourceVersionMatch", "NotOlderThan");
        add(out, &separator, "resourceVersion", version);
        break;
    case KUBE_TASK_LIST:
        if (s->page) {
            add(out, &separator, "limit", "500");
            add(out, &separator, "continue", s->page);
        } else if (*version) {
            /* With a limit this would ask for exactly that version, which may be compacted. */
            add(out, &separator, "resourceVersion", version);
            add(out, &separator, "resourceVersionMatch", "NotOlderThan");
        } else {
            if (!s->whole)
                add(out, &separator, "limit", "500");
            /* The first list may come from the API server's cache: the watch brings what is newer.
             */
            if (!s->consistent)
                add(out, &separator, "resourceVersion", "0");
        }
        break;
    case KUBE_TASK_WATCH:
        add_watch(s, out, &separator);
        add(out, &separator, "resourceVersion", s->version);
        break;
    case KUBE_TASK_CHECK:
        add(out, &separator, "limit", "1");
        break;
    }
    return fclose(out) ? (free(path), NULL) : path;
}

#define PROTOBUF "application/vnd.kubernetes.protobuf"
#define METADATA "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#define METADATA_LIST "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

const char *kube_stream_accept(const kube_stream *s)
{
    bool watch = s->task == KUBE_TASK_INITIAL || s->task == KUBE_TASK_WATCH;
    if (s->kind == KUBE_IMPORT) /* a custom resource has no protobuf */
        return "application/json";
    if (s->kind == KUBE_NAMESPACE) /* their metadata is all that is read */
        return watch ? PROTOBUF ";" METADATA "," PROTOBUF ",application/json"
                     : PROTOBUF ";" METADATA_LIST "," PROTOBUF ",application/json";
    return PROTOBUF ",application/json";
}
