/* Merged answers that are still true. An answer is kept with the data versions that its sources had
 * before they were asked; while none has changed, a repeat of the request gets the same bytes. Any
 * thread. */
#ifndef CHATSTORE_SERVICE_MERGE_CACHE_H
#define CHATSTORE_SERVICE_MERGE_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct merge_cache;

/* What identifies an answer: the call, who may see which sources (access_audience), the request as
 * it came, and the versions of all sources. */
struct merge_key {
    unsigned call_id;
    uint64_t audience;
    const uint8_t *request;
    size_t request_bytes;
    const uint64_t *versions;
    size_t version_count;
};

/* An answer in the cache; stays while somebody holds it. */
struct merge_answer {
    const uint8_t *payload;
    size_t bytes;
};

/* Keep up to bytes_max in all; NULL for want of memory. */
struct merge_cache *merge_cache_new(size_t bytes_max);
void merge_cache_free(struct merge_cache *cache);

/* The answer, held by the caller until merge_cache_release; NULL: none, or the sources have
 * changed. */
const struct merge_answer *merge_cache_find(struct merge_cache *cache, const struct merge_key *key);
void merge_cache_release(const struct merge_answer *answer);

/* Keep a copy; does nothing if it is too large or there is no memory. */
void merge_cache_store(struct merge_cache *cache, const struct merge_key *key,
                       const uint8_t *payload, size_t bytes);

#endif
