/* The loads that make calls: what one call of each is. */
#ifndef CHATSTORE_BENCH_LOADS_H
#define CHATSTORE_BENCH_LOADS_H

#include "driver.h"
#include "options.h"

#include <chatstore/chatstore.h>

struct session {
    const struct options *options;
    struct chatstore_client *client;
    int64_t run_id; /* makes the ids of saved messages new in every run */
};

struct load {
    const char *name;
    void (*start)(struct slot *slot, void *session);
    const char *what; /* for --help */
};

/* NULL: there is no such load. */
const struct load *load_find(const char *name);

/* Ends with a load without a name. */
extern const struct load load_table[];

#endif
