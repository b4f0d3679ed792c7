/* What one routing decision costs: nanoseconds by number of sources and of mapped chats, for each
 * tier. Prints a table; asserts nothing about time.
 *
 *     build/bench/route [MAPPED_CHATS_MAX]
 */
#include "route_cost.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static const size_t source_counts[] = {1, 10, 100, 1000};
    size_t mapping_max = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;

    printf("ns per decision (best of %d rounds of %d), bytes per mapped chat\n", ROUND_COUNT,
           QUERY_COUNT);
    printf("%8s %9s %9s %9s %9s %7s\n", "sources", "mapped", "explicit", "by chat", "default",
           "bytes");
    for (size_t s = 0; s < sizeof source_counts / sizeof *source_counts; s++) {
        for (size_t mappings = 1; mappings <= mapping_max; mappings *= 100) {
            struct route_cost cost;
            route_cost_measure(source_counts[s], mappings, &cost);
            printf("%8zu %9zu %9.1f %9.1f %9.1f %7.1f\n", source_counts[s], mappings,
                   cost.explicit_ns, cost.mapped_ns, cost.default_ns, cost.bytes_per_mapped);
        }
    }
    return 0;
}
