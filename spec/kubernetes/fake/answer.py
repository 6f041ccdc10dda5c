"""What the API server answers when nothing goes wrong: lists, pages, watches."""

import base64
import json
import time

import encode
import select_objects
from cluster import RESOURCES
from faults import status

PROTOBUF, JSON = "application/vnd.kubernetes.protobuf", "application/json"


class View:
    """What one request sees of a resource, and in which form."""

    def __init__(self, request, protobuf, partial):
        self.plural, self.space = request.resource, request.space
        self.group, self.kind = RESOURCES[self.plural]
        self.version = self.group.removeprefix("/apis/").removeprefix("/api/")
        self.protobuf, self.partial = protobuf, partial
        self.labels = select_objects.labels(request.query.get("labelSelector"))
        self.fields = select_objects.fields(request.query.get("fieldSelector"))

    def shows(self, stored):
        return (stored is not None and (self.space is None or stored.key[0] == self.space)
                and self.labels(stored.labels) and self.fields(stored.object))

    def item(self, stored):
        if not self.protobuf:
            return stored.made("json")
        return stored.made("partial-message" if self.partial else "message")

    def list(self, meta, items):
        if not self.protobuf:
            return encode.json_list(self.version, self.kind, meta, items)
        if self.partial:
            return encode.protobuf_list("meta.k8s.io/v1", "PartialObjectMetadata", meta, items)
        return encode.protobuf_list(self.version, self.kind, meta, items)

    def event(self, kind, stored):
        return stored.event(kind, "json" if not self.protobuf else "partial-protobuf" if self.partial else "protobuf")

    def special(self, kind, obj):
        """An event around an object that is not stored: a bookmark, a Status."""
        if not self.protobuf:
            return encode.json_event(kind, encode.json_text(obj))
        return encode.protobuf_event(kind, encode.protobuf(obj))

    def bookmark(self, version, end=False):
        meta = {"resourceVersion": str(version)}
        if end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        kind, group = ("PartialObjectMetadata", "meta.k8s.io/v1") if self.partial else (self.kind, self.version)
        return self.special("BOOKMARK", {"kind": kind, "apiVersion": group, "metadata": meta})


def serve(handler, api, request, protobuf, partial):
    view = View(request, protobuf, partial)
    if request.task == "list":
        serve_list(handler, api, request, view)
    else:
        serve_watch(handler, api, request, view)


def too_large(handler, view, asked, current):
    handler.refuse(504, f"Too large resource version: {asked}, current: {current}", view.protobuf, retry_after=1, too_large=True)


def serve_list(handler, api, request, view):
    query, cluster = request.query, api.cluster
    asked, start, limit = query.get("resourceVersion", ""), None, int(query.get("limit") or 0)
    if asked == "0":
        limit = 0  # the watch cache knows no pages
    with cluster.changed:
        version = cluster.version
        if query.get("continue"):
            token = json.loads(base64.urlsafe_b64decode(query["continue"]))
            version, start = token["v"], tuple(token["start"])
            if version < cluster.forgotten[view.plural]:
                return handler.refuse(410, "The provided continue parameter is too old to display a consistent list result.",
                                      view.protobuf)
        elif asked and int(asked) > cluster.version:
            return too_large(handler, view, asked, cluster.version)
        found = [s for key, s in sorted(cluster.held[view.plural].items())
                 if (start is None or key > start) and view.shows(s)]
    meta = {"resourceVersion": str(version)}
    if limit and len(found) > limit:
        meta["continue"] = base64.urlsafe_b64encode(json.dumps({"v": version, "start": found[limit - 1].key}).encode()).decode()
        meta["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    handler.whole(200, PROTOBUF if view.protobuf else JSON, view.list(meta, [view.item(s) for s in found]))


def change_of(view, event):
    """An event as a view sees it: an object may come into it or leave it."""
    was, now = view.shows(event.before), event.kind != "DELETED" and view.shows(event.now)
    if now:
        return "MODIFIED" if was else "ADDED"
    return "DELETED" if was else None


def serve_watch(handler, api, request, view):
    query, cluster, options = request.query, api.cluster, api.options
    asked = query.get("resourceVersion", "")
    initial = request.task == "initial"
    if initial and not options.watchlist:
        return handler.refuse(422, 'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is '
                                   "forbidden for watch unless the WatchList feature gate is enabled", view.protobuf)
    with cluster.changed:
        if initial and asked not in ("", "0") and int(asked) > cluster.version:
            return too_large(handler, view, asked, cluster.version)
        since = cluster.version if initial or asked in ("", "0") else int(asked)
        old = since < cluster.forgotten[view.plural]
        if old and options.gone_by_http:
            return handler.refuse(410, f"too old resource version: {asked} ({cluster.version})", view.protobuf)
        epoch = cluster.epoch
        first = [s for _, s in sorted(cluster.held[view.plural].items()) if view.shows(s)] \
            if initial or asked in ("", "0") else []
    handler.begin_chunks((PROTOBUF if view.protobuf else JSON) + (";stream=watch" if view.protobuf else ""))
    if old:
        gone = status(410, f"too old resource version: {asked} ({cluster.version})")
        handler.chunk(view.special("ERROR", gone))
        return handler.end_chunks()
    for at in range(0, len(first), 100):  # as the real one: many events in one write
        handler.chunk(b"".join(view.event("ADDED", s) for s in first[at:at + 100]))
    if initial and not (handler.fault and handler.fault.no_end):
        handler.chunk(view.bookmark(since, end=True))
    if handler.fault and handler.fault.event:
        handler.chunk(view.special("ERROR", status(handler.fault.event, handler.fault.message, handler.fault.reason,
                                                   handler.fault.retry_after, handler.fault.too_large)))
        return handler.end_chunks()
    follow(handler, api, view, since, epoch, time.monotonic() + float(query.get("timeoutSeconds") or 1800))


def follow(handler, api, view, since, epoch, deadline):
    """Sends what changes until the time is over."""
    cluster, options = api.cluster, api.options
    marked = time.monotonic()
    while True:
        with cluster.changed:
            events = cluster.events[view.plural]
            if not events or events[-1].version <= since:
                until = deadline if options.bookmarks is None else min(deadline, marked + options.bookmarks)
                cluster.changed.wait(max(0, min(until - time.monotonic(), 1)))
            if cluster.epoch != epoch:
                break
            first = len(events)
            while first and events[first - 1].version > since:
                first -= 1
            fresh, version = events[first:], cluster.version
        out = []
        for event in fresh:
            kind = change_of(view, event)
            if kind:
                out.append(view.event(kind, event.now))
            since = event.version
        if out:
            handler.chunk(b"".join(out))
        now = time.monotonic()
        if now >= deadline:
            break
        if options.bookmarks is not None and now >= marked + options.bookmarks:
            marked = now
            if version >= since:  # a watch from the future is told nothing
                since = since if fresh else version
                handler.chunk(view.bookmark(since))
    handler.end_chunks()
