#include "bad_tokens.h"

#include "router/siphash.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8, SETS = BAD_TOKENS_ADDRESSES_MAX / WAYS };

struct suspect {
    uint64_t address; /* 0: free */
    int64_t since_ms; /* the minute began: with its first token, or with the one too many */
    int64_t heard_ms;
    uint32_t count;
};

struct bad_tokens {
    pthread_mutex_t lock;
    uint32_t max;
    uint8_t key[SIPHASH_KEY_BYTES]; /* so that nobody chooses addresses that drive others out */
    struct suspect sets[SETS][WAYS];
};

struct bad_tokens *bad_tokens_new(uint32_t max)
{
    struct bad_tokens *bad_tokens = calloc(1, sizeof *bad_tokens);
    if (!bad_tokens)
        return NULL;
    bad_tokens->max = max;
    siphash_make_key(bad_tokens->key);
    pthread_mutex_init(&bad_tokens->lock, NULL);
    return bad_tokens;
}

void bad_tokens_free(struct bad_tokens *bad_tokens)
{
    if (!bad_tokens)
        return;
    pthread_mutex_destroy(&bad_tokens->lock);
    free(bad_tokens);
}

static uint64_t number_of(const uint8_t *bytes, size_t count)
{
    uint64_t number = 0;
    for (size_t i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number != 0 ? number : 1;
}

uint64_t bad_tokens_address(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return number_of((const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr, 4);
    if (address->ss_family != AF_INET6)
        return 0;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_V4MAPPED(in6) ? number_of(in6->s6_addr + 12, 4) : number_of(in6->s6_addr, 8);
}

static struct suspect *set_of(struct bad_tokens *bad_tokens, uint64_t address)
{
    uint64_t hash = siphash(bad_tokens->key, (const uint8_t *)&address, sizeof address);
    return bad_tokens->sets[hash % SETS];
}

static bool is_over(const struct bad_tokens *bad_tokens, const struct suspect *suspect,
                    int64_t now_ms)
{
    return suspect->count >= bad_tokens->max && now_ms - suspect->since_ms < BAD_TOKENS_WINDOW_MS;
}

static struct suspect *find(struct suspect *set, uint64_t address)
{
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].address == address)
            return &set[i];
    }
    return NULL;
}

/* The one that was not heard of for longest makes room. */
static struct suspect *replace(struct suspect *set, uint64_t address, int64_t now_ms)
{
    struct suspect *oldest = set;
    for (size_t i = 1; i < WAYS; i++) {
        if (set[i].heard_ms < oldest->heard_ms)
            oldest = &set[i];
    }
    *oldest = (struct suspect){.address = address, .since_ms = now_ms};
    return oldest;
}

bool bad_tokens_note(struct bad_tokens *bad_tokens, uint64_t address, int64_t now_ms,
                     bool *reached_out)
{
    *reached_out = false;
    if (address == 0 || bad_tokens->max == 0)
        return false;
    pthread_mutex_lock(&bad_tokens->lock);
    struct suspect *set = set_of(bad_tokens, address);
    struct suspect *suspect = find(set, address);
    if (!suspect)
        suspect = replace(set, address, now_ms);
    if (now_ms - suspect->since_ms >= BAD_TOKENS_WINDOW_MS) {
        suspect->since_ms = now_ms;
        suspect->count = 0;
    }
    suspect->heard_ms = now_ms;
    if (suspect->count < bad_tokens->max && ++suspect->count == bad_tokens->max) {
        suspect->since_ms = now_ms;
        *reached_out = true;
    }
    bool over = is_over(bad_tokens, suspect, now_ms);
    pthread_mutex_unlock(&bad_tokens->lock);
    return over;
}

bool bad_tokens_refuses(struct bad_tokens *bad_tokens, uint64_t address, int64_t now_ms)
{
    if (address == 0 || bad_tokens->max == 0)
        return false;
    pthread_mutex_lock(&bad_tokens->lock);
    const struct suspect *suspect = find(set_of(bad_tokens, address), address);
    bool over = suspect && is_over(bad_tokens, suspect, now_ms);
    pthread_mutex_unlock(&bad_tokens->lock);
    return over;
}
