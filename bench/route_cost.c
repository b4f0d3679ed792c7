#include "route_cost.h"

#include "clock.h"
#include "router/router.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state = 0x9e3779b97f4a7c15U; /* the same queries in every run */

static uint64_t random_next(void)
{
    return bench_random(&random_state);
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
        int64_t start = bench_now_ns();
        for (size_t i = 0; i < QUERY_COUNT; i++) {
            struct router_decision decision;
            router_route(setup->router, &queries[i], &decision);
            wrong += decision.tier != tier;
        }
        int64_t spent = bench_now_ns() - start;
        if (spent < best)
            best = spent;
    }
    if (wrong > 0)
        fprintf(stderr, "route: %" PRIu64 " decisions of another tier than expected\n", wrong);
    return (double)best / QUERY_COUNT;
}

void route_cost_measure(size_t source_count, size_t mapping_count, struct route_cost *cost_out)
{
    struct router_query *queries = need(calloc(QUERY_COUNT, sizeof *queries));
    struct setup setup = setup_new(source_count, mapping_count);
    cost_out->explicit_ns = measure_ns(&setup, ROUTER_TIER_EXPLICIT, queries);
    cost_out->mapped_ns = measure_ns(&setup, ROUTER_TIER_MAPPED, queries);
    cost_out->default_ns = measure_ns(&setup, ROUTER_TIER_DEFAULT, queries);
    cost_out->bytes_per_mapped =
        (double)router_memory_bytes(setup.router) / (double)(mapping_count ? mapping_count : 1);
    setup_free(&setup);
    free(queries);
}
