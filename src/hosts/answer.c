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
 * nothing leave it untouched. Returns false when the reply is full, which TC says. */
static bool add(luna_query *q, unsigned *count, uint32_t ttl, uint16_t type, const uint8_t *rdata,
                uint32_t rdlen)
{
    if (!(*count)++) {
        luna_reply_start(q, 0);
        luna_reply_flags(q, LUNA_AA, 0);
    }
    if (!luna_reply_add(q, LUNA_ANSWER, NULL, type, ttl, rdata, rdlen))
        return true;
    luna_reply_flags(q, LUNA_TC, 0);
    return false;
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
    int family = luna_reverse_address(q, address);
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
