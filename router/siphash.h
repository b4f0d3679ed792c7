/* SipHash-2-4 (Aumasson and Bernstein, 2012): a hash that cannot be aimed at by whoever does not
 * know its key. */
#ifndef CHATSTORE_ROUTER_SIPHASH_H
#define CHATSTORE_ROUTER_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

enum { SIPHASH_KEY_BYTES = 16 };

/* A key that nobody knows. Any thread, blocks on nothing. */
void siphash_make_key(uint8_t key[SIPHASH_KEY_BYTES]);

/* Any thread. `data` may be NULL if `bytes` is 0. */
uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], const uint8_t *data, size_t bytes);

#endif
