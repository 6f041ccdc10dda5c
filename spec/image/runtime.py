"""The image's file system under runc itself, with the privileges that containerd and CRI-O give a container of a pod.

Docker takes the permitted capabilities from a user who is not root; a cluster's runtimes leave them, and forbid new ones.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

from harness import Process


class Bundle:
    """Runs /coredns as a container of a Deployment asks, with a Corefile, in a network of its own, where ports below 1024
    need the capability."""

    def __init__(self, root_file, corefile, container):
        self.dir = tempfile.mkdtemp(prefix="lunadns-bundle-")
        root = os.path.join(self.dir, "root")
        os.mkdir(root)
        subprocess.run(["tar", "-x", "--xattrs", "--xattrs-include=security.*", "-f", root_file, "-C", root], check=True)
        os.makedirs(os.path.join(root, "etc/coredns"), exist_ok=True)
        with open(os.path.join(root, "etc/coredns/Corefile"), "w") as f:
            f.write(corefile)
        self.network = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        while os.readlink(f"/proc/{self.network.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        self.inside = ["nsenter", f"--net=/proc/{self.network.pid}/ns/net", "--"]
        subprocess.run([*self.inside, "ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["runc", "spec"], cwd=self.dir, check=True)
        self._configure(os.path.join(self.dir, "config.json"), container)
        self.runc = ["runc", "--root", os.path.join(self.dir, "state")]
        self.process = Process([*self.runc, "run", "--bundle", self.dir, "pod"])

    def _configure(self, file, container):
        with open(file) as f:
            spec = json.load(f)
        security = container["securityContext"]
        mine = [f"CAP_{name}" for name in security["capabilities"]["add"]]
        spec["process"].update({
            "terminal": False, "args": ["/coredns", *container["args"]], "cwd": "/",
            "noNewPrivileges": not security["allowPrivilegeEscalation"],
            "user": {"uid": 65532, "gid": 65532},
            "capabilities": {"bounding": mine, "effective": mine, "permitted": mine}})
        spec["root"] = {"path": "root", "readonly": security["readOnlyRootFilesystem"]}
        for namespace in spec["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = f"/proc/{self.network.pid}/ns/net"
        with open(file, "w") as f:
            json.dump(spec, f)

    def ask(self, name):
        """What dig says, or None."""
        done = subprocess.run([*self.inside, "dig", "@127.0.0.1", "+time=1", "+tries=1", name], capture_output=True, text=True)
        return done.stdout if "status: NOERROR" in done.stdout else None

    def status(self):
        """/proc/PID/status of the server."""
        state = json.loads(subprocess.run([*self.runc, "state", "pod"], capture_output=True, check=True).stdout)
        with open(f"/proc/{state['pid']}/status") as f:
            return f.read()

    def log(self):
        return self.process.out + self.process.err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self.runc, "delete", "-f", "pod"], capture_output=True)
        self.process.close()
        self.network.kill()
        self.network.wait()
        with contextlib.suppress(OSError):
            shutil.rmtree(self.dir)
