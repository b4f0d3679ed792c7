/* The routing decision: which source answers a call. A router is an immutable snapshot made from
 * one configuration; it knows sources by name and number only (their order in the configuration
 * file). The engine swaps whole routers on reload; a call keeps the one that it started with.
 *
 * Three tiers: a data_source given by the caller wins over everything; a chat id that is mapped
 * goes to its source; all else goes to the default source. Calls of scope ALL without a
 * data_source ask every source. */
#ifndef CHATSTORE_ROUTER_ROUTER_H
#define CHATSTORE_ROUTER_ROUTER_H

#include "proto/call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In router_mapping.source: the configuration maps this chat to a source that it does not define.
 * The chat then uses the default source, and each decision says so. */
#define ROUTER_SOURCE_UNKNOWN UINT32_MAX

struct router_source {
    const char *name; /* not empty, unique */
    bool readonly;
};

struct router_mapping {
    int64_t chat_id; /* at most one mapping for a chat */
    uint32_t source; /* number of a source, or ROUTER_SOURCE_UNKNOWN */
};

struct router_spec {
    const struct router_source *sources; /* in file order; at least one */
    size_t source_count;
    uint32_t default_source;
    const struct router_mapping *mappings; /* in any order; may be NULL if there are none */
    size_t mapping_count;
};

enum router_tier {
    ROUTER_TIER_EXPLICIT = 1, /* the caller named the source */
    ROUTER_TIER_MAPPED = 2,   /* the chat is mapped to the source */
    ROUTER_TIER_DEFAULT = 3,
    ROUTER_TIER_MERGED = 4, /* every source, in file order */
    ROUTER_TIER_SERVER = 5  /* no source: a call to the server itself */
};

/* Why a call went to the default source although something asked for another one. The caller of
 * router_route() counts these and logs them as warnings. */
enum router_fallback {
    ROUTER_FALLBACK_NONE = 0,
    ROUTER_FALLBACK_UNKNOWN_DATA_SOURCE = 1,
    ROUTER_FALLBACK_UNKNOWN_MAPPED_SOURCE = 2
};

struct router_query {
    enum call_scope scope;
    enum call_access access;
    bool has_chat_id;
    int64_t chat_id;         /* read only if has_chat_id */
    const char *data_source; /* NULL or "": not given */
};

/* The sources first, first + 1, ... first + count - 1 take part: one, or all for the tier MERGED,
 * or none for the tier SERVER. */
struct router_decision {
    enum router_tier tier;
    enum router_fallback fallback;
    uint32_t first;
    uint32_t count;
    bool refused_readonly; /* a write, and the source `first` is readonly: do not run it */
};

struct router;

/* Make a router; copies all that `spec` points to. Returns 0 and sets *router_out (free it with
 * router_free()), or ENOMEM, or EINVAL if the spec breaks one of the rules noted at its fields. */
int router_new(const struct router_spec *spec, struct router **router_out);

/* NULL is allowed. No router_route() may be under way. */
void router_free(struct router *router);

/* Decide. Always fills *out. Never allocates, locks or waits; any thread. A write is never merged:
 * with scope ALL and no data_source it goes to the default source. */
void router_route(const struct router *router, const struct router_query *query,
                  struct router_decision *out);

/* The number of the source with this name; false if there is none. Any thread. */
bool router_find(const struct router *router, const char *name, uint32_t *source_out);

/* Whether both route everything alike, to sources of the same names. */
bool router_is_alike(const struct router *a, const struct router *b);

size_t router_source_count(const struct router *router);
uint32_t router_default_source(const struct router *router);
/* Lives as long as the router; `source` < router_source_count(). */
const char *router_source_name(const struct router *router, uint32_t source);
bool router_source_readonly(const struct router *router, uint32_t source);

/* All memory that the router holds, in bytes. */
size_t router_memory_bytes(const struct router *router);

/* For logs: "explicit", "mapped", "default", "merged", "server"; "none", "unknown data_source",
 * "mapped to an unknown source". */
const char *router_tier_name(enum router_tier tier);
const char *router_fallback_name(enum router_fallback fallback);

#endif
