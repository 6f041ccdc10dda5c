"""A minimal DNS packet builder and parser, independent of the server's own code."""

import random
import socket
import struct

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33,
    "NAPTR": 35, "DNAME": 39, "OPT": 41, "DS": 43, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "SVCB": 64,
    "HTTPS": 65, "TSIG": 250, "IXFR": 251, "AXFR": 252, "ANY": 255, "CAA": 257,
}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
RCODES = {
    "NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5, "YXDOMAIN": 6, "NOTAUTH": 9,
    "BADVERS": 16,
}
RCODE_NAMES = {number: name for name, number in RCODES.items()}
CLASSES = {"IN": 1, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}


class WireError(Exception):
    """The packet cannot be parsed."""


def type_number(t):
    if isinstance(t, int):
        return t
    return int(t[4:]) if t.startswith("TYPE") else TYPES[t]


def type_name(number):
    return TYPE_NAMES.get(number, f"TYPE{number}")


def pack_name(name):
    """Wire form of a name in text ("a.b." or "a.b"; backslash escapes \\. \\\\ and \\DDD)."""
    if name in (".", ""):
        return b"\0"
    labels, label, i = [], bytearray(), 0
    while i < len(name):
        c = name[i]
        if c == "\\":
            if name[i + 1:i + 4].isdigit():
                label.append(int(name[i + 1:i + 4]))
                i += 4
            else:
                label += name[i + 1].encode("latin-1")
                i += 2
            continue
        if c == ".":
            labels.append(bytes(label))
            label = bytearray()
        else:
            label += c.encode("latin-1")
        i += 1
    if label:
        labels.append(bytes(label))
    return b"".join(bytes([len(x)]) + x for x in labels) + b"\0"


def read_name(data, at):
    """The name at an offset and the offset behind it. Case is kept; compression is followed."""
    labels, end, jumps = [], None, 0
    while True:
        if at >= len(data):
            raise WireError("name runs past the end")
        n = data[at]
        if n & 0xC0 == 0xC0:
            if at + 1 >= len(data):
                raise WireError("half a pointer")
            end = at + 2 if end is None else end
            target = (n & 0x3F) << 8 | data[at + 1]
            jumps += 1
            if jumps > 128 or target >= at:
                raise WireError("bad compression pointer")
            at = target
            continue
        if n & 0xC0:
            raise WireError("bad label type")
        at += 1
        if n == 0:
            break
        if at + n > len(data):
            raise WireError("label runs past the end")
        text = ""
        for octet in data[at:at + n]:
            c = chr(octet)
            text += "\\" + c if c in ".\\" else c if 33 <= octet <= 126 else f"\\{octet:03d}"
        labels.append(text)
        at += n
    return ".".join(labels) + ".", at if end is None else end


class RR:
    """A resource record: name, type (text), klass and ttl (numbers), data (text), raw (octets)."""

    def __init__(self, name, rtype, klass, ttl, data, raw):
        self.name, self.type, self.klass, self.ttl, self.data, self.raw = name, rtype, klass, ttl, data, raw

    def __repr__(self):
        return f"{self.name} {self.ttl} IN {self.type} {self.data}"


def _data_text(data, at, length, rtype):
    raw = data[at:at + length]
    if rtype == "A" and length == 4:
        return socket.inet_ntop(socket.AF_INET, raw)
    if rtype == "AAAA" and length == 16:
        return socket.inet_ntop(socket.AF_INET6, raw)
    if rtype in ("CNAME", "NS", "PTR", "DNAME"):
        return read_name(data, at)[0]
    if rtype == "MX":
        return f"{struct.unpack('!H', raw[:2])[0]} {read_name(data, at + 2)[0]}"
    if rtype == "SRV":
        return "%d %d %d " % struct.unpack("!HHH", raw[:6]) + read_name(data, at + 6)[0]
    if rtype == "SOA":
        mname, behind = read_name(data, at)
        rname, behind = read_name(data, behind)
        return f"{mname} {rname} %d %d %d %d %d" % struct.unpack("!IIIII", data[behind:behind + 20])
    if rtype in ("TXT", "HINFO"):
        parts, i = [], 0
        while i < length:
            parts.append('"' + raw[i + 1:i + 1 + raw[i]].decode("latin-1") + '"')
            i += 1 + raw[i]
        return " ".join(parts)
    return raw.hex()


