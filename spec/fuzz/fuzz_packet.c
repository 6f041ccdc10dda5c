/* Fuzzes everything that touches bytes from the network: the reader of queries, and what is done
 * with an upstream's message. The first octet of the input chooses transport and limit, the rest is
 * the packet. The same octets are taken as the upstream's message too: with and without QR, under
 * their own question and under another one. */
#include "../unit/query.h"
#include "must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 6000 };

static uint8_t packed[65535], again[65535];
static luna_rr before[RECORDS], after[RECORDS];

static void same_names(const uint8_t *a, uint32_t alen, uint32_t aat, const uint8_t *b,
                       uint32_t blen, uint32_t bat)
{
    uint8_t x[256], y[256];
    uint32_t n = luna_name_expand(a, alen, aat, x, NULL);
    MUST(n > 0 && n == luna_name_expand(b, blen, bat, y, NULL));
    luna_name p, q;
    MUST(luna_name_set(x, n, &p) == 0 && luna_name_set(y, n, &q) == 0);
    MUST(p.hash == q.hash && memcmp(p.wire, q.wire, n) == 0);
}

/* What is packed holds the same records, and packing it again does not change their number. */
static void check_pack(const uint8_t *message, uint32_t len)
{
    int n = luna_message_read(message, len, before, RECORDS);
    uint32_t size = luna_message_pack(message, len, packed, sizeof packed);
    MUST(n >= 0);
    if (size == 0)
        return; /* names that may not be compressed made it too long */
    MUST(luna_message_read(packed, size, after, RECORDS) == n);
    for (int i = 0; i < n; i++) {
        MUST(before[i].type == after[i].type && before[i].section == after[i].section);
        MUST(before[i].ttl == after[i].ttl && before[i].qclass == after[i].qclass);
        same_names(message, len, before[i].owner, packed, size, after[i].owner);
    }
    uint32_t twice = luna_message_pack(packed, size, again, sizeof again);
    MUST(twice > 0 && twice <= size);
}

static void check_fit(luna_query *q, const uint8_t *reply, uint32_t len, uint32_t limit)
{
    MUST(luna_reply_set(q, reply, len) == 0);
    int had = luna_message_read(q->reply, q->reply_len, before, RECORDS);
    q->udp_size = (uint16_t)limit;
    luna_reply_fit(q);
    int n = luna_message_read(q->reply, q->reply_len, after, RECORDS), opts = 0;
    MUST(n >= 0);
    MUST(q->reply_len <= (q->transport == LUNA_UDP ? limit : 65535));
    for (int i = 0; i < n; i++)
        opts += after[i].type == 41;
    MUST(opts == q->edns);
    if (opts)
        MUST(after[n - 1].type == 41);
    int records = had;
    for (int i = 0; i < had; i++)
        records -= before[i].type == 41;
    if (n - opts < records)
        MUST(q->reply[2] & 2 || (q->reply[3] & 15) == 2);
    uint32_t once = q->reply_len;
    memcpy(again, q->reply, once);
    luna_reply_fit(q);
    MUST(q->reply_len == once && memcmp(again, q->reply, once) == 0);
}

/* Any TTL, taken from the input. */
static uint32_t data_ttl(const uint8_t *message, uint32_t len)
{
    return luna_get32(message + len - 4);
}

static void check_reply(luna_query *q, const uint8_t *message, uint32_t len)
{
    static uint8_t kept[65535];
    uint8_t name[256];
    if (luna_reply_set(q, message, len) != 0)
        return;
    int n = luna_reply_read(q, before, RECORDS);
    MUST(n >= 0 && luna_message_read(q->reply, q->reply_len, before, RECORDS) == n);
    MUST(luna_get16(q->reply) == q->id && q->reply[2] & 0x80);
    for (int i = 0; i < n; i++)
        MUST(luna_reply_name(q, before[i].owner, name) > 0);
    check_pack(q->reply, q->reply_len);
    uint32_t size = luna_reply_size(q);
    MUST(size >= 12);
    luna_reply_round_robin(q);
    MUST(luna_reply_read(q, after, RECORDS) == n && luna_reply_size(q) == size);
    int code = luna_reply_add(q, LUNA_ANSWER, NULL, 1, 60, (const uint8_t *)"\300\0\2\1", 4);
    MUST(luna_reply_read(q, after, RECORDS) == n + (code == 0));
    uint32_t len2 = q->reply_len;
    memcpy(kept, q->reply, len2);
    static const uint16_t limits[] = {512, 700, 1232, 1480, 4096, 65535};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        check_fit(q, kept, len2, limits[i]);
    /* A name may lie in an earlier record's TTL; then the reply changes, but nothing else. */
    if (luna_reply_set(q, message, len) == 0) {
        luna_reply_set_ttl(q, data_ttl(message, len));
        luna_reply_round_robin(q);
        luna_reply_size(q);
        luna_reply_fit(q);
    }
}

