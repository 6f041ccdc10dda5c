"""The servers: how each is configured and started for a case.

`command(subject, role, place)` writes the configuration files into place.folder and returns the
command line. Roles: hosts, cached, cached-log, forward (the CPU cases), idle, million, reload.
"""

import os
import pwd
import shutil
from dataclasses import dataclass

from traffic import NAMES, ZONE, address, host, write_lines

ALL = ["floor", "lunadns", "knotd", "unbound", "dnsdist", "dnsmasq", "coredns"]

# Which server can play which role. What is missing here has no comparable feature.
ROLES = {
    "floor": {"hosts", "cached", "cached-log", "forward", "million", "reload", "kubernetes"},
    "lunadns": {"hosts", "cached", "cached-log", "forward", "idle", "million", "reload", "plugin", "plugin-reload",
                "kubernetes", "waiting-sleep", "waiting-resolve", "waiting-forward"},
    "coredns": {"hosts", "cached", "cached-log", "forward", "idle", "million", "reload", "kubernetes"},
    "knotd": {"hosts"},
    "unbound": {"hosts", "cached"},
    "dnsdist": {"cached", "forward"},
    "dnsmasq": {"hosts", "cached", "forward"},
}


@dataclass
class Place:
    """Where a server runs: its own folder, its port, and what it uses."""
    folder: str
    port: int
    upstream: int = 0      # port of the upstream, when the role has one
    hosts: str = ""        # the hosts file
    ports: tuple = ()      # free ports for metrics, health, ready
    silent: int = 0        # port of a socket that nobody reads, when the role has one
    api: object = None     # the scripted API server of role kubernetes
    generation: int = 0    # role reload: the edit of the Corefile
    polled: bool = False   # role reload: the server looks for edits itself


def find(root):
    """The path of each subject's binary, None where there is none."""
    def installed(name):
        return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")

    luna = os.environ.get("LUNADNS") or os.path.join(root, "build", "lunadns")
    return {
        "floor": "",
        "lunadns": luna if os.access(luna, os.X_OK) else None,
        "coredns": os.environ.get("COREDNS") or installed("coredns"),
        **{name: installed(name) for name in ("knotd", "unbound", "dnsdist", "dnsmasq")},
    }


def corefile(role, place):
    """The Corefile of a role: the same text for lunadns and CoreDNS."""
    if role.startswith("waiting"):
        return waiting_corefile(role, place)
    metrics, health, ready = place.ports
    forward = f"forward . 127.0.0.1:{place.upstream}"
    hosts = f"hosts {place.hosts} {{\n ttl 3600\n reload 1s\n }}"
    # Larger than the names of all cases: what is measured is a hit, not an eviction.
    cache = "cache 3600 {\n success 400000 3600\n denial 400000 3600\n }"
    chain = ["errors", f"prometheus 127.0.0.1:{metrics}", cache, "loadbalance", forward]
    plugins = {
        "hosts": [hosts],
        "cached": chain,
        "cached-log": ["log"] + chain,
        "forward": [forward],
        "million": [hosts],
        "kubernetes": ["errors", f"prometheus 127.0.0.1:{metrics}",
                       "kubernetes cluster.local in-addr.arpa ip6.arpa {\n"
                       f" endpoint {place.api.url if place.api else ''}\n pods insecure\n fallthrough in-addr.arpa ip6.arpa\n"
                       " ttl 30\n }", forward, "cache 30", "loop", "loadbalance"],
        "plugin": ["sinkhole ads.example", hosts],
        "plugin-reload": ["errors", f"prometheus 127.0.0.1:{metrics}", "edited", hosts],
        "idle": ["errors", f"health 127.0.0.1:{health}", f"ready 127.0.0.1:{ready}",
                 f"prometheus 127.0.0.1:{metrics}",
                 "hosts {\n 192.0.2.7 static.bench.test\n fallthrough\n }",
                 forward, "cache 30", "loop", "reload", "loadbalance"],
        "reload": ["errors", f"prometheus 127.0.0.1:{metrics}",
                   f"hosts {place.hosts} {{\n {address(place.generation)} generation.{ZONE}\n fallthrough\n }}",
                   *(["reload 2s 1s"] if place.polled else []), "loadbalance", forward],
    }[role]
    return f".:{place.port} {{\n bind 127.0.0.1\n " + "\n ".join(plugins) + "\n}\n"


def waiting_corefile(role, place):
    """Every query waits, for longer than the measure takes. Nobody reads what the upstream gets."""
    silent = f"forward . 127.0.0.1:{place.silent} {{\n  max_fails 0\n }}"
    plugins = {"waiting-sleep": ["sleeps"], "waiting-resolve": ["resolves"], "waiting-forward": [silent]}[role]
    hosts = "hosts {\n  192.0.2.7 static.bench.test\n  fallthrough\n }"
    lines = "\n ".join(["bind 127.0.0.1", hosts] + plugins)
    return f".:{place.port} {{\n {lines}\n}}\nsilent.test:{place.port} {{\n bind 127.0.0.1\n {silent}\n}}\n"


def write_corefile(role, place):
    """Writes the Corefile in one step, so that a server never reads half of it."""
    path = os.path.join(place.folder, "Corefile")
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(corefile(role, place))
    os.replace(path + ".new", path)
    return path


