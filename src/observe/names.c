/* Mnemonics of types, classes and rcodes, spelt as CoreDNS spells them in its log and metrics
 * (those of its DNS library; IANA's, but for type 0, 65535, NSAP-PTR and rcode 16). */
#include <string.h>
#include <strings.h>
#include "observe.h"
#include "text.h"

static const char *const low_types[] = {
    [0] = "None",        [1] = "A",         [2] = "NS",      [3] = "MD",
    [4] = "MF",          [5] = "CNAME",     [6] = "SOA",     [7] = "MB",
    [8] = "MG",          [9] = "MR",        [10] = "NULL",   [12] = "PTR",
    [13] = "HINFO",      [14] = "MINFO",    [15] = "MX",     [16] = "TXT",
    [17] = "RP",         [18] = "AFSDB",    [19] = "X25",    [20] = "ISDN",
    [21] = "RT",         [23] = "NSAP-PTR", [24] = "SIG",    [25] = "KEY",
    [26] = "PX",         [27] = "GPOS",     [28] = "AAAA",   [29] = "LOC",
    [30] = "NXT",        [31] = "EID",      [32] = "NIMLOC", [33] = "SRV",
    [34] = "ATMA",       [35] = "NAPTR",    [36] = "KX",     [37] = "CERT",
    [39] = "DNAME",      [41] = "OPT",      [42] = "APL",    [43] = "DS",
    [44] = "SSHFP",      [45] = "IPSECKEY", [46] = "RRSIG",  [47] = "NSEC",
    [48] = "DNSKEY",     [49] = "DHCID",    [50] = "NSEC3",  [51] = "NSEC3PARAM",
    [52] = "TLSA",       [53] = "SMIMEA",   [55] = "HIP",    [56] = "NINFO",
    [57] = "RKEY",       [58] = "TALINK",   [59] = "CDS",    [60] = "CDNSKEY",
    [61] = "OPENPGPKEY", [62] = "CSYNC",    [63] = "ZONEMD", [64] = "SVCB",
    [65] = "HTTPS",      [99] = "SPF",      [100] = "UINFO", [101] = "UID",
    [102] = "GID",       [103] = "UNSPEC",  [104] = "NID",   [105] = "L32",
    [106] = "L64",       [107] = "LP",      [108] = "EUI48", [109] = "EUI64",
    [128] = "NXNAME",    [249] = "TKEY",    [250] = "TSIG",  [251] = "IXFR",
    [252] = "AXFR",      [253] = "MAILB",   [254] = "MAILA", [255] = "ANY",
    [256] = "URI",       [257] = "CAA",     [258] = "AVC",   [260] = "AMTRELAY",
    [261] = "RESINFO",
};

static const struct {
    uint16_t number;
    const char *text;
} high_types[] = {{32768, "TA"}, {32769, "DLV"}, {65535, "Reserved"}};

enum {
    LOW_TYPES = sizeof low_types / sizeof *low_types,
    HIGH_TYPES = sizeof high_types / sizeof *high_types,
};

static const char *const rcodes[] = {
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",  "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE",  "DSOTYPENI", NULL,      NULL,      NULL,       NULL,
    "BADSIG",  "BADKEY",  "BADTIME",  "BADMODE",   "BADNAME", "BADALG",  "BADTRUNC", "BADCOOKIE",
};

static const char *numbered(char *buf, const char *prefix, unsigned number)
{
    char *p = stpcpy(buf, prefix);
    *luna_text_uint(p, number) = 0;
    return buf;
}

const char *luna_type_text(uint16_t type, char *buf)
{
    if (type < LOW_TYPES && low_types[type] != NULL)
        return low_types[type];
    for (int i = 0; i < HIGH_TYPES; i++)
        if (high_types[i].number == type)
            return high_types[i].text;
    return numbered(buf, "TYPE", type);
}

/* The number after a prefix, or -1: digits only, at most 65535. */
static int number_after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    if (strncasecmp(text, prefix, len) != 0)
        return -1;
    text += len;
    int number = 0, digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
        number = number * 10 + (text[digits] - '0');
    return digits == 0 || text[digits] != 0 || number > 65535 ? -1 : number;
}

int luna_type_number(const char *text)
{
    for (int i = 0; i < LOW_TYPES; i++)
        if (low_types[i] != NULL && strcasecmp(low_types[i], text) == 0)
            return i;
    for (int i = 0; i < HIGH_TYPES; i++)
        if (strcasecmp(high_types[i].text, text) == 0)
            return high_types[i].number;
    int number = number_after(text, "TYPE");
    return number < 0 ? LUNA_E_FORMAT : number;
}

const char *luna_class_text(uint16_t qclass, char *buf)
{
    switch (qclass) {
    case 1:
        return "IN";
    case 2:
        return "CS";
    case 3:
        return "CH";
    case 4:
        return "HS";
    case 254:
        return "NONE";
    }
    return numbered(buf, "CLASS", qclass); /* ANY too: CoreDNS keeps that word for the type */
}

const char *luna_rcode_text(int rcode, char *buf)
{
    if (rcode >= 0 && rcode < (int)(sizeof rcodes / sizeof *rcodes) && rcodes[rcode] != NULL)
        return rcodes[rcode];
    return numbered(buf, "", rcode < 0 ? 0 : (unsigned)rcode);
}
