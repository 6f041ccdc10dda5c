"""118: services of a cluster set, imported by ServiceImport."""

from bed import endpoint, endpointslice
from cases import case, corefile
from expect import A, Check, NODATA, NXDOMAIN, SRV, extra

S = ".svc.clusterset.local"
KIND = {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport"}
HTTP = [{"name": "http", "port": 80, "protocol": "TCP"}]


def definition():
    """The CustomResourceDefinition, as much of it as DNS looks at."""
    text, schema = {"type": "string"}, {"type": "object"}
    port = {**schema, "properties": {"name": text, "protocol": text, "port": {"type": "integer"}}}
    spec = {**schema, "properties": {"type": text, "ips": {"type": "array", "items": text},
                                     "ports": {"type": "array", "items": port}}}
    version = {"name": "v1alpha1", "served": True, "storage": True,
               "schema": {"openAPIV3Schema": {**schema, "properties": {"spec": spec}}}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "serviceimports.multicluster.x-k8s.io",
                         "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1748"}},
            "spec": {"group": "multicluster.x-k8s.io", "scope": "Namespaced", "versions": [version],
                     "names": {"kind": "ServiceImport", "plural": "serviceimports", "singular": "serviceimport",
                               "listKind": "ServiceImportList"}}}


def service_import(name, spec):
    return {**KIND, "metadata": {"name": name, "namespace": "ns-a"}, "spec": {"ports": HTTP, **spec}}


def rights():
    """What a cluster set adds to the DNS pods' role."""
    rule = {"apiGroups": ["multicluster.x-k8s.io"], "resources": ["serviceimports"], "verbs": ["list", "watch"]}
    group = "rbac.authorization.k8s.io"
    return ({"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "dns-imports"}, "rules": [rule]},
            {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "dns-imports"},
             "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "dns-imports"},
             "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}]})


@case(118, "ServiceImports of a multicluster zone")
def imports(bed):
    bed.put(definition(), *rights())
    bed.cluster.kubectl("wait", "--for=condition=Established", "crd/serviceimports.multicluster.x-k8s.io", "--timeout=30s")
    of = "multicluster.kubernetes.io/service-name", "multicluster.kubernetes.io/source-cluster"
    bed.put(service_import("web", {"type": "ClusterSetIP", "ips": ["10.112.0.1"]}),
            service_import("hl", {"type": "Headless"}),
            *(endpointslice("ns-a", f"import-{cluster}", "", [endpoint(address, "pod-0")],
                            labels={of[0]: "hl", of[1]: cluster})
              for cluster, address in (("cluster1", "10.113.0.1"), ("cluster2", "10.113.0.2"))))
    block = corefile("multicluster clusterset.local", zones="cluster.local clusterset.local in-addr.arpa ip6.arpa")
    with bed.serving(block) as server:
        def check(name, expected, qtype="A"):
            # CoreDNS's serial of a cluster set's zone is 0 for ever.
            rcode_only = Check(expected.rcode, lambda reply, *_: [] if reply.rcode == expected.rcode else [reply.rcode])
            bed.check(server, f"{name}.ns-a{S} {qtype}", expected, None if expected.soa is None else rcode_only,
                      zone="clusterset.local")
        check("web", A("10.112.0.1"))
        check("_http._tcp.web", SRV(f"0 100 80 web.ns-a{S}.") + extra(A("10.112.0.1", name=f"web.ns-a{S}")), "SRV")
        check("hl", A("10.113.0.1", "10.113.0.2"))
        check("pod-0.cluster1.hl", A("10.113.0.1"))
        check("pod-0.cluster2.hl", A("10.113.0.2"))
        check("pod-0.hl", NXDOMAIN)
        check("noname", NXDOMAIN)
        check("web", NODATA, "AAAA")
        bed.check(server, "web.ns-a.svc.cluster.local A", A("10.96.1.1"))
        bed.put(service_import("web", {"type": "ClusterSetIP", "ips": ["10.112.0.9"]}))
        bed.eventually(server, f"web.ns-a{S} A", A("10.112.0.9"), zone="clusterset.local")
