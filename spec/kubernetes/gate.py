"""A TCP relay between the server under test and the API server: what a network does to a connection, on command."""

import contextlib
import socket
import threading

from harness import free_port


class Gate:
    """Relays connections of .port to a target (address, port).

    open()      connections are relayed (the state at first)
    refuse()    nothing listens: connections are refused; those that stand are cut
    silence()   connections are taken and stand, but nothing gets through: a peer that is gone without a word
    cut()       ends what stands; new ones are served as before
    """

    def __init__(self, target):
        self.target, self.port = target, free_port()
        self._lock, self._pairs, self._listener = threading.Lock(), set(), None
        self._flow = threading.Event()
        self.accepted = 0
        self.open()

    def open(self):
        self._flow.set()
        if not self._listener:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", self.port))
            self._listener.listen(64)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self):
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def silence(self):
        self._flow.clear()

    def cut(self):
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def standing(self):
        """How many connections stand."""
        with self._lock:
            return len(self._pairs)

    def close(self):
        self.refuse()
        self._flow.set()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        try:
            far = socket.create_connection(self.target, 5)
            far.settimeout(None)
        except OSError:
            near.close()  # as the target's own refusal
            return
        pair = (near, far)
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._relay, args=(far, near), daemon=True)
        back.start()
        self._relay(near, far)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        near.close()
        far.close()

    def _relay(self, source, sink):
        with contextlib.suppress(OSError):
            while True:
                octets = source.recv(65536)
                self._flow.wait()
                if not octets:
                    break
                sink.sendall(octets)
        for side in (source, sink):  # one direction's end is the other's: TLS sends no half
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
