"""The subcommands that look at a configuration: trace, repl, bench, docs."""

import os
import re

import harness
from directory import Directory
from harness import ROOT


class Trace(Directory):
    COREFILE = (".:{port} {{\n log\n errors\n cache\n hosts {{\n  192.0.2.1 a.test\n  fallthrough\n }}\n swap\n"
                " forward . 127.0.0.1:{up}\n}}\nother.test:{other} {{\n whoami\n}}\n")
    SWAP = ("local dns = require 'dns'\nreturn dns.plugin {{ name = 'swap', after = 'hosts', options = {{}},\n"
            " setup = function(_, next) return function(q)\n  if q:under 'bad.test.' then error 'no luck' end\n"
            "  local rcode, err = next(q)\n"
            "  if q:under 'swap.test.' then q:respond(0); return q:answer_address('192.0.2.9', 5) end\n"
            "  return rcode, err end end }}\n").replace("{{", "{").replace("}}", "}")

    def trace(self, *args, up=None):
        self.ports = {"port": harness.free_port(), "other": harness.free_port(), "up": up or harness.free_port()}
        self.write("Corefile", self.COREFILE.format(**self.ports))
        self.write("swap.lua", self.SWAP)
        return self.tool("trace", *args)

    def way(self, out):
        """(plugin, outcome) of each step."""
        return [(line.split()[0], line.split(None, 3)[3]) for line in out.split("\n")
                if line.startswith("  ") and line.split()[2] in ("us", "ms")]

    def test_the_way_of_an_answer(self):
        code, out, err = self.trace("a.test", "A", "192.0.2.77")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.way(out), [("errors", "passed on"), ("log", "passed on"), ("cache", "passed on"),
                                         ("hosts", "answered NOERROR, 1 record")])
        self.assertIn("a.test A from 192.0.2.77, server block at Corefile:1\n", out)
        self.assertIn('[INFO] 192.0.2.77:40212 - ', out)
        self.assertIn("answer:     a.test. 3600 IN A 192.0.2.1\n", out)

    def test_upstreams_are_really_asked(self):
        with harness.ScriptedUpstream(lambda q: q.send(q.reply(answer=[(None, "A", 60, "192.0.2.2")]))) as up:
            code, out, _ = self.trace("b.test", "A", up=up.port)
        self.assertEqual(code, 0)
        self.assertRegex(out, rf"(?m)^  asked 127\.0\.0\.1:{up.port} over UDP: reply in [\d.]+ [um]s$")
        self.assertEqual(self.way(out)[-1], ("forward", "answered NOERROR, 1 record"))
        self.assertIn("b.test. 60 IN A 192.0.2.2", out)

    def test_a_reply_that_is_changed_and_a_plugin_that_fails(self):
        with harness.ScriptedUpstream(lambda q: q.send(q.reply())) as up:
            _, out, _ = self.trace("swap.test", "A", up=up.port)
            self.assertIn(("swap", "passed on, then changed the reply"), self.way(out))
            _, out, _ = self.trace("bad.test", "A", up=up.port)
        self.assertIn("./swap.lua:4: no luck", out)
        self.assertIn("SERVFAIL", out)

    def test_an_upstream_that_is_not_there(self):
        _, out, _ = self.trace("b.test", "A")
        self.assertRegex(out, r"asked 127\.0\.0\.1:\d+ over UDP: refused in")
        self.assertIn("connection refused", out)

    def test_another_port_and_wrong_words(self):
        self.trace("a.test", "A")
        code, out, _ = self.tool("trace", "-port", str(self.ports["other"]), "x.other.test", "AAAA", "2001:db8::1")
        self.assertEqual(code, 0)
        self.assertEqual(self.way(out), [("whoami", "answered NOERROR, no record")])
        code, _, err = self.tool("trace", "-port", "1", "x", "A")
        self.assertEqual(code, 1)
        self.assertIn("nothing listens on port 1", err)
        self.assertEqual(self.tool("trace", "x")[0], 2)
        self.assertEqual(self.tool("trace", "x", "APE")[0], 1)
        self.assertEqual(self.tool("trace", "x", "A", "nobody")[0], 1)


