#include "hosts.h"
#include <string.h>
#include "../dns/message.h"

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28 };

/* A wildcard stands for exactly one label, and never for the only one. */
static const luna_hosts_entry *find_wildcard(const luna_hosts_table *t, const luna_query *q)
{
    if (!t->wildcards || q->labels < 2)
        return NULL;
    uint8_t pattern[2 + LUNA_NAME_MAX] = {1, '*'};
    unsigned parent = q->label[1], rest = q->name_len - parent;
    if (rest + 2 > LUNA_NAME_MAX)
        return NULL;
    memcpy(pattern + 2, q->name + parent, rest);
    return luna_hosts_table_name(t, pattern, rest + 2, luna_name_hash(pattern, rest + 2));
}

/* Adds what answers to the reply, which is begun with the first record: most questions that find
 * nothing leave it untouched. Returns false when the reply is full. */
static bool add(luna_query *q, unsigned *count, uint32_t ttl, uint16_t type, const uint8_t *rdata,
                uint32_t rdlen)
{
    if (!(*count)++) {
        luna_reply_start(q, 0);
        luna_reply_flags(q, LUNA_AA, 0);
    }
    return !luna_reply_add(q, LUNA_ANSWER, NULL, type, ttl, rdata, rdlen);
}

static void add_family(luna_query *q, const luna_hosts_table *t, const luna_hosts_entry *first,
                       int family, uint32_t ttl, unsigned *count)
{
    for (const luna_hosts_entry *e = first; e;
         e = luna_hosts_table_next(t, HOSTS_BY_NAME, first, e))
        if (luna_hosts_entry_family(e) == family &&
            !add(q, count, ttl, family == 4 ? TYPE_A : TYPE_AAAA, e->bytes,
                 luna_hosts_address_len(e)))
            return;
}

/* Answers from one table. A name's own addresses of a family hide the wildcard's of that family.
 * Returns whether the name exists there, with whatever family. */
static bool answer_from(luna_query *q, const luna_hosts_table *t, int family, uint32_t ttl,
                        unsigned *count)
{
    if (!t)
        return false;
    unsigned before = *count;
    const luna_hosts_entry *own = luna_hosts_table_name(t, q->name, q->name_len, q->hash);
    if (own && own->wildcard)
        own = NULL; /* the question "*.x" is a name like any other below x */
    add_family(q, t, own, family, ttl, count);
    if (*count != before)
        return true;
    const luna_hosts_entry *wildcard = find_wildcard(t, q);
    add_family(q, t, wildcard, family, ttl, count);
    return own || wildcard;
}

static int answer_name(luna_query *q, const luna_hosts_table *file, const luna_hosts_table *lines,
                       uint32_t ttl)
{
    int family = q->qtype == TYPE_A ? 4 : q->qtype == TYPE_AAAA ? 6 : 0;
    unsigned count = 0;
    bool exists = answer_from(q, file, family, ttl, &count);
    exists |= answer_from(q, lines, family, ttl, &count);
    if (count)
        return LUNA_OK;
    if (!exists)
        return LUNA_NONE;
    luna_reply_start(q, 0);
    luna_reply_flags(q, LUNA_AA, 0);
    return LUNA_NODATA;
}

/* d.c.b.a.in-addr.arpa., RFC 1035 3.5: four decimal numbers without leading zeros. */
static bool reverse_ip4(const luna_query *q, uint8_t *out)
{
    const uint8_t *p = q->name;
    for (int i = 3; i >= 0; i--) {
        unsigned n = *p++, v = 0;
        if (n == 0 || n > 3 || (n > 1 && *p == '0'))
            return false;
        while (n--) {
            if (*p < '0' || *p > '9')
                return false;
            v = v * 10 + (unsigned)(*p++ - '0');
        }
        if (v > 255)
            return false;
        out[i] = (uint8_t)v;
    }
    return true;
}

/* 32 nibbles, the last first, under ip6.arpa., RFC 3596 2.5. Letters are lower case here. */
static bool reverse_ip6(const luna_query *q, uint8_t *out)
{
    for (int i = 0; i < 32; i++) {
        const uint8_t *p = q->name + (size_t)i * 2;
        unsigned v;
        if (p[0] != 1)
            return false;
        if (p[1] >= '0' && p[1] <= '9')
            v = p[1] - '0';
        else if (p[1] >= 'a' && p[1] <= 'f')
            v = p[1] - 'a' + 10u;
        else
            return false;
        if (i & 1)
            out[15 - i / 2] |= (uint8_t)(v << 4);
        else
            out[15 - i / 2] = (uint8_t)v;
    }
    return true;
}

/* The address whose reverse name is asked: its family, 0 when it is no such name. */
static int reverse_address(const luna_query *q, uint8_t *out)
{
    static const uint8_t in_addr[] = "\7in-addr\4arpa", ip6[] = "\3ip6\4arpa";
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (q->labels == 6 && q->name_len > sizeof in_addr &&
        q->name_len - q->label[4] == sizeof in_addr)
        return !memcmp(q->name + q->label[4], in_addr, sizeof in_addr) && reverse_ip4(q, out) ? 4
                                                                                              : 0;
    if (q->labels != 34 || q->name_len != 64 + sizeof ip6 ||
        memcmp(q->name + 64, ip6, sizeof ip6) || !reverse_ip6(q, out))
        return 0;
    if (memcmp(out, mapped, sizeof mapped))
        return 6;
    memmove(out, out + 12, 4);
    return 4;
}

static void add_names(luna_query *q, const luna_hosts_table *t, int family, const uint8_t *address,
                      uint32_t ttl, unsigned *count)
{
    const luna_hosts_entry *first = t ? luna_hosts_table_address(t, family, address) : NULL;
    for (const luna_hosts_entry *e = first; e;
         e = luna_hosts_table_next(t, HOSTS_BY_ADDRESS, first, e))
        if (!add(q, count, ttl, TYPE_PTR, luna_hosts_entry_name(e), e->len))
            return;
}

static int answer_address(luna_query *q, const luna_hosts_table *file,
                          const luna_hosts_table *lines, uint32_t ttl)
{
    uint8_t address[16];
    int family = reverse_address(q, address);
    if (!family)
        return LUNA_NONE;
    unsigned count = 0;
    add_names(q, file, family, address, ttl, &count);
    add_names(q, lines, family, address, ttl, &count);
    return count ? LUNA_OK : LUNA_NONE;
}

int luna_hosts_answer(luna_hosts *h, luna_query *q, uint32_t ttl)
{
    /* What rcu_dereference is, in a form that compilers and sanitizers know. The calling worker
     * announces its quiescent states between turns, so nothing is to be locked or unlocked. */
    const luna_hosts_table *file = __atomic_load_n(&h->file, __ATOMIC_CONSUME);
    int rc = (q->qtype == TYPE_PTR ? answer_address : answer_name)(q, file, h->inline_table, ttl);
    HOSTS_READER_DONE(h);
    return rc;
}
