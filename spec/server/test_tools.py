"""The subcommands for authors: check, test, plugin new; and plain busted after `make install`."""

import os
import socket
import subprocess
import time

import harness
from directory import Directory
from harness import BINARY, ROOT, SANITIZED, SCALE

GOOD = ". {\n hosts {\n  192.0.2.1 a.test\n }\n forward . 127.0.0.1\n cache\n health\n}\n"


def may_unshare(what):
    return subprocess.run(["unshare", what, "true"], stderr=subprocess.DEVNULL).returncode == 0


class CommandLine(Directory):
    def test_help_lists_the_tools(self):
        code, out, _ = self.tool("help")
        self.assertEqual(code, 0)
        for name in ("check", "test", "plugin", "trace", "repl", "bench", "docs"):
            self.assertRegex(out, rf"(?m)^  {name} +\w")
            code, text, _ = self.tool("help", name)
            self.assertEqual((code, text.split("\n")[0].split()[:3]), (0, ["Usage:", "lunadns", name]))
        self.assertEqual(self.tool("help", "dance")[0], 2)

    def test_other_words_are_what_they_are_for_coredns(self):
        self.assertEqual(self.tool("dance", "now"), (1, "", "extra command line arguments: [dance now]\n"))
        self.assertEqual(self.tool("-quiet", "check")[0], 1, "flags first: the server's command line")


