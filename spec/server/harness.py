"""Starts the real server, and what it talks to, for the whole-server tests.

Binary: environment LUNADNS (default build/lunadns). LUNADNS_TIME_SCALE multiplies every time limit (sanitizer builds,
slow machines). Everything started here is ended by its own process id, whatever a test does.

    class Answers(harness.Case):
        def test_hosts(self):
            s = self.server(".:{port} {\\n hosts {\\n 192.0.2.1 a.test\\n }\\n}\\n")
            self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])

What a test uses is named here; it lives in environment.py, processes.py, clients.py, endpoints.py, servers.py,
upstreams.py and wire.py.
"""

import sys
import unittest

# Names of the tests.
from clients import Load, TCPClient, UDPClient, run_tool  # noqa: F401
from endpoints import http, parse_metrics  # noqa: F401
from environment import (  # noqa: F401
    BINARY, CRASHES, ROOT, SANITIZED, SANITIZER_REPORT, SCALE, descriptors, free_port, raise_descriptors, wait_until)
from processes import Process  # noqa: F401
from servers import Server, StartError, run  # noqa: F401
from upstreams import Knot, Query, ScriptedUpstream, Unbound, addresses  # noqa: F401
from wire import Message, WireError, pack_query, pack_reply  # noqa: F401


class Case(unittest.TestCase):
    """Whatever is made by these methods is ended with the test; a test that fails shows what its servers said."""

    maxDiff = None

    def setUp(self):
        self._things, self._problems = [], self._count_problems()
        self.addCleanup(self._end)

    def _count_problems(self):
        result = getattr(self._outcome, "result", None)
        return len(getattr(result, "failures", ())) + len(getattr(result, "errors", ()))

    def keep(self, thing):
        """Closes the thing at the end of the test."""
        self._things.append(thing)
        return thing

    def server(self, corefile, *args, **options):
        return self.keep(Server(corefile, *args, **options))

    def upstream(self, answer, **options):
        return self.keep(ScriptedUpstream(answer, **options))

    def knot(self, zones):
        return self.keep(Knot(zones))

    def unbound(self, records):
        return self.keep(Unbound(records))

    def load(self, port, queries, **options):
        return self.keep(Load(port, queries, **options))

    def start_fails(self, corefile, *args, **options):
        """Starts a server that must not start; returns the StartError (code, out, err)."""
        with self.assertRaises(StartError) as caught:
            self.server(corefile, *args, **options)
        return caught.exception

    def _end(self):
        failed = self._count_problems() > self._problems
        for thing in reversed(self._things):
            if failed and isinstance(thing, Server):
                sys.stderr.write(f"\n--- {self.id()}: stdout of pid {thing.pid}\n{thing.out[-4000:]}"
                                 f"--- stderr\n{thing.err[-4000:]}---\n")
            ended = isinstance(thing, Server) and not thing.running
            thing.close()
            if isinstance(thing, Server) and not failed:
                self.assertIsNone(SANITIZER_REPORT.search(thing.err), thing.err[-6000:])
                if ended and -thing.child.returncode in CRASHES:
                    self.fail(f"the server died by signal {-thing.child.returncode}\n{thing.err}")
