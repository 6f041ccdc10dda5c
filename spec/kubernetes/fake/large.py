"""A large cluster, with everything that real objects carry: owners, managed fields, annotations."""


def fields(*names):
    return {f"f:{n}": {} for n in names}


def managed(manager, what):
    return {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1", "fieldsV1": what}


def namespace(n):
    name = f"team-{n:04d}"
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name},
                         "managedFields": [managed("kubectl-create", {"f:metadata": {
                             "f:labels": fields("kubernetes.io/metadata.name")}})]},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


SERVICE_FIELDS = {"f:metadata": {"f:labels": {".": {}, **fields("app.kubernetes.io/name", "app.kubernetes.io/part-of", "team")},
                                 "f:annotations": {".": {}, **fields("meta.helm.sh/release-name")}},
                  "f:spec": {"f:internalTrafficPolicy": {}, "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {
                      ".": {}, **fields("name", "port", "protocol", "targetPort")}}, "f:selector": {}, "f:sessionAffinity": {},
                      "f:type": {}}}
SLICE_FIELDS = {"f:addressType": {}, "f:endpoints": {}, "f:metadata": {
    "f:annotations": {".": {}, **fields("endpoints.kubernetes.io/last-change-trigger-time")}, "f:generateName": {},
    "f:labels": {".": {}, **fields("app.kubernetes.io/name", "endpointslice.kubernetes.io/managed-by",
                                   "kubernetes.io/service-name")},
    "f:ownerReferences": {".": {}, 'k:{"uid":"5e9d8f1a-0000-4000-8000-000000000000"}': {}}}, "f:ports": {}}


def place(n, namespaces):
    return f"team-{n % namespaces:04d}", f"service-{n:05d}"


def service(n, namespaces):
    space, name = place(n, namespaces)
    address = f"10.{96 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": space,
                         "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop", "team": space},
                         "annotations": {"meta.helm.sh/release-name": name},
                         "managedFields": [managed("helm", SERVICE_FIELDS)]},
            "spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"},
                               {"name": "metrics", "protocol": "TCP", "port": 9100, "targetPort": 9100}],
                     "selector": {"app.kubernetes.io/name": name}, "clusterIP": address, "clusterIPs": [address],
                     "type": "ClusterIP", "sessionAffinity": "None", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                     "internalTrafficPolicy": "Cluster"},
            "status": {"loadBalancer": {}}}


def endpoint(n, i, name, space):
    at = n * 16 + i
    return {"addresses": [f"10.{128 + (at >> 16)}.{at >> 8 & 255}.{at & 255}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": space, "name": f"{name}-5d8c7b9f4d-{i:05d}",
                          "uid": "5e9d8f1a-0000-4000-8000-000000000000"},
            "nodeName": f"node-{at % 1000:04d}", "zone": f"zone-{'abc'[i % 3]}"}


def slice_of(n, namespaces, endpoints):
    space, name = place(n, namespaces)
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-abcde", "generateName": f"{name}-", "namespace": space,
                         "labels": {"app.kubernetes.io/name": name, "kubernetes.io/service-name": name,
                                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                         "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z"},
                         "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": name, "controller": True,
                                              "uid": "5e9d8f1a-0000-4000-8000-000000000000", "blockOwnerDeletion": True}],
                         "managedFields": [managed("kube-controller-manager", SLICE_FIELDS)]},
            "addressType": "IPv4", "endpoints": [endpoint(n, i, name, space) for i in range(endpoints)],
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}, {"name": "metrics", "protocol": "TCP", "port": 9100}]}


def objects(services=10000, endpoints=8, namespaces=1000):
    """One slice for each service."""
    for n in range(namespaces):
        yield namespace(n)
    for n in range(services):
        yield service(n, namespaces)
        yield slice_of(n, namespaces, endpoints)


def pods(count, namespaces=1000):
    for n in range(count):
        space, name = place(n, namespaces)
        address = f"10.{128 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        yield {"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": f"{name}-5d8c7b9f4d-abcde", "namespace": space, "labels": {"app.kubernetes.io/name": name}},
               "spec": {"nodeName": f"node-{n % 1000:04d}"},
               "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
