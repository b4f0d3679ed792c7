/* The routing decision. */
#include "router/router.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PRIMARY, ARCHIVE, OTHER };
static const struct router_source three[] = {
    {"primary", false}, {"archive", true}, {"other", false}};
static const struct router_mapping mappings[] = {{12345, ARCHIVE},     {-1001234567890, OTHER},
                                                 {INT64_MIN, ARCHIVE}, {INT64_MAX, OTHER},
                                                 {0, PRIMARY},         {7, ROUTER_SOURCE_UNKNOWN}};

static struct router *make_router(void)
{
    struct router_spec spec = {three, 3, PRIMARY, mappings, sizeof mappings / sizeof *mappings};
    struct router *router;
    assert_int_equal(router_new(&spec, &router), 0);
    return router;
}

struct route_case {
    struct router_query query;
    struct router_decision expected;
};

/* scope, access, has_chat_id, chat_id, data_source -> tier, fallback, first, count, refused */
static const struct route_case route_cases[] = {
    /* explicit wins over the mapping and over the merge */
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, 12345, "other"},
     {ROUTER_TIER_EXPLICIT, ROUTER_FALLBACK_NONE, OTHER, 1, false}},
    {{CALL_SCOPE_ALL, CALL_ACCESS_READ, false, 0, "archive"},
     {ROUTER_TIER_EXPLICIT, ROUTER_FALLBACK_NONE, ARCHIVE, 1, false}},
    {{CALL_SCOPE_DEFAULT, CALL_ACCESS_WRITE, false, 0, "archive"},
     {ROUTER_TIER_EXPLICIT, ROUTER_FALLBACK_NONE, ARCHIVE, 1, true}},
    {{CALL_SCOPE_DEFAULT, CALL_ACCESS_WRITE, false, 0, "other"},
     {ROUTER_TIER_EXPLICIT, ROUTER_FALLBACK_NONE, OTHER, 1, false}},
    /* an unknown name goes to the default, not to the mapping and not to all */
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, 12345, "gone"},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_UNKNOWN_DATA_SOURCE, PRIMARY, 1, false}},
    {{CALL_SCOPE_ALL, CALL_ACCESS_READ, false, 0, "gone"},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_UNKNOWN_DATA_SOURCE, PRIMARY, 1, false}},
    {{CALL_SCOPE_DEFAULT, CALL_ACCESS_READ, false, 0, "primary "},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_UNKNOWN_DATA_SOURCE, PRIMARY, 1, false}},
    /* chats */
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, 12345, NULL},
     {ROUTER_TIER_MAPPED, ROUTER_FALLBACK_NONE, ARCHIVE, 1, false}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_WRITE, true, 12345, ""},
     {ROUTER_TIER_MAPPED, ROUTER_FALLBACK_NONE, ARCHIVE, 1, true}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_WRITE, true, -1001234567890, NULL},
     {ROUTER_TIER_MAPPED, ROUTER_FALLBACK_NONE, OTHER, 1, false}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, INT64_MIN, NULL},
     {ROUTER_TIER_MAPPED, ROUTER_FALLBACK_NONE, ARCHIVE, 1, false}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, INT64_MAX, NULL},
     {ROUTER_TIER_MAPPED, ROUTER_FALLBACK_NONE, OTHER, 1, false}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, 0, NULL},
     {ROUTER_TIER_MAPPED, ROUTER_FALLBACK_NONE, PRIMARY, 1, false}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, 12346, NULL},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_NONE, PRIMARY, 1, false}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, 7, NULL},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_UNKNOWN_MAPPED_SOURCE, PRIMARY, 1, false}},
    {{CALL_SCOPE_CHAT, CALL_ACCESS_READ, false, 12345, NULL},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_NONE, PRIMARY, 1, false}},
    /* scope DEFAULT does not look at the chat */
    {{CALL_SCOPE_DEFAULT, CALL_ACCESS_WRITE, true, 12345, NULL},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_NONE, PRIMARY, 1, false}},
    {{CALL_SCOPE_ALL, CALL_ACCESS_READ, true, 12345, NULL},
     {ROUTER_TIER_MERGED, ROUTER_FALLBACK_NONE, 0, 3, false}},
    {{CALL_SCOPE_ALL, CALL_ACCESS_WRITE, false, 0, NULL},
     {ROUTER_TIER_DEFAULT, ROUTER_FALLBACK_NONE, PRIMARY, 1, false}},
    {{CALL_SCOPE_SERVER, CALL_ACCESS_ADMIN, false, 0, "archive"},
     {ROUTER_TIER_SERVER, ROUTER_FALLBACK_NONE, 0, 0, false}},
};

