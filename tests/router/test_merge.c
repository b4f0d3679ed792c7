/* Merging of the rows of several sources. */
#include "router/merge.h"
#include "router/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1
#define ROW(row, key, order)                                                                       \
    {                                                                                              \
        BYTES(row), BYTES(key), BYTES(order)                                                       \
    }

/* An allocator that counts, and fails from the n-th allocation on. */
struct counting {
    int until_failure; /* negative = never */
    int live;
};

static void *counting_alloc(void *data, size_t bytes)
{
    struct counting *counting = data;
    if (counting->until_failure == 0)
        return NULL;
    if (counting->until_failure > 0)
        counting->until_failure--;
    counting->live++;
    return malloc(bytes);
}

static void counting_free(void *data, void *memory)
{
    struct counting *counting = data;
    counting->live -= memory != NULL;
    free(memory);
}

/* The rows' own bytes, one after the other. */
static void assert_merged(const struct merge_input *input, const char *expected)
{
    char text[256] = "";
    size_t used = 0;
    struct merge_output out;
    assert_true(merge_rows(input, NULL, &out));
    for (size_t i = 0; i < out.row_count; i++) {
        memcpy(text + used, out.rows[i]->row, out.rows[i]->row_bytes);
        used += out.rows[i]->row_bytes;
        text[used++] = ' ';
    }
    text[used] = '\0';
    assert_string_equal(text, expected);
    merge_output_free(&out, NULL);
    assert_null(out.rows);
}

static const struct merge_row first_rows[] = {ROW("a1", "a", ""), ROW("b1", "b", ""),
                                              ROW("a2", "a", "")};
static const struct merge_row second_rows[] = {ROW("c1", "c", ""), ROW("b2", "b", ""),
                                               ROW("d1", "ab", "")};
static const struct merge_source keyed[] = {{first_rows, 3}, {NULL, 0}, {second_rows, 3}};

static void a_key_belongs_to_the_first_source_that_has_it(void **state)
{
    (void)state;
    assert_merged(&(struct merge_input){keyed, 3, -1, false}, "a1 b1 a2 c1 d1 ");
}

static void the_limit_counts_what_is_left(void **state)
{
    (void)state;
    assert_merged(&(struct merge_input){keyed, 3, 3, false}, "a1 b1 a2 ");
    assert_merged(&(struct merge_input){keyed, 3, 100, false}, "a1 b1 a2 c1 d1 ");
    assert_merged(&(struct merge_input){keyed, 3, INT64_MAX, false}, "a1 b1 a2 c1 d1 ");
    assert_merged(&(struct merge_input){keyed, 3, 0, false}, "");
}

static void rows_without_a_key_are_all_kept(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {ROW("x", "", ""), ROW("y", "", ""), ROW("x", "", "")};
    static const struct merge_source sources[] = {{rows, 3}, {rows, 2}};
    assert_merged(&(struct merge_input){sources, 2, -1, false}, "x y x x y ");
}

static void only_the_first_source_that_has_rows_may_answer(void **state)
{
    (void)state;
    const struct merge_source sources[] = {{NULL, 0}, {second_rows, 1}, {first_rows, 3}};
    assert_merged(&(struct merge_input){sources, 3, -1, true}, "c1 ");
    assert_merged(&(struct merge_input){sources, 1, -1, true}, "");
}

static void no_source_is_an_empty_answer(void **state)
{
    (void)state;
    assert_merged(&(struct merge_input){NULL, 0, -1, false}, "");
}

static void the_order_holds_for_the_whole_list(void **state)
{
    (void)state;
    static const struct merge_row one[] = {ROW("p9", "p", "9"), ROW("q5", "q", "5"),
                                           ROW("r5", "r", "5")};
    static const struct merge_row two[] = {ROW("p0", "p", "0"), ROW("s5", "s", "5"),
                                           ROW("t12", "t", "12"), ROW("u", "u", ""),
                                           ROW("v1", "v", "1")};
    static const struct merge_source sources[] = {{one, 3}, {two, 5}};
    /* p0 is a duplicate, though it would come first; ties keep the order of the files */
    assert_merged(&(struct merge_input){sources, 2, -1, false}, "u v1 t12 q5 r5 s5 p9 ");
    assert_merged(&(struct merge_input){sources, 2, 3, false}, "u v1 t12 ");
}

