"""What a Corefile may say, seen from outside: keys, zones, snippets, imports, environment, addresses."""

import socket
import unittest

import harness
from harness import Case


def hosts(*lines):
    return " hosts {\n" + "".join(f"  {line}\n" for line in lines) + " }\n"


def block(keys, *lines):
    return keys + " {\n" + hosts(*lines) + "}\n"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class Zones(Case):
    def test_longest_zone_answers(self):
        s = self.server(block(".:{port}", "192.0.2.1 www.other.test", "192.0.2.1 www.sub.example.test") +
                        block("example.test:{port}", "192.0.2.2 www.example.test", "192.0.2.2 notsub.example.test") +
                        block("sub.example.test:{port}", "192.0.2.3 www.sub.example.test", "192.0.2.3 sub.example.test"))
        for name, want in (("www.other.test", "192.0.2.1"), ("www.example.test", "192.0.2.2"),
                           ("notsub.example.test", "192.0.2.2"), ("www.sub.example.test", "192.0.2.3"),
                           ("sub.example.test", "192.0.2.3"), ("WWW.SUB.Example.TEST", "192.0.2.3")):
            for transport in ("udp", "tcp"):
                self.assertEqual(s.query(name, transport=transport).values(), [want], name)
        s.stop()

    def test_order_of_blocks_does_not_matter(self):
        s = self.server(block("sub.example.test:{port}", "192.0.2.3 www.sub.example.test") +
                        block(".:{port}", "192.0.2.1 www.test") +
                        block("example.test:{port}", "192.0.2.2 www.example.test"))
        self.assertEqual(s.query("www.sub.example.test").values(), ["192.0.2.3"])
        self.assertEqual(s.query("www.example.test").values(), ["192.0.2.2"])
        self.assertEqual(s.query("www.test").values(), ["192.0.2.1"])
        s.stop()

    def test_outside_every_zone_is_refused(self):
        s = self.server(block("example.test:{port}", "192.0.2.2 www.example.test"))
        for name in ("www.other.test", ".", "test", "xexample.test"):
            self.assertEqual(s.query(name).rcode, "REFUSED", name)
        s.stop()

    def test_ds_is_asked_of_the_parent(self):
        upstream = self.upstream(lambda q: q.reply(answer=[(None, "DS", 60, bytes(24))]))
        s = self.server(f"test:{{port}} {{\n forward . {upstream.to}\n}}\n" +
                        block("sub.test:{port}", "192.0.2.3 sub.test"))
        self.assertEqual(s.query("sub.test", "A").values(), ["192.0.2.3"])
        self.assertEqual(len(s.query("sub.test", "DS").answer), 1)
        self.assertEqual(upstream.asked("sub.test.", "DS"), 1)
        s.stop()

    def test_zone_in_upper_case_and_with_final_dot(self):
        s = self.server(block("EXAMPLE.test.:{port}", "192.0.2.1 www.example.test"))
        self.assertEqual(s.query("www.example.test").values(), ["192.0.2.1"])
        self.assertIn(f"example.test.:{s.port}\n", s.out)
        s.stop()

    def test_class_other_than_internet_is_refused(self):
        s = self.server(".:{port} {\n whoami\n}\n")
        self.assertEqual(s.query("www.test", qclass="CH").rcode, "REFUSED")
        s.stop()

    def test_block_without_plugins_refuses(self):
        s = self.server(".:{port} {\n}\n")
        self.assertEqual(s.query("www.test").rcode, "REFUSED")
        s.stop()


