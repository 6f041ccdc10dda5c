"""The image as a cluster's DNS pod: each function is a case; they run in this order, on one cluster and one engine."""

import json
import os
import re
import signal
import tarfile
import threading
import time

from bed import KUBEADM, WHOAMI
from engine import MB
from harness import ROOT, SCALE, Load, UDPClient, wait_until
from pod import files, probe
from runtime import Bundle
from steady import Flood, Service
from stock import STOCK

WEB = ("web.ns-a.svc.cluster.local", ["10.96.1.1"])
LIMIT_MB = 30
ENGINES = {".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/console"}  # the engine puts them there


def manifests(bed):
    """the manifests pass kubectl apply --dry-run=server -k, and are applied"""
    said = bed.dry_run
    for kind in ("serviceaccount/coredns", "clusterrole.rbac.authorization.k8s.io/system:coredns", "configmap/coredns",
                 "service/kube-dns", "deployment.apps/coredns", "deployment.apps/dns-autoscaler",
                 "poddisruptionbudget.policy/coredns"):
        assert f"{kind} " in said, f"no {kind} in\n{said}"
    assert set(bed.config) == {"Corefile", "sinkhole.lua"}, bed.config


def image(bed):
    """the image: size, user, capability, nothing that is not needed"""
    about = bed.about
    size, config = about["Size"] / MB, about["Config"]
    print(f"    size {size:.1f} MB")
    assert size <= LIMIT_MB
    assert (config["User"], config["WorkingDir"], config["Entrypoint"]) == ("65532:65532", "/", ["/coredns"]), config
    assert set(config["ExposedPorts"]) == {"53/tcp", "53/udp"}, config["ExposedPorts"]
    assert config["Labels"]["org.opencontainers.image.version"] != "0", config["Labels"]
    with tarfile.open(bed.root_file()) as tar:
        files = {m.name: m for m in tar if m.name not in ENGINES}
    assert "SCHILY.xattr.security.capability" in files["coredns"].pax_headers, "the layer has no file capability"
    assert files["lunadns"].linkname == "coredns"
    assert "etc/ssl/certs/ca-certificates.crt" in files
    programs = [n for n, m in files.items() if m.isfile() and m.mode & 0o111 and ".so" not in n]
    assert programs == ["coredns"], programs
    odd = [n for n, m in files.items() if m.isfile() and n != "coredns" and ".so" not in n and not n.startswith(
        ("etc/ssl/", "usr/share/doc/", "usr/share/common-licenses/"))]
    assert not odd, odd


def licences(bed):
    """the licence of everything that is in the image, in full, and all of them in its label"""
    with tarfile.open(bed.root_file()) as tar:
        texts = {m.name: tar.extractfile(m).read().decode("utf-8", "replace") for m in tar
                 if m.isfile() and m.name.startswith("usr/share/")}
        libraries = {m.name for m in tar if m.isfile() and ".so" in m.name}
    with open(os.path.join(ROOT, "LICENSE")) as f:
        assert texts["usr/share/doc/lunadns/copyright"] == f.read()
    contents = [line.split(" ", 3) for line in texts["usr/share/doc/lunadns/contents"].splitlines()]
    assert {file.lstrip("/") for file, *_ in contents} == libraries | {"usr/share/ca-certificates/mozilla"}, contents
    for file, package, _, _ in contents:
        text = texts[f"usr/share/doc/{package}/copyright"]
        for other in re.findall(r"/(usr/share/common-licenses/[\w.+-]*\w)", text):
            assert texts.get(other), f"{package}: no {other}"
    terms = sorted({terms for _, _, _, terms in contents} | {"Apache-2.0"})
    label = bed.about["Config"]["Labels"]["org.opencontainers.image.licenses"]
    assert label == " AND ".join(terms), f"the label says {label}, the contents {terms}: see docker/licences"
    print(f"    {len(contents)} libraries and files of {len({package for _, package, _, _ in contents})} packages")


