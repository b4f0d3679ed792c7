#include "access.h"

#include <errno.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_BYTES_MAX = 256 }; /* a longer one is none of ours, and is not hashed to its end */

struct access {
    const struct config *config;
    const struct config_client **by_hash;
    uint64_t *audiences; /* by client, in file order */
    uint64_t *sums;      /* likewise: different ones, different rights to read */
    bool *shows_all;
    _Atomic uint32_t *calls;
};

static int compare_hashes(const void *a, const void *b)
{
    const struct config_client *const *left = a;
    const struct config_client *const *right = b;
    return memcmp((*left)->token_hash, (*right)->token_hash, CONFIG_TOKEN_HASH_BYTES);
}

void access_hash(const char *token, size_t bytes, uint8_t hash[CONFIG_TOKEN_HASH_BYTES])
{
    if (mbedtls_sha256((const unsigned char *)token, bytes, hash, 0) != 0)
        abort(); /* only without a software SHA-256, which is built in */
}

static bool reads_the_same(const struct config *config, size_t a, size_t b)
{
    const uint8_t *left = config->clients[a].rights, *right = config->clients[b].rights;
    for (size_t i = 0; i < config->source_count; i++) {
        if ((left[i] ^ right[i]) & CONFIG_RIGHT_READ)
            return false;
    }
    return true;
}

static uint64_t sum_of_reads(const struct config *config, size_t client)
{
    uint64_t sum = 14695981039346656037U;
    for (size_t i = 0; i < config->source_count; i++)
        sum = (sum ^ (config->clients[client].rights[i] & CONFIG_RIGHT_READ)) * 1099511628211U;
    return sum;
}

static void note_views(struct access *access, size_t client)
{
    const struct config *config = access->config;
    bool reads_all = true, shows_all = true;
    for (size_t i = 0; i < config->source_count; i++) {
        reads_all = reads_all && config->clients[client].rights[i] & CONFIG_RIGHT_READ;
        shows_all = shows_all && config->clients[client].rights[i] != 0;
    }
    size_t first = 0;
    access->sums[client] = sum_of_reads(config, client);
    while (first < client &&
           (access->sums[first] != access->sums[client] || !reads_the_same(config, first, client)))
        first++;
    access->audiences[client] = reads_all ? 0 : first + 1;
    access->shows_all[client] = shows_all || config->clients[client].admin;
}

int access_new(const struct config *config, struct access **access_out)
{
    size_t count = config->client_count;
    *access_out = NULL;
    if (count == 0)
        return 0;
    struct access *access = calloc(1, sizeof *access);
    if (!access)
        return ENOMEM;
    access->config = config;
    access->by_hash = calloc(count, sizeof(struct config_client *));
    access->audiences = calloc(count, sizeof *access->audiences);
    access->sums = calloc(count, sizeof *access->sums);
    access->shows_all = calloc(count, sizeof *access->shows_all);
    access->calls = calloc(count, sizeof *access->calls);
    if (!access->by_hash || !access->audiences || !access->sums || !access->shows_all ||
        !access->calls) {
        access_free(access);
        return ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        access->by_hash[i] = &config->clients[i];
        note_views(access, i);
    }
    qsort(access->by_hash, count, sizeof(struct config_client *), compare_hashes);
    *access_out = access;
    return 0;
}

void access_free(struct access *access)
{
    if (!access)
        return;
    free(access->calls);
    free(access->shows_all);
    free(access->sums);
    free(access->audiences);
    free(access->by_hash);
    free(access);
}

/* Time depends on the length alone. */
static bool is_equal(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    unsigned difference = 0;
    for (size_t i = 0; i < bytes; i++)
        difference |= (unsigned)(a[i] ^ b[i]);
    return difference == 0;
}

/* The steps to the place in the list depend on the hash, of which a caller cannot choose the bits:
 * it tells nothing of the tokens. The last comparison is of all bytes, also when it is in vain. */
static const struct config_client *find_hash(const struct access *access, const uint8_t *hash)
{
    size_t low = 0, high = access->config->client_count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(access->by_hash[middle]->token_hash, hash, CONFIG_TOKEN_HASH_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct config_client *client = access->by_hash[low];
    return is_equal(client->token_hash, hash, CONFIG_TOKEN_HASH_BYTES) ? client : NULL;
}

const struct config_client *access_find(const struct access *access, const char *token,
                                        size_t bytes)
{
    uint8_t hash[CONFIG_TOKEN_HASH_BYTES];
    access_hash(token, bytes <= TOKEN_BYTES_MAX ? bytes : TOKEN_BYTES_MAX, hash);
    const struct config_client *client = find_hash(access, hash);
    return bytes <= TOKEN_BYTES_MAX ? client : NULL;
}

const struct config_client *access_find_again(const struct access *access,
                                              const struct config_client *client)
{
    return find_hash(access, client->token_hash);
}

_Atomic uint32_t *access_calls(struct access *access, const struct config_client *client)
{
    return &access->calls[client - access->config->clients];
}

bool access_allows(const struct config_client *client, enum config_right right, uint32_t source)
{
    return !client || (client->rights[source] & right) != 0;
}

bool access_shows(const struct config_client *client, uint32_t source)
{
    return !client || client->admin || client->rights[source] != 0;
}

bool access_allows_chat(const struct config_client *client, int64_t chat_id)
{
    size_t low = 0, high = client && client->has_chats ? client->chat_count : 0;
    if (!client || !client->has_chats)
        return true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (client->chats[middle] == chat_id)
            return true;
        if (client->chats[middle] < chat_id)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

uint64_t access_audience(const struct access *access, const struct config_client *client)
{
    return client ? access->audiences[client - access->config->clients] : 0;
}

bool access_shows_all(const struct access *access, const struct config_client *client)
{
    return !client || access->shows_all[client - access->config->clients];
}
