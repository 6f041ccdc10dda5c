"""etcd, with a directory of its own: what the API server stores, and what happens to it."""

import base64
import http.client
import json
import os
import shutil
import signal

from harness import Process, SCALE, free_port, wait_until


class Refused(AssertionError):
    """A server answered a request with an error. Has .status (HTTP) and .body (text)."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status}\n{body[:2000]}")
        self.status, self.body = status, body


def wait_ready(name, process, ready, timeout=60):
    """Waits until ready() neither raises nor returns None; a process that ends before fails."""
    def looks_ready():
        if not process.running:
            raise AssertionError(f"{name} ended: {process.child.returncode}\n{process.out}{process.err[-6000:]}")
        try:
            return ready() is not None
        except (OSError, http.client.HTTPException, Refused):
            return False
    wait_until(looks_ready, timeout, f"{name} being ready")


def _text(octets):
    return base64.b64encode(octets).decode()


class Etcd:
    """binary: the command; directory: for its data. .url is where it listens."""

    def __init__(self, binary, directory):
        self.binary, self.dir = binary, directory
        self.port, self.peer_port = free_port(), free_port()
        self.url, self.process = f"http://127.0.0.1:{self.port}", None
        # Nothing here outlives the machine: no fsync, where the version can do without.
        flags = Process([binary, "--help"])
        flags.wait()
        self._flags = ["--unsafe-no-fsync"] if "--unsafe-no-fsync" in flags.out + flags.err else []
        flags.close()
        self.start()

    def start(self):
        peer = f"http://127.0.0.1:{self.peer_port}"
        self.process = Process([
            self.binary, "--name", "one", "--data-dir", self.dir, "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"one={peer}", *self._flags])
        try:
            wait_ready("etcd", self.process, self.revision)
        except BaseException:
            self.close()
            raise

    def call(self, path, body, connection=None):
        """A call of the JSON gateway; connection: one that is kept."""
        one = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SCALE)
        try:
            one.request("POST", path, json.dumps(body))
            reply = one.getresponse()
            text = reply.read().decode()
        finally:
            if not connection:
                one.close()
        if reply.status != 200:
            raise Refused(f"etcd {path}", reply.status, text)
        return json.loads(text)

    def revision(self):
        """The store's revision: the newest resource version."""
        return int(self.call("/v3/kv/range", {"key": "AA=="})["header"]["revision"])

    def compact(self):
        """Forgets all history up to now: older resource versions are gone (410)."""
        self.call("/v3/kv/compaction", {"revision": str(self.revision()), "physical": True})

    def multiply(self, key, copies):
        """Stores copies of an object as the API server stored the object itself: it then lists and watches them like
        all others, but would take minutes to create 10,000 services. copies: for each a list of (octets, octets of the
        same length that take their place), in the key and in the object."""
        stored = base64.b64decode(self.call("/v3/kv/range", {"key": _text(key.encode())})["kvs"][0]["value"])
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SCALE)
        try:
            for changes in copies:
                name, value = key.encode(), stored
                for old, new in changes:
                    assert len(old) == len(new) and old in name + value, f"{old} cannot become {new}"
                    name, value = name.replace(old, new), value.replace(old, new)
                # One by one: a resource version belongs to one object.
                self.call("/v3/kv/put", {"key": _text(name), "value": _text(value)}, connection)
        finally:
            connection.close()

    def save(self, name):
        """Keeps a copy of the data beside it, as a backup does."""
        shutil.rmtree(self._beside(name), ignore_errors=True)
        self.process.signal(signal.SIGSTOP)  # the copy is of one moment
        try:
            shutil.copytree(self.dir, self._beside(name))
        finally:
            self.process.signal(signal.SIGCONT)

    def restore(self, name):
        """Puts a saved copy in the place of the data, and starts anew."""
        self.close()
        shutil.rmtree(self.dir)
        shutil.copytree(self._beside(name), self.dir)
        self.start()

    def _beside(self, name):
        return os.path.join(os.path.dirname(self.dir), name)

    def close(self):
        self.process.close()