class Keys(Case):
    def test_several_keys_with_spaces_commas_and_lines(self):
        s = self.server("a.test:{port} b.test:{port}, c.test:{port},\n d.test:{port2} {\n" +
                        hosts("192.0.2.1 www.a.test", "192.0.2.2 www.b.test", "192.0.2.3 www.c.test",
                              "192.0.2.4 www.d.test") + "}\n")
        for name, want, word in (("www.a.test", "192.0.2.1", "port"), ("www.b.test", "192.0.2.2", "port"),
                                 ("www.c.test", "192.0.2.3", "port"), ("www.d.test", "192.0.2.4", "port2")):
            self.assertEqual(s.query(name, port=s.number(word)).values(), [want])
        self.assertEqual(s.query("www.d.test").rcode, "REFUSED", "d.test is on the other port only")
        self.assertEqual(s.query("www.a.test", port=s.number("port2")).rcode, "REFUSED")
        s.stop()

    def test_same_zone_on_two_ports(self):
        s = self.server(block("a.test:{port}", "192.0.2.1 www.a.test") + block("a.test:{port2}", "192.0.2.2 www.a.test"))
        self.assertEqual(s.query("www.a.test").values(), ["192.0.2.1"])
        self.assertEqual(s.query("www.a.test", port=s.number("port2")).values(), ["192.0.2.2"])
        s.stop()

    def test_dns_scheme_and_file_without_braces(self):
        s = self.server("dns://a.test:{port}\nhosts {\n 192.0.2.1 www.a.test\n}\n")
        self.assertEqual(s.query("www.a.test").values(), ["192.0.2.1"])
        s.stop()

    def test_reverse_zones_from_networks(self):
        s = self.server("10.1.0.0/16:{port} 172.16.0.0/15:{port} 192.0.2.0/26:{port} 2001:db8::/32:{port} {\n whoami\n}\n")
        for address in ("10.1.2.3", "172.16.2.3", "172.17.2.3", "192.0.2.63", "2001:db8::1"):
            self.assertIn("status: NOERROR", s.dig("-x", address), address)
        for address in ("10.2.2.3", "172.18.2.3", "192.0.2.64", "2001:db9::1"):
            self.assertIn("status: REFUSED", s.dig("-x", address), address)
        self.assertIn(f"16.172.in-addr.arpa.:{s.port}\n", s.out)
        self.assertIn(f"17.172.in-addr.arpa.:{s.port}\n", s.out)
        s.stop()

    def refused(self, corefile, pattern, **options):
        e = self.start_fails(corefile, **options)
        self.assertEqual(e.code, 1)
        self.assertRegex(e.err, pattern)

    def test_encrypted_schemes_are_refused_with_a_reason(self):
        for scheme in ("tls", "https", "grpc", "quic", "https3"):
            with self.subTest(scheme):
                self.refused(f"{scheme}://.:{{port}} {{\n whoami\n}}\n", rf"{scheme}")

    def test_duplicate_zone(self):
        self.refused("a.test:{port} {\n whoami\n}\nA.test:{port} {\n whoami\n}\n",
                     r"cannot serve dns://a\.test\.:\d+ - it is already defined")

    def test_duplicate_zone_in_one_key_list(self):
        self.refused("a.test:{port} a.test:{port} {\n whoami\n}\n", "it is already defined")

    def test_bound_beside_unbound(self):
        self.refused("a.test:{port} {\n whoami\n}\na.test:{port} {\n bind 127.0.0.1\n whoami\n}\n",
                     r"cannot serve dns://a\.test\.:\d+.* - zone overlap listener capacity with dns://a\.test\.:")

    def test_bad_keys(self):
        for key in ("a.test:", ":{port}", "a..test:{port}", "x" * 64 + ".test:{port}"):
            with self.subTest(key):
                self.refused(f"{key} {{\n whoami\n}}\n", ".")

    def test_plugin_twice_in_a_block(self):
        self.refused(".:{port} {\n hosts {\n 192.0.2.1 a.test\n }\n hosts {\n 192.0.2.2 b.test\n }\n}\n",
                     "this plugin can only be used once per Server Block")


class Imports(Case):
    def test_snippet_in_two_blocks(self):
        s = self.server("(common) {\n" + hosts("192.0.2.1 www.a.test", "192.0.2.2 www.b.test") + "}\n"
                        "a.test:{port} {\n import common\n}\nb.test:{port2} {\n import common\n}\n")
        self.assertEqual(s.query("www.a.test").values(), ["192.0.2.1"])
        self.assertEqual(s.query("www.b.test", port=s.number("port2")).values(), ["192.0.2.2"])
        s.stop()

    def test_snippet_inside_a_sub_block(self):
        s = self.server("(lines) {\n 192.0.2.1 a.test\n 192.0.2.2 b.test\n}\n"
                        ".:{port} {\n hosts {\n  import lines\n }\n}\n")
        self.assertEqual(s.query("b.test").values(), ["192.0.2.2"])
        s.stop()

    def test_file_and_glob_relative_to_the_corefile(self):
        s = self.server(".:{port} {\n import custom/*.override\n}\nimport custom/*.server\n", cwd="/", files={
            "custom/10.override": hosts("192.0.2.1 a.test"),
            "custom/20.server": block("b.test:{port}", "192.0.2.2 www.b.test"),
            "custom/30.server": block("c.test:{port}", "192.0.2.3 www.c.test"),
            "custom/ignored.txt": "banana",
        })
        self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
        self.assertEqual(s.query("www.b.test").values(), ["192.0.2.2"])
        self.assertEqual(s.query("www.c.test").values(), ["192.0.2.3"])
        s.stop()

    def test_import_that_imports_itself(self):
        e = self.start_fails(".:{port} {\n import again.conf\n}\n", files={"again.conf": "import again.conf\n"})
        self.assertEqual(e.code, 1)
        self.assertLess(len(e.err), 2000)

    def test_snippet_defined_twice(self):
        e = self.start_fails("(x) {\n whoami\n}\n(x) {\n whoami\n}\n.:{port} {\n import x\n}\n")
        self.assertIn("redeclaration of previously declared snippet x", e.err)


