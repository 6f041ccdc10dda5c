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


def memory(quantity):
    """A Kubernetes quantity of memory in octets."""
    for unit, factor in (("Mi", 2 ** 20), ("Gi", 2 ** 30), ("Ki", 2 ** 10)):
        if quantity.endswith(unit):
            return int(quantity[:-2]) * factor
    return int(quantity)


def flags(deployment, volume, account, environment, resolver, cpus="1"):
    """(flags, args) of docker run for the only container of the Deployment. cpus: a quota, which the Deployment does not set."""
    spec = deployment["spec"]["template"]["spec"]
    container, = spec["containers"]
    security = container["securityContext"]
    out = ["--memory", str(memory(container["resources"]["limits"]["memory"])), "--cpus", cpus, "--dns", resolver]
    out += ["--memory-swap", out[1]]  # a cluster's nodes have no swap
    if security.get("readOnlyRootFilesystem"):
        out.append("--read-only")
    if security.get("allowPrivilegeEscalation") is False:
        out += ["--security-opt", "no-new-privileges"]
    for word, option in (("drop", "--cap-drop"), ("add", "--cap-add")):
        for name in security.get("capabilities", {}).get(word, ()):
            out += [option, name]
    for mount in container["volumeMounts"]:
        out += ["-v", f"{volume.dir}:{mount['mountPath']}" + (":ro" if mount.get("readOnly") else "")]
    out += ["-v", f"{account.dir}:{ACCOUNT}:ro"]
    for key, value in environment.items():
        out += ["-e", f"{key}={value}"]
    return out, container["args"]
