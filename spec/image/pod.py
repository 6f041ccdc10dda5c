"""A pod of a Deployment as flags of docker run, and its volumes as kubelet lays them."""

import os
import shutil
import tempfile

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Volume:
    """The keys of a ConfigMap as files: links through ..data, which is replaced in one step."""

    def __init__(self, keys):
        self.dir, self.version = tempfile.mkdtemp(prefix="lunadns-volume-"), 0
        os.chmod(self.dir, 0o755)
        self.put(keys)

    def put(self, keys):
        self.version += 1
        current = f"..version-{self.version}"
        os.mkdir(os.path.join(self.dir, current))
        for name, text in keys.items():
            with open(os.path.join(self.dir, current, name), "w") as f:
                f.write(text)
            if not os.path.lexists(os.path.join(self.dir, name)):
                os.symlink(f"..data/{name}", os.path.join(self.dir, name))
        link = os.path.join(self.dir, "..data")
        os.symlink(current, link + ".new")
        os.rename(link + ".new", link)
        shutil.rmtree(os.path.join(self.dir, f"..version-{self.version - 1}"), ignore_errors=True)


# What the scheduler, the Deployment's controller and kubelet itself use: nothing of it is the container's.
ELSEWHERE = {
    "affinity", "nodeSelector", "tolerations", "priorityClassName", "schedulerName", "restartPolicy", "serviceAccount",
    "serviceAccountName", "name", "image", "imagePullPolicy", "ports", "livenessProbe", "readinessProbe",
    "terminationMessagePath", "terminationMessagePolicy"}
# And what flags() gives to Docker.
CARRIED = {
    "pod": {"containers", "volumes", "dnsPolicy", "terminationGracePeriodSeconds", "securityContext"},
    "container": {"args", "resources", "securityContext", "volumeMounts"},
    "security": {"runAsNonRoot", "allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities", "seccompProfile"}}


def known(what, fields):
    """Raises for a field that no container would get: what runs is to be what was asked for."""
    odd = set(fields) - CARRIED[what] - ELSEWHERE
    assert not odd, f"spec/image/pod.py does not know how to give a container the {what}'s {sorted(odd)}"
    return fields


def amount(quantity):
    """A Kubernetes quantity: octets, or CPUs."""
    for unit, factor in (("Mi", 2 ** 20), ("Gi", 2 ** 30), ("Ki", 2 ** 10), ("m", 0.001)):
        if quantity.endswith(unit):
            return float(quantity[:-len(unit)]) * factor
    return float(quantity)


def probe(deployment, kind):
    """(path, port) that kubelet asks: livenessProbe or readinessProbe of the only container."""
    container, = deployment["spec"]["template"]["spec"]["containers"]
    ask = container[kind]["httpGet"]
    named = {p["name"]: p["containerPort"] for p in container["ports"]}
    return ask["path"], named.get(ask["port"], ask["port"])


def files(deployment, config):
    """What the Deployment's only volume has of the ConfigMap: file by name."""
    volume, = deployment["spec"]["template"]["spec"]["volumes"]
    items = volume["configMap"].get("items")
    return {item["path"]: config[item["key"]] for item in items} if items else config


def flags(deployment, volume, account, environment, resolver, cpus=1):
    """(flags, args) of docker run for the only container of the Deployment. volume: what files() said, account: what is
    mounted without being in the Deployment; cpus: a quota where it has none."""
    pod = known("pod", deployment["spec"]["template"]["spec"])
    container = known("container", *pod["containers"])
    security = known("security", {**pod.get("securityContext", {}), **container["securityContext"]})
    assert pod["dnsPolicy"] == "Default", pod["dnsPolicy"]  # the node's resolv.conf, not the cluster's
    limits, requests = container["resources"]["limits"], container["resources"]["requests"]
    out = ["--memory", str(int(amount(limits["memory"]))), "--cpus", f"{amount(limits['cpu']) if 'cpu' in limits else cpus:g}",
           "--cpu-shares", str(int(amount(requests["cpu"]) * 1024)), "--dns", resolver,
           "--stop-timeout", str(pod["terminationGracePeriodSeconds"])]
    out += ["--memory-swap", out[1]]  # a cluster's nodes have no swap
    if security.get("readOnlyRootFilesystem"):
        out.append("--read-only")
    if security.get("allowPrivilegeEscalation") is False:
        out += ["--security-opt", "no-new-privileges"]
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        out += ["--security-opt", "seccomp=unconfined"]  # kubelet's default; Docker's is its profile
    for word, option in (("drop", "--cap-drop"), ("add", "--cap-add")):
        for name in security.get("capabilities", {}).get(word, ()):
            out += [option, name]
    mount, = container["volumeMounts"]
    out += ["-v", f"{volume.dir}:{mount['mountPath']}" + (":ro" if mount.get("readOnly") else "")]
    out += ["-v", f"{account.dir}:{ACCOUNT}:ro"]
    for key, value in environment.items():
        out += ["-e", f"{key}={value}"]
    return out, container["args"]
