/* What one routing decision costs. */
#ifndef CHATSTORE_BENCH_ROUTE_COST_H
#define CHATSTORE_BENCH_ROUTE_COST_H

#include <stddef.h>

/* Decisions of a round, and rounds, of which the best counts. */
enum { QUERY_COUNT = 1 << 16, ROUND_COUNT = 16 };

struct route_cost {
    double explicit_ns, mapped_ns, default_ns; /* by tier */
    double bytes_per_mapped;                   /* memory of the router by mapped chat */
};

/* With so many sources and mapped chats. Ends the program when it runs out of memory. */
void route_cost_measure(size_t source_count, size_t mapping_count, struct route_cost *cost_out);

#endif
