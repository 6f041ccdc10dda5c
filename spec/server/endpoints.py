"""HTTP endpoints, and what /metrics says."""

import re
import urllib.error
import urllib.request

from environment import SCALE


class Answered:
    """An HTTP reply: status, body (text), headers."""

    def __init__(self, status, body, headers):
        self.status, self.body, self.headers = status, body, headers

    def __repr__(self):
        return f"<{self.status} {self.body[:200]!r}>"


def http(port, path, address="127.0.0.1", timeout=5, headers=None, method="GET"):
    """A request over HTTP. A refused connection raises OSError; an HTTP error status does not raise."""
    host = f"[{address}]" if ":" in address else address
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout * SCALE) as reply:
            return Answered(reply.status, reply.read().decode("utf-8", "replace"), reply.headers)
    except urllib.error.HTTPError as reply:
        with reply:
            return Answered(reply.code, reply.read().decode("utf-8", "replace"), reply.headers)


SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text):
    """Exposition text as a list of (name, {label: value}, number)."""
    samples = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found = SAMPLE.match(line)
            if not found:
                raise AssertionError(f"no line of the text format: {line!r}")
            samples.append((found[1], dict(LABEL.findall(found[2] or "")), float(found[3])))
    return samples