class Environment(Case):
    def test_both_forms_in_keys_and_arguments(self):
        s = self.server("{$ZONE}:{%PORT%} {\n hosts {\n {$ADDRESS} www.{%ZONE%}\n }\n}\n",
                        env={"ZONE": "a.test", "PORT": "{port}", "ADDRESS": "192.0.2.1"})
        self.assertEqual(s.query("www.a.test").values(), ["192.0.2.1"])
        s.stop()

    def test_value_with_spaces_stays_one_word(self):
        e = self.start_fails(".:{port} {\n hosts {\n ttl {$TTL}\n }\n}\n", env={"TTL": "5 }"})
        self.assertIn("5 }", e.err)

    def test_unset_is_empty(self):
        s = self.server(".:{port}{$NO_SUCH_VARIABLE} {\n whoami\n}\n")
        self.assertEqual(s.query("a.test").rcode, "NOERROR")
        s.stop()


class Addresses(Case):
    def test_two_servers_on_addresses_of_their_own(self):
        one = self.server(".:{port} {\n bind 127.0.0.2\n" + hosts("192.0.2.1 a.test") + "}\n")
        two = self.server(".:{port} {\n bind 127.0.0.3\n" + hosts("192.0.2.2 a.test") + "}\n", port=one.port)
        for _ in range(5):
            for transport in ("udp", "tcp"):
                self.assertEqual(one.query("a.test", transport=transport, address="127.0.0.2").values(), ["192.0.2.1"])
                self.assertEqual(one.query("a.test", transport=transport, address="127.0.0.3").values(), ["192.0.2.2"])
        self.assertIsNone(one.ask_raw(harness.pack_query("a.test"), timeout=0.3), "127.0.0.1 is nobody's")
        one.stop()
        two.stop()

    def test_same_zone_bound_to_two_addresses(self):
        s = self.server(".:{port} {\n bind 127.0.0.2\n" + hosts("192.0.2.1 a.test") + "}\n"
                        ".:{port} {\n bind 127.0.0.3\n" + hosts("192.0.2.2 a.test") + "}\n")
        self.assertEqual(s.query("a.test", address="127.0.0.2").values(), ["192.0.2.1"])
        self.assertEqual(s.query("a.test", address="127.0.0.3").values(), ["192.0.2.2"])
        s.stop()

    def test_several_addresses_in_one_block(self):
        s = self.server(".:{port} {\n bind 127.0.0.2 127.0.0.3\n bind 127.0.0.4\n" + hosts("192.0.2.1 a.test") + "}\n")
        for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            for transport in ("udp", "tcp"):
                self.assertEqual(s.query("a.test", transport=transport, address=address).values(), ["192.0.2.1"])
        self.assertIn("".join(f".:{s.port} on 127.0.0.{i}\n" for i in (2, 3, 4)), s.out)
        s.stop()

    def test_bind_to_the_address_of_all_is_both_families(self):
        for bind in ("::", "0.0.0.0", "0.0.0.0 ::"):
            s = self.server(f".:{{port}} {{\n bind {bind}\n whoami\n}}\n")
            for address in ("127.0.0.1", "127.0.0.2") + (("::1",) if has_ipv6() else ()):
                for transport in ("udp", "tcp"):
                    with self.subTest(bind, address=address, transport=transport):
                        self.assertEqual(s.query("a.test", "A", transport, address=address).rcode, "NOERROR")
            s.stop()

    def test_bind_to_all_beside_a_block_without_bind(self):
        """They share their sockets, so that each query finds the block of its name."""
        s = self.server("a.test:{port} {\n bind 0.0.0.0\n" + hosts("192.0.2.1 a.test") + "}\n"
                        "b.test:{port} {\n" + hosts("192.0.2.2 b.test") + "}\n")
        for _ in range(8):
            self.assertEqual(s.query("a.test").values(), ["192.0.2.1"])
            self.assertEqual(s.query("b.test").values(), ["192.0.2.2"])

    def test_bind_to_both_addresses_of_all(self):
        """Blocks that name one each have one each."""
        if not has_ipv6():
            self.skipTest("this host has no IPv6")
        s = self.server(".:{port} {\n bind ::\n" + hosts("192.0.2.6 a.test") + "}\n"
                        ".:{port} {\n bind 0.0.0.0\n" + hosts("192.0.2.4 a.test") + "}\n")
        for _ in range(8):
            self.assertEqual(s.query("a.test", address="127.0.0.1").values(), ["192.0.2.4"])
            self.assertEqual(s.query("a.test", address="::1").values(), ["192.0.2.6"])

    def test_bind_by_interface_name(self):
        s = self.server(".:{port} {\n bind lo\n whoami\n}\n")
        self.assertEqual(s.query("a.test").additional[0].data, "127.0.0.1")
        s.stop()

    def test_reply_leaves_from_the_address_that_was_asked(self):
        s = self.server(".:{port} {\n whoami\n}\n")
        wanted = ["127.0.0.1", "127.0.0.2", "127.0.0.53"]
        if has_ipv6():
            wanted.append("::1")
        for address in wanted:
            with self.subTest(address), s.udp(address=address, connect=False) as c:
                reply = c.ask("a.test")
                self.assertIsNotNone(reply)
                self.assertEqual(c.source[:2], (address, s.port))
                # The first additional record is the client's address: the family was understood.
                self.assertEqual(reply.additional[0].type, "AAAA" if ":" in address else "A")
            self.assertEqual(s.query("a.test", transport="tcp", address=address).rcode, "NOERROR")
        if not has_ipv6():
            self.skipTest("this host has no IPv6: ::1 was not tried")
        s.stop()

    def test_addresses_of_other_interfaces(self):
        # What this host calls itself, over IPv4 and IPv6, beside the loopback.
        text = harness.run_tool(["ip", "-o", "addr", "show", "scope", "global"])
        found = [line.split()[3].split("/")[0] for line in text.splitlines() if "tentative" not in line]
        if not found:
            self.skipTest("this host has loopback addresses only")
        s = self.server(".:{port} {\n whoami\n}\n")
        for address in found:
            with self.subTest(address), s.udp(address=address, connect=False) as c:
                self.assertIsNotNone(c.ask("a.test"))
                self.assertEqual(c.source[0], address)
        s.stop()


