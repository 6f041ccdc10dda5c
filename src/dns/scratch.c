/* Room to rewrite messages in: one set a thread, taken when it is first needed, because most
 * threads never do. */
#include <pthread.h>
#include <stdlib.h>
#include "wire.h"

typedef struct scratch {
    uint8_t message[LUNA_MESSAGE_MAX + 1];
    luna_rr records[LUNA_RECORDS_MAX];
} scratch;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    if (pthread_key_create(&key, free))
        abort();
}

static scratch *own(void)
{
    static __thread scratch *mine;
    if (!mine) {
        pthread_once(&once, make_key);
        mine = malloc(sizeof *mine);
        if (!mine || pthread_setspecific(key, mine))
            abort(); /* without it no reply can be cut to size */
    }
    return mine;
}

uint8_t *luna_pack_scratch(void)
{
    return own()->message;
}

luna_rr *luna_record_scratch(void)
{
    return own()->records;
}
