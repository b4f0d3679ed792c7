/* What the listener's files share. */
#ifndef CHATSTORE_SERVICE_LISTENER_INTERNAL_H
#define CHATSTORE_SERVICE_LISTENER_INTERNAL_H

#include "bad_tokens.h"
#include "half_open.h"
#include "listener.h"
#include "listener_addresses.h"
#include "pipes.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum {
    SPARE_FRAMES_MAX = 128, /* frames kept for the next requests; more are freed */
    EXTRA_EXCHANGES =
        64, /* beyond the calls admitted, so that one too many is answered, not left unread */
};

/* One request at a time: received, run, answered, and then the next. */
struct exchange {
    struct listener *listener;
    nng_ctx context;
    nng_aio *aio;
    nng_msg *request;
    size_t reply_bytes;
    _Atomic int unread_pipe; /* 0: no reply goes out */
    _Atomic int64_t unread_since_ms;
    struct frame *frame; /* borrowed from the listener's spare ones while a request is worked on */
    _Atomic enum exchange_state { RECEIVING, WORKING, SENDING } state;
};

struct listener {
    struct engine *engine;
    nng_socket socket;
    nng_duration reply_send_ms;
    struct addresses *addresses;
    struct pipes *pipes;
    struct bad_tokens *bad_tokens;
    struct half_open *half_open; /* NULL: nothing of the network is listened on */
    int64_t idle_ms;
    nng_aio *look_aio;
    _Atomic int own_pipe; /* of listener_ping_open(); 0: none */
    unsigned connection_replies_max;
    struct exchange *exchanges;
    size_t exchange_count, exchange_max;
    atomic_size_t requests; /* exchanges that have one */
    nng_aio *crowded_aio;
    atomic_bool crowded;  /* crowded_aio sleeps or runs */
    atomic_bool stopping; /* no more requests are taken */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* busy became 0 */
    size_t busy;         /* exchanges that have not stopped, and requests until they are sent off */
    struct frame *spare[SPARE_FRAMES_MAX];
    size_t spare_count;
};

nng_socket listener_socket(const struct listener *listener);

/* ---- listener_peer.c: who is at the other end ---- */

/* AF_UNSPEC: it is none of the internet. */
struct sockaddr_storage peer_address(nng_pipe pipe, bool *is_network_out);
void peer_name(nng_pipe pipe, char *text, size_t bytes);
bool peer_is_own(nng_pipe pipe); /* the server's own ping */

/* ---- listener_connections.c: which of them may be there, and for how long ---- */

/* Before there are any. Returns 0 or ENOMEM. */
int connections_watch(struct listener *listener, const struct config_limits *limits);
/* Of the exchange's connection, while it has a request: one came; its reply goes out, or, if false,
 * does not, as the connection has more of them than it may; it was answered, or will not be. */
void connections_request_comes(struct exchange *exchange);
bool connections_reply_goes(struct exchange *exchange);
void connections_request_ends(struct exchange *exchange);
int exchange_pipe(const struct exchange *exchange);

#endif
