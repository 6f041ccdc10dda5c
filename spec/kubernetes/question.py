"""Asks a server by the real dig and reads what it prints."""

import collections
import re
import subprocess

from harness import SCALE

Record = collections.namedtuple("Record", "name ttl type data")
HEADER = re.compile(r"^;; ->>HEADER<<- opcode: (\w+), status: (\w+), id: (\d+)", re.M)
FLAGS = re.compile(r"^;; flags: ?([a-z ]*);", re.M)
SECTION = re.compile(r"^;; (QUESTION|ANSWER|AUTHORITY|ADDITIONAL) SECTION:\n((?:[^\n]+\n)*)", re.M)
COMPLAINT = re.compile(r"^;; (?:Warning|Question section mismatch|Got bad packet|Truncated).*|^;; .*malformed.*", re.M)


class NoReply(AssertionError):
    """dig got no reply that it could use."""


class Reply:
    """A reply as dig shows it: rcode, flags (a set), question (text), answer, authority and additional (Records),
    size (octets), over ("UDP" or "TCP"), complaints (lines of dig's)."""

    def __init__(self, text):
        header, flags = HEADER.search(text), FLAGS.search(text)
        if not header or not flags:
            raise NoReply("no reply: " + " ".join(text.split()) if text.strip() else "dig printed nothing")
        self.text, self.rcode, self.flags = text, header[2], set(flags[1].split())
        sections = {name: body.splitlines() for name, body in SECTION.findall(text)}
        self.question = " ".join(sections.get("QUESTION", [""])[0].lstrip(";").split())
        self.answer, self.authority, self.additional = (
            [self._record(line) for line in sections.get(name, []) if not line.startswith(";")]
            for name in ("ANSWER", "AUTHORITY", "ADDITIONAL"))
        size, server = re.search(r"MSG SIZE +rcvd: (\d+)", text), re.search(r"\) ?\((UDP|TCP)\)$|\((UDP|TCP)\)$", text, re.M)
        self.size = int(size[1]) if size else None
        self.over = (server[1] or server[2]) if server else None
        self.complaints = COMPLAINT.findall(text)

    @staticmethod
    def _record(line):
        name, ttl, _, rtype, data = line.split(None, 4)
        return Record(name, int(ttl), rtype, data)

    def __repr__(self):
        def shown(records):
            return "[" + "; ".join(f"{r.name} {r.ttl} {r.type} {r.data}" for r in records) + "]"
        return (f"{self.rcode} flags={' '.join(sorted(self.flags))} answer={shown(self.answer)} "
                f"authority={shown(self.authority)} additional={shown(self.additional)}")


def command(port, name, qtype="A", *flags, address="127.0.0.1"):
    """dig's command line for one question, one try of 5 s."""
    return ["dig", f"@{address}", "-p", str(port), "+tries=1", f"+time={max(1, int(5 * SCALE))}", "-q", name, "-t", qtype,
            *flags]


def ask(port, name, qtype="A", *flags, address="127.0.0.1", prefix=()):
    """The Reply to a question. prefix: a command in front of dig; flags: dig's own ("+tcp", "+bufsize=4096")."""
    line = [*prefix, *command(port, name, qtype, *flags, address=address)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30 * SCALE)
    try:
        return Reply(done.stdout)
    except NoReply as e:
        raise NoReply(f"{name} {qtype} {' '.join(flags)}: {e}") from None
