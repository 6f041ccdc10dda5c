/* Where the numbers of metrics are, and how they are written and read.
 *
 * A series is a slot number, the same in every page. Each worker adds to its own page with plain
 * stores, from C and from Lua; a scrape adds the pages up. That needs no lock and no atomic
 * read-modify-write: a page has one writer, so no addition is lost, and an aligned 64-bit store is
 * a single access on every 64-bit machine we build for, so a reader sees the old or the new number
 * and never half of each. A scrape may be a few additions late, which no one can tell. C marks
 * these accesses as relaxed atomics, which compile to the same moves; LuaJIT emits them anyway.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "registry.h"

enum { PAGE_BYTES = LUNA_METRIC_SLOTS * sizeof(uint64_t) };

typedef struct page {
    uint64_t *slots;
    struct page *next;
} page;

/* What luna_observe needs of a histogram, by its first slot. */
typedef struct histogram {
    const uint64_t *bound;
    int nbuckets;
} histogram;

pthread_rwlock_t luna_metrics_lock = PTHREAD_RWLOCK_INITIALIZER;
static page *pages; /* counted pages */
static int next_slot = 1;

/* Untouched parts of these cost no memory. shared: what threads that are no workers add, and what
 * freed pages held. */
static uint64_t shared[LUNA_METRIC_SLOTS];
static uint64_t gauge[LUNA_METRIC_SLOTS]; /* the bits of a double */
static uint8_t gauge_set[LUNA_METRIC_SLOTS];
static histogram histograms[LUNA_METRIC_SLOTS];

/* ---- pages ---- */

uint64_t *luna_metrics_page_new(int counted)
{
    uint64_t *slots = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED)
        return NULL;
    if (!counted)
        return slots;
    page *p = malloc(sizeof *p);
    if (p == NULL) {
        munmap(slots, PAGE_BYTES);
        return NULL;
    }
    p->slots = slots;
    pthread_rwlock_wrlock(&luna_metrics_lock);
    p->next = pages;
    pages = p;
    pthread_rwlock_unlock(&luna_metrics_lock);
    return slots;
}

/* Counters must never go back, so a page leaves its numbers behind; its gauges told of things that
 * ended with the worker. */
static void keep_totals(const uint64_t *slots)
{
    int count;
    luna_metric_family **families = luna_metrics_families(&count);
    for (int f = 0; f < count; f++) {
        const luna_metric_family *family = families[f];
        int width = luna_family_width(family);
        for (int i = 0; family->kind != LUNA_GAUGE && i < family->nseries; i++)
            for (int slot = family->series[i]->slot, end = slot + width; slot < end; slot++)
                if (slots[slot] != 0)
                    __atomic_fetch_add(&shared[slot], slots[slot], __ATOMIC_RELAXED);
    }
}

void luna_metrics_page_free(uint64_t *slots)
{
    if (slots == NULL)
        return;
    pthread_rwlock_wrlock(&luna_metrics_lock);
    for (page **p = &pages; *p != NULL; p = &(*p)->next) {
        if ((*p)->slots == slots) {
            page *gone = *p;
            keep_totals(slots);
            *p = gone->next;
            free(gone);
            break;
        }
    }
    pthread_rwlock_unlock(&luna_metrics_lock);
    munmap(slots, PAGE_BYTES);
}

int luna_metrics_take_slots(const luna_metric_family *f)
{
    int slot = next_slot, width = luna_family_width(f);
    if (slot + width > LUNA_METRIC_SLOTS)
        return LUNA_E_SPACE;
    if (f->kind == LUNA_HISTOGRAM)
        histograms[slot] = (histogram){f->bound, f->nbuckets};
    next_slot += width;
    return slot;
}

/* ---- writing ---- */

static inline void add(uint64_t *slot, uint64_t n)
{
    __atomic_store_n(slot, __atomic_load_n(slot, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

void luna_observe(uint64_t *metrics, int series, uint64_t value)
{
    if (series <= 0 || series >= LUNA_METRIC_SLOTS || histograms[series].bound == NULL)
        return;
    const uint64_t *first = histograms[series].bound, *b = first;
    int nbuckets = histograms[series].nbuckets;
    /* Halving without a branch that depends on the value: the compiler makes it a conditional move,
     * and mixed latencies mispredict nothing. */
    for (int n = nbuckets; n > 1;) {
        int half = n / 2;
        b += b[half - 1] < value ? half : 0;
        n -= half;
    }
    int bucket = (int)(b - first) + (*b < value);
    add(&metrics[series + bucket], 1);
    add(&metrics[series + nbuckets + 1], value);
}

void luna_gauge_set(int series, double value)
{
    if (series <= 0 || series >= LUNA_METRIC_SLOTS)
        return;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    __atomic_store_n(&gauge[series], bits, __ATOMIC_RELAXED);
    __atomic_store_n(&gauge_set[series], 1, __ATOMIC_RELEASE);
}

void luna_gauge_add(int series, double n)
{
    if (series <= 0 || series >= LUNA_METRIC_SLOTS)
        return;
    uint64_t old = __atomic_load_n(&gauge[series], __ATOMIC_RELAXED), bits;
    do {
        double value;
        memcpy(&value, &old, sizeof value);
        value += n;
        memcpy(&bits, &value, sizeof bits);
    } while (!__atomic_compare_exchange_n(&gauge[series], &old, bits, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    __atomic_store_n(&gauge_set[series], 1, __ATOMIC_RELEASE);
}

void luna_counter_add(int series, uint64_t n)
{
    if (series > 0 && series < LUNA_METRIC_SLOTS)
        __atomic_fetch_add(&shared[series], n, __ATOMIC_RELAXED);
}

/* ---- reading, with the lock held ---- */

uint64_t luna_metrics_total(int slot)
{
    uint64_t total = __atomic_load_n(&shared[slot], __ATOMIC_RELAXED);
    for (const page *p = pages; p != NULL; p = p->next)
        total += __atomic_load_n(&p->slots[slot], __ATOMIC_RELAXED);
    return total;
}

bool luna_metrics_gauge(int slot, double *value)
{
    if (!__atomic_load_n(&gauge_set[slot], __ATOMIC_ACQUIRE))
        return false;
    uint64_t bits = __atomic_load_n(&gauge[slot], __ATOMIC_RELAXED);
    memcpy(value, &bits, sizeof bits);
    return true;
}
