"""Objects of the API server as protobuf and JSON, from dictionaries as they stand in YAML.

Field numbers are those of Kubernetes' generated.proto files. As the API server's own encoder does, fields go out in
rising order and texts that are no pointers in Go are sent even when empty.
"""

import calendar
import json
import struct
import time

TEXT, NUMBER, BOOL, TIME, RAW, PAIRS = "text", "number", "bool", "time", "raw", "pairs"

# name of a message -> {field: (number, kind, repeated, always sent)}. A kind that is no constant names a message.
MESSAGES = {}


def message(name, *fields):
    """Fields as "number name kind"; [] after the kind: repeated; ! : sent even when empty."""
    table = {}
    for field in fields:
        number, key, kind = field.split()
        table[key] = (int(number), kind.rstrip("[]!"), "[]" in kind, kind.endswith("!"))
    MESSAGES[name] = sorted(table.items(), key=lambda item: item[1][0])


message("ManagedFields", "1 manager text!", "2 operation text!", "3 apiVersion text!", "4 time time", "6 fieldsType text!",
        "7 fieldsV1 raw", "8 subresource text!")
message("OwnerReference", "1 kind text!", "3 name text!", "4 uid text!", "5 apiVersion text!", "6 controller bool",
        "7 blockOwnerDeletion bool")
message("ObjectMeta", "1 name text!", "2 generateName text!", "3 namespace text!", "4 selfLink text!", "5 uid text!",
        "6 resourceVersion text!", "7 generation number!", "8 creationTimestamp time!", "9 deletionTimestamp time",
        "11 labels pairs", "12 annotations pairs", "13 ownerReferences OwnerReference[]",
        "17 managedFields ManagedFields[]")
message("ListMeta", "1 selfLink text!", "2 resourceVersion text!", "3 continue text!", "4 remainingItemCount number")
message("ServicePort", "1 name text!", "2 protocol text!", "3 port number!", "4 targetPort IntOrString!", "5 nodePort number!")
message("IntOrString", "1 type number!", "2 intVal number!", "3 strVal text!")
message("ServiceSpec", "1 ports ServicePort[]", "2 selector pairs", "3 clusterIP text!", "4 type text!",
        "5 externalIPs text[]", "7 sessionAffinity text!", "8 loadBalancerIP text!", "10 externalName text!",
        "11 externalTrafficPolicy text!", "12 healthCheckNodePort number!", "13 publishNotReadyAddresses bool!",
        "17 ipFamilyPolicy text", "18 clusterIPs text[]", "19 ipFamilies text[]", "22 internalTrafficPolicy text")
message("Ingress", "1 ip text!", "2 hostname text!")
message("LoadBalancer", "1 ingress Ingress[]")
message("ServiceStatus", "1 loadBalancer LoadBalancer!")
message("Service", "1 metadata ObjectMeta!", "2 spec ServiceSpec!", "3 status ServiceStatus!")
message("NamespaceSpec", "1 finalizers text[]")
message("NamespaceStatus", "1 phase text!")
message("Namespace", "1 metadata ObjectMeta!", "2 spec NamespaceSpec!", "3 status NamespaceStatus!")
message("PartialObjectMetadata", "1 metadata ObjectMeta!")
message("Conditions", "1 ready bool", "2 serving bool", "3 terminating bool")
message("ObjectReference", "1 kind text!", "2 namespace text!", "3 name text!", "4 uid text!", "5 apiVersion text!",
        "6 resourceVersion text!", "7 fieldPath text!")
message("Endpoint", "1 addresses text[]", "2 conditions Conditions!", "3 hostname text", "4 targetRef ObjectReference",
        "6 nodeName text", "7 zone text")
message("EndpointPort", "1 name text", "2 protocol text", "3 port number", "4 appProtocol text")
message("EndpointSlice", "1 metadata ObjectMeta!", "2 endpoints Endpoint[]", "3 ports EndpointPort[]", "4 addressType text!")
message("PodIP", "1 ip text!")
message("PodStatus", "1 phase text!", "3 message text!", "4 reason text!", "5 hostIP text!", "6 podIP text!", "12 podIPs PodIP[]")
message("PodSpec", "10 nodeName text!")
message("Pod", "1 metadata ObjectMeta!", "2 spec PodSpec!", "3 status PodStatus!")
message("StatusCause", "1 reason text!", "2 message text!", "3 field text!")
message("StatusDetails", "1 name text!", "2 group text!", "3 kind text!", "4 causes StatusCause[]", "5 retryAfterSeconds number!")
message("Status", "1 metadata ListMeta!", "2 status text!", "3 message text!", "4 reason text!", "5 details StatusDetails",
        "6 code number!")

# The kinds that come from a custom resource definition have no protobuf.
JSON_ONLY = {"ServiceImport"}


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def tagged(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def seconds(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def value(number, kind, v):
    if kind == TEXT:
        return tagged(number, (v or "").encode("utf-8", "surrogateescape"))
    if kind in (NUMBER, BOOL):
        return varint(number << 3) + varint(int(v or 0))
    if kind == TIME:
        return tagged(number, varint(1 << 3) + varint(seconds(v)) + varint(2 << 3) + varint(0) if v else b"")
    if kind == RAW:
        return tagged(number, tagged(1, json.dumps(v, separators=(",", ":")).encode()))
    if kind == "IntOrString":
        v = {"type": 1, "strVal": v} if isinstance(v, str) else {"type": 0, "intVal": v or 0}
    return tagged(number, encode(kind, v or {}))


def encode(name, obj):
    """One message without its envelope."""
    out = []
    for key, (number, kind, repeated, always) in MESSAGES[name]:
        v = obj.get(key)
        if kind == PAIRS:
            out += [tagged(number, value(1, TEXT, k) + value(2, TEXT, t)) for k, t in sorted((v or {}).items())]
        elif repeated:
            out += [value(number, kind, item) for item in v or ()]
        elif v is not None or always:
            out.append(value(number, kind, v))
    return b"".join(out)


def envelope(version, kind, raw):
    return b"k8s\0" + tagged(1, value(1, TEXT, version) + value(2, TEXT, kind)) + tagged(2, raw) + tagged(3, b"") + tagged(4, b"")


def protobuf(obj):
    """A whole enveloped object; its kind says which message."""
    return envelope(obj.get("apiVersion", "v1"), obj["kind"], encode(obj["kind"], obj))


def protobuf_list(version, kind, meta, items):
    """items: encoded messages without envelope."""
    return envelope(version, kind + "List", tagged(1, encode("ListMeta", meta)) + b"".join(tagged(2, i) for i in items))


def protobuf_event(event, enveloped):
    frame = tagged(1, event.encode()) + tagged(2, tagged(1, enveloped))
    return struct.pack(">I", len(frame)) + frame


def json_text(obj):
    return json.dumps(obj, separators=(",", ":")).encode("utf-8", "surrogateescape")


def json_list(version, kind, meta, items):
    """items: objects as JSON text."""
    head = b'{"kind":"%sList","apiVersion":"%s","metadata":%s,"items":[' % (kind.encode(), version.encode(), json_text(meta))
    return head + b",".join(items) + b"]}\n"


def json_event(event, text):
    return b'{"type":"%s","object":%s}\n' % (event.encode(), text)