static void decisions_follow_the_tiers(void **state)
{
    (void)state;
    struct router *router = make_router();
    for (size_t i = 0; i < sizeof route_cases / sizeof *route_cases; i++) {
        const struct router_decision *expected = &route_cases[i].expected;
        struct router_decision decision;
        router_route(router, &route_cases[i].query, &decision);
        if (decision.tier != expected->tier || decision.fallback != expected->fallback ||
            decision.first != expected->first || decision.count != expected->count ||
            decision.refused_readonly != expected->refused_readonly)
            fail_msg("case %zu: %s, %s, first %u, count %u, refused %d", i,
                     router_tier_name(decision.tier), router_fallback_name(decision.fallback),
                     decision.first, decision.count, decision.refused_readonly);
    }
    router_free(router);
}

static void a_readonly_default_refuses_writes(void **state)
{
    (void)state;
    struct router_spec spec = {three, 3, ARCHIVE, NULL, 0};
    struct router_query query = {CALL_SCOPE_CHAT, CALL_ACCESS_WRITE, true, 1, "gone"};
    struct router_decision decision;
    struct router *router;
    assert_int_equal(router_new(&spec, &router), 0);
    router_route(router, &query, &decision);
    assert_true(decision.refused_readonly);
    assert_int_equal(decision.first, ARCHIVE);
    query.access = CALL_ACCESS_READ;
    router_route(router, &query, &decision);
    assert_false(decision.refused_readonly);
    router_free(router);
}

static void sources_keep_their_numbers(void **state)
{
    (void)state;
    struct router *router = make_router();
    uint32_t source = 99;
    assert_int_equal(router_source_count(router), 3);
    assert_int_equal(router_default_source(router), PRIMARY);
    assert_string_equal(router_source_name(router, ARCHIVE), "archive");
    assert_true(router_source_readonly(router, ARCHIVE));
    assert_false(router_source_readonly(router, OTHER));
    assert_true(router_find(router, "other", &source));
    assert_int_equal(source, OTHER);
    assert_false(router_find(router, "othe", &source));
    assert_false(router_find(router, "others", &source));
    router_free(router);
    router_free(NULL);
}

/* Every number of mappings has another shape of tree; 149 is prime, so that no id comes twice. */
static void every_mapped_chat_is_found(void **state)
{
    (void)state;
    for (size_t count = 0; count <= 130; count++) {
        struct router_mapping *list = calloc(count + 1, sizeof *list);
        struct router_decision decision;
        struct router *router;
        for (size_t i = 0; i < count; i++)
            list[i] =
                (struct router_mapping){(int64_t)((i * 149) % count) * 2 - 100, (uint32_t)(i % 3)};
        struct router_spec spec = {three, 3, PRIMARY, list, count};
        assert_int_equal(router_new(&spec, &router), 0);
        for (size_t i = 0; i < count; i++) {
            struct router_query query = {CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, list[i].chat_id,
                                         NULL};
            router_route(router, &query, &decision);
            assert_int_equal(decision.tier, ROUTER_TIER_MAPPED);
            assert_int_equal(decision.first, list[i].source);
        }
        for (int64_t chat_id = -101; chat_id < 2 * (int64_t)count - 100; chat_id += 2) {
            struct router_query query = {CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, chat_id, NULL};
            router_route(router, &query, &decision);
            assert_int_equal(decision.tier, ROUTER_TIER_DEFAULT);
        }
        router_free(router);
        free(list);
    }
}

