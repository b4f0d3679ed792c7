/* The cache of merged answers: what it finds, what it lets go, what it keeps for those who hold it.
 */
#include "service/merge_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { CACHE_BYTES = 64 << 10 };

static struct merge_key key_of(const char *request, const uint64_t *versions, size_t count)
{
    return (struct merge_key){.call_id = 3,
                              .request = (const uint8_t *)request,
                              .request_bytes = strlen(request),
                              .versions = versions,
                              .version_count = count};
}

static void store(struct merge_cache *cache, const struct merge_key *key, const char *answer)
{
    merge_cache_store(cache, key, (const uint8_t *)answer, strlen(answer));
}

static void expect(struct merge_cache *cache, const struct merge_key *key, const char *answer)
{
    const struct merge_answer *found = merge_cache_find(cache, key);
    if (answer) {
        assert_non_null(found);
        assert_int_equal(found->bytes, strlen(answer));
        assert_memory_equal(found->payload, answer, found->bytes);
    } else {
        assert_null(found);
    }
    merge_cache_release(found);
}

static void a_repeat_finds_the_answer_until_a_source_changes(void **state)
{
    (void)state;
    struct merge_cache *cache = merge_cache_new(CACHE_BYTES);
    uint64_t before[] = {1, 7}, after[] = {1, 8};
    struct merge_key old = key_of("ask", before, 2), changed = key_of("ask", after, 2);
    expect(cache, &old, NULL);
    store(cache, &old, "rows");
    expect(cache, &old, "rows");
    expect(cache, &changed, NULL);
    expect(cache, &old, NULL); /* what is not true any more is gone */
    store(cache, &changed, "other rows");
    expect(cache, &changed, "other rows");
    merge_cache_free(cache);
}

static void another_request_call_or_audience_is_another_answer(void **state)
{
    (void)state;
    struct merge_cache *cache = merge_cache_new(CACHE_BYTES);
    uint64_t versions[] = {1};
    struct merge_key key = key_of("ask", versions, 1), empty = key_of("", versions, 1);
    empty.request = NULL;
    store(cache, &key, "rows");
    store(cache, &empty, "");
    expect(cache, &empty, "");
    struct merge_key other = key;
    other.call_id++;
    expect(cache, &other, NULL);
    other = key;
    other.audience++;
    expect(cache, &other, NULL);
    expect(cache, &key, "rows");
    merge_cache_free(cache);
}

static void the_least_used_goes_when_there_is_no_room(void **state)
{
    (void)state;
    struct merge_cache *cache = merge_cache_new(CACHE_BYTES);
    static char answer[CACHE_BYTES / 5]; /* with what belongs to it less than a quarter */
    memset(answer, 'x', sizeof answer - 1);
    uint64_t versions[] = {1};
    char request[6][8];
    struct merge_key keys[6];
    for (int i = 0; i < 6; i++) {
        snprintf(request[i], sizeof request[i], "ask %d", i);
        keys[i] = key_of(request[i], versions, 1);
        store(cache, &keys[i], answer);
        expect(cache, &keys[0], answer); /* used all the time */
    }
    expect(cache, &keys[1], NULL);
    expect(cache, &keys[5], answer);
    merge_cache_free(cache);
}

static void what_is_too_large_is_not_kept(void **state)
{
    (void)state;
    struct merge_cache *cache = merge_cache_new(16), *none = merge_cache_new(0);
    uint64_t versions[] = {1};
    struct merge_key key = key_of("a", versions, 1);
    store(cache, &key, "seventeen letters");
    expect(cache, &key, NULL);
    store(none, &key, "");
    expect(none, &key, NULL);
    merge_cache_free(cache);
    merge_cache_free(none);
    merge_cache_free(NULL);
}

static void an_answer_stays_while_it_is_held(void **state)
{
    (void)state;
    struct merge_cache *cache = merge_cache_new(CACHE_BYTES);
    uint64_t versions[] = {1};
    struct merge_key key = key_of("ask", versions, 1);
    store(cache, &key, "rows");
    const struct merge_answer *held = merge_cache_find(cache, &key);
    assert_non_null(held);
    store(cache, &key, "newer rows");
    merge_cache_free(cache);
    assert_memory_equal(held->payload, "rows", held->bytes);
    merge_cache_release(held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_finds_the_answer_until_a_source_changes),
        cmocka_unit_test(another_request_call_or_audience_is_another_answer),
        cmocka_unit_test(the_least_used_goes_when_there_is_no_room),
        cmocka_unit_test(what_is_too_large_is_not_kept),
        cmocka_unit_test(an_answer_stays_while_it_is_held),
    };
    return cmocka_run_group_tests_name("merge_cache", tests, NULL, NULL);
}
