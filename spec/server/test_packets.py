"""What each kind of packet gets, over UDP and TCP. RFC 1035."""

import struct
import unittest

from harness import Message, pack_query
from packets import LONG, packet, Packets, record
from wire import pack_name, pack_opt


class Rules(Packets):
    """coredns.md 1.6: which packets reach the chain, and what the others get."""

    def udp(self, data, timeout=3):
        return self.s.ask_raw(data, timeout=timeout)

    def both(self, data, rcode):
        """Over UDP and TCP; returns the UDP reply."""
        parsed = None
        for transport in ("tcp", "udp"):
            got = self.s.ask_raw(data, transport)
            self.assertIsNotNone(got, f"no reply over {transport} to {data.hex()}")
            parsed = self.check_reply(data, got, 512 if transport == "udp" else None)
            self.assertEqual(parsed.rcode, rcode, f"{transport}: {data.hex()}")
        return parsed

    def silent(self, *packets):
        """None of them gets a reply: not before one to the question behind them."""
        for client in (self.s.udp(), self.s.tcp()):
            with client as c:
                for p in packets:
                    c.send(p)
                c.send(pack_query("a.example.org", qid=4711))
                reply = c.recv()
                self.assertEqual(reply.id, 4711, f"{type(c).__name__}: {reply}")

    def test_shorter_than_a_header(self):
        self.silent(*(b"\0\7\1\0\0\1\0\0\0\0\0"[:n] for n in range(0, 12)))

    def test_replies_are_ignored(self):
        self.silent(packet(flags=0x8000), packet(flags=0x8180), packet(flags=0xFFFF), b"\0\7\x80\0" + b"\0" * 8)

    def test_opcodes(self):
        for opcode in range(16):
            reply = self.both(packet(flags=opcode << 11), "NOERROR" if opcode in (0, 4) else "NOTIMP")
            self.assertEqual(reply.opcode, opcode)

    def test_rd_and_cd_are_bits_of_a_query(self):
        """RFC 1996 4.7 has none in the reply to a NOTIFY; RFC 1035 4.1.1 copies RD of a query."""
        for opcode, flags in ((0, 0x0110), (4, 0)):
            reply = self.both(packet(flags=opcode << 11 | 0x0110), "NOERROR")
            self.assertEqual(reply.flags & 0x0110, flags)

    def test_dynamic_update_is_not_implemented(self):
        zone = pack_name("example.org") + struct.pack("!HH", 6, 1)
        self.both(packet(flags=5 << 11, counts=(1, 0, 1, 0), question=zone, rest=record()), "NOTIMP")

    def test_header_alone(self):
        self.both(b"\0\7\1\0" + b"\0" * 8, "FORMERR")
        self.both(b"\0\7\1\0\0\1" + b"\0" * 6, "FORMERR")

    def test_number_of_questions(self):
        one = pack_name("a.example.org") + struct.pack("!HH", 1, 1)
        self.both(packet(counts=(0, 0, 0, 0), question=b""), "FORMERR")
        self.both(packet(counts=(0, 0, 0, 1), question=b"", rest=pack_opt()), "FORMERR")
        self.both(packet(counts=(2, 0, 0, 0), question=one + one), "FORMERR")
        self.both(packet(counts=(2, 0, 0, 0), question=one), "FORMERR")
        self.both(packet(counts=(65535, 0, 0, 0), question=one), "FORMERR")

    def test_number_of_records(self):
        self.both(packet(counts=(1, 1, 0, 0), rest=record()), "NOERROR")
        self.both(packet(counts=(1, 2, 0, 0), rest=record() * 2), "FORMERR")
        self.both(packet(counts=(1, 0, 1, 0), rest=record()), "NOERROR")
        self.both(packet(counts=(1, 0, 2, 0), rest=record() * 2), "FORMERR")
        self.both(packet(counts=(1, 0, 0, 2), rest=record() + pack_opt()), "NOERROR")
        self.both(packet(counts=(1, 0, 0, 3), rest=record() * 2 + pack_opt()), "FORMERR")
        self.both(packet(counts=(1, 65535, 65535, 65535)), "FORMERR")

    def test_counts_that_promise_more_than_there_is(self):
        for counts in ((1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (1, 0, 0, 2)):
            self.both(packet(counts=counts), "FORMERR")
        self.both(packet(counts=(1, 0, 0, 2), rest=pack_opt()), "FORMERR")

    def test_compression_in_the_question(self):
        tail = struct.pack("!HH", 1, 1)
        for name in (b"\xc0\x0c", b"\xc0\x00", b"\1a\xc0\x0c", b"\xc0\xff", b"\xff\xff", b"\xc0"):
            self.both(packet(question=name + tail), "FORMERR")

    def test_compression_loops_in_records(self):
        at = len(packet())
        for owner in (struct.pack("!H", 0xC000 | at), struct.pack("!H", 0xC000 | at + 2), b"\1a" + struct.pack("!H", 0xC000 | at),
                      b"\xff\xff"):
            self.both(packet(counts=(1, 1, 0, 0), rest=record(owner=owner)), "FORMERR")

    def test_label_types(self):
        for octet in (0x40, 0x41, 0x80, 0xBF):
            self.both(packet(question=bytes([octet]) + b"a" * 40 + b"\0\0\1\0\1"), "FORMERR")

    def test_longest_names(self):
        whole = pack_name(LONG)
        self.assertEqual(len(whole), 255)
        tail = struct.pack("!HH", 1, 1)
        reply = self.both(packet(question=whole + tail), "NOERROR")
        self.assertEqual(reply.values(), ["192.0.2.1"])
        longer = pack_name(LONG.replace("d" * 49, "d" * 50))
        self.assertEqual(len(longer), 256)
        self.both(packet(question=longer + tail), "FORMERR")
        self.both(packet(question=b"\1a" * 127 + b"\0" + tail), "REFUSED")  # 127 labels, 255 octets
        self.both(packet(question=b"\1a" * 128 + b"\0" + tail), "FORMERR")

    def test_names_of_any_octets(self):
        """Octets are octets: NUL, dots, 8 bits. The question comes back as it was."""
        for label in (b"\0", b".", b"\\", b"\xff\x80", b" ", b"a.b", bytes(range(1, 64))):
            question = bytes([len(label)]) + label + pack_name("example.org") + struct.pack("!HH", 1, 1)
            got = self.udp(packet(question=question))
            self.assertEqual(Message(got).rcode, "SERVFAIL")  # hosts does not have it
            self.assertEqual(got[12:12 + len(question)], question)

    def test_letter_case_comes_back(self):
        got = self.udp(pack_query("A.eXaMpLE.oRg"))
        self.assertIn(pack_name("A.eXaMpLE.oRg"), got)
        self.assertEqual(Message(got).values(), ["192.0.2.1"])

    def test_cut_names(self):
        whole = packet()
        for n in range(12, len(whole)):
            self.both(whole[:n], "FORMERR")

    def test_unserved_names_and_classes(self):
        self.both(pack_query("other.test"), "REFUSED")
        self.both(pack_query("."), "REFUSED")
        for qclass in ("CH", "HS", "NONE", "ANY", 0, 2, 65535):
            self.both(pack_query("a.example.org", qclass=qclass), "REFUSED")

    def test_types_of_any_number(self):
        for qtype in (0, 41, 65280, 65535, 249, 250):
            got = self.udp(pack_query("a.example.org", f"TYPE{qtype}", qid=qtype))
            self.assertIsNotNone(got)
            self.assertEqual(Message(got).id, qtype)

    def test_flags_come_back(self):
        """RD and CD as the client's; nothing else of the query's shows."""
        reply = Message(self.udp(packet(flags=0x0110)))
        self.assertEqual((reply.rd, reply.cd, reply.tc, reply.z), (1, 1, 0, 0))
        reply = Message(self.udp(packet(flags=0x0000)))
        self.assertEqual((reply.rd, reply.cd, reply.tc, reply.z), (0, 0, 0, 0))


if __name__ == "__main__":
    unittest.main()
