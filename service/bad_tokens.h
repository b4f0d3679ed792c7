/* Addresses of the network from which tokens come that nobody has: after so many within a minute,
 * an address is refused for a minute. Bounded memory: of too many addresses, those that were heard
 * of last are kept. Any thread; waits for nothing but its own lock. */
#ifndef CHATSTORE_SERVICE_BAD_TOKENS_H
#define CHATSTORE_SERVICE_BAD_TOKENS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { BAD_TOKENS_WINDOW_MS = 60000, BAD_TOKENS_ADDRESSES_MAX = 4096 };

struct bad_tokens;

/* At most `max` a minute; 0: any number. NULL: no memory. */
struct bad_tokens *bad_tokens_new(uint32_t max);
void bad_tokens_free(struct bad_tokens *bad_tokens); /* NULL is allowed */

/* The IPv4 address, also one that is mapped into IPv6, or the first 64 bits of an IPv6 address:
 * what one network hands out to one machine. 0: it is none of the internet, and never refused. */
uint64_t bad_tokens_address(const struct sockaddr_storage *address);

/* One more came from there. *reached_out: with this one the address is refused. Returns whether it
 * is. */
bool bad_tokens_note(struct bad_tokens *bad_tokens, uint64_t address, int64_t now_ms,
                     bool *reached_out);

bool bad_tokens_refuses(struct bad_tokens *bad_tokens, uint64_t address, int64_t now_ms);

#endif
