"""-log-format=json: every line of stdout is an object, as CoreDNS writes it."""

import json
import re
import signal
import unittest

import harness
from harness import pack_query, wait_until

FIELDS = ["time", "level", "msg", "plugin", "client_ip", "client_port", "qname", "qtype", "qclass", "protocol", "id",
          "opcode", "request_size", "dnssec_ok", "bufsize", "rcode", "response_size", "duration_seconds"]


class JsonLog(harness.Case):
    def start(self, corefile, form="-log-format=json"):
        return self.server(corefile, args=form.split(" "), ready="answer")

    def objects(self, s, after=0):
        return [json.loads(line) for line in s.lines(after)]

    def wait_object(self, s, after=0, **wanted):
        def found():
            for one in self.objects(s, after):
                if all(one.get(k) == v for k, v in wanted.items()):
                    return one
            return None
        return wait_until(found, 5, f"a line with {wanted}")

    def test_queries(self):
        s = self.start('.:{port} {\n log . "{remote} said \\"{name}\\""\n errors\n hosts {\n  192.0.2.1 a.test\n }\n}\n')
        after = s.mark()
        packet = pack_query("A.test", qid=4711, edns=1232, do=True)
        s.ask_raw(packet, "tcp")
        line = self.wait_object(s, after, id=4711)
        self.assertEqual(list(line), FIELDS)
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$")
        self.assertLess(line["duration_seconds"], 1)
        self.assertGreater(line["duration_seconds"], 0)
        port = line.pop("client_port")
        self.assertTrue(1024 <= port <= 65535)
        for field in ("time", "duration_seconds"):
            line.pop(field)
        self.assertEqual(line, {
            "level": "INFO", "msg": '127.0.0.1 said "a.test."', "plugin": "log", "client_ip": "127.0.0.1", "qname": "a.test.",
            "qtype": "A", "qclass": "IN", "protocol": "tcp", "id": 4711, "opcode": 0, "request_size": len(packet),
            "dnssec_ok": True, "bufsize": 65535, "rcode": "NOERROR", "response_size": 46})
        s.stop()

    def test_everything_else(self):
        port = harness.free_port()
        s = self.start(f".:{{port}} {{\n errors\n reload\n forward . 127.0.0.1:{port}\n}}\n", "-log-format json")
        self.wait_object(s, level="INFO", plugin="reload")
        after = s.mark()
        self.assertEqual(s.query("b.test").rcode, "SERVFAIL")
        line = wait_until(lambda: next((o for o in self.objects(s, after) if o["msg"].startswith("2 b.test. A: ")), None), 5)
        self.assertEqual((line["level"], line["plugin"]), ("ERROR", "errors"))
        self.assertRegex(line["msg"], r"connection refused$")
        s.write("Corefile", ".:{port} {\n frward\n}\n")
        s.signal(signal.SIGUSR1)
        line = wait_until(lambda: next((o for o in self.objects(s, after) if "Restart failed" in o["msg"]), None), 5)
        self.assertEqual((line["level"], list(line)), ("ERROR", ["time", "level", "msg"]))
        self.assertIn("Unknown directive 'frward'", line["msg"])
        s.stop()
        banner = next(o["msg"] for o in self.objects(s) if re.search(r"^linux/", o["msg"], re.M))
        self.assertTrue(banner.startswith(f".:{s.port}\nlunadns-"), banner)
        self.assertIn("SIGTERM: Shutting down servers then terminating", [o["msg"] for o in self.objects(s)])

    def test_text_is_the_default_and_others_are_unknown(self):
        s = self.start(".:{port} {\n whoami\n}\n", "-log-format=text")
        s.wait_log("^lunadns-")
        s.stop()
        code, out, err = harness.run(["-log-format", "xml"])
        self.assertEqual((code, out, err), (1, "", 'unknown log format "xml": expected text or json\n'))


if __name__ == "__main__":
    unittest.main()