static void same_question(const luna_query *q)
{
    luna_query *again = spec_packet(q->transport, q->packet, q->packet_len);
    MUST(luna_query_read(again) == LUNA_READ_OK);
    MUST(again->hash == q->hash && again->qtype == q->qtype && again->opt_at == q->opt_at);
    MUST(again->edns == q->edns && again->do_bit == q->do_bit);
    spec_free(again);
    if (q->reply_len == 0)
        return;
    MUST(luna_message_read(q->reply, q->reply_len, after, RECORDS) >= 0);
    MUST(q->reply_len >= 16u + q->name_len &&
         memcmp(q->reply + 12, q->packet + 12, q->name_len) == 0);
}

/* The question is rewritten, once or twice, the message answers it, the question is restored. */
static void check_rewrite(luna_query *q, const uint8_t *message, uint32_t len, uint8_t how)
{
    static const char *const names[] = {"b.test.", "some.name.that.is.long.example.", "."};
    luna_name to;
    MUST(luna_name_parse(names[how % 3], strlen(names[how % 3]), &to) == 0);
    uint64_t hash = q->hash;
    uint16_t qtype = q->qtype;
    int restore = how >> 2 & 3, times = 0;
    for (int i = 0; i < 2; i++)
        if (luna_query_rewrite(q, &to, how & 16 ? q->label[q->labels / 2] : 0, how & 32 ? 28 : 0,
                               restore) == 0) {
            times++;
            same_question(q);
        }
    luna_reply_set(q, message, len);
    for (; times > 0; times--) {
        luna_query_restore(q);
        same_question(q);
    }
    MUST(q->hash == hash && q->qtype == qtype && luna_query_restore(q) == LUNA_NONE);
}

/* What changes single records leaves a whole message. */
static void check_change(luna_query *q, const uint8_t *message, uint32_t len)
{
    luna_record r = {0};
    luna_subnet subnet;
    luna_query_subnet(q, &subnet);
    luna_query_subnet_scope(q, 24);
    luna_query_ede(q, 15, "text", 4);
    if (luna_reply_set(q, message, len) != 0)
        return;
    int n = 0, all = luna_reply_read(q, before, RECORDS), opts = q->state >> 7;
    while (luna_reply_next(q, &r))
        n++;
    MUST(n == all - opts);
    int gone = luna_reply_remove(q, LUNA_ANSWER, all > 0 ? before[0].type : 1);
    MUST(gone < 0 || luna_reply_read(q, after, RECORDS) == all - gone);
    luna_reply_fit(q);
    MUST(luna_message_read(q->reply, q->reply_len, after, RECORDS) >= 0);
    luna_reply_limit_ttl(q, 0, 5, data_ttl(message, len)); /* a name may lie in a TTL */
    luna_reply_fit(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t types[] = {1, 5, 15, 252};
    if (size < 1 || size > 65535)
        return 0;
    uint8_t how = data[0];
    luna_query *q = spec_packet(1 + (how & 1), data + 1, (uint32_t)size - 1);
    q->client.family = how & 2 ? 6 : 4;
    int code = luna_query_read(q);
    if (code == LUNA_READ_REPLY) {
        MUST(luna_message_read(q->reply, q->reply_len, before, RECORDS) == (q->edns ? 1 : 0));
    } else if (code == LUNA_READ_OK) {
        MUST(luna_name_hash(q->name, q->name_len) == q->hash);
        q->ede_code = how & 4 ? 23 : 0;
        check_reply(q, data + 1, (uint32_t)size - 1);
        check_rewrite(q, data + 1, (uint32_t)size - 1, how);
    }
    spec_free(q);

    /* As a reply to another question; with the message's own when that can be read. */
    const spec_opt opt = {1232, 1, 0, (const uint8_t *)"\0\12\0\2ab", 6};
    luna_query *other = spec_query(1 + (how >> 3 & 1), "www.Example.org", types[how >> 4 & 3],
                                   how & 64 ? &opt : NULL);
    check_reply(other, data + 1, (uint32_t)size - 1);
    check_rewrite(other, data + 1, (uint32_t)size - 1, how);
    check_change(other, data + 1, (uint32_t)size - 1);
    spec_free(other);
    uint8_t name[256];
    uint32_t end;
    uint32_t n = luna_name_expand(data + 1, (uint32_t)size - 1, 12, name, &end);
    if (n > 0 && size - 1 >= end + 4) {
        uint8_t packet[300] = {0};
        packet[5] = 1;
        memcpy(packet + 12, name, n);
        memcpy(packet + 12 + n, data + 1 + end, 4);
        q = spec_packet(LUNA_UDP, packet, 16 + n);
        MUST(luna_query_read(q) == LUNA_READ_OK);
        check_reply(q, data + 1, (uint32_t)size - 1);
        spec_free(q);
    }
    return 0;
}
