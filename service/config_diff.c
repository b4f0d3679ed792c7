#include "service/config_diff.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES_MAX = 3, DETAIL_BYTES_MAX = 1024 };

/* A text in a buffer, cut when it is full. */
struct words {
    char text[DETAIL_BYTES_MAX];
    size_t bytes;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *words, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = sizeof words->text - words->bytes;
    int bytes = vsnprintf(words->text + words->bytes, room, format, args);
    va_end(args);
    if (bytes > 0)
        words->bytes += (size_t)bytes < room ? (size_t)bytes : room - 1;
}

static void list_add(struct config_diff *diff, struct config_change **list, size_t *count,
                     size_t *total, struct config_change change)
{
    if ((*total)++ >= CONFIG_CHANGES_MAX)
        return;
    if (!*list)
        *list = calloc(CONFIG_CHANGES_MAX, sizeof **list);
    change.detail = *list ? strdup(change.detail) : NULL;
    if (change.detail)
        (*list)[(*count)++] = change;
    else
        diff->failed = true;
}

static void add(struct config_diff *diff, const char *what, struct words *words)
{
    struct config_change change = {what, words->text};
    list_add(diff, &diff->changes, &diff->count, &diff->total, change);
}

static void add_restart(struct config_diff *diff, const char *what, struct words *words)
{
    struct config_change change = {what, words->text};
    list_add(diff, &diff->restart, &diff->restart_count, &diff->restart_total, change);
}

/* ---- Sources ---- */

static const struct config_source *find_source(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (strcmp(config->sources[i].name, name) == 0)
            return &config->sources[i];
    }
    return NULL;
}

static void say_change(struct words *words, const char *key, const char *before, const char *after)
{
    if (strcmp(before, after) != 0)
        say(words, "%s%s %s -> %s", words->bytes > 0 ? ", " : "", key, before, after);
}

static void say_number(struct words *words, const char *key, uint32_t before, uint32_t after)
{
    if (before != after)
        say(words, "%s%s %u -> %u", words->bytes > 0 ? ", " : "", key, before, after);
}

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

static void compare_source(struct config_diff *diff, const struct config_source *before,
                           const struct config_source *after)
{
    struct words words = {.bytes = 0};
    struct words named = {.bytes = 0};
    say_change(&words, "path", before->path, after->path);
    say_change(&words, "readonly", yes_no(before->readonly), yes_no(after->readonly));
    say_change(&words, "immutable", yes_no(before->immutable), yes_no(after->immutable));
    say_number(&words, "pool-size", before->pool_size, after->pool_size);
    say_number(&words, "timeout (ms)", before->timeout_ms, after->timeout_ms);
    say_change(&words, "journal-mode", config_journal_name(before->journal_mode),
               config_journal_name(after->journal_mode));
    say_change(&words, "synchronous", config_synchronous_name(before->synchronous),
               config_synchronous_name(after->synchronous));
    if (words.bytes == 0)
        return;
    say(&named, "%s: %s", after->name, words.text);
    if (before->memory && after->memory) /* it would begin empty */
        add_restart(diff, "source in memory changed", &named);
    else
        add(diff, "source changed", &named);
}

static void say_source(struct words *words, const struct config_source *source)
{
    say(words, "%s: %s%s", source->name, source->path, source->readonly ? ", readonly" : "");
}

/* Those that both have stand in another order among themselves. */
static bool is_order_changed(const struct config *before, const struct config *after)
{
    size_t last = 0;
    for (size_t i = 0; i < after->source_count; i++) {
        const struct config_source *source = find_source(before, after->sources[i].name);
        if (!source)
            continue;
        size_t place = (size_t)(source - before->sources);
        if (place < last)
            return true;
        last = place;
    }
    return false;
}

static void compare_sources(struct config_diff *diff, const struct config *before,
                            const struct config *after)
{
    for (size_t i = 0; i < after->source_count; i++) {
        struct words words = {.bytes = 0};
        const struct config_source *old = find_source(before, after->sources[i].name);
        if (old) {
            compare_source(diff, old, &after->sources[i]);
            continue;
        }
        say_source(&words, &after->sources[i]);
        add(diff, "source added", &words);
    }
    for (size_t i = 0; i < before->source_count; i++) {
        struct words words = {.bytes = 0};
        if (find_source(after, before->sources[i].name))
            continue;
        say_source(&words, &before->sources[i]);
        add(diff, "source removed", &words);
    }
    if (is_order_changed(before, after)) {
        struct words words = {.bytes = 0};
        for (size_t i = 0; i < after->source_count; i++)
            say(&words, "%s%s", i > 0 ? ", " : "", after->sources[i].name);
        add(diff, "order of the sources", &words);
    }
    const char *old_default = before->sources[before->default_source].name;
    const char *new_default = after->sources[after->default_source].name;
    if (strcmp(old_default, new_default) != 0) {
        struct words words = {.bytes = 0};
        say(&words, "%s -> %s", old_default, new_default);
        add(diff, "default source", &words);
    }
}

