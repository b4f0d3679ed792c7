/* The connections that are open: how many, and which have been silent for long. Any thread; waits
 * for nothing but its own lock. */
#ifndef CHATSTORE_SERVICE_PIPES_H
#define CHATSTORE_SERVICE_PIPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pipes;

/* NULL: no memory. */
struct pipes *pipes_new(size_t count_max, size_t address_count_max);
void pipes_free(struct pipes *pipes); /* NULL is allowed */

/* peer: half_open_peer() of it, 0: not known. address: bad_tokens_address() of it, 0: it is none of
 * the network. */
enum pipes_outcome { PIPES_ADDED, PIPES_FULL, PIPES_ADDRESS_FULL, PIPES_NO_MEMORY };
enum pipes_outcome pipes_add(struct pipes *pipes, int id, bool is_network, uint64_t peer,
                             uint64_t address, int64_t now_ms);
void pipes_remove(struct pipes *pipes, int id);

/* A request of so many bytes came from it; its answer goes out; that has been taken over; or there
 * will be none. begin gives how many tokens that are nobody's it has sent before, answer how many
 * answers to it have not been taken over yet. */
unsigned pipes_begin(struct pipes *pipes, int id, size_t bytes, int64_t now_ms);
unsigned pipes_answer(struct pipes *pipes, int id);
void pipes_answered(struct pipes *pipes, int id, int64_t now_ms);
void pipes_drop(struct pipes *pipes, int id, int64_t now_ms);

/* So many more tokens that are nobody's came from it. */
void pipes_note_unknown(struct pipes *pipes, int id, unsigned count);

/* Of the network's, up to id_count that have sent nothing since then and wait for no answer. */
size_t pipes_list_silent(struct pipes *pipes, int64_t since_ms, int *ids, size_t id_count);

/* The peers of all of the network's, to be freed with free(); false: one is not known, or there is
 * no memory. */
struct pipe_peer {
    uint64_t peer;
    uint64_t frames, bytes; /* requests that came, and what they had together */
};
struct pipe_peers {
    struct pipe_peer *peers;
    size_t count;
};
bool pipes_list_peers(struct pipes *pipes, struct pipe_peers *peers_out);

size_t pipes_count(struct pipes *pipes);

#endif
