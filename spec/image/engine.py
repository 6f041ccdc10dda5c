"""A Docker engine of the test's own, and the containers that it runs: in the namespaces of isolate.py, where it ends with them.

Containers are on its bridge: GATEWAY is this side of it, where the API server and the upstream listen.
"""

import contextlib
import json
import os
import subprocess
import tempfile

from harness import SCALE, Process, UDPClient, http, parse_metrics, wait_until

GATEWAY, BRIDGE = "10.88.0.1", "10.88.0.1/24"
MB = 1_000_000


class Engine:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="lunadns-engine-")
        os.chmod(self.dir, 0o755)
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{self.dir}/docker.sock"}
        self.process = Process(["dockerd", "--data-root", f"{self.dir}/data", "--exec-root", f"{self.dir}/exec",
                                "--pidfile", f"{self.dir}/pid", "-H", self.env["DOCKER_HOST"], "--iptables=false",
                                "--ip6tables=false", f"--bip={BRIDGE}", "--exec-opt", "native.cgroupdriver=cgroupfs"])
        try:
            wait_until(self._answers, 60, "the engine")
        except BaseException:
            self.close()
            raise

    def _answers(self):
        if not self.process.running:
            raise AssertionError(f"dockerd ended: {self.process.out}{self.process.err[-4000:]}")
        return subprocess.run(["docker", "version"], env=self.env, capture_output=True).returncode == 0

    def docker(self, *args):
        """The output of a docker command; an error raises."""
        done = subprocess.run(["docker", *args], env=self.env, capture_output=True, text=True, timeout=120 * SCALE)
        if done.returncode:
            raise AssertionError(f"docker {' '.join(args)}: code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def close(self):
        with contextlib.suppress(Exception):
            running = self.docker("ps", "-aq").split()
            if running:
                self.docker("rm", "-f", *running)
        if self.process.running:
            self.process.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.child.wait(20)
        self.process.close()


class Container:
    """A container that is started with these flags of docker run."""

    def __init__(self, engine, image, flags, args):
        self.engine = engine
        self.id = engine.docker("create", *flags, image, *args)
        engine.docker("start", self.id)
        state = self.inspect()
        self.pid, self.address = state["State"]["Pid"], state["NetworkSettings"]["IPAddress"]
        self.port = 53

    def inspect(self):
        return json.loads(self.engine.docker("inspect", self.id))[0]

    @property
    def running(self):
        return self.inspect()["State"]["Running"]

    def log(self):
        done = subprocess.run(["docker", "logs", self.id], env=self.engine.env, capture_output=True, text=True)
        return done.stdout + done.stderr

    def query(self, name, qtype="A", timeout=2):
        """The reply, or None."""
        with UDPClient(53, self.address) as client:
            return client.ask(name, qtype, timeout)

    def http(self, path, port):
        return http(port, path, self.address)

    def ready(self, probe=("/ready", 8181)):
        """probe: path and port."""
        try:
            return self.http(*probe).status == 200
        except OSError:
            return False

    def wait_ready(self, timeout=20, probe=("/ready", 8181)):
        def looks_ready():
            if not self.running:
                raise AssertionError("the container ended")
            return self.ready(probe)
        try:
            wait_until(looks_ready, timeout, "/ready of the container")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()}") from None

    def metric(self, name, **labels):
        samples = parse_metrics(self.http("/metrics", 9153).body)
        found = [v for n, have, v in samples if n == name and all(have.get(k) == w for k, w in labels.items())]
        return sum(found) if found else None

    def status(self, field):
        """A line of /proc/PID/status."""
        with open(f"/proc/{self.pid}/status") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith(field + ":"))

    def resident(self):
        return int(self.status("VmRSS").split()[0]) * 1024 / MB

    def peak(self):
        return int(self.status("VmHWM").split()[0]) * 1024 / MB

    def remove(self):
        self.engine.docker("rm", "-f", self.id)
