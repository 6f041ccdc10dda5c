"""dns.tcp, dns.udp, dns.unix against real peers: echo, slow, closing, resetting, gone."""

import contextlib
import os
import shutil
import socket
import socketserver
import struct
import tempfile
import threading
import time
import unittest

from harness import SCALE, free_port, wait_until
from test_waiting import Waiting


class Peer:
    """A stream server; serve(sock) talks to one client."""

    def __init__(self, serve, path=None):
        peer = self
        self.connections, self.open = 0, 0

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                peer.connections += 1
                peer.open += 1
                with contextlib.suppress(OSError):
                    serve(self.request)
                peer.open -= 1

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer if path else socketserver.TCPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 64
        self.port = None if path else free_port()
        self.to = path or f"127.0.0.1:{self.port}"
        self.server = Server(path or ("127.0.0.1", self.port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def echo(sock):
    while True:
        data = sock.recv(65536)
        if not data:
            return
        sock.sendall(data)


def drain(sock):
    while sock.recv(65536):
        pass


class Streams(Waiting):
    def peer(self, serve=echo, **options):
        return self.keep(Peer(serve, **options))

    def test_lines_and_octets(self):
        p = self.peer()
        s = self.probe(f"""
          local sock = assert(dns.tcp "{p.to}")
          assert(sock:send "first\\r\\nsecond\\n0123456789rest")
          local all = {{ sock:receive "line", sock:receive "line", sock:receive(10), sock:receive(4), sock:receive(0) }}
          sock:close()
          return text(q, table.concat(all, "|"))
        """)
        self.assertEqual(self.ask(s), "first|second|0123456789|rest|")
        wait_until(lambda: p.open == 0)

    def test_unix(self):
        directory = tempfile.mkdtemp(prefix="lunadns-test-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        path = os.path.join(directory, "echo")
        self.peer(path=path)
        s = self.probe(f"""
          local sock = assert(dns.unix "{path}")
          assert(sock:send "over unix\\n")
          local _, none = dns.unix "{path}.none"
          return text(q, sock:receive "line" .. "|" .. none)
        """)
        self.assertEqual(self.ask(s), f"over unix|unix {path}.none: connect: No such file or directory")

    def test_megabytes_both_ways(self):
        p = self.peer()
        s = self.probe(f"""
          local a, b = assert(dns.tcp "{p.to}"), 0
          for i = 1, 32 do
            local part = (("%08d"):format(i)):rep(16384)
            assert(a:send(part))
            assert(a:receive(#part) == part)
            b = b + #part
          end
          return text(q, b)
        """)
        self.assertEqual(self.ask(s, timeout=20), str(32 * 16384 * 8))

    def test_a_peer_that_takes_its_time(self):
        def slow(sock):
            time.sleep(0.3)
            left = 8 << 20
            while left:
                got = sock.recv(65536)
                if not got:
                    return
                left -= len(got)
            sock.sendall(b"all\n")
        p = self.peer(slow)
        s = self.probe(f"""
          local sock = assert(dns.tcp "{p.to}")
          assert(sock:send(("x"):rep(8 * 1048576)))
          return text(q, sock:receive "line")
        """)
        self.assertEqual(self.ask(s, timeout=20), "all")

    def test_one_strand_at_a_time(self):
        p = self.peer(drain)
        s = self.probe(f"""
          local sock = assert(dns.tcp "{p.to}")
          local _, errors = dns.all {{
            function() return sock:receive(1, {{ timeout = 0.3 }}) end,
            function()
              local data = sock:receive(1)
              return data
            end,
          }}
          return text(q, errors[1] .. "|" .. errors[2])
        """)
        first, second = self.ask(s).split("|")
        self.assertIn("receive: timed out after 0.3 s", first)
        self.assertIn(": another strand waits for this socket", second)
        self.assertIn("probe.lua:", second)

    def test_deadlines(self):
        p = self.peer(drain)
        s = self.probe(f"""
          local sock = assert(dns.tcp("{p.to}", {{ timeout = 0.3 }}))
          local _, one = sock:receive()
          local _, two = sock:receive(5, {{ timeout = 0.2 }})
          local ok = sock:send "still open"
          return text(q, one .. "|" .. two .. "|" .. tostring(ok))
        """)
        began = time.monotonic()
        self.assertEqual(self.ask(s), f"tcp {p.to}: receive: timed out after 0.3 s|tcp {p.to}: receive: timed out after 0.2 s"
                         "|true")
        self.assertLess(time.monotonic() - began, 2 * SCALE)

    def test_ends_in_the_middle(self):
        def cut(sock):
            sock.sendall(b"half a li")
        p = self.peer(cut)
        s = self.probe(f"""
          local sock = assert(dns.tcp "{p.to}")
          local line, why, partial = sock:receive "line"
          local again, why2 = sock:receive(100)
          return text(q, table.concat({{ tostring(line), why, partial, tostring(again), why2 }}, "|"))
        """)
        closed = f"tcp {p.to}: receive: closed"
        self.assertEqual(self.ask(s), f"nil|{closed}|half a li|nil|{closed}")

    def test_a_reset(self):
        def reset(sock):
            sock.recv(1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        p = self.peer(reset)
        s = self.probe(f"""
          local sock = assert(dns.tcp "{p.to}")
          sock:send "x"
          local _, why = sock:receive "line"
          dns.sleep(0.05)
          local _, gone = sock:send "y"
          sock:close()
          local _, closed = sock:send "z"
          return text(q, why .. "|" .. tostring(gone) .. "|" .. closed)
        """)
        why, gone, closed = self.ask(s).split("|")
        self.assertEqual(why, f"tcp {p.to}: receive: Connection reset by peer")
        self.assertIn("send: Broken pipe", gone)
        self.assertEqual(closed, f"tcp {p.to}: send: closed")

    def test_refused_and_unresolved(self):
        port = free_port()
        s = self.probe(f"""
          local _, refused = dns.tcp "127.0.0.1:{port}"
          local _, named = dns.tcp "db.test:{port}"
          local _, none = dns.tcp "none.test:{port}"
          return text(q, refused .. "|" .. named .. "|" .. none)
        """, block="hosts {\n 127.0.0.1 db.test\n ::1 db.test\n }")
        refused, named, none = self.ask(s).split("|")
        self.assertEqual(refused, f"tcp 127.0.0.1:{port}: connect: Connection refused")
        self.assertIn(f"tcp 127.0.0.1:{port}: connect: Connection refused", named)
        self.assertIn(f"tcp [::1]:{port}: connect: ", named)
        self.assertEqual(none, f"tcp none.test:{port}: none.test. A: SERVFAIL")

    def test_a_line_without_an_end(self):
        def endless(sock):
            while True:
                sock.sendall(b"x" * 65536)
        p = self.peer(endless)
        s = self.probe(f"""
          local sock = assert(dns.tcp "{p.to}")
          local _, why = sock:receive "line"
          return text(q, why)
        """)
        self.assertEqual(self.ask(s), f"tcp {p.to}: receive: a line is longer than 65536 octets")

    def test_sockets_end_with_their_generation(self):
        p = self.peer(drain)
        s = self.probe("return text(q, 1)", setup=f"""
          server:every(0.05, function()
            local sock = assert(dns.tcp("{p.to}", {{ timeout = 100 }}))
            sock:receive()
          end, {{ once = true }})
        """)
        wait_until(lambda: p.open == 1)
        for _ in range(5):
            s.reload()
            wait_until(lambda: p.open == 1)
        s.stop()
        wait_until(lambda: p.open == 0)

    def test_forgotten_ones_are_collected_and_there_is_a_bound(self):
        p = self.peer(drain)
        s = self.probe(f"""
          local kept, err = {{}}, nil
          while not err do
            local sock
            sock, err = dns.tcp "{p.to}"
            kept[#kept + 1] = sock
          end
          local n = #kept
          kept = nil
          collectgarbage() collectgarbage()
          assert(dns.tcp "{p.to}"):close()
          return text(q, n .. "|" .. err)
        """)
        n, err = self.ask(s, timeout=30).split("|")
        self.assertLessEqual(int(n), 1024)
        self.assertGreater(int(n), 100)
        self.assertEqual(err, f"tcp {p.to}: connect: too many sockets are open")
        wait_until(lambda: p.open == 0, timeout=10)
        s.stop()

    def test_in_setup(self):
        p = self.peer()
        s = self.probe("return text(q, line)", setup=f"""
          local sock = assert(dns.tcp "{p.to}")
          assert(sock:send "from setup\\n")
          local line = sock:receive "line"
        """)
        self.assertEqual(self.ask(s), "from setup")
        s.reload()
        self.assertEqual(self.ask(s), "from setup")
        wait_until(lambda: p.open == 0)


class Datagrams(Waiting):
    def test_udp(self):
        peer = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        peer.bind(("127.0.0.1", 0))
        port = peer.getsockname()[1]

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    data, client = peer.recvfrom(65536)
                    for part in data.split(b","):
                        peer.sendto(part, client)
        threading.Thread(target=serve, daemon=True).start()
        s = self.probe(f"""
          local sock = assert(dns.udp "127.0.0.1:{port}")
          assert(sock:send "one,,three")
          local a, b, c = sock:receive(), sock:receive(), sock:receive()
          local _, silent = sock:receive(nil, {{ timeout = 0.2 }})
          return text(q, a .. "|" .. b .. "|" .. c .. "|" .. silent)
        """)
        self.assertEqual(self.ask(s), f"one||three|udp 127.0.0.1:{port}: receive: timed out after 0.2 s")

    def test_nobody_there(self):
        port = free_port()
        s = self.probe(f"""
          local sock = assert(dns.udp "127.0.0.1:{port}")
          sock:send "x"
          local _, why = sock:receive()
          return text(q, why)
        """)
        self.assertEqual(self.ask(s), f"udp 127.0.0.1:{port}: receive: Connection refused")


del Waiting
if __name__ == "__main__":
    unittest.main()
