/* Who may do what: the clients of one configuration, found by their tokens. Immutable, but for the
 * numbers of calls; any thread;
 * nothing here allocates but access_new(). A client that is NULL may do everything: there are no
 * clients, or the caller has the files open in its own process anyway. */
#ifndef CHATSTORE_SERVICE_ACCESS_H
#define CHATSTORE_SERVICE_ACCESS_H

#include "service/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct access;

/* The clients of the configuration, which must outlive it; *access_out is NULL if it has none.
 * Returns 0 or ENOMEM. */
int access_new(const struct config *config, struct access **access_out);
void access_free(struct access *access); /* NULL is allowed */

/* The client of the token; NULL: no such token. Takes the same time for all tokens of one length,
 * whether known or not. */
const struct config_client *access_find(const struct access *access, const char *token,
                                        size_t bytes);

/* The client with the same token here, of another configuration; NULL: none has it any more. */
const struct config_client *access_find_again(const struct access *access,
                                              const struct config_client *client);

/* How many calls of the client are in flight; whoever admits and ends them counts. */
_Atomic uint32_t *access_calls(struct access *access, const struct config_client *client);

bool access_allows(const struct config_client *client, enum config_right right, uint32_t source);
bool access_allows_chat(const struct config_client *client, int64_t chat_id);

/* Whether the client may know that the source exists. */
bool access_shows(const struct config_client *client, uint32_t source);

/* Clients that read the same sources, in one configuration, have the same number here; 0: all. */
uint64_t access_audience(const struct access *access, const struct config_client *client);
bool access_shows_all(const struct access *access, const struct config_client *client);

/* SHA-256 of the token's characters, as in token-hash. */
void access_hash(const char *token, size_t bytes, uint8_t hash[CONFIG_TOKEN_HASH_BYTES]);

#endif
