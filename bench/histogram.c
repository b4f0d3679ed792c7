#include "histogram.h"

#include <math.h>

size_t histogram_bucket(uint64_t value)
{
    uint64_t largest = ((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1;
    if (value > largest)
        value = largest;
    if (value < HISTOGRAM_STEPS)
        return (size_t)value;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return (size_t)shift * HISTOGRAM_STEPS + (size_t)(value >> shift);
}

uint64_t histogram_bucket_start(size_t bucket)
{
    if (bucket < 2 * HISTOGRAM_STEPS)
        return bucket;
    size_t shift = bucket / HISTOGRAM_STEPS - 1;
    return (uint64_t)(bucket - shift * HISTOGRAM_STEPS) << shift;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->total++;
    histogram->counts[histogram_bucket(value)]++;
}

void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
    histogram->total += from->total;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += from->counts[i];
}

double histogram_quantile(const struct histogram *histogram, double share)
{
    if (histogram->total == 0)
        return 0;
    double rank = ceil(share * (double)histogram->total);
    uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank;
    uint64_t seen = 0;
    size_t bucket = 0;
    for (; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= wanted)
            break;
    }
    if (bucket >= HISTOGRAM_BUCKETS) /* share > 1 */
        bucket = HISTOGRAM_BUCKETS - 1;
    uint64_t start = histogram_bucket_start(bucket);
    uint64_t width = histogram_bucket_start(bucket + 1) - start;
    return (double)start + (double)(width - 1) / 2;
}
