"""dns.http against real web servers: plain, TLS, unix; slow, oversized, cut, redirecting for ever."""

import contextlib
import http.server
import os
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import SCALE, free_port, wait_until
from test_waiting import Waiting


class Web:
    """A web server; answer(handler) writes the response. Counts connections and requests."""

    def __init__(self, answer, tls=None, path=None):
        self.connections, self.requests = 0, []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                length = int(self.headers.get("content-length") or 0)
                self.body = self.rfile.read(length).decode()
                web.requests.append((self.command, self.path))
                answer(self)
            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_one

            def reply(self, body=b"", status=200, headers=(), length=None):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body) if length is None else length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

            def address_string(self):
                return "client"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer if path else socketserver.TCPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 64

            def get_request(self):
                sock, peer = super().get_request()
                web.connections += 1
                return sock, peer or ("unix", 0)

            def handle_error(self, *_):
                pass  # clients that go away are what is tested

        self.port = None if path else free_port()
        self.server = Server(path or ("127.0.0.1", self.port), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Requests(Waiting):
    def web(self, answer, **options):
        return self.keep(Web(answer, **options))

    def http(self, expression, setup="", **options):
        """A server whose handler answers with the status and the body of a request, or with its error."""
        return self.probe(f"""
          local response, err = {expression}
          return text(q, response and response.status .. " " .. response.body or err)
        """, setup=setup, **options)

    def test_get(self):
        w = self.web(lambda h: h.reply(b"hello", headers=[("X-Two", "1"), ("x-two", "2")]))
        s = self.probe(f"""
          local r = assert(dns.http.get "{w.url}/path?x=1")
          return text(q, table.concat({{ r.status, r.body, r.headers["x-two"], r.url }}, " "))
        """)
        self.assertEqual(self.ask(s), f"200 hello 1, 2 {w.url}/path?x=1")
        self.assertEqual(w.requests, [("GET", "/path?x=1")])

    def test_an_error_status_is_a_response(self):
        w = self.web(lambda h: h.reply(b"gone", 404))
        self.assertEqual(self.ask(self.http(f'dns.http.get "{w.url}/"')), "404 gone")

    def test_post_put_head(self):
        w = self.web(lambda h: h.reply(f"{h.command} {h.body} {h.headers['content-type']} {h.headers['x-own']}".encode()))
        s = self.probe(f"""
          local a = assert(dns.http.request {{ url = "{w.url}/", body = "x=1", headers = {{ ["X-Own"] = "y" }} }})
          local b = assert(dns.http.request {{ url = "{w.url}/", method = "PUT", body = ("z"):rep(5000),
            headers = {{ ["Content-Type"] = "text/plain" }} }})
          local c = assert(dns.http.request {{ url = "{w.url}/", method = "HEAD" }})
          local d = assert(dns.http.request {{ url = "{w.url}/", method = "POST" }})
          return text(q, a.body .. "|" .. #b.body .. b.body:sub(-16) .. "|" .. c.body .. c.status .. "|" .. d.body)
        """)
        self.assertEqual(self.ask(s), "POST x=1 application/octet-stream y|5020 text/plain None|200|POST  None None")

    def test_connections_are_used_again(self):
        w = self.web(lambda h: h.reply(b"x" * 100))
        s = self.http(f'dns.http.get "{w.url}/"')
        with s.udp() as client:  # one socket, so one worker
            for _ in range(20):
                self.assertEqual(client.ask("x.run.test", "TXT").values()[0].strip('"'), "200 " + "x" * 100)
        self.assertEqual(len(w.requests), 20)
        self.assertEqual(w.connections, 1)

    def test_many_at_once_while_others_are_answered(self):
        def answer(h):
            time.sleep(0.5)
            h.reply(b"late")
        w = self.web(answer)
        s = self.http(f'dns.http.get "{w.url}/"', block="hosts {\n 192.0.2.1 a.test\n }")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.ask(s))) for _ in range(30)]
        for t in threads:
            t.start()
        wait_until(lambda: len(w.requests) >= 30)
        began = time.monotonic()
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        self.assertLess(time.monotonic() - began, 0.4 * SCALE)
        for t in threads:
            t.join()
        self.assertEqual(answers, ["200 late"] * 30)

    def test_timeouts_say_how_far_it_came(self):
        def answer(h):
            if h.path == "/head":
                time.sleep(2)
            else:
                h.send_response(200)
                h.send_header("content-length", "1000")
                h.end_headers()
                h.wfile.write(b"0123456789")
                time.sleep(2)
        w = self.web(answer)
        deaf = self.keep(socket.socket())
        deaf.bind(("127.0.0.1", free_port()))
        deaf.listen(1)
        tls = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
        s = self.probe(f"""
          local _, a = dns.http.get("{w.url}/head", {{ timeout = 0.3 }})
          local _, b = dns.http.get("{w.url}/body", {{ timeout = 0.3 }})
          local _, c = dns.http.get("{tls}", {{ timeout = 0.3 }})
          return text(q, a .. "|" .. b .. "|" .. c)
        """)
        began = time.monotonic()
        head, body, hand = self.ask(s).split("|")
        self.assertLess(time.monotonic() - began, 2 * SCALE)
        self.assertEqual(head, f"GET {w.url}/head: timed out after 0.3 s without a response, address 127.0.0.1")
        self.assertEqual(body, f"GET {w.url}/body: timed out after 0.3 s with 10 octets of the body read")
        # curl 8.14 tells the address only when it has done the handshake.
        self.assertEqual(hand.removesuffix(", address 127.0.0.1"),
                         f"GET {tls}: timed out after 0.3 s before the TLS handshake was done")

    def test_bodies_have_a_bound(self):
        def answer(h):
            if h.path == "/endless":
                h.send_response(200)
                h.send_header("connection", "close")
                h.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        h.wfile.write(b"x" * 65536)
            else:
                h.reply(b"y" * int(h.path[1:]))
        w = self.web(answer)
        s = self.probe(f"""
          local _, a = dns.http.get("{w.url}/endless", {{ max_size = 300000 }})
          local _, b = dns.http.get("{w.url}/1001", {{ max_size = 1000 }})
          local c = assert(dns.http.get("{w.url}/1000", {{ max_size = 1000 }}))
          return text(q, a .. "|" .. b .. "|" .. #c.body)
        """)
        self.assertEqual(self.ask(s), f"GET {w.url}/endless: the response is larger than 300000 octets|"
                         f"GET {w.url}/1001: the response is larger than 1000 octets|1000")

    def test_a_packed_body_counts_as_what_it_unpacks_to(self):
        import gzip
        packed = gzip.compress(b"z" * 5_000_000)
        w = self.web(lambda h: h.reply(packed, headers=[("content-encoding", "gzip")]))
        s = self.probe(f"""
          local _, a = dns.http.get("{w.url}/", {{ max_size = 1000000 }})
          local b = assert(dns.http.get("{w.url}/"))
          return text(q, a .. "|" .. #b.body)
        """)
        self.assertEqual(self.ask(s), f"GET {w.url}/: the response is larger than 1000000 octets|5000000")

    def test_responses_that_are_cut_or_no_http(self):
        def answer(h):
            if h.path == "/cut":
                h.send_response(200)
                h.send_header("content-length", "1000")
                h.end_headers()
                h.wfile.write(b"0123456789")
            elif h.path == "/rubbish":
                h.wfile.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
            elif h.path == "/reset":
                h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif h.path == "/headers":
                h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (i, b"v" * 1000) for i in range(100)) + b"\r\n")
            h.close_connection = True
        w = self.web(answer)
        s = self.probe(f"""
          local all = {{}}
          for _, path in ipairs {{ "cut", "rubbish", "reset", "headers" }} do
            local r, err = dns.http.get("{w.url}/" .. path)
            all[#all + 1] = r and "a response" or err
          end
          return text(q, table.concat(all, "|"))
        """)
        cut, rubbish, reset, headers = self.ask(s).split("|")
        self.assertRegex(cut, "/cut: .* with 990 bytes (remaining to read|missing)$")  # curl's words, 7.88 and 8.14
        self.assertIn("/rubbish: ", rubbish)
        self.assertIn("/reset: ", reset)
        self.assertIn("/headers: the response has more than 65536 octets of headers", headers)

    def test_redirects(self):
        w2 = self.web(lambda h: h.reply(f"{h.command} {h.path} {h.headers['authorization']}".encode()))

        def answer(h):
            to = {"/there": f"{w2.url}/end", "/relative": "../else?x=1", "/loop": "/loop"}.get(h.path)
            if to:
                h.reply(b"see there", 302, [("location", to)])
            else:
                h.reply(f"{h.command} {h.path} {h.headers['authorization']}".encode())
        w = self.web(answer)
        s = self.probe(f"""
          local with = {{ headers = {{ Authorization = "secret" }} }}
          local a = assert(dns.http.get("{w.url}/there", with))
          local b = assert(dns.http.get("{w.url}/relative", with))
          local _, c = dns.http.get("{w.url}/loop")
          local d = assert(dns.http.get("{w.url}/there", {{ redirects = 0 }}))
          return text(q, table.concat({{ a.body, b.body, c, d.status .. d.headers.location }}, "|"))
        """)
        self.assertEqual(self.ask(s), f"GET /end None|GET /else?x=1 secret|"
                         f"GET {w.url}/loop: redirected to {w.url}/loop: more than 5 redirects|302{w2.url}/end")
        self.assertEqual(w.requests.count(("GET", "/loop")), 6)

    def test_names_are_resolved_by_this_server(self):
        w = self.web(lambda h: h.reply(h.headers["host"].encode()))
        s = self.http(f'dns.http.get "http://api.test:{w.port}/"', block="hosts {\n 127.0.0.1 api.test\n }")
        self.assertEqual(self.ask(s), f"200 api.test:{w.port}")

    def test_a_name_that_does_not_resolve(self):
        s = self.http('dns.http.get "http://none.test/"', block="hosts {\n 127.0.0.1 api.test\n }")
        self.assertEqual(self.ask(s), "GET http://none.test/: none.test. A: SERVFAIL")

    def test_refused(self):
        port = free_port()
        s = self.http(f'dns.http.get "http://127.0.0.1:{port}/"')
        self.assertRegex(self.ask(s), f"^GET http://127.0.0.1:{port}/: Failed to connect to 127.0.0.1 port {port}")

    def test_unix_socket(self):
        directory = tempfile.mkdtemp(prefix="lunadns-test-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        path = os.path.join(directory, "web")
        self.web(lambda h: h.reply(b"by unix"), path=path)
        self.assertEqual(self.ask(self.http(f'dns.http.get("http://local/", {{ unix = "{path}" }})')), "200 by unix")

    def test_in_setup_and_in_timers_and_over_a_reload(self):
        w = self.web(lambda h: h.reply(f"list {len(w.requests)}".encode()))
        s = self.probe("return text(q, list.body)", setup=f"""
          local list = assert(dns.http.get "{w.url}/")
          server:every(0.1, function() list = assert(dns.http.get "{w.url}/") end)
        """)
        self.assertTrue(self.ask(s).startswith("list "))
        seen = len(w.requests)
        wait_until(lambda: len(w.requests) > seen + 3)
        for _ in range(5):
            s.reload()
        seen = len(w.requests)
        wait_until(lambda: len(w.requests) > seen + 3)
        s.stop()

    def test_the_end_of_a_generation_ends_its_requests(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def answer(h):
            release.wait(20)
            h.reply(b"late")
        w = self.web(answer)
        s = self.probe("return text(q, 1)", setup=f"""
          server:every(0.05, function() dns.http.get("{w.url}/", {{ timeout = 60 }}) end, {{ once = true }})
        """)
        wait_until(lambda: len(w.requests) == 1)
        s.reload()
        wait_until(lambda: len(w.requests) == 2)
        fds = s.fds()
        for i in range(5):
            s.reload()
            wait_until(lambda: len(w.requests) == 3 + i)
        wait_until(lambda: s.fds() <= fds + 4, what="the descriptors of ended requests are closed")
        s.stop()


class Tls(Waiting):
    web = Requests.web

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="lunadns-test-")
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)

        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=cls.directory, check=True, capture_output=True)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key", "-out",
                "cert", "-days", "2", "-subj", "/CN=web", "-addext", "subjectAltName=DNS:web.test,IP:127.0.0.1")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key2", "-out",
                "cert2", "-days", "2", "-subj", "/CN=client")

    def secure(self, client=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.directory, "cert"), os.path.join(self.directory, "key"))
        if client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(os.path.join(self.directory, "cert2"))
        return context

    def test_the_certificate_is_checked(self):
        w = self.web(lambda h: h.reply(b"secret"), tls=self.secure())
        ca = os.path.join(self.directory, "cert")
        s = self.probe(f"""
          local _, unknown = dns.http.get "{w.url}/"
          local ok = assert(dns.http.get("{w.url}/", {{ ca = "{ca}" }}))
          local any = assert(dns.http.get("{w.url}/", {{ verify = false }}))
          local named = assert(dns.http.get("https://web.test:{w.port}/", {{ ca = "{ca}" }}))
          local _, other = dns.http.get("https://other.test:{w.port}/", {{ ca = "{ca}" }})
          return text(q, table.concat({{ unknown, ok.body, any.body, named.body, other }}, "|"))
        """, block="hosts {\n 127.0.0.1 web.test other.test\n }")
        unknown, ok, anyone, named, other = self.ask(s).split("|")
        self.assertEqual((ok, anyone, named), ("secret",) * 3)
        self.assertIn("SSL certificate problem: self", unknown)
        self.assertRegex(other, "no alternative certificate subject name matches target host ?name 'other.test'")

    def test_client_certificate(self):
        w = self.web(lambda h: h.reply(b"welcome"), tls=self.secure(client=True))
        d = self.directory
        s = self.probe(f"""
          local with = assert(dns.http.get("{w.url}/", {{ ca = "{d}/cert", cert = "{d}/cert2", key = "{d}/key2" }}))
          local without, err = dns.http.get("{w.url}/", {{ ca = "{d}/cert", timeout = 2 }})
          return text(q, with.body .. "|" .. (without and "let in" or "kept out"))
        """)
        self.assertEqual(self.ask(s), "welcome|kept out")


del Waiting
if __name__ == "__main__":
    unittest.main()
