"""Processes, cores, ports and what the kernel knows about them."""

import atexit
import ctypes
import os
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
SIGKILL = 9
LIBC = ctypes.CDLL(None)
ALLOWED = sorted(os.sched_getaffinity(0))

_running = []


class Broken(Exception):
    """Something did not work: a server that does not start, a wrong answer. Its text is for the user."""


def cores(wanted):
    """The core of the load and the core of the server: the first and the last one allowed, or `wanted`."""
    allowed = ALLOWED
    if wanted:
        chosen = [int(part) for part in wanted.split(",") if part.isdigit()]
        if len(chosen) != 2 or not set(chosen) <= set(allowed):
            raise Broken(f"--cores {wanted}: expected two of {allowed}, as in --cores {allowed[0]},{allowed[-1]}")
        return chosen[0], chosen[1]
    if len(allowed) < 2:
        raise Broken("the bench needs two cores: one for the server, one for the load")
    return allowed[0], allowed[-1]


def free_port():
    """A port of 127.0.0.1 that is free for UDP and TCP at this moment."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Broken("no port is free for both UDP and TCP")


def _prepare(on):
    """Runs in the child: pins it, and lets it die with this process however that ends."""
    def prepare():
        os.sched_setaffinity(0, on)
        LIBC.prctl(PR_SET_PDEATHSIG, SIGKILL)
    return prepare


def start(command, on, **options):
    """Starts a process on the given cores, away from the terminal's Ctrl-C. `stop` ends it; so does our end."""
    process = subprocess.Popen(command, preexec_fn=_prepare(set(on)), start_new_session=True,
                               stdin=subprocess.DEVNULL, **options)
    _running.append(process)
    return process


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()
    if process in _running:
        _running.remove(process)


@atexit.register
def stop_all():
    for process in list(_running):
        stop(process)


def output(command, on, timeout):
    """Runs a command to its end and returns its stdout; Broken when it fails."""
    process = start(command, on, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Broken(f"{command[0]} did not end within {timeout:.0f} s") from None
    finally:
        stop(process)
    if process.returncode != 0:
        raise Broken(f"{' '.join(command)}: exit {process.returncode}: {(err or out).strip()[-500:]}")
    return out


def cpu_seconds(pid):
    """User and system time of all threads of a process, ended ones too, to the nanosecond.

    It is the sum that utime and stime of /proc/PID/stat show in ticks of 10 ms; the clock of
    clock_getcpuclockid(3) has it unrounded.
    """
    return time.clock_gettime(((~pid) << 3) | 2)


def thread_seconds(pid, name):
    """User and system time of the threads of that name."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{task}"
        try:
            with open(f"{folder}/comm", encoding="ascii") as comm, open(f"{folder}/schedstat", encoding="ascii") as stat:
                if comm.read().strip() == name:
                    total += int(stat.read().split()[0])
        except FileNotFoundError:
            pass  # it has ended
    return total / 1e9


def waited_seconds(pid):
    """How long the main thread of a process was ready to run, but something else had its core."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9


def memory_kb(pid):
    """Resident memory now, and its highest value so far, in kB of 1024 bytes."""
    found = {}
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            key, _, value = line.partition(":")
            if key in ("VmRSS", "VmHWM"):
                found[key] = int(value.split()[0])
    return found["VmRSS"], found["VmHWM"]
