/* Bots: threads that write through the C stubs as fast as they are answered, keep a journal, and
 * send again what they do not know the end of. */
#ifndef CHATSTORE_TESTS_CRASH_WRITERS_H
#define CHATSTORE_TESTS_CRASH_WRITERS_H

#include <stddef.h>
#include <stdint.h>

struct writers_config {
    const char *url;
    int journal;
    unsigned count; /* threads; four of them share a client */
    uint64_t seed;
    const char *const *sources; /* the first is the default source, chat -1 - i is in the i-th */
    size_t source_count;
};

struct writers;

/* Make the authors of the messages, then start. NULL: not possible, the reason is on stderr. */
struct writers *writers_start(const struct writers_config *config);
/* Writes that have been acknowledged so far. */
unsigned long writers_acked(const struct writers *writers);
/* Wait until each has an answer to what it is doing, and end them. The server must be running. */
void writers_stop(struct writers *writers);

#endif