enum { MANY = 50000 };
struct numbered {
    uint8_t key[8];
    uint8_t order[2];
};

static void many_rows_are_merged_in_order(void **state)
{
    (void)state;
    struct numbered *bytes = calloc(MANY, sizeof *bytes);
    struct merge_row *rows = calloc(MANY, sizeof *rows);
    struct merge_output out;
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t key = i % (MANY / 2); /* every key once in each half */
        memcpy(bytes[i].key, &key, sizeof key);
        bytes[i].order[0] = (uint8_t)(i * 7 % 251);
        bytes[i].order[1] = (uint8_t)(i % 13);
        rows[i] = (struct merge_row){NULL, 0, bytes[i].key, 8, bytes[i].order, 2};
    }
    const struct merge_source sources[] = {{rows, MANY / 2}, {rows + MANY / 2, MANY / 2}};
    struct merge_input input = {sources, 2, -1, false};
    assert_true(merge_rows(&input, NULL, &out));
    assert_int_equal(out.row_count, MANY / 2);
    for (size_t i = 1; i < out.row_count; i++) {
        int order = memcmp(out.rows[i - 1]->order, out.rows[i]->order, 2);
        assert_true(order < 0 || (order == 0 && out.rows[i - 1] < out.rows[i]));
    }
    merge_output_free(&out, NULL);
    free(rows);
    free(bytes);
}

static void a_failing_allocator_is_reported(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {ROW("b", "b", "2"), ROW("a", "a", "1")};
    static const struct merge_source sources[] = {{rows, 2}};
    struct merge_input input = {sources, 1, -1, false};
    struct counting counting = {0, 0};
    ProtobufCAllocator allocator = {counting_alloc, counting_free, &counting};
    struct merge_output out;
    int failures = 0;
    for (;; failures++) {
        counting.until_failure = failures;
        if (merge_rows(&input, &allocator, &out))
            break;
        assert_null(out.rows);
        assert_int_equal(out.row_count, 0);
        assert_int_equal(counting.live, 0);
    }
    assert_int_equal(failures, 3);
    assert_int_equal(counting.live, 1);
    merge_output_free(&out, &allocator);
    assert_int_equal(counting.live, 0);
}

/* The hash of the bytes 0, 1, ... n-1 with the key 0, 1, ... 15: from the paper (n = 15) and the
 * reference vectors (n = 0, 1, 8). */
static void siphash_gives_the_published_values(void **state)
{
    (void)state;
    uint8_t key[SIPHASH_KEY_BYTES];
    uint8_t data[15];
    for (uint8_t i = 0; i < sizeof key; i++)
        key[i] = i;
    for (uint8_t i = 0; i < sizeof data; i++)
        data[i] = i;
    assert_true(siphash(key, NULL, 0) == 0x726fdb47dd0e0e31U);
    assert_true(siphash(key, data, 1) == 0x74f839c593dc67fdU);
    assert_true(siphash(key, data, 8) == 0x93f5f5799a932462U);
    assert_true(siphash(key, data, 15) == 0xa129ca6149be45e5U);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_belongs_to_the_first_source_that_has_it),
        cmocka_unit_test(the_limit_counts_what_is_left),
        cmocka_unit_test(rows_without_a_key_are_all_kept),
        cmocka_unit_test(only_the_first_source_that_has_rows_may_answer),
        cmocka_unit_test(no_source_is_an_empty_answer),
        cmocka_unit_test(the_order_holds_for_the_whole_list),
        cmocka_unit_test(many_rows_are_merged_in_order),
        cmocka_unit_test(a_failing_allocator_is_reported),
        cmocka_unit_test(siphash_gives_the_published_values),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
