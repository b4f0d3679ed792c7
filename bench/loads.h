/* The loads, and what one call is of those that make calls. */
#ifndef CHATSTORE_BENCH_LOADS_H
#define CHATSTORE_BENCH_LOADS_H

#include "driver.h"
#include "options.h"

#include <chatstore/chatstore.h>
#include <stdatomic.h>

struct session {
    const struct options *options;
    struct chatstore_client *client;
    /* Of a call alone in its frame; of the first that went well. 0: none did. */
    atomic_size_t request_bytes, reply_bytes;
};

struct load {
    const char *name;
    void (*start)(struct slot *slot, void *session); /* or, when NULL: */
    int (*run)(const struct options *options);       /* returns an exit status */
    const char *what;                                /* for --help */
};

/* What a load wants to be there before it starts. False with the reason on standard error. */
bool session_prepare(struct session *session);

/* NULL: there is no such load. */
const struct load *load_find(const char *name);

/* Ends with a load without a name. */
extern const struct load load_table[];

#endif
