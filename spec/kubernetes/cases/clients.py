"""121-126, beyond the page: other API servers, other ways to reach one, and the caches in front."""

import shutil

import cases
from bed import cluster_ip
from cases import case, corefile
from control_plane import ControlPlane
from expect import A, NXDOMAIN
from gate import Gate

S = ".svc.cluster.local"
WEB = f"web.ns-a{S} A"
# As kubeadm writes it; ports and the upstream are the test's.
KUBEADM = """.:{port} {
    errors
    health :{http} {
       lameduck 5s
    }
    ready :{http2}
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :{http3}
    forward . UPSTREAM {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""


def streamed_lists(cluster):
    """How many lists the API server has served as watches."""
    lines = cluster.request("GET", "/metrics", parse=False).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("apiserver_watch_list_duration_seconds_count"))


def check_change(bed, server, name, put, remove):
    """A service comes and goes."""
    put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "ns-b"}, "spec": cluster_ip(
        "10.96.121.1")})
    bed.eventually(server, f"{name}.ns-b{S} A", A("10.96.121.1"))
    remove("/api/v1/namespaces/ns-b/services/" + name)
    bed.eventually(server, f"{name}.ns-b{S} A", NXDOMAIN)


@case(121, "an API server that streams lists, and one on etcd 3.4 that does not")
def streaming(bed):
    before = streamed_lists(bed.cluster)
    with bed.serving():
        assert streamed_lists(bed.cluster) >= before + 3, "services, slices and namespaces were not listed by a watch"
    debian = shutil.which("etcd")
    assert debian, "etcd is not installed: see docker/deps"
    with ControlPlane(etcd=debian, gates=["WatchList=false"], controllers=()) as old:
        old.apply("fixture")
        way = Gate((old.address, old.port))
        with open(old.authority.cert) as f:
            bed.account.write(old.token(), f.read())
        try:
            with bed.serving(gate=way) as server:
                for a in cases.asks:
                    if a.on == cases.BASE and a.number <= 94:
                        bed.check(server, " ".join([a.name, a.type, *a.flags]), a.expected, a.coredns, zone=a.asked_zone(),
                                  ttl=a.ttl)
                check_change(bed, server, "listed", lambda o: old.request("POST", "/api/v1/namespaces/ns-b/services", o),
                             lambda path: old.request("DELETE", path))
                way.cut()
                check_change(bed, server, "again", lambda o: old.request("POST", "/api/v1/namespaces/ns-b/services", o),
                             lambda path: old.request("DELETE", path))
                old.etcd.compact()
                old.restart_api()
                old.request("POST", "/api/v1/namespaces/ns-b/services", {"metadata": {"name": "later"}, "spec": cluster_ip(
                    "10.96.121.9")})
                bed.eventually(server, f"later.ns-b{S} A", A("10.96.121.9"), 45)
            assert streamed_lists(old) == 0
        finally:
            bed.restore_account()
            way.close()


@case(122, "kubeconfig: a context's certificate, a token, a token file")
def kubeconfig(bed):
    cluster, token = bed.cluster, bed.cluster.token()
    with open(cluster.path("token"), "w") as f:
        f.write(token)
    for name, user in (("certificate", {}), ("token", {"token": token}), ("file", {"tokenFile": cluster.path("token")})):
        config = cluster.write_kubeconfig(cluster.path(f"{name}.kubeconfig"), context=name, **user)
        for argument in (config, f"{config} {name}"):
            with bed.serving(corefile(f"kubeconfig {argument}"), env={"KUBERNETES_SERVICE_HOST": ""}) as server:
                bed.check(server, WEB, A("10.96.1.1"))


@case(123, "endpoint with tls")
def endpoint(bed):
    cluster = bed.cluster
    lines = f"endpoint {cluster.url}", f"tls {cluster.admin[0]} {cluster.admin[1]} {cluster.authority.cert}"
    with bed.serving(corefile(*lines), env={"KUBERNETES_SERVICE_HOST": ""}) as server:
        bed.check(server, WEB, A("10.96.1.1"))


def account(name, *rules):
    """A service account with these rights only."""
    group = "rbac.authorization.k8s.io"
    return ({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}},
            {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)},
            {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
             "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}]})


@case(124, "rights on endpointslices are missing, and are given while it runs")
def forbidden(bed):
    rule = {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]}
    bed.put(*account("poor", rule))
    bed.account.write(token=bed.cluster.token("poor"))
    try:
        with bed.serving(synced=False) as server:
            server.wait_log("endpointslices", 10)
            bed.eventually(server, WEB, A("10.96.1.1"))
            reply = bed.ask(server, f"hl.ns-a{S} A")
            assert reply.rcode == "SERVFAIL", reply
            ready = server.http("/ready", server.number("http2"))
            assert ready.status == 503 and "kubernetes" in ready.body, ready
            if bed.subject == "lunadns":
                assert server.count_log("plugin/kubernetes.*endpointslices") == 1, "not one line for one right:\n" + server.out
            bed.put(*account("poor", rule, {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"],
                                            "verbs": ["list", "watch"]}))
            bed.wait_ready(server, 45)
            bed.check(server, f"hl.ns-a{S} A", A("10.244.2.1", "10.244.2.2", "10.244.2.3", "10.244.2.6"))
    finally:
        bed.restore_account()


def check_fresh(bed, text):
    """Answers and name errors that were given before a change are not given after it."""
    with bed.serving(text) as server:
        for _ in range(2):
            bed.check(server, f"fresh.ns-b{S} A", NXDOMAIN)
            with bed.service("ns-b", "fresh", cluster_ip("10.96.125.1")):
                bed.eventually(server, f"fresh.ns-b{S} A", A("10.96.125.1"), 2)
                bed.check(server, f"fresh.ns-b{S} A", A("10.96.125.1"))
            bed.eventually(server, f"fresh.ns-b{S} A", NXDOMAIN, 2)


@case(125, "kubeadm's Corefile as it stands")
def kubeadm(bed):
    check_fresh(bed, KUBEADM)


@case(126, "cache 30 in front: answers of the cluster are not cached", coredns="they are, for 30 s")
def cached(bed):
    check_fresh(bed, corefile(after="cache 30"))