/* ---- Mappings ---- */

static int compare_chats(const void *a, const void *b)
{
    int64_t left = ((const struct config_mapping *)a)->chat_id;
    int64_t right = ((const struct config_mapping *)b)->chat_id;
    return (left > right) - (left < right);
}

static struct config_mapping *sort_mappings(const struct config *config)
{
    struct config_mapping *sorted = calloc(config->mapping_count + 1, sizeof *sorted);
    if (sorted && config->mapping_count > 0) {
        memcpy(sorted, config->mappings, config->mapping_count * sizeof *sorted);
        qsort(sorted, config->mapping_count, sizeof *sorted, compare_chats);
    }
    return sorted;
}

enum { ADDED, REMOVED, CHANGED, KINDS };

struct sides {
    const struct config *before, *after;
};

struct tally {
    size_t count;
    struct words examples;
};

/* before or after may be NULL: the chat is not mapped there. */
static void note_mapping(struct tally *tally, const struct sides *sides,
                         const struct config_mapping *before, const struct config_mapping *after)
{
    const char *from = before ? config_mapping_name(sides->before, before) : NULL;
    const char *to = after ? config_mapping_name(sides->after, after) : NULL;
    if (from && to && strcmp(from, to) == 0)
        return;
    tally += !before ? ADDED : !after ? REMOVED : CHANGED;
    if (tally->count++ >= EXAMPLES_MAX)
        return;
    struct words *words = &tally->examples;
    say(words, "%s%lld ", words->bytes > 0 ? ", " : "",
        (long long)(before ? before->chat_id : after->chat_id));
    if (before && after)
        say(words, "from %s to %s", from, to);
    else
        say(words, "%s %s", before ? "from" : "to", before ? from : to);
}

/* old and new are the mappings of both sides by chat. */
static void tally_mappings(struct tally *tally, const struct sides *sides,
                           const struct config_mapping *old, const struct config_mapping *new)
{
    size_t i = 0, j = 0, before_count = sides->before->mapping_count,
           after_count = sides->after->mapping_count;
    while (i < before_count || j < after_count) {
        int order = i == before_count ? 1 : j == after_count ? -1 : compare_chats(&old[i], &new[j]);
        note_mapping(tally, sides, order <= 0 ? &old[i] : NULL, order >= 0 ? &new[j] : NULL);
        i += order <= 0;
        j += order >= 0;
    }
}

static void compare_mappings(struct config_diff *diff, const struct config *before,
                             const struct config *after)
{
    static const char *const whats[KINDS] = {"chats mapped", "chats no longer mapped",
                                             "chats mapped elsewhere"};
    struct tally *tally = calloc(KINDS, sizeof *tally);
    struct config_mapping *old = sort_mappings(before);
    struct config_mapping *new = sort_mappings(after);
    if (tally && old && new)
        tally_mappings(tally, &(struct sides){before, after}, old, new);
    else
        diff->failed = true;
    for (int kind = 0; tally && kind < KINDS; kind++) {
        struct words words = {.bytes = 0};
        if (tally[kind].count == 0)
            continue;
        say(&words, "%zu: %s%s", tally[kind].count, tally[kind].examples.text,
            tally[kind].count > EXAMPLES_MAX ? ", ..." : "");
        add(diff, whats[kind], &words);
    }
    free(new);
    free(old);
    free(tally);
}

/* ---- Who may call ---- */

static const struct config_client *find_client(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->client_count; i++) {
        if (strcmp(config->clients[i].name, name) == 0)
            return &config->clients[i];
    }
    return NULL;
}

static void say_rights(struct words *words, const struct config *config,
                       const struct config_client *client, uint8_t right)
{
    bool first = true;
    if (client->rights_all & right) {
        say(words, "all");
        return;
    }
    for (size_t i = 0; i < config->source_count; i++) {
        if (client->rights[i] & right)
            say(words, "%s%s", first ? "" : "+", config->sources[i].name);
        first = first && !(client->rights[i] & right);
    }
    if (first)
        say(words, "none");
}

static bool has_same_chats(const struct config_client *before, const struct config_client *after)
{
    return before->has_chats == after->has_chats && before->chat_count == after->chat_count &&
           (before->chat_count == 0 ||
            memcmp(before->chats, after->chats, before->chat_count * sizeof *before->chats) == 0);
}

