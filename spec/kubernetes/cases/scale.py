"""115, and the memory of 110: a cluster of 10,000 services."""

import random
import time

from bed import cluster_ip, endpoint, endpointslice, namespace, service
from cases import case
from expect import A

S = ".svc.cluster.local"
SPACES = ("scale-0", "scale-1")  # the scalability limits: 10,000 services, 5,000 in one namespace
EACH, ENDPOINTS = 5000, 8
RELIST_PEAK = 1.10  # of the resident memory before


def numbers(i):
    """Two octets of an address that are three digits each."""
    return f"{100 + i // 100}.{100 + i % 100}"


def create(bed):
    """Makes the services, each with a slice of its own, unless they are there; returns their addresses by name."""
    addresses = {}
    if bed.cluster.request("GET", "/api/v1/namespaces?labelSelector=scale=yes")["items"]:
        return addresses
    for number, space in enumerate(SPACES, 1):
        endpoints = [endpoint(f"10.1{e}{number}.{numbers(0)}") for e in range(1, 1 + ENDPOINTS)]
        bed.put(namespace(space, {"scale": "yes"}), service(space, "s10000", cluster_ip(f"10.10{number}.{numbers(0)}")),
                endpointslice(space, "s10000-abcde", "s10000", endpoints))
        addresses[f"s10000.{space}{S}"] = f"10.10{number}.{numbers(0)}"
        copies = []
        for i in range(1, EACH):
            copies.append([(b"s10000", b"s%d" % (10000 + i)), (numbers(0).encode(), numbers(i).encode())])
            addresses[f"s{10000 + i}.{space}{S}"] = f"10.10{number}.{numbers(i)}"
        bed.cluster.etcd.multiply(f"/registry/services/specs/{space}/s10000", copies)
        bed.cluster.etcd.multiply(f"/registry/endpointslices/{space}/s10000-abcde", copies)
    return addresses


def check_sample(server, addresses):
    """5 % of the names resolve to their addresses."""
    with server.udp() as client:
        for name in random.Random(1).sample(sorted(addresses), len(addresses) // 20):
            reply = client.ask(name)
            assert reply and reply.values() == [addresses[name]], f"{name}: {reply}, not {addresses[name]}"


def highest(server):
    """The most resident memory since it was last asked for, in octets; starts anew."""
    with open(f"/proc/{server.pid}/status") as f:
        most = next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))
    with open(f"/proc/{server.pid}/clear_refs", "w") as f:
        f.write("5")
    return most


@case(115, "10,000 services: watched as they come, and listed by a new server", last=2)
def many(bed):
    watching = bed.server()
    began = time.monotonic()
    addresses = create(bed)
    print(f"    {len(addresses)} services, {len(addresses) * ENDPOINTS} endpoints stored in {time.monotonic() - began:.1f} s")
    last = f"s{9999 + EACH}.{SPACES[-1]}{S}"
    seconds = bed.eventually(watching, f"{last} A", A(addresses[last]), 60)
    print(f"    the last shows {seconds:.1f} s later")
    listed = bed.cluster.request("GET", f"/api/v1/namespaces/{SPACES[0]}/services?limit=1")
    assert listed["metadata"]["remainingItemCount"] == EACH - 1, listed["metadata"]
    check_sample(watching, addresses)
    bed.end(watching)
    began = time.monotonic()
    with bed.serving() as server:
        print(f"    ready {time.monotonic() - began:.2f} s after the start, {server.rss() / 2 ** 20:.0f} MiB")
        check_sample(server, addresses)


@case(110, "memory while 10,000 services are listed again", last=3,
      coredns="a list is decoded whole beside the old objects: the peak is 10 to 30 % higher",
      sometimes=True)
def relist_memory(bed):
    create(bed)
    with bed.serving() as server:
        highest(server)
        before = server.rss()
        bed.cluster.etcd.compact()
        bed.cluster.restart_api()
        with bed.service("ns-b", "relisted", cluster_ip("10.96.110.9")):
            bed.eventually(server, f"relisted.ns-b{S} A", A("10.96.110.9"), 60)
            peak = highest(server)
        print(f"    {before / 2 ** 20:.1f} MiB before, at most {peak / 2 ** 20:.1f} MiB (+{(peak / before - 1) * 100:.0f} %)")
        assert peak <= before * RELIST_PEAK, f"{peak / before:.2f} times the memory before"