static void a_large_router_is_small(void **state)
{
    (void)state;
    enum { SOURCES = 1000, CHATS = 200000 };
    static char names[SOURCES][16];
    static struct router_source sources[SOURCES];
    struct router_mapping *list = calloc(CHATS, sizeof *list);
    for (unsigned i = 0; i < SOURCES; i++) {
        snprintf(names[i], sizeof names[i], "shard-%u", i);
        sources[i].name = names[i];
    }
    for (uint32_t i = 0; i < CHATS; i++)
        list[i] = (struct router_mapping){-(int64_t)i * 7919, i % SOURCES};
    struct router_spec spec = {sources, SOURCES, 0, list, CHATS};
    struct router *router;
    assert_int_equal(router_new(&spec, &router), 0);
    assert_true(router_memory_bytes(router) < (size_t)32 * CHATS);
    for (uint32_t i = 0; i < CHATS; i++) {
        struct router_query query = {CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, list[i].chat_id,
                                     NULL};
        struct router_decision decision;
        router_route(router, &query, &decision);
        assert_int_equal(decision.first, list[i].source);
    }
    for (uint32_t i = 0; i < SOURCES; i++) {
        uint32_t source = SOURCES;
        assert_true(router_find(router, names[i], &source));
        assert_int_equal(source, i);
    }
    router_free(router);
    free(list);
}

static void wrong_specs_are_refused(void **state)
{
    (void)state;
    static const struct router_source same[] = {{"a", false}, {"b", false}, {"a", true}};
    static const struct router_source empty[] = {{"", false}};
    static const struct router_source none[] = {{NULL, false}};
    static const struct router_mapping beyond[] = {{1, 3}};
    static const struct router_mapping twice[] = {{1, 0}, {2, 0}, {1, 1}};
    const struct router_spec specs[] = {{three, 0, 0, NULL, 0}, {three, 3, 3, NULL, 0},
                                        {same, 3, 0, NULL, 0},  {empty, 1, 0, NULL, 0},
                                        {none, 1, 0, NULL, 0},  {three, 3, 0, beyond, 1},
                                        {three, 3, 0, twice, 3}};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct router *router = (struct router *)&specs;
        assert_int_equal(router_new(&specs[i], &router), EINVAL);
        assert_null(router);
    }
}

static void names_are_for_logs(void **state)
{
    (void)state;
    assert_string_equal(router_tier_name(ROUTER_TIER_EXPLICIT), "explicit");
    assert_string_equal(router_tier_name(ROUTER_TIER_MAPPED), "mapped");
    assert_string_equal(router_tier_name(ROUTER_TIER_DEFAULT), "default");
    assert_string_equal(router_tier_name(ROUTER_TIER_MERGED), "merged");
    assert_string_equal(router_tier_name(ROUTER_TIER_SERVER), "server");
    assert_string_equal(router_tier_name((enum router_tier)0), "unknown");
    assert_string_equal(router_fallback_name(ROUTER_FALLBACK_NONE), "none");
    assert_string_equal(router_fallback_name(ROUTER_FALLBACK_UNKNOWN_DATA_SOURCE),
                        "unknown data_source");
    assert_string_equal(router_fallback_name(ROUTER_FALLBACK_UNKNOWN_MAPPED_SOURCE),
                        "mapped to an unknown source");
    assert_string_equal(router_fallback_name((enum router_fallback)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_follow_the_tiers),
        cmocka_unit_test(a_readonly_default_refuses_writes),
        cmocka_unit_test(sources_keep_their_numbers),
        cmocka_unit_test(every_mapped_chat_is_found),
        cmocka_unit_test(a_large_router_is_small),
        cmocka_unit_test(wrong_specs_are_refused),
        cmocka_unit_test(names_are_for_logs),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
