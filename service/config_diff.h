/* What differs between two configurations, in words for people: what a reload changes, and what it
 * cannot change. */
#ifndef CHATSTORE_SERVICE_CONFIG_DIFF_H
#define CHATSTORE_SERVICE_CONFIG_DIFF_H

#include "service/config.h"

enum { CONFIG_CHANGES_MAX = 200 };

struct config_change {
    const char
        *what; /* "source added", "source removed", "source changed", "default source", ... */
    char *detail;
};

struct config_diff {
    struct config_change
        *changes; /* of sources, routing, access; at most CONFIG_CHANGES_MAX listed */
    size_t count, total;
    struct config_change *restart; /* of what is read at the start only */
    size_t restart_count, restart_total;
    bool failed; /* there was no memory for all */
};

/* Free it with config_diff_fini(). */
void config_diff_init(struct config_diff *diff, const struct config *before,
                      const struct config *after);
void config_diff_fini(struct config_diff *diff);

#endif