class Check(Directory):
    def test_a_good_corefile(self):
        self.write("Corefile", GOOD)
        self.assertEqual(self.tool("check"), (0, "Corefile: 1 server block, 4 plugins: good\n", ""))
        self.assertEqual(self.tool("check", "--conf=Corefile")[0], 0)
        self.assertEqual(self.tool("check", "-conf", self.path("Corefile"), cwd="/")[0], 0)
        self.assertEqual(self.tool("check", "-conf", "stdin", stdin=GOOD)[0], 0)

    def test_errors_name_file_and_line(self):
        for text, want in ((". {\n bogus\n}\n", "Corefile:2 - Error during parsing: Unknown directive 'bogus'"),
                           (". {\n cache {\n  success few\n }\n}\n", "Corefile:3: cache: success"),
                           (". {\n forward . 127.0.0.1\n", "Corefile:"),
                           (". {\n broken\n}\n", "./broken.lua:3:"),
                           (". {\n fails\n}\n", "Corefile:2: plugin/fails: ./fails.lua:2: no luck")):
            self.write("broken.lua", "local dns = require 'dns'\nlocal x =\nreturn 1 1\n")
            self.write("fails.lua", "return require('dns').plugin { name = 'fails', options = {}, setup = function()\n"
                                    "  error 'no luck' end }\n")
            self.write("Corefile", text)
            code, out, err = self.tool("check")
            self.assertEqual((code, out), (1, ""), text)
            self.assertIn(want, err)

    def test_warnings_are_shown(self):
        self.write("Corefile", ". {\n hosts {\n  bogus\n }\n}\n")
        code, out, _ = self.tool("check")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"\[WARNING\] .*Corefile:3")

    def test_nobody_is_asked(self):
        """A setup that waits for somebody's answer is checked up to there. What listens here hears nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            at = "127.0.0.1:%d" % listener.getsockname()[1]
            for call, what in ((f'dns.http.get "http://user:secret@{at}/list?key=1"', f"GET http://{at}/list"),
                               (f'dns.http.request {{ url = "http://{at}/a", method = "PUT" }}', f"PUT http://{at}/a"),
                               (f'pcall(dns.tcp, "{at}")', f"tcp {at}"),
                               (f'dns.exchange("tcp://{at}", "a.test", "A")', f"tcp://{at}"),
                               ('dns.resolve("a.test", "A")', r"[0-9a-f.:]+:53"),
                               (f'dns.all {{ function() return dns.http.get "http://{at}/b" end }}', f"GET http://{at}/b")):
                self.write("asks.lua", "local dns = require 'dns'\nreturn dns.plugin { name = 'asks', options = {}, "
                                       f"setup = function() {call} error 'went on' end }}\n")
                self.write("Corefile", ". {\n log\n asks\n whoami\n}\n")
                code, out, err = self.tool("check")
                self.assertEqual((code, err), (0, ""), call)
                self.assertRegex(out, rf"^\[WARNING\] Corefile:3: asks: setup asks {what}\. A check asks nobody[^\n]*\n"
                                      r"Corefile: 1 server block, 3 plugins: good\n$")
            listener.setblocking(False)
            self.assertRaises(BlockingIOError, listener.accept)

    def test_wrong_command_lines(self):
        self.assertEqual(self.tool("check", "-what")[0], 2)
        self.assertEqual(self.tool("check", "more")[0], 2)
        self.assertEqual(self.tool("check", "-conf")[0], 2)
        code, _, err = self.tool("check", "-conf", "none")
        self.assertEqual(code, 1)
        self.assertIn("none: No such file", err)

    def test_nothing_is_opened_and_nothing_runs(self):
        port = harness.free_port()
        self.write("probe.lua", "return require('dns').plugin { name = 'probe', options = {}, setup = function(_, next, server)\n"
                                "  server:log('info', 'setup')\n"
                                "  server:every(0.01, function() server:log('info', 'timer') end)\n"
                                "  return next end }\n")
        self.write("Corefile", f".:{port} {{\n probe\n whoami\n health 127.0.0.1:{port}\n}}\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, socket.create_server(("127.0.0.1", port)):
            u.bind(("127.0.0.1", port))
            code, out, _ = self.tool("check")
        self.assertEqual(code, 0, "the port is taken, which does not matter")
        self.assertIn("plugin/probe: setup", out)
        self.assertNotIn("timer", out)


class Test(Directory):
    SPEC = ('local t = require "dns.test"\n'
            'it("answers", function()\n'
            '  local s = t.server ". {\\n give\\n}"\n'
            '  assert.answer("a.test. 5 IN A 192.0.2.1", s:query "a.test. A")\n'
            'end)\n')
    PLUGIN = ('return require("dns").plugin { name = "give", options = {}, setup = function()\n'
              '  return function(q) return q:answer_address("192.0.2.%s", 5) end end }\n')

    def test_specs_run_from_any_directory(self):
        self.write("there/give.lua", self.PLUGIN % "1")
        self.write("there/give_spec.lua", self.SPEC)
        self.write("there/spec/again_spec.lua", self.SPEC)
        for cwd, args in ((self.path("there"), []), (self.dir, ["there"]), ("/", [self.path("there"), "-o", "TAP"]),
                          (self.dir, ["there/give_spec.lua", "there/spec/again_spec.lua"])):
            code, out, err = self.tool("test", *args, cwd=cwd)
            self.assertEqual((code, err), (0, ""), out)
            self.assertRegex(out, "2 successes|1\\.\\.2", out)

    def test_a_failure_shows_the_difference(self):
        self.write("give.lua", self.PLUGIN % "2")
        self.write("give_spec.lua", self.SPEC)
        code, out, _ = self.tool("test")
        self.assertEqual(code, 1)
        self.assertIn("./give_spec.lua:4: answer section (- expected, + found):\n"
                      "- a.test. 5 IN A 192.0.2.1\n+ a.test. 5 IN A 192.0.2.2\n", out)

    def test_without_busted_it_says_what_to_install(self):
        code, _, err = self.tool("test", env={"LUA_PATH": "/nonexistent/?.lua"})
        self.assertEqual(code, 1)
        self.assertIn("apt-get install lua-busted", err)

    def test_reload_between_queries(self):
        self.write("count.lua", 'local dns = require "dns"\nreturn dns.plugin { name = "count", options = {}, setup = function()\n'
                                "  local n = 0\n  return function(q)\n    n = n + 1\n"
                                '    return q:answer_address("192.0.2." .. n, 5) end end }\n')
        self.write("count_spec.lua", 'local t = require "dns.test"\nit("counts", function()\n'
                                     '  local s = t.server ". {\\n count\\n}"\n'
                                     '  assert.answer("a.test. 5 A 192.0.2.1", s:query "a.test. A")\n'
                                     '  assert.answer("a.test. 5 A 192.0.2.2", s:query "a.test. A")\nend)\n')
        self.assertEqual(self.tool("test")[0], 0)
        code, out, _ = self.tool("test", "--reload")
        self.assertEqual(code, 1, "what it counts in Lua is gone after a reload")
        self.assertIn("+ a.test. 5 IN A 192.0.2.1", out)


class New(Directory):
    FILES = [".busted", ".luarc.json", "Corefile", "README.md", "sink.lua", "sink_spec.lua"]

    def test_the_spec_of_a_new_plugin_passes_at_once(self):
        for name in ("sink", "my-sink_2"):
            code, out, err = self.tool("plugin", "new", name)
            self.assertEqual((code, err), (0, ""))
            self.assertIn(f"cd {name} && lunadns test", out)
            if not SANITIZED:
                for mode in ([], ["--reload"]):
                    code, out, _ = self.tool("test", *mode, cwd=self.path(name))
                    self.assertEqual(code, 0, out)
            self.assertEqual(self.tool("check", cwd=self.path(name))[0], 0)
        self.assertEqual(sorted(os.listdir(self.path("sink"))), self.FILES)
        self.assertNotRegex("".join(self.read(f"sink/{f}") for f in self.FILES), r"@[A-Z]|\bNAME\b")

    def test_nothing_is_overwritten(self):
        self.write("sink/README.md", "mine\n")
        code, _, err = self.tool("plugin", "new", "sink")
        self.assertEqual(code, 1)
        self.assertIn("sink/README.md is there already", err)
        self.assertEqual(os.listdir(self.path("sink")), ["README.md"])
        self.assertEqual(self.read("sink/README.md"), "mine\n")

    def test_names_that_cannot_be(self):
        for name in ("../sink", "", "1st", "cache", "rewrite", "a b"):
            self.assertEqual(self.tool("plugin", "new", name)[0], 1, name)
        self.assertEqual(self.tool("plugin", "old", "x")[0], 2)
        self.assertEqual(self.tool("plugin")[0], 2)
        self.assertEqual(os.listdir(self.dir), [])

    def test_a_new_plugin_is_served_as_it_is(self):
        self.tool("plugin", "new", "sink")
        s = self.server(None, args=["-conf", self.path("sink/Corefile"), "-dns.port", "{port}"])
        self.assertEqual(s.query("x.ads.example").values(), ["192.0.2.1"])
        s.stop()

    def test_a_spec_of_ten_cases_is_quick(self):
        if SANITIZED:
            return
        self.tool("plugin", "new", "sink")
        took = []
        for _ in range(5):
            start = time.monotonic()
            self.assertEqual(self.tool("test", cwd=self.path("sink"))[0], 0)
            took.append(time.monotonic() - start)
        self.assertLess(min(took), 0.3 * SCALE)


class Installed(Directory):
    """`make install`: plain busted runs the spec of a plugin that is nowhere near the source."""

    def setUp(self):
        super().setUp()
        build = os.path.dirname(BINARY)
        self.prefix = self.path("prefix")
        self.assertEqual(self.tool("-s", "-o", "all", "-C", ROOT, "install", f"BUILD={build}", f"PREFIX={self.prefix}",
                                   command=["make"])[0], 0)

    def test_plain_busted_and_the_tool(self):
        if SANITIZED:
            return  # a library with ASan cannot be loaded into a LuaJIT without
        binary = os.path.join(self.prefix, "bin", "lunadns")
        self.assertEqual(self.tool("plugin", "new", "sink", command=[binary])[0], 0)
        self.assertIn(os.path.join(self.prefix, "share/lunadns"), self.read("sink/.busted"))
        self.assertIn(os.path.join(self.prefix, "share/lunadns"), self.read("sink/.luarc.json"))
        for command in ([binary, "test"], ["busted"]):
            code, out, err = self.tool(command=command, cwd=self.path("sink"))
            self.assertEqual(code, 0, out + err)
            self.assertIn("7 successes", out)
        code, out, err = self.tool("-C", "sink", "-o", "TAP", command=["busted"])
        self.assertEqual(code, 0, out + err)

    def test_a_missing_library_is_named(self):
        if SANITIZED:
            return
        binary = os.path.join(self.prefix, "bin", "lunadns")
        self.tool("plugin", "new", "sink", command=[binary])
        os.remove(os.path.join(self.prefix, "lib", "liblunadns.so"))
        code, out, err = self.tool(command=["busted"], cwd=self.path("sink"))
        self.assertNotEqual(code, 0)
        self.assertRegex(out + err, "liblunadns.so is not in .*make install")


class Live(Directory):
    """`lunadns test --live`: a process of its own for each t.server, in a network namespace."""

    def test_a_new_plugin(self):
        self.tool("plugin", "new", "sink")
        code, out, err = self.tool("test", "--live", cwd=self.path("sink"))
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn("6 successes / 0 failures / 0 errors / 1 pending", out)
        self.assertIn("stays compiled and allocates nothing", out)

    def test_clients_upstreams_log_metrics_and_reload(self):
        if not may_unshare("-n") and not may_unshare("-Urn"):
            self.skipTest("this user may not make a network namespace: scripted upstreams were not tried")
        self.write("all_spec.lua", """
