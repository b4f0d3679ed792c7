/* Latencies in log-linear buckets: every power of two is cut into HISTOGRAM_STEPS equal parts, so
 * that any value is known within 1/HISTOGRAM_STEPS of itself, in memory that does not grow.
 *
 * Plain memory, zeroed = empty. One thread at a time. */
#ifndef CHATSTORE_BENCH_HISTOGRAM_H
#define CHATSTORE_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_VALUE_BITS = 40, /* larger values count as the largest: in ns, 18 minutes */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS
};

struct histogram {
    uint64_t total;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

#ifdef __cplusplus
extern "C" {
#endif

/* The bucket of a value, and the smallest value of a bucket. */
size_t histogram_bucket(uint64_t value);
uint64_t histogram_bucket_start(size_t bucket);

void histogram_add(struct histogram *histogram, uint64_t value);

/* Add everything that `from` counted. */
void histogram_merge(struct histogram *histogram, const struct histogram *from);

/* The value below or at which `share` (0 to 1) of all values are: the middle of its bucket. 0 if
 * nothing was counted. */
double histogram_quantile(const struct histogram *histogram, double share);

#ifdef __cplusplus
}
#endif

#endif
