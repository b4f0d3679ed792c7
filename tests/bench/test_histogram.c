/* The histogram: every value is in the bucket that holds it, and quantiles are within a bucket of
 * what sorting says. */
#include "bench/clock.h"
#include "bench/histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VALUES = 20000, ROUNDS = 20 };

static const uint64_t largest = ((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1;

/* Of any magnitude: each number of bits is as likely as another. */
static uint64_t any_value(uint64_t *random)
{
    uint64_t bits = bench_random(random) % (HISTOGRAM_VALUE_BITS + 1);
    return bits == 0 ? 0 : bench_random(random) >> (64 - bits);
}

static void check_bucket(uint64_t value)
{
    size_t bucket = histogram_bucket(value);
    assert_true(bucket < HISTOGRAM_BUCKETS);
    assert_true(histogram_bucket_start(bucket) <= value);
    assert_true(value < histogram_bucket_start(bucket + 1));
    uint64_t width = histogram_bucket_start(bucket + 1) - histogram_bucket_start(bucket);
    assert_true(width == 1 || width * HISTOGRAM_STEPS <= value);
}

static void test_every_value_is_in_its_bucket(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (uint64_t value = 0; value < 5 * HISTOGRAM_STEPS; value++)
        check_bucket(value);
    for (unsigned bits = 0; bits < HISTOGRAM_VALUE_BITS; bits++) {
        check_bucket((uint64_t)1 << bits);
        check_bucket(((uint64_t)1 << bits) - 1);
    }
    for (unsigned i = 0; i < VALUES; i++)
        check_bucket(any_value(&random));
    check_bucket(largest);
}

static void test_buckets_are_in_order_without_gaps(void **state)
{
    (void)state;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t start = histogram_bucket_start(bucket);
        assert_int_equal(histogram_bucket(start), bucket);
        assert_int_equal(histogram_bucket(histogram_bucket_start(bucket + 1) - 1), bucket);
    }
}

static void test_too_large_counts_as_largest(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(UINT64_MAX), histogram_bucket(largest));
    assert_int_equal(histogram_bucket(largest), HISTOGRAM_BUCKETS - 1);
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void test_quantiles_are_those_of_sorting(void **state)
{
    (void)state;
    static const double shares[] = {0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    static uint64_t values[VALUES];
    uint64_t random = 2;
    for (unsigned round = 0; round < ROUNDS; round++) {
        static struct histogram histogram;
        memset(&histogram, 0, sizeof histogram);
        size_t count = 1 + bench_random(&random) % VALUES;
        for (size_t i = 0; i < count; i++) {
            values[i] = any_value(&random);
            histogram_add(&histogram, values[i]);
        }
        qsort(values, count, sizeof *values, compare);
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
            double rank = ceil(shares[i] * (double)count);
            double exact = (double)values[rank < 1 ? 0 : (size_t)rank - 1];
            double found = histogram_quantile(&histogram, shares[i]);
            assert_true(fabs(found - exact) <= 1 + exact / HISTOGRAM_STEPS);
        }
    }
}

static void test_merging_is_counting_both(void **state)
{
    (void)state;
    static struct histogram both, left, right;
    uint64_t random = 3;
    for (unsigned i = 0; i < VALUES; i++) {
        uint64_t value = any_value(&random);
        histogram_add(i % 3 ? &left : &right, value);
        histogram_add(&both, value);
    }
    histogram_merge(&left, &right);
    assert_memory_equal(&left, &both, sizeof both);
}

static void test_empty(void **state)
{
    (void)state;
    static const struct histogram empty;
    assert_true(histogram_quantile(&empty, 0.99) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value_is_in_its_bucket),
        cmocka_unit_test(test_buckets_are_in_order_without_gaps),
        cmocka_unit_test(test_too_large_counts_as_largest),
        cmocka_unit_test(test_quantiles_are_those_of_sorting),
        cmocka_unit_test(test_merging_is_counting_both),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
