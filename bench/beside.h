/* What goes on beside a load, by connections of its own: full scans, changes, idle connections. */
#ifndef CHATSTORE_BENCH_BESIDE_H
#define CHATSTORE_BENCH_BESIDE_H

#include "options.h"

#include <stddef.h>

struct beside;

/* Start what the options ask for. NULL with the reason on standard error. */
struct beside *beside_start(const struct options *options, const char *url);

/* Write JSON members that say what went on, beginning with a comma. */
void beside_report(const struct beside *beside, char *text, size_t text_bytes);

/* End it; NULL is allowed. */
void beside_stop(struct beside *beside);

#endif
