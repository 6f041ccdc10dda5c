"""What the tests run in: the binary, the speed of the machine, ports and descriptors."""

import contextlib
import fcntl
import os
import random
import re
import resource
import signal
import socket
import tempfile
import time

# Debian keeps servers where only root looks for commands.
os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("LUNADNS", os.path.join(ROOT, "build", "lunadns")))
SCALE = float(os.environ.get("LUNADNS_TIME_SCALE", "1"))
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
SANITIZER_REPORT = re.compile(r"(ERROR|WARNING): (Address|Thread|Memory|Leak)Sanitizer|runtime error: ")


def _sanitized():
    try:
        with open(BINARY, "rb") as f:
            data = f.read()
    except OSError:
        return False
    return any(mark in data for mark in (b"__asan_init", b"__tsan_init", b"__ubsan_handle"))


SANITIZED = _sanitized()  # figures (memory, speed) mean nothing then


def wait_until(condition, timeout=5, what="the condition"):
    """Returns the first true value of condition(); fails after timeout seconds (scaled)."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout * SCALE:g} s")
        time.sleep(0.01)


_port_locks = []


def _vacant(port):
    with contextlib.ExitStack() as stack:
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                try:
                    s = stack.enter_context(socket.socket(family, kind))
                    if family == socket.AF_INET6:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((host, port))
                except OSError as e:
                    if e.errno in (97, 99):  # no IPv6 here
                        continue
                    return False
    return True


def free_port():
    """A port for UDP and TCP that nobody has. SO_REUSEPORT would let two suites share one without a word, so a lock
    file says whose it is until this process ends; the range is outside the kernel's for clients."""
    directory = os.path.join(tempfile.gettempdir(), "lunadns-test-ports")
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory)
        os.chmod(directory, 0o777)  # other users' suites as well
    for _ in range(2000):
        port = random.SystemRandom().randrange(10000, 32000)
        path = os.path.join(directory, str(port))
        lock = open(path, encoding="ascii") if os.path.exists(path) else open(path, "a", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if _vacant(port):
            _port_locks.append(lock)
            return port
        lock.close()
    raise AssertionError("no free port")


def raise_descriptors(wanted):
    """Room for so many descriptors in this process; False when the system does not permit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted


def descriptors(count):
    """A preexec function: the server may have so many descriptors."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
