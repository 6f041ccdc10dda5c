/* What the keys of a table lead to. */
#include "table.h"
#include <stdlib.h>
#include <string.h>

static uint32_t add(table_values *v, table_value value)
{
    if (v->count == 0 && v->cap == 0)
        v->count = 1; /* TABLE_NO_VALUE */
    if (v->count >= v->cap) {
        uint32_t cap = v->cap ? v->cap * 2 : 16;
        table_value *grown = realloc(v->list, cap * sizeof *grown);
        if (!grown)
            return TABLE_NO_MEMORY;
        v->list = grown;
        v->cap = cap;
    }
    v->list[v->count] = value;
    return v->count++;
}

static uint32_t *remembered(table_values *v, uint64_t hash)
{
    return &v->recent[hash >> 58];
}

uint32_t table_value_number(table_values *v, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t *known = remembered(v, bits * 0x9e3779b97f4a7c15ull);
    const table_value *old = *known ? &v->list[*known] : NULL;
    if (old && old->type == LUNA_VALUE_NUMBER && !memcmp(&old->number, &number, sizeof number))
        return *known;
    uint32_t at = add(v, (table_value){.number = number, .type = LUNA_VALUE_NUMBER});
    if (at != TABLE_NO_MEMORY)
        *known = at;
    return at;
}

/* Room for so many octets more; the text may lie in the octets themselves. */
static bool reserve(table_values *v, size_t len)
{
    if (v->used + len > UINT32_MAX)
        return false;
    if (v->used + len <= v->room)
        return true;
    size_t room = v->room ? v->room * 2 : 1024;
    while (room < v->used + len)
        room *= 2;
    uint8_t *grown = realloc(v->octets, room);
    if (!grown)
        return false;
    v->octets = grown;
    v->room = room;
    return true;
}

uint32_t table_value_text(table_values *v, const char *text, size_t len)
{
    uint64_t hash = len > UINT32_MAX ? 0 : luna_label_hash(1, (const uint8_t *)text, (uint32_t)len);
    uint32_t *known = remembered(v, hash);
    const table_value *old = *known ? &v->list[*known] : NULL;
    if (old && old->type == LUNA_VALUE_TEXT && old->len == len &&
        !memcmp(v->octets + old->at, text, len))
        return *known;
    if (!reserve(v, len))
        return TABLE_NO_MEMORY;
    if (len)
        memcpy(v->octets + v->used, text, len);
    uint32_t at = add(
        v, (table_value){.at = (uint32_t)v->used, .len = (uint32_t)len, .type = LUNA_VALUE_TEXT});
    if (at != TABLE_NO_MEMORY) {
        v->used += len;
        *known = at;
    }
    return at;
}

uint32_t table_value_join(table_values *v, uint32_t first, uint32_t second)
{
    table_value a = v->list[first], b = v->list[second];
    size_t len = (size_t)a.len + 1 + b.len;
    if (!reserve(v, len))
        return TABLE_NO_MEMORY;
    uint8_t *to = v->octets + v->used;
    memcpy(to, v->octets + a.at, a.len);
    to[a.len] = '\n';
    memcpy(to + a.len + 1, v->octets + b.at, b.len);
    uint32_t at = add(
        v, (table_value){.at = (uint32_t)v->used, .len = (uint32_t)len, .type = LUNA_VALUE_TEXT});
    if (at != TABLE_NO_MEMORY)
        v->used += len;
    return at;
}

/* Digits with a sign, a fraction and an exponent: what strtod takes, without its words. */
static bool is_number(const char *text, size_t len, double *out)
{
    char copy[32];
    char *end;
    if (len == 0 || len >= sizeof copy)
        return false;
    memcpy(copy, text, len); /* a text does not end with a NUL */
    copy[len] = 0;
    if (strspn(copy, "+-.0123456789eE") < len || strcspn(copy, "0123456789") >= len)
        return false;
    *out = strtod(copy, &end);
    return *end == 0;
}

uint32_t table_value_read(table_values *v, const char *text, size_t len)
{
    double number;
    if (len == 0)
        return TABLE_NO_VALUE;
    if (is_number(text, len, &number))
        return table_value_number(v, number);
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"')
        return table_value_text(v, text + 1, len - 2);
    return table_value_text(v, text, len);
}

void table_values_seal(table_values *v)
{
    if (v->count && v->count < v->cap) {
        table_value *less = realloc(v->list, v->count * sizeof *less);
        if (less) {
            v->list = less;
            v->cap = v->count;
        }
    }
    if (v->used && v->used < v->room) {
        uint8_t *less = realloc(v->octets, v->used);
        if (less) {
            v->octets = less;
            v->room = v->used;
        }
    }
}

void table_values_free(table_values *v)
{
    free(v->list);
    free(v->octets);
}

size_t table_values_bytes(const table_values *v)
{
    return v->cap * sizeof *v->list + v->room;
}

int table_value_out(const table_values *v, uint32_t number, luna_value *out)
{
    out->expires = 0;
    if (number == TABLE_NO_VALUE) {
        out->type = LUNA_VALUE_BOOLEAN;
        out->number = 1;
        return LUNA_OK;
    }
    const table_value *value = &v->list[number];
    out->type = value->type;
    if (value->type != LUNA_VALUE_TEXT) {
        out->number = value->number;
        return LUNA_OK;
    }
    out->text_len = value->len;
    if (value->len > out->text_cap)
        return LUNA_E_SPACE;
    memcpy(out->text, v->octets + value->at, value->len);
    return LUNA_OK;
}
