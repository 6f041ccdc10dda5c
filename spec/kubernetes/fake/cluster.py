"""The objects of a cluster, their versions and their history, as an API server has them."""

import copy
import threading

import encode

# plural -> group path, kind
RESOURCES = {
    "services": ("/api/v1", "Service"),
    "namespaces": ("/api/v1", "Namespace"),
    "pods": ("/api/v1", "Pod"),
    "endpointslices": ("/apis/discovery.k8s.io/v1", "EndpointSlice"),
    "serviceimports": ("/apis/multicluster.x-k8s.io/v1alpha1", "ServiceImport"),
}
PLURALS = {kind: plural for plural, (_, kind) in RESOURCES.items()}


class Stored:
    """One version of an object. Encodings are made when they are asked for first."""

    def __init__(self, obj, version):
        self.object = obj
        self.version = version
        meta = obj["metadata"]
        self.key = (meta.get("namespace", ""), meta["name"])
        self.labels = meta.get("labels") or {}
        self._made = {}

    def made(self, form):
        """form: "json", "message" (protobuf without envelope), "protobuf", and "partial-" before either of the last two
        for its metadata alone."""
        if form not in self._made:
            self._made[form] = self._make(form)
        return self._made[form]

    def event(self, kind, form):
        """A watch event of it."""
        encoded = encode.json_event if form == "json" else encode.protobuf_event
        return encoded(kind, self.made(form))

    def _make(self, form):
        if form == "json":
            return encode.json_text(self.object)
        if form == "message":
            return encode.encode(self.object["kind"], self.object)
        if form == "protobuf":
            return encode.envelope(self.object["apiVersion"], self.object["kind"], self.made("message"))
        if form == "partial-message":
            return encode.encode("PartialObjectMetadata", self.object)
        return encode.envelope("meta.k8s.io/v1", "PartialObjectMetadata", self.made("partial-message"))


class Event:
    """kind is ADDED, MODIFIED or DELETED; before is what the object was."""

    __slots__ = ("kind", "now", "before", "version")

    def __init__(self, kind, now, before, version):
        self.kind, self.now, self.before, self.version = kind, now, before, version


class Cluster:
    """put() and delete() are the only ways to change it; every change wakes the watches."""

    def __init__(self, version=1000, history=100000):
        self.version = version
        self.history = history  # events kept for watches, per resource
        self.changed = threading.Condition(threading.RLock())
        self.epoch = 0  # moves when the history is another one: watches end
        self.held = {plural: {} for plural in RESOURCES}
        self.events = {plural: [] for plural in RESOURCES}
        self.forgotten = {plural: 0 for plural in RESOURCES}  # versions up to this are no longer in the history

    def put(self, obj, own=False):
        """Adds or replaces an object; own: it need not be copied. Returns its version."""
        if not own:
            obj = copy.deepcopy(obj)
        plural = PLURALS[obj["kind"]]
        with self.changed:
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            obj["metadata"].setdefault("uid", f"00000000-0000-0000-0000-{self.version:012d}")
            obj["metadata"].setdefault("creationTimestamp", "2026-01-02T03:04:05Z")
            now = Stored(obj, self.version)
            before = self.held[plural].get(now.key)
            self.held[plural][now.key] = now
            self._log(plural, Event("MODIFIED" if before else "ADDED", now, before, self.version))
            return self.version

    def load(self, objects, own=False):
        for obj in objects:
            self.put(obj, own)

    def delete(self, plural, space, name):
        with self.changed:
            before = self.held[plural].pop((space, name))
            self.version += 1
            last = copy.deepcopy(before.object)
            last["metadata"]["resourceVersion"] = str(self.version)
            self._log(plural, Event("DELETED", Stored(last, self.version), before, self.version))
            return self.version

    def get(self, plural, space, name):
        """A copy, to be changed and put."""
        with self.changed:
            return copy.deepcopy(self.held[plural][(space, name)].object)

    def _log(self, plural, event):
        events = self.events[plural]
        events.append(event)
        if len(events) > self.history:
            self.forgotten[plural] = events[0].version
            del events[0]
        self.changed.notify_all()

    def compact(self):
        """Forgets the history: watches and lists of an older version get 410."""
        with self.changed:
            for plural in RESOURCES:
                self.events[plural].clear()
                self.forgotten[plural] = self.version
            self.changed.notify_all()

    def restore(self, objects, version, quietly=False):
        """What an etcd restored from a backup looks like: other objects, and versions that begin again from an earlier
        one. Watches under way end; quietly: they go on, and nothing comes."""
        with self.changed:
            self.epoch += not quietly
            self.version = version
            for plural in RESOURCES:
                self.held[plural].clear()
                self.events[plural].clear()
            self.load(objects)
            for plural in RESOURCES:
                self.events[plural].clear()
                self.forgotten[plural] = 0
            self.changed.notify_all()
