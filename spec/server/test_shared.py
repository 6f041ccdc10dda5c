"""What plugins of all workers and generations share: dictionaries, tables that are replaced, timers on one worker."""

import threading
import time

import harness
from harness import Case, SANITIZED, SCALE

HTTP = " prometheus 127.0.0.1:{http}\n"
WORKERS = {"GOMAXPROCS": "3"}

COUNT = """local dns = require "dns"
return dns.plugin {
  name = "count",
  options = {},
  setup = function()
    local seen = dns.shared("seen", { ipv4_prefix = 8 })
    return function(q)
      local n, clients = seen:incr "queries", seen:incr(q.client)
      q:add(dns.ANSWER, ('%s 0 IN TXT "%d %d"'):format(q:name_text(), n, clients))
      return dns.NOERROR
    end
  end,
}
"""

BLOCK = """local dns = require "dns"
return dns.plugin {
  name = "block",
  options = { { "file", type = "string", required = true } },
  setup = function(conf, next, server)
    local list = dns.names "blocklist"
    server:every(0.1, function()
      local changed, why = list:load_file(conf.file)
      if changed == nil then server:log("error", "%s", why) end
      if changed then server:log("info", "%d names", (list:count())) end
    end, { once = true, now = true })
    return function(q)
      local value = list:match(q)
      if not value then return next(q) end
      q:add(dns.ANSWER, ('%s 0 IN TXT "%s"'):format(q:name_text(), value))
      return dns.NOERROR
    end
  end,
}
"""

TICK = """local dns = require "dns"
return dns.plugin {
  name = "tick",
  options = { { "key", type = "string", required = true } },
  setup = function(conf, next, server)
    local ticks = dns.shared "ticks"
    server:every(0.05, function() ticks:incr(conf.key .. " once") end, { once = true })
    server:every(0.05, function() ticks:incr(conf.key .. " each") end)
    return function(q)
      local key = q:name_text():match "^(%w+)" -- "oldonce"
      q:add(dns.ANSWER, ('%s 0 IN TXT "%d"'):format(q:name_text(), ticks:get(key:sub(1, 3) .. " " .. key:sub(4)) or 0))
      return dns.NOERROR
    end
  end,
}
"""


def text(reply):
    return reply.values()[0].strip('"')


class Dictionaries(Case):
    def test_one_count_for_all_workers_over_reloads(self):
        s = self.server(".:{port} {\n" + HTTP + " count\n}\n", files={"count.lua": COUNT}, env=WORKERS)
        found, lock = [], threading.Lock()

        def ask():
            for _ in range(50):
                n, clients = map(int, text(s.query("a.test", "TXT")).split())
                with lock:
                    found.append(n)
                    self.assertLessEqual(clients, 600)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for t in threads:
            t.start()
        for _ in range(3):
            s.reload()
        for t in threads:
            t.join()
        # Each number was given once. What a new generation is warmed with does not count.
        self.assertEqual(sorted(found), list(range(1, 201)))
        self.assertEqual(text(s.query("a.test", "TXT")), "201 201")
        self.assertEqual(s.metric("lunadns_shared_items", {"name": "seen"}), 2)
        self.assertGreater(s.metric("lunadns_shared_bytes", {"name": "seen"}), 100)
        s.stop()

    def test_its_content_goes_with_the_last_plugin(self):
        s = self.server(".:{port} {\n" + HTTP + " count\n}\n", files={"count.lua": COUNT}, env=WORKERS)
        self.assertEqual(text(s.query("a.test", "TXT")), "1 1")
        s.write("Corefile", ".:{port} {\n" + HTTP + " whoami\n}\n")
        s.reload()
        harness.wait_until(lambda: s.metric("lunadns_shared_items", {"name": "seen"}) == 0, 10)
        s.write("Corefile", ".:{port} {\n count\n}\n")
        s.reload()
        self.assertEqual(text(s.query("a.test", "TXT")), "1 1")
        s.stop()


class Tables(Case):
    def test_a_list_is_replaced_while_it_is_asked(self):
        s = self.server(".:{port} {\n" + HTTP + " block {dir}/list\n whoami\n}\n", env=WORKERS,
                        files={"block.lua": BLOCK, "list": "first.test 0\n"})
        harness.wait_until(lambda: s.query("x.first.test", "TXT").values() == ['"0"'])
        names = 20000 if SANITIZED else 200000
        many = "".join(f"n{i}.example\n" for i in range(names))
        done, slowest, wrong = threading.Event(), [0.0], []

        def ask():
            with s.udp() as c:
                while not done.is_set():
                    before = time.monotonic()
                    reply = c.ask("x.first.test", "TXT")
                    slowest[0] = max(slowest[0], time.monotonic() - before)
                    if reply is None or not reply.values() or not text(reply).isdigit():
                        wrong.append(reply)
        asking = threading.Thread(target=ask)
        asking.start()
        rss = []
        for i in range(1, 9):
            s.write("list", many + f"first.test {i}\n")
            harness.wait_until(lambda: s.query("x.first.test", "TXT").values() == [f'"{i}"'], 20)
            rss.append(s.rss())
        done.set()
        asking.join()
        self.assertEqual(wrong, [])
        self.assertLess(slowest[0], 1 * SCALE)
        self.assertEqual(s.metric("lunadns_shared_items", {"name": "blocklist"}), names + 1)
        if not SANITIZED:
            self.assertLess(rss[-1], rss[2] + 20e6)
        # A list that cannot be used changes nothing.
        s.write("list", "<html>404</html>\n")
        s.wait_log(r"^\[ERROR\] plugin/block: line 1: '<html>404</html>' is not a name")
        self.assertEqual(text(s.query("x.first.test", "TXT")), "8")
        s.reload()
        self.assertEqual(text(s.query("x.first.test", "TXT")), "8")
        s.stop()


class Timers(Case):
    def test_on_one_worker_or_on_each_until_the_next_generation(self):
        s = self.server(".:{port} {\n tick old\n}\n", files={"tick.lua": TICK}, env=WORKERS)

        def ticks(key):
            return int(text(s.query(key + ".test", "TXT")))
        harness.wait_until(lambda: ticks("oldonce") >= 10)
        self.assertGreater(ticks("oldeach"), 1.5 * ticks("oldonce"))
        s.write("Corefile", ".:{port} {\n tick new\n}\n")
        s.reload()
        harness.wait_until(lambda: ticks("newonce") >= 3)
        once, each = ticks("oldonce"), ticks("oldeach")
        harness.wait_until(lambda: ticks("newonce") >= 13)
        self.assertEqual((ticks("oldonce"), ticks("oldeach")), (once, each))
        s.stop()


if __name__ == "__main__":
    harness.unittest.main()
