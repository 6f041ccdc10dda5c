"""A child process with its output, whichever program it is. Everything is ended by its own process id."""

import contextlib
import re
import subprocess
import threading
import time

from environment import SCALE


class Process:
    """A child whose stdout and stderr are collected. close() always ends it."""

    def __init__(self, command, cwd=None, env=None, stdin=None, stdout=subprocess.PIPE, preexec=None):
        self.command = command
        self._lines, self._err, self._lock = [], [], threading.Condition()
        self.child = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE if stdin is not None
                                      else subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                      preexec_fn=preexec)
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.child.stdin.write(stdin.encode())
                self.child.stdin.close()
        self.pid = self.child.pid
        self._readers = []
        for pipe, into in ((self.child.stdout, self._lines), (self.child.stderr, self._err)):
            if pipe:
                t = threading.Thread(target=self._collect, args=(pipe, into), daemon=True)
                t.start()
                self._readers.append(t)

    def _collect(self, pipe, into):
        try:
            for line in iter(pipe.readline, b""):
                with self._lock:
                    into.append(line.decode("utf-8", "replace"))
                    self._lock.notify_all()
        except ValueError:
            pass  # closed under it at the end

    @property
    def out(self):
        with self._lock:
            return "".join(self._lines)

    @property
    def err(self):
        with self._lock:
            return "".join(self._err)

    def mark(self):
        """Where stdout is now: wait_log(..., after=mark) looks behind it only."""
        with self._lock:
            return len(self._lines)

    def lines(self, after=0):
        with self._lock:
            return [line.rstrip("\n") for line in self._lines[after:]]

    def wait_log(self, pattern, timeout=5, after=0):
        """The match object of the first stdout line that the pattern is found in."""
        wanted, deadline = re.compile(pattern), time.monotonic() + timeout * SCALE
        with self._lock:
            at = after
            while True:
                while at < len(self._lines):
                    found = wanted.search(self._lines[at].rstrip("\n"))
                    if found:
                        return found
                    at += 1
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no line matches {pattern!r} within {timeout * SCALE:g} s\n--- stdout\n"
                                         + "".join(self._lines[after:]) + "--- stderr\n" + "".join(self._err))
                if self.child.poll() is not None and not self._readers[0].is_alive():
                    raise AssertionError(f"the process ended ({self.child.returncode}) without a line that matches "
                                         f"{pattern!r}\n--- stdout\n" + "".join(self._lines[after:])
                                         + "--- stderr\n" + "".join(self._err))
                self._lock.wait(min(left, 0.1))

    def count_log(self, pattern, after=0):
        return sum(bool(re.search(pattern, line)) for line in self.lines(after))

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout=15):
        """Waits for its end and for all of its output; returns the exit code."""
        try:
            code = self.child.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command[0]} (pid {self.pid}) still runs after {timeout * SCALE:g} s\n"
                                 f"--- stdout\n{self.out}\n--- stderr\n{self.err}") from None
        for reader in self._readers:
            reader.join(5)
        return code

    @property
    def running(self):
        return self.child.poll() is None

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.child.stdout, self.child.stderr):
            if pipe:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
