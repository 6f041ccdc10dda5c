/* The ring between a thread that logs and the writer thread: whole lines, one producer, one
 * consumer, no lock. Positions only grow; a position's place is its value modulo the size. */
#ifndef LUNA_OBSERVE_LOG_RING_H
#define LUNA_OBSERVE_LOG_RING_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include "observe.h"
#include "../server/worker.h"

enum { LOG_RING_SIZE = 256 * 1024, LOG_PIECES_MAX = 32 };

struct luna_log_buffer {
    /* The producer's own line of the cache. */
    _Alignas(64) uint64_t end; /* of the lines put in */
    uint64_t tail_seen;        /* where tail was when last looked at */
    /* Written by the producer, read by the writer. */
    _Alignas(64) uint64_t head; /* end of the lines published */
    uint8_t closing;            /* no more lines will come: the writer frees the ring */
    /* Written by the writer, read by the producer. */
    _Alignas(64) uint64_t tail; /* end of the lines written */
    luna_log_buffer *next;      /* in the list of rings; the writer's, or under the list's lock */
    char data[LOG_RING_SIZE];
};

/* log_writer.c: the ring of the threads that are no workers. Its producers hold luna_log_mutex. */
extern luna_log_buffer luna_log_shared;
/* 1 when a writer thread runs. */
bool luna_log_running(void);

/* log_output.c: counts lines that were lost. Any thread. */
void luna_log_dropped(uint64_t lines);
/* Lines that end in text. */
uint64_t luna_log_count(const char *text, size_t len);
/* Sets where luna_log_write writes to. */
void luna_log_output(int fd);
/* Writes whole lines in at most LOG_PIECES_MAX pieces and waits for a slow reader; counts those
 * that cannot be written. The writer thread only. */
void luna_log_write(const struct iovec *lines, int count);
/* On: luna_log_write waits no more and gives its lines up, at once if its system call is
 * interrupted. Any thread. */
void luna_log_hurry(bool on);
bool luna_log_hurried(void);

/* Puts a line into the ring. Returns false when there is no room. */
static inline bool log_ring_put(luna_log_buffer *b, const char *line, size_t len)
{
    if (LOG_RING_SIZE - (b->end - b->tail_seen) < len) {
        b->tail_seen = __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE);
        if (LOG_RING_SIZE - (b->end - b->tail_seen) < len)
            return false;
    }
    size_t at = b->end % LOG_RING_SIZE, first = LOG_RING_SIZE - at;
    if (len <= first) {
        memcpy(b->data + at, line, len);
    } else {
        memcpy(b->data + at, line, first);
        memcpy(b->data, line + first, len - first);
    }
    b->end += len;
    return true;
}

#endif
