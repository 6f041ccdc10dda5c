#include "arena.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 32 << 10, LARGEST_BLOCK = 1 << 20, ALIGN = 16 };

typedef struct kube_block {
    struct kube_block *next;
    size_t size, used;
    _Alignas(ALIGN) char at[];
} kube_block;

static kube_block *add_block(kube_arena *a, size_t size)
{
    size_t room = a->last ? a->last->size * 2 : FIRST_BLOCK;
    if (room > LARGEST_BLOCK)
        room = LARGEST_BLOCK;
    if (room < size)
        room = size;
    if (room > a->limit - a->total)
        room = size;
    if (room > a->limit - a->total)
        return NULL;
    kube_block *b = malloc(sizeof *b + room);
    if (!b)
        return NULL;
    b->next = NULL;
    b->size = room;
    b->used = 0;
    if (a->last)
        a->last->next = b;
    else
        a->first = b;
    a->last = b;
    a->total += room;
    return b;
}

void *kube_arena_get(kube_arena *a, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    kube_block *b = a->last;
    if (!b || b->size - b->used < size) {
        b = add_block(a, size);
        if (!b)
            return NULL;
    }
    void *p = b->at + b->used;
    b->used += size;
    return memset(p, 0, size);
}

/* A list has room for the next power of two. */
void *kube_arena_push(kube_arena *a, void *list, uint32_t *n, size_t size)
{
    char *items; /* copied, not read through another type: list is a pointer to any pointer */
    memcpy(&items, list, sizeof items);
    if ((*n & (*n - 1)) == 0) {
        char *more = kube_arena_get(a, (*n ? (size_t)*n * 2 : 1) * size);
        if (!more)
            return NULL;
        if (*n)
            memcpy(more, items, *n * size);
        items = more;
        memcpy(list, &items, sizeof items);
    }
    return items + (*n)++ * size;
}

static void free_blocks(kube_block *b)
{
    while (b) {
        kube_block *next = b->next;
        free(b);
        b = next;
    }
}

void kube_arena_reset(kube_arena *a)
{
    if (!a->first)
        return;
    /* A first block that had to be larger than usual is no use for the next object. */
    if (a->first->size > FIRST_BLOCK) {
        kube_arena_free(a);
        return;
    }
    free_blocks(a->first->next);
    a->first->next = NULL;
    a->first->used = 0;
    a->last = a->first;
    a->total = a->first->size;
}

void kube_arena_free(kube_arena *a)
{
    free_blocks(a->first);
    a->first = a->last = NULL;
    a->total = 0;
}
