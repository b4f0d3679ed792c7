/* What one routing decision costs: nanoseconds by number of sources and of mapped chats, for each
 * tier. Prints a table; asserts nothing about time.
 *
 *     build/bench/route [MAPPED_CHATS_MAX]
 */
#include "router/router.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUERY_COUNT = 1 << 16, ROUND_COUNT = 16 };

static uint64_t random_state = 0x9e3779b97f4a7c15U;

/* xorshift64: the same queries in every run. */
static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "route: out of memory\n");
        exit(70);
    }
    return memory;
}

struct setup {
    struct router *router;
    struct router_mapping *mappings;
    size_t mapping_count;
};

/* Group chats of the messenger: negative, spread over ten digits. Odd ids are mapped, even ones
 * are not. */
static struct setup setup_new(size_t source_count, size_t mapping_count)
{
    struct setup setup = {.mapping_count = mapping_count};
    struct router_source *sources = need(calloc(source_count, sizeof *sources));
    for (size_t i = 0; i < source_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "shard-%04zu", i);
        sources[i].name = need(strdup(name));
        sources[i].readonly = i % 2 == 1;
    }
    setup.mappings = need(calloc(mapping_count + 1, sizeof *setup.mappings));
    int64_t chat_id = -1009999999999;
    for (size_t i = 0; i < mapping_count; i++) {
        chat_id += 2 * (int64_t)(1 + random_next() % 4000);
        setup.mappings[i].chat_id = chat_id;
        setup.mappings[i].source = (uint32_t)(random_next() % source_count);
    }
    struct router_spec spec = {sources, source_count, 0, setup.mappings, mapping_count};
    int error = router_new(&spec, &setup.router);
    if (error != 0) {
        fprintf(stderr, "route: router_new: %s\n", strerror(error));
        exit(70);
    }
    for (size_t i = 0; i < source_count; i++)
        free((void *)(uintptr_t)sources[i].name);
    free(sources);
    return setup;
}

static void setup_free(struct setup *setup)
{
    router_free(setup->router);
    free(setup->mappings);
}

static void fill_queries(const struct setup *setup, enum router_tier tier,
                         struct router_query *queries)
{
    size_t source_count = router_source_count(setup->router);
    for (size_t i = 0; i < QUERY_COUNT; i++) {
        struct router_query *query = &queries[i];
        *query = (struct router_query){CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, 0, NULL};
        if (setup->mapping_count > 0)
            query->chat_id = setup->mappings[random_next() % setup->mapping_count].chat_id;
        if (tier == ROUTER_TIER_DEFAULT)
            query->chat_id += 1;
        if (tier == ROUTER_TIER_EXPLICIT)
            query->data_source =
                router_source_name(setup->router, (uint32_t)(random_next() % source_count));
    }
}

/* The best of the rounds, so that what else runs on the machine counts less. */
static double measure_ns(const struct setup *setup, enum router_tier tier,
                         struct router_query *queries)
{
    fill_queries(setup, tier, queries);
    int64_t best = INT64_MAX;
    uint64_t wrong = 0;
    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        int64_t start = now_ns();
        for (size_t i = 0; i < QUERY_COUNT; i++) {
            struct router_decision decision;
            router_route(setup->router, &queries[i], &decision);
            wrong += decision.tier != tier;
        }
        int64_t spent = now_ns() - start;
        if (spent < best)
            best = spent;
    }
    if (wrong > 0)
        fprintf(stderr, "route: %" PRIu64 " decisions of another tier than expected\n", wrong);
    return (double)best / QUERY_COUNT;
}

int main(int argc, char **argv)
{
    static const size_t source_counts[] = {1, 10, 100, 1000};
    size_t mapping_max = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    struct router_query *queries = need(calloc(QUERY_COUNT, sizeof *queries));

    printf("ns per decision (best of %d rounds of %d), bytes per mapped chat\n", ROUND_COUNT,
           QUERY_COUNT);
    printf("%8s %9s %9s %9s %9s %7s\n", "sources", "mapped", "explicit", "by chat", "default",
           "bytes");
    for (size_t s = 0; s < sizeof source_counts / sizeof *source_counts; s++) {
        for (size_t mappings = 1; mappings <= mapping_max; mappings *= 100) {
            struct setup setup = setup_new(source_counts[s], mappings);
            double explicit_ns = measure_ns(&setup, ROUTER_TIER_EXPLICIT, queries);
            double mapped_ns = measure_ns(&setup, ROUTER_TIER_MAPPED, queries);
            double default_ns = measure_ns(&setup, ROUTER_TIER_DEFAULT, queries);
            printf("%8zu %9zu %9.1f %9.1f %9.1f %7.1f\n", source_counts[s], mappings, explicit_ns,
                   mapped_ns, default_ns,
                   (double)router_memory_bytes(setup.router) / (double)mappings);
            setup_free(&setup);
        }
    }
    free(queries);
    return 0;
}