def capability(bed):
    """port 53 in a network where only NET_BIND_SERVICE opens it"""
    pod = bed.pod({"Corefile": WHOAMI}, more=("--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"), gain=True)
    assert int(pod.status("CapEff"), 16) == 1 << 10, pod.status("CapEff")
    wait_until(lambda: pod.query("a.test."), 5, "an answer")
    bed.end(pod)


def as_in_a_cluster(bed):
    """port 53 as a cluster's runtime starts it: runc, no_new_privs, the capability permitted, 1024 the first open port"""
    container, = bed.deployment["spec"]["template"]["spec"]["containers"]
    with Bundle(bed.root_file(), WHOAMI, container) as bundle:
        wait_until(lambda: bundle.ask("a.test."), 10, f"an answer\n{bundle.log()}")
        status = bundle.status()
        assert re.search(r"^NoNewPrivs:\s1$", status, re.M) and re.search(r"^CapEff:\s0{13}400$", status, re.M), status
        assert re.search(r"^Uid:\s65532\s", status, re.M), status


def first_answer(bed):
    """from the container's first process to the first answer, without a wait for the API"""
    holder = bed.pod({"Corefile": WHOAMI.replace(":53", ":5300")})  # as a pod's sandbox: the network is there
    times = []
    for _ in range(5):
        answered, stop = [], threading.Event()

        def poll():
            with UDPClient(53, holder.address) as client:
                while not stop.is_set():
                    try:
                        if client.ask("a.test.", timeout=0.005):
                            answered.append(time.clock_gettime(time.CLOCK_BOOTTIME))
                            return
                    except OSError:
                        pass
        thread = threading.Thread(target=poll)
        thread.start()
        pod = bed.pod({"Corefile": WHOAMI}, within=holder)
        thread.join(20)
        stop.set()
        assert answered, pod.log()
        with open(f"/proc/{pod.pid}/stat") as f:
            began = int(f.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
        times.append((answered[0] - began) * 1000)
        bed.end(pod)
    bed.end(holder)
    times.sort()
    print(f"    first answer after {times[2]:.0f} ms ({times[0]:.0f} to {times[-1]:.0f})")
    assert times[2] <= 200 * SCALE, times


def pod_of_the_deployment(bed):
    """the Deployment's container: restrictions, probes, metrics, answers, a scripted plugin in the ConfigMap"""
    pod = bed.base
    assert pod.status("Uid").split() == ["65532"] * 4
    assert pod.status("NoNewPrivs") == "1" and pod.status("Seccomp") == "2"
    assert int(pod.status("CapBnd"), 16) == 1 << 10
    host = pod.inspect()["HostConfig"]
    assert host["ReadonlyRootfs"] and host["Memory"] == 170 * 2 ** 20 and host["NanoCpus"] == 10 ** 9, host
    health = pod.http("/health", 8080)
    assert (health.status, health.body) == (200, "OK"), health
    for name, expected in (WEB, ("x.ads.example", ["0.0.0.0"]), ("version.lunadns.example", ["192.0.2.53"]),
                           ("ext.example", ["192.0.2.80"])):
        reply = pod.query(name + ".")
        assert reply and reply.values() == expected, f"{name}: {reply}\n{pod.log()}"
    assert pod.metric("coredns_dns_requests_total", server="dns://:53") >= 4
    assert pod.metric("coredns_build_info") == 1
    assert pod.metric("process_resident_memory_bytes") > 0
    print(f"    resident {pod.resident():.1f} MB with the fixture's cluster")


def stock(bed):
    """each Deployment that CoreDNS is installed with, only its image changed: ready, alive, answering, quiet, ended in time"""
    pods = []
    for name, objects in STOCK.items():
        before, after, config = bed.swap(objects)
        container, = before["spec"]["template"]["spec"]["containers"]
        assert container["image"] != bed.image, before
        container["image"] = bed.image
        assert before["spec"] == after["spec"], f"{name}: more than the image has changed"
        began = time.monotonic()
        pod = bed.pod(config, deployment=after)
        pod.wait_ready(30, probe(after, "readinessProbe"))
        took = time.monotonic() - began
        path, port = probe(after, "livenessProbe")
        assert pod.http(path, port).status == 200, name
        assert pod.query(WEB[0]).values() == WEB[1] and pod.query("ext.example.").values() == ["192.0.2.80"], pod.log()
        assert pod.metric("coredns_dns_requests_total") >= 2
        odd = [line for line in pod.log().splitlines()
               if re.match(r"\[(WARNING|ERROR)", line) and "ns-a/ext-ip" not in line]  # which is wrong in the fixture
        assert not odd, (name, odd)
        print(f"    {name}: ready after {took:.1f} s, CPU limit {container['resources']['limits'].get('cpu', 'none')}")
        pods.append(pod)
    bed.engine.docker("stop", *(pod.id for pod in pods))  # SIGTERM, and SIGKILL after the grace period
    for pod in pods:
        assert pod.inspect()["State"]["ExitCode"] == 0, pod.log()
        bed.end(pod)


def migration(bed):
    """every command of MIGRATION.md that needs no kubelet, from kubeadm's Deployment: in, back, and with a plugin"""
    stock = bed.install(STOCK["kubeadm"])["spec"]["template"]["spec"]["containers"][0]["image"]
    said = bed.follow("MIGRATION.md")
    assert said.count('deployment "coredns" successfully rolled out') == 2, said
    sets = json.loads(bed.cluster.kubectl("get", "replicasets", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", "json"))
    after, config = bed.get("deployment"), bed.get("configmap")["data"]
    images = [s["spec"]["template"]["spec"]["containers"][0]["image"] for s in sets["items"]
              if s["metadata"]["ownerReferences"][0]["uid"] == after["metadata"]["uid"]]
    assert set(images) == {stock, bed.image}, images
    print("".join(f"    {line}\n" for line in said.splitlines() if line.startswith("+")), end="")
    assert set(files(after, config)) == {"Corefile", "sinkhole.lua"}, after
    pod = bed.pod({**config, "Corefile": config["Corefile"].replace("ready", "ready\nsinkhole ads.example")}, deployment=after)
    pod.wait_ready()
    assert pod.query("x.ads.example.").values() == ["0.0.0.0"], pod.log()
    bed.end(pod)


def edit(bed):
    """an edit of the ConfigMap under load: the new plugin answers, nothing is lost"""
    pod = bed.base
    load = Load(53, [f"{WEB[0]} A", "x.ads.example A", "ext.example A"], seconds=10, qps=2000, address=pod.address)
    time.sleep(1)
    for number in range(3):
        bed.volume.put({**bed.config, "sinkhole.lua": bed.config["sinkhole.lua"].replace("0.0.0.0", f"192.0.2.{number}")})
        wait_until(lambda: pod.query("x.ads.example.").values() == [f"192.0.2.{number}"], 30, "the edited plugin")
    assert load.running, "the load was over before the edits were"
    counted = load.finish()
    load.close()
    print(f"    {counted['sent']} sent, {counted['lost']} lost, slowest {counted['slowest'] * 1000:.1f} ms")
    assert counted["sent"] > 10000 and counted["lost"] == 0 and set(counted["rcodes"]) == {"NOERROR"}, counted
    bad = {**bed.config, "Corefile": "nonsense {\n"}
    bed.volume.put(bad)
    wait_until(lambda: pod.metric("coredns_reload_failed_total"), 30, "a failed reload in the metrics")
    assert pod.query(WEB[0]).values() == WEB[1] and pod.ready()
    bed.volume.put(bed.config)


def rolling(bed):
    """two pods replaced one after the other, while the Service's clients ask"""
    old = [bed.pod(bed.config), bed.pod(bed.config)]
    for pod in old:
        pod.wait_ready()
    with Service(*WEB, old) as service:
        time.sleep(0.5)
        for pod in old:
            pod_new = bed.pod(bed.config)
            pod_new.wait_ready()
            service.pods = [*service.pods, pod_new]
            os.kill(pod.pid, signal.SIGTERM)
            wait_until(lambda: not pod.ready(), 5, "/ready failing")
            time.sleep(2)  # the time it takes until the last node's kube-proxy has heard of it
            service.pods = [p for p in service.pods if p is not pod]
            wait_until(lambda: not pod.running, 15, "its end")
            state = pod.inspect()["State"]
            assert state["ExitCode"] == 0, (state, pod.log())
        new = service.pods
    print(f"    {service.asked} asked, {len(service.wrong)} lost, slowest {service.slowest * 1000:.1f} ms")
    for pod in [*old, *new]:
        bed.end(pod)


def api_restart(bed):
    """the API server restarts: answers and readiness stay, changes arrive after it"""
    pod = bed.base
    with Service(*WEB, [pod]) as service:
        bed.cluster.stop_api()
        time.sleep(2)
        assert pod.ready() and pod.http("/health", 8080).status == 200
        bed.cluster.start_api()
        bed.cluster.kubectl("create", "service", "clusterip", "after", "-n", "ns-a", "--clusterip=10.96.9.9", "--tcp=80")
        wait_until(lambda: pod.query("after.ns-a.svc.cluster.local.").values() == ["10.96.9.9"], 40, "the new service")
    print(f"    {service.asked} asked, {len(service.wrong)} lost")


def flood(bed):
    """a flood of queries whose upstream is silent: shed, within the memory limit, and over when it is over"""
    pod = bed.pod({"Corefile": KUBEADM.replace("max_concurrent 1000", "max_concurrent 1000000")})
    pod.wait_ready()
    idle = pod.resident()
    with bed.silent_upstream():
        with Flood(pod.address) as flooding:
            time.sleep(5)
            # As a resolver asks: once more, for the kernel drops what a process with one CPU has not read in time.
            asked = [pod.query(WEB[0], timeout=0.2) or pod.query(WEB[0], timeout=0.2) for _ in range(50)]
    state = pod.inspect()
    assert state["State"]["Running"] and not state["State"]["OOMKilled"], (state["State"], pod.log())
    wait_until(lambda: (reply := pod.query(WEB[0])) and reply.values() == WEB[1], 5, "an answer after the flood")
    reply = wait_until(lambda: (r := pod.query("ext.example.")) and r.values() and r, 15, "the upstream's answer")
    assert reply.values() == ["192.0.2.80"]
    shed, peak = pod.metric("lunadns_shed_total") or 0, pod.peak()
    answered = sum(a is not None and a.values() == WEB[1] for a in asked)
    print(f"    {flooding.sent} sent, {shed:.0f} shed; {answered} of 50 cluster names answered meanwhile; "
          f"resident {idle:.1f} MB before, {peak:.1f} MB at most")
    assert shed > 0, "nothing was shed: the flood was none"
    assert answered >= 49, "the flood costs names that need no upstream"
    assert peak < 170 * 2 ** 20 / MB, peak
    bed.end(pod)


def nothing_written(bed):
    """no file was written: the container's layer has the places of the volumes, which the engine made"""
    changed = {line.split()[1] for line in bed.engine.docker("diff", bed.base.id).splitlines()}
    mounted = [m["Destination"] for m in bed.base.inspect()["Mounts"]]
    odd = [path for path in changed if not any((m + "/").startswith(path + "/") for m in mounted)]
    assert not odd, odd
    assert bed.base.running


ALL = (manifests, image, licences, capability, as_in_a_cluster, first_answer, pod_of_the_deployment, stock, migration, edit,
       rolling, api_restart, flood, nothing_written)
