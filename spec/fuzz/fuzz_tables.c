/* Any octets as a list of names, a response policy zone or a list of networks. The first octet
 * chooses which. What was read is looked up by the text's own words; equal texts are one content.
 */
#include <stdlib.h>
#include <string.h>
#include "../../src/shared/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good)
        abort();
}

static uint8_t room[1 << 16];
static luna_value value = {.text = room, .text_cap = sizeof room};

static void look_up(luna_table *t, const char *word, size_t len)
{
    luna_name name, below = {0};
    luna_addr addr;
    char text[64];
    if (luna_name_parse(word, len, &name) == LUNA_OK) {
        int exact = luna_names_find(t, LUNA_KEY_NAME, &name, LUNA_FIND_EXACT, &value);
        check(exact == LUNA_OK || exact == LUNA_NONE);
        int under = luna_names_find(t, LUNA_KEY_NAME, &name, LUNA_FIND_UNDER, &value);
        check(under == LUNA_OK || under == LUNA_NONE);
        check(exact != LUNA_OK || under == LUNA_OK);
        if (name.len < 250) {
            memcpy(below.wire, "\1x", 2);
            memcpy(below.wire + 2, name.wire, name.len);
            check(luna_name_set(below.wire, name.len + 2u, &below) == LUNA_OK);
            luna_names_find(t, LUNA_KEY_NAME, &below, LUNA_FIND_UNDER, &value);
        }
    }
    if (len < sizeof text) {
        memcpy(text, word, len);
        text[len] = 0;
        text[strcspn(text, "/")] = 0;
        if (luna_addr_parse(text, 0, &addr) == LUNA_OK)
            luna_networks_find(t, &addr, &value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        int kind, format;
    } what[] = {{LUNA_TABLE_NAMES, LUNA_FORMAT_LIST},
                {LUNA_TABLE_NAMES, LUNA_FORMAT_RPZ},
                {LUNA_TABLE_NAMES, LUNA_FORMAT_ITEMS},
                {LUNA_TABLE_NETWORKS, LUNA_FORMAT_LIST}};
    luna_load_result r;
    if (!size)
        return 0;
    unsigned choice = *data++ % 4;
    const char *text = (const char *)data;
    size--;
    luna_table *t = luna_table_open(what[choice].kind, "=fuzz");
    int rc = table_load(t, what[choice].format, text, size, NULL, &r);
    check(rc == LUNA_OK || rc == LUNA_E_FORMAT);
    check(r.items == luna_table_items(t));
    check(rc != LUNA_OK || table_load(t, what[choice].format, text, size, NULL, &r) == LUNA_NONE);
    unsigned words = 0;
    for (size_t at = 0, n; at < size && words < 1000; at += n + 1, words++) {
        for (n = 0; at + n < size && !strchr(" \t\r\n", text[at + n]);)
            n++;
        if (n)
            look_up(t, text + at, n);
    }
    luna_table_close(t);
    return 0;
}
