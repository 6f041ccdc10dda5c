"""A Kubernetes API server for tests: lists, watches, and every way in which they go wrong on command.

    with FakeApi() as api:
        api.cluster.load(fixture.objects())
        ...                                    # api.url, api.ca, api.token
        api.faults.add(Fault("services", "watch", event=410))

It behaves as kube-apiserver does where a client can see it: resource versions, limit and continue, WatchList, bookmarks,
selectors, protobuf and JSON, Status objects with the words of the real one.
"""

import http.server
import socket
import socketserver
import ssl
import threading
import time
import urllib.parse

from cluster import RESOURCES, Cluster
from faults import Faults, encoded, status
import answer


class Options:
    """How the server behaves; may be changed at any time."""

    def __init__(self, **given):
        self.watchlist = True  # knows sendInitialEvents
        self.protobuf = True
        self.bookmarks = 60.0  # seconds between them; None = none
        self.accepted = None  # values of the header Authorization; None = nobody is asked
        self.forbidden = set()  # plurals that RBAC does not grant
        self.gone_by_http = False  # an old version in a watch: HTTP 410 in the place of an event
        for name, value in given.items():
            if not hasattr(self, name):
                raise TypeError(f"unknown option {name}")
            setattr(self, name, value)


class Request:
    """One that was served, for tests to look at."""

    def __init__(self, path, query, headers, resource, space, task):
        self.path, self.query, self.headers = path, query, headers
        self.resource, self.space, self.task = resource, space, task
        self.at = time.monotonic()
        self.code = None

    def __repr__(self):
        return f"<{self.task} {self.resource} {self.query} {self.code}>"


class Broken(Exception):
    """The connection ends here."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.close_connection = False
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        resource, space = split_path(url.path)
        task = "list"
        if query.get("watch") in ("1", "true"):
            task = "initial" if query.get("sendInitialEvents") == "true" else "watch"
        self.request_seen = Request(url.path, query, dict(self.headers), resource, space, task)
        with self.server.api.lock:
            self.server.api.requests.append(self.request_seen)
        try:
            self._serve(self.request_seen)
        except (Broken, OSError):
            self.close_connection = True

    def _serve(self, r):
        api = self.server.api
        fault = api.faults.meet(r.resource, r.task, r.query)
        self.fault, self.sent = fault, 0
        accept = self.headers.get("Accept", "")
        protobuf = api.options.protobuf and "application/vnd.kubernetes.protobuf" in accept
        if fault and fault.silent and fault.before_head:
            self._wait_for_client()
        if fault and fault.body is not None:
            return self.whole(fault.http, fault.content_type, fault.body)
        if fault and fault.status:
            return self.refuse(fault.status, fault.message, protobuf, fault.reason, fault.retry_after, fault.too_large)
        accepted = api.options.accepted
        if accepted is not None and self.headers.get("Authorization", "") not in accepted:
            return self.refuse(401, "Unauthorized", protobuf)
        if r.resource is None:
            return self.whole(404, "text/plain; charset=utf-8", b"404 page not found\n")
        if r.resource in api.options.forbidden:
            group = RESOURCES[r.resource][0].split("/")[2] if "apis" in RESOURCES[r.resource][0] else ""
            return self.refuse(403, f'{r.resource} is forbidden: User "system:serviceaccount:kube-system:coredns" cannot '
                                    f'{"list" if r.task == "list" else "watch"} resource "{r.resource}" in API group '
                                    f'"{group}" at the cluster scope', protobuf)
        partial = protobuf and "as=PartialObjectMetadata" in accept and r.resource == "namespaces"
        if r.resource == "serviceimports":
            protobuf = False
        answer.serve(self, api, r, protobuf, partial)

    # ---- sending, with what a fault makes of it

    def _head(self, code, content_type, headers=()):
        self.request_seen.code = code
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        for name, value in headers:
            self.send_header(name, value)

    def refuse(self, code, message, protobuf, reason=None, retry_after=None, too_large=False):
        body = encoded(status(code, message, reason, retry_after, too_large), protobuf)
        headers = [("Retry-After", str(retry_after))] if retry_after else []
        self.whole(code, "application/vnd.kubernetes.protobuf" if protobuf else "application/json", body, headers)

    def whole(self, code, content_type, body, headers=()):
        self._head(code, content_type, [*headers, ("Content-Length", str(len(body)))])
        self.end_headers()
        self._octets(body)

    def begin_chunks(self, content_type):
        self._head(200, content_type, [("Transfer-Encoding", "chunked")])
        self.end_headers()
        if self.fault and self.fault.silent:
            self._wait_for_client()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n" % len(data))
        self._octets(data)
        self.wfile.write(b"\r\n")

    def end_chunks(self):
        self.wfile.write(b"0\r\n\r\n")

    def _octets(self, data):
        f = self.fault
        if f and f.corrupt is not None and self.sent <= f.corrupt < self.sent + len(data):
            data = bytearray(data)
            data[f.corrupt - self.sent] ^= 0xFF
        if f and f.cut is not None and self.sent + len(data) >= f.cut:
            self.wfile.write(data[:f.cut - self.sent])
            raise Broken
        if f and f.slow:
            step = max(1, f.slow // 20)
            for at in range(0, len(data), step):
                self.wfile.write(data[at:at + step])
                time.sleep(0.05)
        else:
            self.wfile.write(data)
        self.sent += len(data)

    def _wait_for_client(self):
        """Says nothing until the client, or the test, ends the connection."""
        try:
            while self.connection.recv(4096):
                pass
        except OSError:
            pass
        raise Broken


def split_path(path):
    """The resource and namespace of a path, or None and None."""
    for plural, (group, _) in RESOURCES.items():
        if path == f"{group}/{plural}":
            return plural, None
        parts = path.removeprefix(group).split("/")
        if path.startswith(group + "/namespaces/") and len(parts) == 4 and parts[3] == plural:
            return plural, parts[2]
    return None, None


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, api, address):
        self.api, self.open, self.lock = api, set(), threading.Lock()
        super().__init__(address, Handler)

    def get_request(self):
        connection, peer = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, peer

    def finish_request(self, request, client_address):
        if self.api.context:  # here, not in the accepting thread: a client may be slow
            request.settimeout(10)
            request = self.api.context.wrap_socket(request, server_side=True)
            request.settimeout(None)
        with self.lock:
            self.open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self.lock:
                self.open.discard(request)
            request.close()

    def handle_error(self, request, client_address):
        pass  # clients that go, or do not like the certificate

    def cut_all(self):
        with self.lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class FakeApi:
    """certificate: (certificate file, key file), None = plain HTTP; client_ca: who signs the certificates of clients, which
    have to have one then."""

    def __init__(self, cluster=None, certificate=None, client_ca=None, port=0, **options):
        self.cluster = cluster or Cluster()
        self.options = Options(**options)
        self.faults = Faults()
        self.requests, self.lock = [], threading.Lock()
        self.context, self.client_ca = None, client_ca
        self.use_certificate(certificate)
        self.server = self.thread = None
        self.port = port
        self.start()

    def use_certificate(self, certificate):
        """For connections from now on."""
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
            if self.client_ca:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(self.client_ca)

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        """Listens, on the port it had before when it had one."""
        self.server = Server(self, ("127.0.0.1", self.port))
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        """Connections are refused, and those that are open end."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.cut()
            self.thread.join()
            self.server = None

    def cut(self):
        """All connections break."""
        self.server.cut_all()

    def served(self, resource=None, task=None):
        with self.lock:
            return [r for r in self.requests if resource in (None, r.resource) and task in (None, r.task)]

    def close(self):
        self.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