static void compare_client(struct config_diff *diff, const struct config *before,
                           const struct config_client *old, const struct config *after,
                           const struct config_client *new)
{
    static const struct {
        const char *name;
        uint8_t right;
    } rights[] = {{"read", CONFIG_RIGHT_READ}, {"write", CONFIG_RIGHT_WRITE}};
    struct words words = {.bytes = 0};
    struct words named = {.bytes = 0};
    if (memcmp(old->token_hash, new->token_hash, sizeof old->token_hash) != 0)
        say(&words, "another token");
    for (size_t i = 0; i < 2; i++) {
        struct words had = {.bytes = 0}, has = {.bytes = 0};
        say_rights(&had, before, old, rights[i].right);
        say_rights(&has, after, new, rights[i].right);
        say_change(&words, rights[i].name, had.text, has.text);
    }
    say_change(&words, "admin", yes_no(old->admin), yes_no(new->admin));
    if (old->calls_in_flight_max != new->calls_in_flight_max)
        say(&words, "%scalls_in_flight_max %u -> %u", words.bytes > 0 ? ", " : "",
            old->calls_in_flight_max, new->calls_in_flight_max);
    if (!has_same_chats(old, new))
        say(&words, "%sother chats", words.bytes > 0 ? ", " : "");
    if (words.bytes == 0)
        return;
    say(&named, "%s: %s", new->name, words.text);
    add(diff, "client changed", &named);
}

static void note_client(struct config_diff *diff, const char *what, const char *name)
{
    struct words words = {.bytes = 0};
    say(&words, "%s", name);
    add(diff, what, &words);
}

static void compare_clients(struct config_diff *diff, const struct config *before,
                            const struct config *after)
{
    for (size_t i = 0; i < after->client_count; i++) {
        const struct config_client *new = &after->clients[i];
        const struct config_client *old = find_client(before, new->name);
        if (old)
            compare_client(diff, before, old, after, new);
        else
            note_client(diff, "client added", new->name);
    }
    for (size_t i = 0; i < before->client_count; i++) {
        if (!find_client(after, before->clients[i].name))
            note_client(diff, "client removed", before->clients[i].name);
    }
}

static const char *or_none(const char *path)
{
    return path ? path : "none";
}

static void compare_paths(struct config_diff *diff, const struct config *before,
                          const struct config *after)
{
    struct words tls = {.bytes = 0}, audit = {.bytes = 0};
    say_change(&tls, "certificate", or_none(before->tls.certificate),
               or_none(after->tls.certificate));
    say_change(&tls, "key", or_none(before->tls.key), or_none(after->tls.key));
    say_change(&tls, "client-ca", or_none(before->tls.client_ca), or_none(after->tls.client_ca));
    say_change(&tls, "client-certificates",
               config_client_certificates_name(before->tls.client_certificates),
               config_client_certificates_name(after->tls.client_certificates));
    if (tls.bytes > 0)
        add(diff, "service.tls", &tls);
    say_change(&audit, "path", or_none(before->audit_path), or_none(after->audit_path));
    say_change(&audit, "required", yes_no(before->audit_required), yes_no(after->audit_required));
    if (audit.bytes > 0)
        add(diff, "service.audit", &audit);
}

/* ---- What is read at the start only ---- */

static void say_urls(struct words *words, const struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++)
        say(words, "%s%s", i > 0 ? ", " : "", config->listen[i]);
    if (config->listen_count == 0)
        say(words, "none");
}

static bool has_same_urls(const struct config *before, const struct config *after)
{
    bool same = before->listen_count == after->listen_count;
    for (size_t i = 0; same && i < before->listen_count; i++)
        same = strcmp(before->listen[i], after->listen[i]) == 0;
    return same;
}

static void compare_start(struct config_diff *diff, const struct config *before,
                          const struct config *after)
{
    if (!has_same_urls(before, after)) {
        struct words words = {.bytes = 0};
        say_urls(&words, before);
        say(&words, " -> ");
        say_urls(&words, after);
        add_restart(diff, "service.listen", &words);
    }
    if (before->insecure_listen != after->insecure_listen) {
        struct words words = {.bytes = 0};
        say(&words, "%s -> %s", yes_no(before->insecure_listen), yes_no(after->insecure_listen));
        add_restart(diff, "service.insecure-listen", &words);
    }
    const struct config_limits *old = &before->limits, *new = &after->limits;
#define COMPARE_LIMIT(key, initial, min, max, meaning)                                             \
    if (old->key != new->key) {                                                                    \
        struct words words = {.bytes = 0};                                                         \
        say(&words, "%u -> %u", old->key, new->key);                                               \
        add_restart(diff, "service.limits." #key, &words);                                         \
    }
    CONFIG_LIMITS(COMPARE_LIMIT)
#undef COMPARE_LIMIT
}

void config_diff_init(struct config_diff *diff, const struct config *before,
                      const struct config *after)
{
    *diff = (struct config_diff){0};
    compare_sources(diff, before, after);
    compare_mappings(diff, before, after);
    compare_clients(diff, before, after);
    compare_paths(diff, before, after);
    compare_start(diff, before, after);
}

static void free_list(struct config_change *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].detail);
    free(list);
}

void config_diff_fini(struct config_diff *diff)
{
    free_list(diff->changes, diff->count);
    free_list(diff->restart, diff->restart_count);
}
