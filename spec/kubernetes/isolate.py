"""A node's and a pod's network for the tests, and a pod's file system: namespaces that end with this process.

enter() starts the program anew as root of namespaces of its own. There:
  OWN      the address of the DNS pod, on an interface of this namespace
  CLIENT   the address of another pod, in a network namespace of its own: in_pod(command) runs there
  ACCOUNT  where a pod finds its service account's files; empty
Temporary files are in memory and go with the namespaces.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

OWN, CLIENT = "10.244.0.53", "10.244.2.1"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
RESOLV_CONF = "nameserver 127.0.0.1\n"
INSIDE = "LUNADNS_KUBERNETES_ISOLATED"
_pod = None


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


def _resolver_file():
    """/etc/resolv.conf is where search lists come from: the same on every machine."""
    real = os.path.realpath("/etc/resolv.conf")
    if real.startswith("/run/"):  # hidden by our own /run
        os.makedirs(os.path.dirname(real), exist_ok=True)
        with open(real, "w") as f:
            f.write(RESOLV_CONF)
        return
    with open("/run/resolv.conf", "w") as f:
        f.write(RESOLV_CONF)
    _run("mount", "--bind", "/run/resolv.conf", real)


def _set_up():
    global _pod
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.makedirs(ACCOUNT)
    os.makedirs("/run/tmp")
    tempfile.tempdir = os.environ["TMPDIR"] = "/run/tmp"
    _resolver_file()
    _run("ip", "link", "set", "lo", "up")
    _pod = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    while os.readlink(f"/proc/{_pod.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        time.sleep(0.01)
    _run("ip", "link", "add", "node", "type", "veth", "peer", "name", "eth0", "netns", str(_pod.pid))
    _run("ip", "address", "add", OWN + "/32", "dev", "node")
    _run("ip", "link", "set", "node", "up")
    _run("ip", "route", "add", CLIENT + "/32", "dev", "node", "src", OWN)
    for args in (["link", "set", "lo", "up"], ["address", "add", CLIENT + "/32", "dev", "eth0"],
                 ["link", "set", "eth0", "up"], ["route", "add", OWN + "/32", "dev", "eth0"]):
        _run(*in_pod("ip", *args))


def in_pod(*command):
    """The command line that runs a command in the other pod."""
    return ["nsenter", f"--net=/proc/{_pod.pid}/ns/net", "--", *command]


def enter():
    """Returns inside; outside it becomes this program started again within. However it ends, its processes and files
    end with it."""
    if os.environ.pop(INSIDE, None):
        for number in (signal.SIGINT, signal.SIGTERM):  # the first process of its namespace: all others end with it
            signal.signal(number, lambda *_: os._exit(130))
        _set_up()
        return
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        flags += ["--user", "--map-root-user"]
    if not shutil.which("unshare"):
        sys.exit("unshare is not installed: apt-get install util-linux")
    probe = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True)
    if probe.returncode:
        sys.exit("the test of the kubernetes plugin needs namespaces of its own (network, mount, process): run it as root, or "
                 f"where users may make them, and in a container with --privileged.\n{probe.stderr.strip()}")
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
