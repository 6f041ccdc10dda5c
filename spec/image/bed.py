"""What the cases are given: a cluster with the examples applied, an engine with the image, an upstream, pods."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile

from account import Account
from control_plane import CONTROLLERS, ControlPlane
from engine import GATEWAY, Container, Engine
from harness import ROOT, SCALE, ScriptedUpstream
from kubelet import Kubelet
from pod import Volume, files, flags
from stock import STOCK

EXAMPLES = os.path.join(ROOT, "examples", "kubernetes")
WHOAMI = ".:53 {\n    whoami\n}\n"
KUBEADM = STOCK["kubeadm"][0]["data"]["Corefile"]


def outside(query):
    if query.message.name.lower() == "ext.example." and query.message.type == "A":
        return query.reply(answer=[(None, "A", 60, "192.0.2.80")])
    return query.reply("NXDOMAIN", authority=[("example.", "SOA", 60, "ns.example. host.example. 1 3600 600 86400 60")])


class Bed:
    def __init__(self, file, image):
        self.image, self.cluster, self.upstream, self.base = image, None, None, None
        self.engine = Engine()
        try:
            self.engine.docker("load", "-q", "-i", file)
            self.about = json.loads(self.engine.docker("inspect", image))[0]
            self.cluster = ControlPlane(address=GATEWAY, controllers=(
                *CONTROLLERS, "deployment-controller", "replicaset-controller"))
            self.dry_run = self.cluster.kubectl("apply", "--dry-run=server", "-k", EXAMPLES)
            self.cluster.apply("fixture")
            self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", EXAMPLES)
            self.deployment = self.get("deployment")
            # Every 2 s, so that the test need not wait for the usual 30.
            self.config = {k: v.replace("    reload\n", "    reload 2s 1s\n") for k, v in
                           self.get("configmap")["data"].items()}
            self.upstream = ScriptedUpstream(outside, address=GATEWAY, port=53)
            self.account = Account(tempfile.mkdtemp(prefix="lunadns-account-"), self.cluster.token(),
                                   open(self.cluster.authority.cert).read())
            os.chmod(self.account.dir, 0o755)
            self.volume = Volume(self.config)
            self.base = self.pod(volume=self.volume)
            self.base.wait_ready()
        except BaseException:
            self.close()
            raise

    def get(self, kind):
        return json.loads(self.cluster.kubectl("get", kind, "coredns", "-n", "kube-system", "-o", "json"))

    def install(self, objects):
        """Installs a ConfigMap and a Deployment as they are, in the place of those there. Returns the Deployment."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.cluster.kubectl("delete", "deployment,configmap", "coredns", "-n", "kube-system", "--ignore-not-found")
        self.cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
        self.cluster.kubectl("apply", "-f", "-", stdin=text)
        return self.get("deployment")

    def swap(self, objects):
        """The same, and changes the image by kubectl. Returns the Deployment before and after it, and the ConfigMap's data,
        from the API server."""
        before = self.install(objects)
        self.cluster.kubectl("set", "image", "deployment/coredns", f"coredns={self.image}", "-n", "kube-system")
        return before, self.get("deployment"), self.get("configmap")["data"]

    def pod(self, config=None, volume=None, deployment=None, within=None, more=(), gain=False):
        """Starts a container of the Deployment, the examples' unless given. config: the ConfigMap's keys, or a volume that
        has them. within: another container, whose network it shares; more: flags; gain: without no-new-privileges
        (Docker, unlike a cluster's runtimes, gives a user who is not root his capabilities by the file's alone)."""
        deployment = deployment or self.deployment
        options, args = flags(deployment, volume or Volume(files(deployment, config)), self.account, {
            "KUBERNETES_SERVICE_HOST": GATEWAY, "KUBERNETES_SERVICE_PORT": str(self.cluster.port)}, GATEWAY)
        if within:
            at = options.index("--dns")
            options[at:at + 2] = ["--network", f"container:{within.id}"]
        if gain:
            at = options.index("no-new-privileges")
            del options[at - 1:at + 1]
        return Container(self.engine, self.image, [*options, *more], args)

    def follow(self, guide):
        """Runs the commands of a guide's sh blocks in one shell, in a folder with what else is in the guide's; pods become
        ready at once, as there is no kubelet to start them. Returns what the commands said."""
        with open(os.path.join(EXAMPLES, guide)) as f:
            script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", f.read(), re.M | re.S))
        folder = tempfile.mkdtemp(prefix="lunadns-guide-")
        shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
        env = {**self.engine.env, "KUBECONFIG": self.cluster.path("admin.kubeconfig"),
               "PATH": f"{self.cluster.bin}:{os.environ['PATH']}"}
        script = script.replace("registry.example/lunadns:0.1.0", self.image)
        with Kubelet(self.cluster):
            done = subprocess.run(["sh", "-exc", script], cwd=folder, env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=120 * SCALE)
        shutil.rmtree(folder)
        assert done.returncode == 0, f"code {done.returncode}\n{done.stdout}"
        return done.stdout

    def end(self, pod):
        pod.remove()

    def root_file(self):
        """The image's file system as a tar file."""
        made, file = self.engine.docker("create", self.image), tempfile.mktemp(suffix=".tar")
        self.engine.docker("export", "-o", file, made)
        self.engine.docker("rm", made)
        return file

    @contextlib.contextmanager
    def silent_upstream(self):
        answer, self.upstream.answer = self.upstream.answer, lambda query: None
        try:
            yield
        finally:
            self.upstream.answer = answer

    def close(self):
        for thing in (self.engine, self.upstream, self.cluster):
            if thing:
                thing.close()
