/* Inside src/shared: what has a name and is shared by all states of the process. */
#ifndef LUNA_SHARED_OBJECT_H
#define LUNA_SHARED_OBJECT_H
#include <pthread.h>
#include <stdbool.h>
#include <urcu-qsbr.h>
#include "../core.h"

/* The thread sanitizer does not see liburcu's order: from whoever hands something over to be freed,
 * and from a reader's quiescent state, to the callback. These say it, and specs for their turns. */
#ifdef __SANITIZE_THREAD__
#define SHARED_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHARED_TSAN 1
#endif
#endif
#ifdef SHARED_TSAN
#include <sanitizer/tsan_interface.h>
extern char luna_shared_grace;
#define AFTER_GRACE() __tsan_acquire(&luna_shared_grace)
#define BEFORE_GRACE() __tsan_release(&luna_shared_grace)
#else
#define BEFORE_GRACE() ((void)0)
#define AFTER_GRACE() ((void)0)
#endif

#define container(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))

enum { OBJECT_DICT = 1, OBJECT_TABLE = 2 /* + LUNA_TABLE_ */ };

typedef struct shared_figures {
    uint64_t bytes, items, evictions;
} shared_figures;

/* First in each shared object. The registry's lock guards it. */
typedef struct shared_object {
    struct shared_object *next;
    char *name;
    int kind;
    unsigned references;
    void (*figures)(struct shared_object *o, shared_figures *out);
    void (*destroy)(struct shared_object *o);         /* nobody has it open any more */
    int bytes_series, items_series, evictions_series; /* 0 = none */
    uint64_t evictions_told;
} shared_object;

/* The object of this kind and name, with one reference more; what make(size) fills in when there is
 * none yet. NULL without memory. Allocates, takes a lock. */
shared_object *shared_open(int kind, const char *name, size_t size, bool (*make)(shared_object *o));
/* One reference more to an object that is open. */
void shared_reopen(shared_object *o);
/* One reference less. */
void shared_close(shared_object *o);
/* fn(head) runs once nobody reads any more what was reachable till now. */
static inline void shared_free_later(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    BEFORE_GRACE();
    call_rcu(head, fn);
}

/* A thread that is no RCU reader now (setup runs on the main thread) becomes one for the time of a
 * look-up: enter's result goes to leave. */
static inline bool shared_enter(void)
{
    if (rcu_read_ongoing())
        return false;
    rcu_thread_online();
    return true;
}

static inline void shared_leave(bool entered)
{
    if (entered) {
        BEFORE_GRACE();
        rcu_thread_offline();
    }
}

#endif