class Repl(Directory):
    def test_lines_are_run_and_shown(self):
        self.write("Corefile", ". {\n prometheus 127.0.0.1:0\n hosts {\n  192.0.2.1 a.test\n }\n}\n")
        lines = ['1 + 1', 's:query "a.test. A"', 'x = 5', 'x', 'error "no luck"', 'x y', '{ a = "b" }',
                 's:metric "coredns_dns_requests_total"', 'dns.NXDOMAIN', 's:reload()',
                 'dns.sleep(0.05); return s:query("b.test. AAAA").rcode', 'query "a.test. A"', 'resolve("a.test", "A")',
                 'nowhere', 'help', 'exit', 'print "never"']
        code, out, err = self.tool("repl", stdin="\n".join(lines))
        self.assertEqual((code, err), (0, ""))
        for want in ("> 2\n", "answer:     a.test. 3600 IN A 192.0.2.1\n", "> 5\n", "no luck\n", "line:1: '=' expected near 'y'",
                     '{ a = "b" }\n', "> 1\n", "> 3\n",
                     "> SERVFAIL\n", "unknown name 'query'; did you mean s:query?", "did you mean dns.resolve?",
                     "unknown name 'nowhere'; there are s, dns,", '"exit" or the end of the input ends it.'):
            self.assertIn(want, out)
        self.assertNotIn("never", out)


class Bench(Directory):
    def test_what_a_plugin_costs(self):
        self.write("slow.lua", "return require('dns').plugin { name = 'slow', options = {}, setup = function(_, next)\n"
                               " local list = {}\n return function(q)\n  list[q.index] = { q.id }\n"
                               "  local f = function() return q end\n  return f() and next(q)\n end\nend }\n")
        code, out, err = self.tool("bench", "slow", "a.test", "b.test AAAA")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"(?m)^\d+ ns per query, \d+ ns of them beside the plugins$")
        allocated = float(re.search(r"([\d.]+) octets allocated", out)[1])
        self.assertGreater(allocated, 20)
        self.assertRegex(out, r"slow\.lua:[35]: .*")
        code, out, _ = self.tool("bench", "whoami")
        self.assertEqual(code, 0)
        self.assertIn("0.0 octets allocated per query\nno trace aborts once warm\n", out)

    def test_a_corefile_and_wrong_words(self):
        self.write("Corefile", ". {\n cache\n forward . 127.0.0.1\n}\n")
        code, out, _ = self.tool("bench", "-conf", "Corefile", "a.test")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^\d+ ns per query")
        self.assertEqual(self.tool("bench")[0], 2)
        code, _, err = self.tool("bench", "hosts {\n ttl x\n }")
        self.assertEqual(code, 1)
        self.assertIn("directive:", err)
        self.assertEqual(self.tool("bench", "whoami", "a b c d")[0], 2)


class Docs(Directory):
    def test_the_reference_page_is_current(self):
        code, out, _ = self.tool("docs", cwd=os.path.join(ROOT, "plugins"))
        self.assertEqual(code, 0)
        with open(os.path.join(ROOT, "plugins", "REFERENCE.md")) as f:
            self.assertEqual(f.read(), out, "run `make docs`")
        for name in os.listdir(os.path.join(ROOT, "plugins")):
            if name.endswith(".lua"):
                self.assertIn(f"\n## {name[:-4]}\n", out)

    def test_a_plugin_of_ones_own(self):
        self.tool("plugin", "new", "sink")
        code, out, _ = self.tool("docs", "sink", cwd=self.path("sink"))
        self.assertEqual(code, 0)
        self.assertIn("## sink\n", out)
        self.assertIn("| `ttl DURATION` | duration, such as `30s` or `1h30m` | `1m` | TTL of the answers. At most 24h. |", out)
        self.assertEqual(self.tool("docs", "nothing")[0], 1)