local t = require "dns.test"
it("works", function()
  local s = t.server(". {\\n prometheus\\n log\\n forward . 10.0.0.1 10.0.0.2:5353 {\\n policy sequential\\n }\\n}")
  s:upstream { ["10.0.0.1:53"] = { default = { rcode = "REFUSED" } },
    ["10.0.0.2:5353"] = { ["a.test. A"] = "a.test. 60 IN A 192.0.2.1" } }
  assert.rcode("REFUSED", s:query("a.test. A", { client = "203.0.113.9" }))
  assert.same({ "10.0.0.1:53", "a.test. A", "udp" }, { s.asked[1].to, s.asked[1].question, s.asked[1].transport })
  assert.log("[INFO] 203.0.113.9:", s)
  assert.metric(1, s, "coredns_dns_requests_total", { type = "A" })
  s:reload ". {\\n forward . 10.0.0.2:5353\\n}"
  assert.answer("a.test. 60 IN A 192.0.2.1", s:query("a.test. A", { transport = "tcp", client = "[2001:db8::9]:0",
    to = "[2001:db8::53]:53" }))
  assert.is_nil((s:try_reload ". {\\n nothing\\n}"))
  assert.answer("a.test. 60 IN A 192.0.2.1", s:query "a.test. A")
end)
it("explains", function()
  assert.corefile_error("Corefile:3: cache: success", ". {\\n cache {\\n success few\\n }\\n}")
end)
it("has no clock of its own", function()
  t.server(". {\\n whoami\\n}"):advance "1h"
end)
""")
        code, out, err = self.tool("test", "--live")
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn("2 successes / 0 failures / 0 errors / 1 pending", out)
        self.assertIn("--live: 1h of real time is too long", out)

    def test_without_namespaces_what_needs_them_is_pending(self):
        forbid = []
        if may_unshare("-Ur"):
            forbid = ["unshare", "-Ur", "sh", "-c", 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"', "sh"]
        elif may_unshare("-n"):
            self.skipTest("root may make network namespaces, and no namespace of users in which that is forbidden")
        self.write("x_spec.lua", """
local t = require "dns.test"
it("asks", function() assert.rcode("NOERROR", t.server(". {\\n whoami\\n}"):query "a.test. A") end)
it("has upstreams", function() t.server(". {\\n forward . 10.0.0.1\\n}"):upstream {} end)
it("has clients", function() t.server(". {\\n whoami\\n}"):query("a.test. A", { client = "192.0.2.1" }) end)
""")
        code, out, err = self.tool("test", "--live", command=[*forbid, BINARY])
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn("1 success / 0 failures / 0 errors / 2 pending", out)
        self.assertIn("needs a network namespace", out)
