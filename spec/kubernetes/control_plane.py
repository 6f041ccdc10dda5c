"""A cluster's control plane without nodes: etcd, kube-apiserver, kube-controller-manager, kubectl.

    with ControlPlane() as cluster:
        cluster.apply("fixture")
        cluster.kubectl("get", "services", "-A")

Every process runs in a directory of its own under the system's temporary one, listens on free ports of one address
and is ended by close(). Binaries come from cluster/build.
"""

import contextlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "server"))

import certificates  # noqa: E402
from etcd import Etcd, Refused, wait_ready  # noqa: E402
from harness import Process, SCALE, free_port, wait_until  # noqa: E402

# Names that are not asked for by default: services may begin with a digit, as in clusters of today.
GATES = ("RelaxedServiceNameValidation=true",)
CONTROLLERS = ("namespace-controller", "endpointslice-controller")


def build(what=()):
    """The folder of the built binaries; builds them when they are not cached."""
    done = subprocess.run([os.path.join(HERE, "cluster", "build"), *what], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"cluster/build failed with code {done.returncode}: see above")
    return done.stdout.strip()


class ControlPlane:
    """address: where the API server listens, and names: what its certificate is for besides (as "IP:..." or
    "DNS:..."). etcd: another etcd binary. gates: more feature gates ("WatchList=false"). controllers: those
    that kube-controller-manager runs; none: it is not started."""

    def __init__(self, address="127.0.0.1", names=(), etcd=None, gates=(), controllers=CONTROLLERS):
        self.bin = build()
        self.dir = tempfile.mkdtemp(prefix="lunadns-cluster-")
        self.address, self.names = address, list(names)
        self.gates, self.port = [*GATES, *gates], free_port()
        self.url = f"https://{address}:{self.port}"
        self.etcd = self.api = self.manager = None
        self._connections = threading.local()
        try:
            self.authority = certificates.Authority(self.path("pki"))
            self.signing_key = certificates.signing_key(self.path("pki/tokens.key"))
            self.admin = self.authority.issue("admin", "admin", "system:masters")
            self._issue_server()
            self.write_kubeconfig(self.path("admin.kubeconfig"))
            self.etcd = Etcd(etcd or os.path.join(self.bin, "etcd"), self.path("etcd"))
            self.start_api()
            if controllers:
                self.start_controllers(controllers)
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.dir, name)

    # processes

    def _issue_server(self):
        self.server_cert = self.authority.issue("apiserver", "kube-apiserver", names=[
            "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc", "DNS:localhost", "IP:127.0.0.1",
            "IP:10.96.0.1", *({f"IP:{self.address}"} - {"IP:127.0.0.1"}), *self.names])

    def start_api(self):
        cert, key = self.server_cert
        self.api = Process([
            os.path.join(self.bin, "kube-apiserver"), f"--etcd-servers={self.etcd.url}",
            f"--bind-address={self.address}", f"--secure-port={self.port}", f"--advertise-address={self.address}"
            if not self.address.startswith("127.") else "--advertise-address=192.0.2.10",
            f"--cert-dir={self.path('pki')}", f"--tls-cert-file={cert}", f"--tls-private-key-file={key}",
            f"--client-ca-file={self.path('pki/ca.crt')}", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/12,fd00:10:96::/108",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={self.signing_key}",
            f"--service-account-signing-key-file={self.signing_key}",
            "--service-account-extend-token-expiration=false", "--endpoint-reconciler-type=none",
            "--disable-admission-plugins=ServiceAccount", "--enable-priority-and-fairness=false",
            "--max-requests-inflight=0", "--feature-gates=" + ",".join(self.gates)])
        wait_ready("kube-apiserver", self.api, lambda: self.request("GET", "/readyz", parse=False))

    def start_controllers(self, controllers):
        config = self.path("admin.kubeconfig")
        self.manager = Process([
            os.path.join(self.bin, "kube-controller-manager"), f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}", "--leader-elect=false",
            "--secure-port=0", "--controllers=" + ",".join(controllers), "--min-resync-period=12h"])

    def stop_api(self, hard=True):
        """Ends kube-apiserver, at once or by SIGTERM."""
        self._forget_connection()
        if self.api:
            if not hard and self.api.running:
                self.api.child.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.api.child.wait(20 * SCALE)
            self.api.close()
            self.api = None

    def restart_api(self, hard=True):
        self.stop_api(hard)
        self.start_api()

    def change_authority(self):
        """A new CA and server certificate take the place of the old ones; the API server is restarted with them. Client
        certificates of the old CA stay good: kube-apiserver trusts both for clients."""
        old = self.authority
        self.authority = certificates.Authority(self.path("pki-2"), "cluster-ca-2")
        self._issue_server()
        with open(old.cert, "a") as trusted, open(self.authority.cert) as new:
            trusted.write(new.read())
        self.write_kubeconfig(self.path("admin.kubeconfig"))
        self.restart_api()

    def restore(self, name):
        """Puts a copy that etcd.save made in the place of etcd's data and starts everything anew: resource versions go
        backwards."""
        self.stop_api()
        self.etcd.restore(name)
        self.start_api()

    # clients

    def write_kubeconfig(self, file, server=None, token=None, ca=None, context="test", **user):
        """A kubeconfig: of the admin's certificate, or with a token or other fields of the user."""
        if not user:
            user = {"token": token} if token else {"client-certificate": self.admin[0], "client-key": self.admin[1]}
        with open(file, "w") as f:  # JSON is YAML
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": context, "clusters": [
                {"name": "real", "cluster": {"server": server or self.url, "certificate-authority": ca or
                                             self.authority.cert}}],
                "users": [{"name": "me", "user": user}],
                "contexts": [{"name": context, "context": {"cluster": "real", "user": "me"}}]}, f, indent=1)
        return file

    def kubectl(self, *args, stdin=None):
        """kubectl as the admin; its output. An error raises."""
        done = subprocess.run([os.path.join(self.bin, "kubectl"), f"--kubeconfig={self.path('admin.kubeconfig')}",
                               f"--cache-dir={self.path('kubectl')}", *args], input=stdin, capture_output=True, text=True,
                              timeout=120 * SCALE)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def apply(self, folder):
        """kubectl apply of the manifests of a folder of this one, then of the status of its status/."""
        folder = os.path.join(HERE, folder)
        self.kubectl("apply", "--server-side", "-f", folder)
        if os.path.isdir(os.path.join(folder, "status")):
            self.kubectl("apply", "--server-side", "--subresource=status", "-f", os.path.join(folder, "status"))

    def _connection(self):
        if not getattr(self._connections, "one", None):
            context = ssl.create_default_context(cafile=self.authority.cert)
            context.load_cert_chain(*self.admin)
            self._connections.one = http.client.HTTPSConnection(self.address, self.port, timeout=60 * SCALE,
                                                                context=context)
        return self._connections.one

    def _forget_connection(self):
        if getattr(self._connections, "one", None):
            self._connections.one.close()
            self._connections.one = None

    def request(self, method, path, body=None, parse=True, kind="application/json"):
        """One request to the API server as the admin, over a connection of this thread that is kept."""
        fresh = not getattr(self._connections, "one", None)
        try:
            connection = self._connection()
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
            reply = connection.getresponse()
            text = reply.read().decode()
        except (OSError, http.client.HTTPException):
            self._forget_connection()
            if fresh:
                raise
            return self.request(method, path, body, parse, kind)  # the kept one had been idle for too long
        if reply.status >= 300:
            raise Refused(f"{method} {path}", reply.status, text)
        return json.loads(text) if parse else text

    def token(self, account="coredns", namespace="kube-system", seconds=3600, bound_to=None):
        """A token of a service account. bound_to: the name of a Secret with which it ends."""
        spec = {"expirationSeconds": seconds}
        if bound_to:
            spec["boundObjectRef"] = {"kind": "Secret", "apiVersion": "v1", "name": bound_to}
        return self.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
                            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
                            )["status"]["token"]

    def wait_gone(self, path, timeout=60):
        """Waits until a GET of the path finds nothing."""
        def gone():
            try:
                self.request("GET", path)
            except Refused as e:
                return e.status == 404
        wait_until(gone, timeout, f"{path} being gone")

    def close(self):
        for process in (self.manager, self.api, self.etcd):
            if process:
                process.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":  # a cluster by hand: control_plane.py, then kubectl with the printed kubeconfig
    began = time.monotonic()
    with ControlPlane() as by_hand:
        by_hand.apply("fixture")
        print(f"ready after {time.monotonic() - began:.1f} s: export KUBECONFIG={by_hand.path('admin.kubeconfig')}; "
              f"kubectl is in {by_hand.bin}; end with Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
