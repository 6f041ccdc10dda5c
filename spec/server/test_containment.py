"""What a plugin can do wrong, and what it costs: endless loops, memory without end, files that change under way."""

import signal
import unittest

import environment
import harness
import wire
from harness import Case

PLUGIN = """local dns = require "dns"
return dns.plugin {
  name = "NAME",
  options = { file = { type = "file" } },
  setup = function(conf, next, server)
    BODY
  end,
}
"""


def plugin(name, body):
    return PLUGIN.replace("NAME", name).replace("BODY", body)


LOOPS = plugin("loops", """
    return function(q)
      if q:under "compiled." then
        local n = 0
        while n >= 0 do n = n > 100 and 1 or n + 1 end
      end
      if q:under "interpreted." then
        while true do string.dump(function() return q end) end
      end
      return next(q)
    end""")

STUCK = r"^\[ERROR\] worker \d+ has not come back to its loop for 5 s: "


class EndlessLoop(Case):
    def start(self):
        text = ".:{port} {\n errors\n loops\n health 127.0.0.1:{http}\n whoami\n}\n"
        return self.server(text, files={"loops.lua": LOOPS})

    def test_interpreted_code_is_named_and_stopped(self):
        s = self.start()
        reply = s.query("x.interpreted", timeout=20)
        self.assertEqual(reply.rcode, "SERVFAIL")
        s.wait_log(STUCK + r"a plugin does not return \(question x\.interpreted\. A, client 127\.0\.0\.1\)")
        s.wait_log(r"^\[ERROR\] plugin/loops: .*loops\.lua:\d+: stopped: it has run for more than 5 s")
        harness.wait_until(lambda: s.http("/health").status == 200, 10, "/health is well again")
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        s.stop()

    def test_a_compiled_loop_is_named_and_the_others_answer_on(self):
        with open(environment.BINARY, "rb") as binary:
            held_back = b"__tsan_init" in binary.read()
        if held_back:
            self.skipTest("ThreadSanitizer holds signals back from code that it has not compiled")
        s = self.start()
        udp = s.udp()
        udp.send(wire.pack_query("x.compiled"))
        s.wait_log(STUCK + r"plugin/loops: .*loops\.lua:\d+ does not return \(question x\.compiled\. A, client", 20)
        harness.wait_until(lambda: s.http("/health").status == 503, 10, "/health fails")
        after = s.mark()
        s.signal(signal.SIGUSR1)
        s.wait_log(r"^\[ERROR\] Restart failed: a worker does not come back to its loop", 10, after)
        udp.close()
        s.signal(signal.SIGTERM)
        self.assertEqual(s.wait(30), 0)


class Memory(Case):
    def test_a_plugin_that_keeps_everything_costs_its_own_queries(self):
        hog = plugin("hog", """
    local kept = {}
    return function(q)
      if q:under "hog." then
        for i = 1, 1e9 do kept[#kept + 1] = ("x"):rep(100000) .. i end
      end
      if q:under "litter." then
        local t = {}
        for i = 1, 100 do t[i] = ("x"):rep(100000) .. i end
        return q:answer_address("192.0.2.1", 60)
      end
      return next(q)
    end""")
        text = ".:{port} {\n errors\n hog\n lua {\n memory 32MB\n }\n whoami\n}\n"
        s = self.server(text, files={"hog.lua": hog})
        for _ in range(100):  # garbage alone never reaches the bound
            self.assertEqual(s.query("x.litter").rcode, "NOERROR")
        after = s.mark()
        self.assertEqual(s.query("x.hog", timeout=20).rcode, "SERVFAIL")
        s.wait_log(r"^\[ERROR\] .*not enough memory: the state's 32 MB are taken", 5, after)
        s.wait_log(r"^\[ERROR\] a worker's Lua state has taken all of its 32 MB", 10, after)
        harness.wait_until(lambda: all(s.query("a.test").rcode == "NOERROR" for _ in range(50)), 20, "all is well again")
        if not harness.SANITIZED:
            self.assertLess(s.rss(), 170 << 20)
        s.stop()


class Files(Case):
    """Everything that a plugin is made of is watched by content."""

    def test_modules_and_data_files(self):
        shout = plugin("shout", """
    local word = require "words.one"
    local f = io.open(conf.file)
    local more = f:read "*l"
    f:close()
    return function(q)
      q:add(dns.ANSWER, '@ 60 IN TXT "' .. word .. more .. '"')
      return 0
    end""")
        text = ".:{port} {\n reload 2s 1s\n shout {\n file {dir}/more\n }\n}\n"
        s = self.server(text, files={"shout/init.lua": shout, "words/one.lua": 'return "a"', "more": "1\n"})
        self.assertEqual(s.query("a.test", "TXT").values(), ['"a1"'])
        for name, content, answer in (("words/one.lua", 'return "b"', '"b1"'), ("more", "2\n", '"b2"')):
            after = s.mark()
            s.write(name, content)
            s.wait_log(r"^\[INFO\] Reloading complete$", 10, after)
            self.assertEqual(s.query("a.test", "TXT").values(), [answer])
        after = s.mark()
        s.write("words/one.lua", "return nothing_here")
        s.wait_log(r"^\[ERROR\] Restart failed: .*words/one\.lua:1: unknown global 'nothing_here'", 10, after)
        self.assertEqual(s.query("a.test", "TXT").values(), ['"b2"'])
        s.stop()


if __name__ == "__main__":
    unittest.main()
