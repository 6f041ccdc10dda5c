"""Upstreams over TLS: names, authorities, broken handshakes. RFC 7858."""

import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest

import harness
from forwarding import GOOD, Forwarding
from harness import free_port, pack_query, run_tool


class TlsUpstream:
    """A scripted upstream behind TLS. .handshakes counts those that went well, .resumed the resumed ones."""

    def __init__(self, cert, key, answer=GOOD):
        self.answer, self.port, self.queries = answer, free_port(), []
        self.handshakes = self.resumed = self.refused = 0
        self.to = f"tls://127.0.0.1:{self.port}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self._context, self._open, self._sockets = context, True, []
        self._listen = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self._open:
            try:
                sock, _ = self._listen.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            sock.settimeout(20)
            tls = self._context.wrap_socket(sock, server_side=True)
            self._sockets.append(tls)
            self.handshakes += 1
            self.resumed += bool(tls.session_reused)
            buffer = b""
            while self._open:
                more = tls.recv(65536)
                if not more:
                    break
                buffer += more
                while len(buffer) >= 2 and len(buffer) >= 2 + struct.unpack("!H", buffer[:2])[0]:
                    n = struct.unpack("!H", buffer[:2])[0]
                    raw, buffer = buffer[2:2 + n], buffer[2 + n:]
                    q = harness.Query(self, raw, "tcp", None, tls, len(self.queries) + 1)
                    if q.message.question[0][1] != "NS":
                        self.queries.append(q)
                    data = self.answer(q)
                    if data is not None:
                        q.send(data)
        except (OSError, ssl.SSLError):
            self.refused += 1
        finally:
            sock.close()

    def close_connections(self):
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def close(self):
        self._open = False
        with contextlib.suppress(OSError):
            self._listen.shutdown(socket.SHUT_RDWR)
        self._listen.close()
        self.close_connections()


class Tls(Forwarding):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="lunadns-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run_tool(["openssl", "version"])  # says so when it is missing
        for ca in ("ca", "other"):
            cls.make(ca, "-addext", "basicConstraints=critical,CA:TRUE")
        cls.make("good", "-CA", cls.file("ca.pem"), "-CAkey", cls.file("ca.key"),
                 "-addext", "subjectAltName=DNS:dns.test,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")
        cls.make("named", "-CA", cls.file("ca.pem"), "-CAkey", cls.file("ca.key"),
                 "-addext", "subjectAltName=DNS:dns.test", "-addext", "basicConstraints=CA:FALSE")
        cls.make("alien", "-CA", cls.file("other.pem"), "-CAkey", cls.file("other.key"),
                 "-addext", "subjectAltName=DNS:dns.test,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")

    @classmethod
    def file(cls, name):
        return os.path.join(cls.dir, name)

    @classmethod
    def make(cls, name, *more):
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                               "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", cls.file(name + ".key"),
                               "-out", cls.file(name + ".pem"), *more], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr)

    def tls(self, cert="good", answer=GOOD):
        return self.keep(TlsUpstream(self.file(cert + ".pem"), self.file(cert + ".key"), answer))

    def ask_over(self, up, options="tls_servername dns.test"):
        return self.forward(up, options=f"tls {self.file('ca.pem')}\n{options}\nread_timeout 1s\nmax_connect_attempts 1")

    def test_right_name(self):
        up = self.tls()
        s = self.ask_over(up)
        for transport in ("udp", "tcp"):
            for i in range(20):
                self.good(s, f"{transport}{i}.up", transport)
        self.assertEqual(len(up.queries), 40)
        self.assertLessEqual(up.handshakes, 4, "connections are used again")

    def test_right_address(self):
        """Without a name the address has to be in the certificate."""
        self.good(self.ask_over(self.tls(), ""))
        up = self.tls("named")
        self.bad(self.ask_over(up, ""))
        self.assertEqual(up.queries, [], "nothing is asked of a stranger")

    def test_wrong_name(self):
        up = self.tls()
        s = self.ask_over(up, "tls_servername other.test")
        self.bad(s)
        s.wait_log(r"\[ERROR\] plugin/errors: 2 bad\.up\. A: .*(certificate|x509)")
        self.assertEqual(up.queries, [])

    def test_unknown_ca(self):
        up = self.tls("alien")
        s = self.ask_over(up)
        self.bad(s)
        s.wait_log(r"\[ERROR\] plugin/errors: 2 bad\.up\. A: .*(certificate|x509)")
        self.assertEqual(up.queries, [])

    def test_no_tls_there(self):
        """A plain server, a closed port, one that says nothing and one that hangs up."""
        plain = self.upstream(GOOD)
        self.bad(self.ask_over(f"tls://{plain.to}"), within=2)
        self.bad(self.ask_over(f"tls://127.0.0.1:{free_port()}"))
        mute = self.keep(socket.create_server(("127.0.0.1", 0)))
        self.bad(self.ask_over(f"tls://127.0.0.1:{mute.getsockname()[1]}"), within=2)
        rude = self.keep(socket.create_server(("127.0.0.1", 0)))

        def hang_up():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = rude.accept()
                    sock.recv(10)
                    sock.close()
        threading.Thread(target=hang_up, daemon=True).start()
        self.bad(self.ask_over(f"tls://127.0.0.1:{rude.getsockname()[1]}"))
        rude.shutdown(socket.SHUT_RDWR)

    def test_restart(self):
        """Connections that ended in the meantime fail no query; the session is resumed."""
        up = self.tls()
        s = self.ask_over(up)
        for i in range(5):
            self.good(s, f"n{i}.up")
            up.close_connections()
        self.assertGreaterEqual(up.handshakes, 5)
        self.assertGreaterEqual(up.resumed, 1)

    def test_silent_and_closing(self):
        self.bad(self.ask_over(self.tls(answer=lambda q: None)), within=2)
        self.bad(self.ask_over(self.tls(answer=lambda q: q.sock.close())), within=2)

    def test_second_upstream_after_a_bad_certificate(self):
        up = self.tls()
        s = self.forward(self.tls("alien"), up, options=f"tls {self.file('ca.pem')}\ntls_servername dns.test\n"
                                                        "policy sequential")
        for i in range(5):
            self.good(s, f"n{i}.up")

    def test_many_at_once(self):
        s = self.ask_over(self.tls())
        with s.udp() as c:
            for i in range(300):
                c.send(pack_query(f"n{i}.up", qid=i))
            replies = [c.recv() for _ in range(300)]
        self.assertEqual({r and r.rcode for r in replies}, {"NOERROR"})
        self.local(s)


if __name__ == "__main__":
    unittest.main()
