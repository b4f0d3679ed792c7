#include "merge_cache.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 256, SHARE = 4 /* of the whole, at most, for one answer */ };

/* One allocation: this, the versions, the request, the payload. Held by the cache (if it is in
 * there) and by readers. */
struct entry {
    struct merge_answer answer; /* first: what callers get */
    _Atomic unsigned holders;
    struct entry *newer, *older;
    size_t all_bytes;
    struct merge_key key; /* points behind this struct */
};

struct merge_cache {
    pthread_mutex_t lock;
    struct entry *newest, *oldest; /* by last use */
    unsigned count;
    size_t bytes, bytes_max;
};

static void release(struct entry *entry)
{
    if (--entry->holders == 0)
        free(entry);
}

static void take_out(struct merge_cache *cache, struct entry *entry)
{
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    cache->count--;
    cache->bytes -= entry->all_bytes;
}

static void put_first(struct merge_cache *cache, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
    cache->count++;
    cache->bytes += entry->all_bytes;
}

static bool is_same_request(const struct merge_key *a, const struct merge_key *b)
{
    return a->call_id == b->call_id && a->audience == b->audience &&
           a->request_bytes == b->request_bytes &&
           (a->request_bytes == 0 || memcmp(a->request, b->request, a->request_bytes) == 0);
}

static bool has_same_versions(const struct merge_key *a, const struct merge_key *b)
{
    return a->version_count == b->version_count &&
           memcmp(a->versions, b->versions, a->version_count * sizeof *a->versions) == 0;
}

static struct entry *search(struct merge_cache *cache, const struct merge_key *key)
{
    struct entry *entry = cache->newest;
    while (entry && !is_same_request(&entry->key, key))
        entry = entry->older;
    return entry;
}

struct merge_cache *merge_cache_new(size_t bytes_max)
{
    struct merge_cache *cache = calloc(1, sizeof *cache);
    if (cache) {
        cache->bytes_max = bytes_max;
        pthread_mutex_init(&cache->lock, NULL);
    }
    return cache;
}

void merge_cache_free(struct merge_cache *cache)
{
    if (!cache)
        return;
    for (struct entry *entry = cache->newest; entry;) {
        struct entry *older = entry->older;
        release(entry);
        entry = older;
    }
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

const struct merge_answer *merge_cache_find(struct merge_cache *cache, const struct merge_key *key)
{
    pthread_mutex_lock(&cache->lock);
    struct entry *entry = search(cache, key);
    bool fresh = entry && has_same_versions(&entry->key, key);
    if (entry) {
        take_out(cache, entry);
        if (fresh) {
            entry->holders++;
            put_first(cache, entry);
        }
    }
    pthread_mutex_unlock(&cache->lock);
    if (entry && !fresh)
        release(entry);
    return fresh ? &entry->answer : NULL;
}

void merge_cache_release(const struct merge_answer *answer)
{
    if (answer)
        release((struct entry *)answer);
}

static struct entry *entry_new(const struct merge_key *key, const uint8_t *payload, size_t bytes)
{
    size_t versions_bytes = key->version_count * sizeof *key->versions;
    size_t all_bytes = sizeof(struct entry) + versions_bytes + key->request_bytes + bytes;
    struct entry *entry = malloc(all_bytes);
    if (!entry)
        return NULL;
    uint64_t *versions = (uint64_t *)(entry + 1);
    uint8_t *request = (uint8_t *)(versions + key->version_count);
    uint8_t *copy = request + key->request_bytes;
    memcpy(versions, key->versions, versions_bytes);
    if (key->request_bytes > 0) /* an empty one has no address */
        memcpy(request, key->request, key->request_bytes);
    if (bytes > 0)
        memcpy(copy, payload, bytes);
    *entry = (struct entry){
        .answer = {copy, bytes},
        .holders = 1,
        .all_bytes = all_bytes,
        .key = {key->call_id, key->audience, request, key->request_bytes, versions,
                key->version_count},
    };
    return entry;
}

void merge_cache_store(struct merge_cache *cache, const struct merge_key *key,
                       const uint8_t *payload, size_t bytes)
{
    struct entry *entry = entry_new(key, payload, bytes);
    if (!entry)
        return;
    if (entry->all_bytes > cache->bytes_max / SHARE) {
        release(entry);
        return;
    }
    struct entry *dropped = NULL; /* linked by `older`, to be released without the lock */
    pthread_mutex_lock(&cache->lock);
    struct entry *before = search(cache, key);
    while (before || (cache->oldest && (cache->count == ENTRIES_MAX ||
                                        cache->bytes + entry->all_bytes > cache->bytes_max))) {
        struct entry *victim = before ? before : cache->oldest;
        take_out(cache, victim);
        victim->older = dropped;
        dropped = victim;
        before = NULL;
    }
    put_first(cache, entry);
    pthread_mutex_unlock(&cache->lock);
    while (dropped) {
        struct entry *next = dropped->older;
        release(dropped);
        dropped = next;
    }
}
