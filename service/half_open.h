/* Connections of the network that stop in the middle: of the TLS or HTTP handshake, so that they
 * never become a client's, or of a frame. nng keeps them, and what came of the frame, for as long
 * as the peer likes and shows neither to anybody, so they are found among the process's own
 * sockets. */
#ifndef CHATSTORE_SERVICE_HALF_OPEN_H
#define CHATSTORE_SERVICE_HALF_OPEN_H

#include "pipes.h"

#include <stdint.h>
#include <sys/socket.h>

struct half_open;

/* A number that stands for a peer's address and port; never 0. */
uint64_t half_open_peer(const struct sockaddr_storage *address);

/* Close what comes to these local ports and is no pipe after handshake_ms, or is one and has begun
 * a frame (of which 32 KiB or more have come) that is not complete after frame_ms. Ports are in
 * network order; pipes must stay. Starts a thread. Returns 0 or an errno. */
int half_open_start(struct pipes *pipes, const uint16_t *ports, size_t port_count,
                    unsigned handshake_ms, unsigned frame_ms, struct half_open **half_open_out);
void half_open_stop(struct half_open *half_open); /* NULL is allowed */

#endif