class Message:
    """A parsed packet. Names keep their case and end in a dot; `opt` is the OPT record or None."""

    def __init__(self, data):
        if len(data) < 12:
            raise WireError(f"{len(data)} octets are no message")
        self.data = data
        self.id, flags, counts = struct.unpack("!H", data[:2])[0], struct.unpack("!H", data[2:4])[0], \
            struct.unpack("!HHHH", data[4:12])
        self.flags = flags
        self.qr, self.opcode, self.aa = flags >> 15, flags >> 11 & 15, flags >> 10 & 1
        self.tc, self.rd, self.ra = flags >> 9 & 1, flags >> 8 & 1, flags >> 7 & 1
        self.z, self.ad, self.cd = flags >> 6 & 1, flags >> 5 & 1, flags >> 4 & 1
        self.code = flags & 15
        self.opt, at = None, 12
        self.question = []
        for _ in range(counts[0]):
            name, at = read_name(data, at)
            if at + 4 > len(data):
                raise WireError("question runs past the end")
            qtype, qclass = struct.unpack("!HH", data[at:at + 4])
            self.question.append((name, type_name(qtype), qclass))
            at += 4
        self.answer, at = self._section(at, counts[1])
        self.authority, at = self._section(at, counts[2])
        self.additional, at = self._section(at, counts[3])
        self.trailing = data[at:]
        if self.opt:
            self.code |= self.opt.ttl >> 24 << 4
        self.rcode = RCODE_NAMES.get(self.code, str(self.code))
        self.name, self.type = (self.question[0][0], self.question[0][1]) if self.question else (None, None)

    def _section(self, at, count):
        records = []
        for _ in range(count):
            name, at = read_name(self.data, at)
            if at + 10 > len(self.data):
                raise WireError("record header runs past the end")
            rtype, klass, ttl, length = struct.unpack("!HHIH", self.data[at:at + 10])
            at += 10
            if at + length > len(self.data):
                raise WireError("record data runs past the end")
            text = type_name(rtype)
            rr = RR(name, text, klass, ttl, _data_text(self.data, at, length, text), self.data[at:at + length])
            at += length
            if text == "OPT":
                self.opt = rr
            else:
                records.append(rr)
        return records, at

    @property
    def do(self):
        return bool(self.opt and self.opt.ttl & 0x8000)

    @property
    def size(self):
        """The UDP payload size in the OPT record, or None."""
        return self.opt.klass if self.opt else None

    @property
    def options(self):
        """EDNS options as a list of (code, octets)."""
        found, at = [], 0
        raw = self.opt.raw if self.opt else b""
        while at + 4 <= len(raw):
            code, length = struct.unpack("!HH", raw[at:at + 4])
            found.append((code, raw[at + 4:at + 4 + length]))
            at += 4 + length
        return found

    def values(self, rtype=None):
        """Data of the answer section's records, of one type or of all."""
        return [rr.data for rr in self.answer if rtype in (None, rr.type)]

    def __repr__(self):
        return (f"<{self.rcode} id={self.id} flags={self.flags:04x} question={self.question} answer={self.answer} "
                f"authority={self.authority} additional={self.additional} opt={self.opt}>")


def _data_bytes(rtype, data):
    if isinstance(data, bytes):
        return data
    if rtype == "A":
        return socket.inet_pton(socket.AF_INET, data)
    if rtype == "AAAA":
        return socket.inet_pton(socket.AF_INET6, data)
    if rtype in ("CNAME", "NS", "PTR", "DNAME"):
        return pack_name(data)
    if rtype == "MX":
        preference, host = data.split()
        return struct.pack("!H", int(preference)) + pack_name(host)
    if rtype == "SRV":
        priority, weight, port, host = data.split()
        return struct.pack("!HHH", int(priority), int(weight), int(port)) + pack_name(host)
    if rtype == "TXT":
        octets = data.encode("latin-1")
        return b"".join(bytes([len(octets[i:i + 255])]) + octets[i:i + 255] for i in range(0, max(1, len(octets)), 255))
    if rtype == "SOA":
        mname, rname, *numbers = data.split()
        return pack_name(mname) + pack_name(rname) + struct.pack("!IIIII", *map(int, numbers))
    raise ValueError(f"no text form for {rtype}: give octets")


def pack_rr(name, rtype, ttl, data, klass=1):
    raw = _data_bytes(rtype, data)
    return pack_name(name) + struct.pack("!HHIH", type_number(rtype), klass, ttl, len(raw)) + raw


def pack_opt(size=1232, do=False, options=(), version=0, extended=0):
    raw = b"".join(struct.pack("!HH", code, len(value)) + value for code, value in options)
    return b"\0" + struct.pack("!HHBBHH", 41, size, extended, version, 0x8000 if do else 0, len(raw)) + raw


def pack_query(name, qtype="A", qid=None, rd=True, qclass="IN", edns=None, do=False, opcode=0, ad=False, cd=False,
               options=(), version=0):
    """A query's octets. edns is the UDP size to offer, or None for no OPT (do or options imply 1232)."""
    if edns is None and (do or options or version):
        edns = 1232
    flags = opcode << 11 | bool(rd) << 8 | bool(ad) << 5 | bool(cd) << 4
    opt = b"" if edns is None else pack_opt(edns, do, options, version)
    return struct.pack("!HHHHHH", random.randrange(65536) if qid is None else qid, flags, 1, 0, 0, bool(opt)) + \
        pack_name(name) + struct.pack("!HH", type_number(qtype), CLASSES.get(qclass, qclass)) + opt


def pack_reply(query, rcode="NOERROR", answer=(), authority=(), additional=(), aa=False, ra=True, tc=False, ad=False,
               qid=None, question=None, opt=None):
    """A reply's octets to a parsed query. Records are (name, type, ttl, data); name None is the question's.
    question: (name, type) to answer instead of what was asked; opt: octets of pack_opt."""
    code = RCODES.get(rcode, rcode)
    flags = 0x8000 | query.opcode << 11 | aa << 10 | tc << 9 | query.rd << 8 | ra << 7 | ad << 5 | query.cd << 4 | \
        (code & 15)
    name, qtype = question or (query.name, query.type)
    out = struct.pack("!HHHHHH", query.id if qid is None else qid, flags, 1, len(answer), len(authority),
                      len(additional) + bool(opt))
    out += pack_name(name) + struct.pack("!HH", type_number(qtype), query.question[0][2])
    for section in (answer, authority, additional):
        for owner, rtype, ttl, data in section:
            out += pack_rr(name if owner is None else owner, rtype, ttl, data)
    return out + (opt or b"")