SINKHOLE = """local dns = require "dns"
return dns.plugin {
  name = "sinkhole",
  options = { { "zone", type = "zone", required = true } },
  setup = function(conf, next)
    return function(q)
      if not q:under(conf.zone) then return next(q) end
      return q:answer_address("0.0.0.0", 60)
    end
  end,
}
"""

WAITS = """local dns = require "dns"
return dns.plugin {
  name = "NAME",
  setup = function(_, next)
    return function(q)
      if q:is "static.bench.test." then return next(q) end
      WAIT
      return dns.REFUSED
    end
  end,
}
"""
WAIT = {"sleeps": "dns.sleep(4)", "resolves": 'dns.resolve("x.silent.test.", "A", { timeout = 4 })'}

EDITED = """local dns = require "dns"
return dns.plugin {
  name = "edited",
  setup = function(_, next)
    return function(q)
      if not q:under "generation.ZONE" then return next(q) end
      return q:answer_address("ADDRESS", 60)
    end
  end,
}
"""


def write_plugin(folder, generation):
    """Writes the plugin of role plugin-reload: it answers with an address that tells the edit."""
    path = os.path.join(folder, "edited.lua")
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(EDITED.replace("ZONE", ZONE).replace("ADDRESS", address(generation)))
    os.replace(path + ".new", path)


def command(subject, binary, role, place):
    return globals()["_" + subject](binary, role, place)


def _lunadns(binary, role, place):
    if role == "plugin":
        write_lines(os.path.join(place.folder, "sinkhole.lua"), SINKHOLE.splitlines())
    for name, wait in WAIT.items():
        if role.startswith("waiting"):
            write_lines(os.path.join(place.folder, name + ".lua"),
                        WAITS.replace("NAME", name).replace("WAIT", wait).splitlines())
    if role == "plugin-reload":
        write_plugin(place.folder, place.generation)
    return [binary, "-conf", write_corefile(role, place), "-quiet"]


_coredns = _lunadns


def _knotd(binary, _role, place):
    write_lines(os.path.join(place.folder, "bench.zone"),
                [f"{ZONE}. 3600 SOA ns.{ZONE}. admin.{ZONE}. 1 3600 600 86400 3600",
                 f"{ZONE}. 3600 NS ns.{ZONE}.", f"ns.{ZONE}. 3600 A 192.0.2.53"] +
                [f"{host(n)}. 3600 A {address(n)}" for n in range(1, NAMES + 1)])
    conf = write_lines(os.path.join(place.folder, "knot.conf"), [
        "server:", f"  rundir: {place.folder}", f"  listen: 127.0.0.1@{place.port}",
        "  udp-workers: 1", "  tcp-workers: 1", "  background-workers: 1",
        "database:", f"  storage: {place.folder}",
        "log:", "  - target: stderr", "    any: error",
        "zone:", f"  - domain: {ZONE}", f"    storage: {place.folder}", "    file: bench.zone",
        "    zonefile-sync: -1", "    journal-content: none"])
    return [binary, "-c", conf]


def _unbound(binary, role, place):
    lines = ["server:", f"  interface: 127.0.0.1@{place.port}", "  num-threads: 1", '  username: ""',
             '  chroot: ""', '  pidfile: ""', f'  directory: "{place.folder}"', "  use-syslog: no",
             '  logfile: ""', "  access-control: 127.0.0.0/8 allow", "  do-not-query-localhost: no",
             '  module-config: "iterator"', "  qname-minimisation: no", "  num-queries-per-thread: 4096",
             "  outgoing-range: 8192", "  msg-cache-size: 128m", "  rrset-cache-size: 256m",
             "  so-rcvbuf: 1m", "  do-ip6: no"]
    if role == "hosts":
        lines += [f"  local-zone: {ZONE}. static"]
        lines += [f'  local-data: "{host(n)}. 3600 A {address(n)}"' for n in range(1, NAMES + 1)]
    else:
        lines += ["  local-zone: test. transparent", "forward-zone:", '  name: "."',
                  f"  forward-addr: 127.0.0.1@{place.upstream}"]
    lines += ["remote-control:", "  control-enable: no"]
    return [binary, "-d", "-c", write_lines(os.path.join(place.folder, "unbound.conf"), lines)]


def _dnsdist(binary, role, place):
    lines = [f'setLocal("127.0.0.1:{place.port}")', 'setACL("127.0.0.0/8")', 'setSecurityPollSuffix("")',
             f'newServer{{address="127.0.0.1:{place.upstream}", sockets=8}}']
    if role == "cached":
        lines += ['getPool(""):setCache(newPacketCache(400000))']
    conf = write_lines(os.path.join(place.folder, "dnsdist.conf"), lines)
    return [binary, "--supervised", "--disable-syslog", "-C", conf]


def _dnsmasq(binary, role, place):
    words = [binary, "-k", "-p", str(place.port), "--listen-address=127.0.0.1", "--bind-interfaces",
             "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
             f"--user={pwd.getpwuid(os.getuid()).pw_name}",
             "--log-facility=-", "--local-ttl=3600"]
    if role == "hosts":
        return words + [f"--addn-hosts={place.hosts}", f"--local=/{ZONE}/"]
    return words + [f"--server=127.0.0.1#{place.upstream}", "--dns-forward-max=10000",
                    "--cache-size=" + ("10000" if role == "cached" else "0")]
