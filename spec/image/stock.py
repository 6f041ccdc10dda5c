"""The Deployments that clusters have CoreDNS from, each with the image and the ConfigMap it comes with.

They are written here as what they ask for, and follow
    kubeadm     Kubernetes v1.36.3, cmd/kubeadm/app/phases/addons/dns/manifests.go
    addon       Kubernetes v1.36.3, cluster/addons/dns/coredns/coredns.yaml.base
    deployment  coredns/deployment 7853d4a19c9c, kubernetes/coredns.yaml.sed
    chart       coredns/helm coredns-1.46.2, rendered for a release coredns with the values it has
"""

KUBE_DNS = {"k8s-app": "kube-dns"}
CRITICAL = {"key": "CriticalAddonsOnly", "operator": "Exists"}
CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
APART = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {
    "matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]}}
PREFERRED = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
    {"weight": 100, "podAffinityTerm": APART}]}}
REQUIRED = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [APART]}}


def port(name, number, protocol="TCP"):
    return {"name": name, "containerPort": number, "protocol": protocol}


DNS = [port("dns", 53, "UDP"), port("dns-tcp", 53), port("metrics", 9153)]
PROBES = [port("liveness-probe", 8080), port("readiness-probe", 8181)]
ADDON_RESOURCES = {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}}
CHART_RESOURCES = {"cpu": "100m", "memory": "128Mi"}


def corefile(kubernetes, forward, cache="", lameduck="5s", prometheus=":9153"):
    """The plugins that all of them have, in their order; the options that differ."""
    blocks = [("errors", ""), ("health", f"lameduck {lameduck}"), ("ready", ""),
              ("kubernetes cluster.local in-addr.arpa ip6.arpa", kubernetes), (f"prometheus {prometheus}", ""),
              ("forward . /etc/resolv.conf", forward), ("cache 30", cache), ("loop", ""), ("reload", ""), ("loadbalance", "")]
    return ".:53 {\n" + "".join(
        f"    {line}" + (" {\n" + "".join(f"        {option}\n" for option in options.split("; ")) + "    }" if options else "") +
        "\n" for line, options in blocks) + "}\n"


def objects(config, image, labels=(), replicas=None, surge=None, pod=(), container=(), probes=(8080, 8181), timing=({}, {}),
            drop="ALL", read_only=True):
    """A ConfigMap and a Deployment. labels: besides k8s-app; pod, container: fields that others have not."""
    match = {**KUBE_DNS, **dict(labels)}
    live, ready = ({"httpGet": {"path": path, "port": at, "scheme": "HTTP"}, **more}
                   for path, at, more in zip(("/health", "/ready"), probes, timing))
    mount = {"name": "config-volume", "mountPath": "/etc/coredns", **({"readOnly": True} if read_only else {})}
    only = {
        "name": "coredns", "image": image, "imagePullPolicy": "IfNotPresent", "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [mount], "livenessProbe": {"initialDelaySeconds": 60, "timeoutSeconds": 5, "successThreshold": 1,
                                                   "failureThreshold": 5, **live},
        "readinessProbe": ready, "resources": ADDON_RESOURCES, "ports": DNS,
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": [drop]}}, **dict(container)}
    spec = {"serviceAccountName": "coredns", "dnsPolicy": "Default", "containers": [only],
            "volumes": [{"name": "config-volume", "configMap": {
                "name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}], **dict(pod)}
    meta = {"name": "coredns", "namespace": "kube-system"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": config}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta, "labels": match}, "spec": {
            **({"replicas": replicas} if replicas else {}), "selector": {"matchLabels": match},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {
                "maxUnavailable": 1, **({"maxSurge": surge} if surge else {})}},
            "template": {"metadata": {"labels": match}, "spec": spec}}}]


def addon_pod(affinity, *tolerations):
    return {"priorityClassName": "system-cluster-critical", "nodeSelector": {"kubernetes.io/os": "linux"},
            "affinity": affinity, "tolerations": [CRITICAL, *tolerations]}


INSECURE = "pods insecure; fallthrough in-addr.arpa ip6.arpa; ttl 30"

STOCK = {
    "kubeadm": objects(
        corefile(INSECURE, "max_concurrent 1000", "disable success cluster.local; disable denial cluster.local"),
        "registry.k8s.io/coredns/coredns:v1.14.2", replicas=2, pod=addon_pod(PREFERRED, CONTROL_PLANE),
        container={"ports": DNS + PROBES}, probes=("liveness-probe", "readiness-probe")),
    "addon": objects(
        corefile(INSECURE, "max_concurrent 1000"), "registry.k8s.io/coredns/coredns:v1.14.2",
        pod={**addon_pod(PREFERRED), "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
    "deployment": objects(
        corefile("fallthrough in-addr.arpa ip6.arpa", "max_concurrent 1000"), "coredns/coredns:1.9.4",
        labels={"app.kubernetes.io/name": "coredns"}, pod=addon_pod(REQUIRED), drop="all"),
    "chart": objects(
        corefile(INSECURE, "", lameduck="10s", prometheus="0.0.0.0:9153"), "coredns/coredns:1.13.1",
        labels={"k8s-app": "coredns", "app.kubernetes.io/name": "coredns", "app.kubernetes.io/instance": "coredns"},
        replicas=1, surge="25%", pod={"serviceAccountName": "default", "terminationGracePeriodSeconds": 30},
        container={"resources": {"limits": CHART_RESOURCES, "requests": CHART_RESOURCES},
                   "ports": [port("udp-53", 53, "UDP"), port("tcp-53", 53), port("tcp-9153", 9153)]},
        timing=({"periodSeconds": 10}, {"initialDelaySeconds": 30, "periodSeconds": 5, "timeoutSeconds": 5,
                                        "successThreshold": 1, "failureThreshold": 1}), read_only=False),
}