class PluginFiles(Case):
    PLUGIN = """local dns = require "dns"
return dns.plugin {
  name = "fixed",
  options = { { "address", type = "ip", required = true } },
  setup = function(conf)
    return function(q) return q:answer_address(conf.address, 60) end
  end,
}
"""

    def test_file_beside_the_corefile_is_a_directive(self):
        s = self.server(".:{port} {\n fixed 192.0.2.9\n}\n", files={"fixed.lua": self.PLUGIN}, cwd="/")
        self.assertEqual(s.query("any.test").values(), ["192.0.2.9"])
        s.stop()

    def test_file_in_plugins_beside_the_corefile(self):
        s = self.server(".:{port} {\n fixed 192.0.2.9\n}\n", files={"plugins/fixed.lua": self.PLUGIN}, cwd="/")
        self.assertEqual(s.query("any.test").values(), ["192.0.2.9"])
        s.stop()

    def test_bad_option_names_the_line(self):
        e = self.start_fails(".:{port} {\n\n fixed banana\n}\n", files={"fixed.lua": self.PLUGIN})
        self.assertRegex(e.err, r"/Corefile:3: fixed: address: 'banana' is not an IP address")

    def test_error_while_serving_is_contained(self):
        s = self.server(".:{port} {\n errors\n broken\n" + hosts("192.0.2.1 good.test") + "}\n", files={
            "broken.lua": 'local dns = require "dns"\nreturn dns.plugin {\n  name = "broken", options = {},\n'
                          '  setup = function(_, next)\n    return function(q)\n'
                          '      if q:name_text():find("bad", 1, true) then\n        local t = nil\n'
                          '        return t.field\n      end\n      return next(q)\n    end\n  end,\n}\n'})
        for _ in range(20):
            self.assertEqual(s.query("bad.test").rcode, "SERVFAIL")
            self.assertEqual(s.query("good.test").values(), ["192.0.2.1"])
        s.wait_log(r"^\[ERROR\] .*broken\.lua:8: ")
        s.stop()


if __name__ == "__main__":
    unittest.main()
