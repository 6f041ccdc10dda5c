/* Memory that readers may still look at: freed in batches, after a grace period of liburcu. */
#ifndef LUNA_KUBERNETES_GARBAGE_H
#define LUNA_KUBERNETES_GARBAGE_H
#include <stddef.h>

typedef struct kube_batch kube_batch;

typedef struct kube_garbage {
    kube_batch *open; /* what has been retired since the last batch went; NULL = nothing */
    size_t octets;    /* of it */
} kube_garbage;

/* The thread sanitizer does not see that a grace period orders a reader's last use of an object
 * before its end. These two say it, in builds with that sanitizer only. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *at);
void __tsan_release(void *at);
extern char kube_grace;
#define KUBE_READER_DONE() __tsan_release(&kube_grace)
#else
#define KUBE_READER_DONE() ((void)0)
#endif

/* No new reader can find p (of malloc, of so many octets) any more: it is freed once those of now
 * have left. At most a batch's worth waits for others to join it. */
void kube_retire(kube_garbage *g, void *p, size_t octets);
/* Sends off what waits. */
void kube_garbage_flush(kube_garbage *g);

#endif
