#include "listener.h"

#include "bad_tokens.h"
#include "half_open.h"
#include "listener_addresses.h"
#include "listener_internal.h"
#include "listener_threads.h"
#include "pipes.h"

#include "pool/clock.h"
#include "pool/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LARGE_BYTES = 64 << 10, /* of requests that are not kept beside what was made of them */
    SPARE_FRAMES_MAX = 128, /* frames kept for the next requests; more are freed */
    EXTRA_EXCHANGES =
        64, /* beyond the calls admitted, so that one too many is answered, not left unread */
    UNKNOWN_TOKENS_MAX = 5, /* from one connection; then it is closed */
    LOOK_MS_MAX = 5000,     /* how often silent connections are looked for */
    CLOSE_AT_ONCE_MAX = 64,
    CROWDED_SEND_MS = 250, /* how long a reply waits when hardly an exchange is left for others */
    CROWDED_LOOK_MS = 50,
    PORTS_MAX = 256,
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

/* ---- Frames ---- */

static void exchange_done(struct frame *frame, void *arg);
static void exchange_read(void *arg);

static struct frame *take_frame(struct listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    struct frame *frame =
        listener->spare_count > 0 ? listener->spare[--listener->spare_count] : NULL;
    listener->busy++;
    pthread_mutex_unlock(&listener->lock);
    if (frame)
        return frame;
    frame = frame_new(listener->engine, exchange_done);
    if (frame)
        frame_set_read(frame, exchange_read);
    return frame;
}

static void give_frame(struct listener *listener, struct frame *frame)
{
    pthread_mutex_lock(&listener->lock);
    if (listener->spare_count < SPARE_FRAMES_MAX) {
        listener->spare[listener->spare_count++] = frame;
        frame = NULL;
    }
    pthread_mutex_unlock(&listener->lock);
    frame_free(frame);
}

/* ---- Who is at the other end ---- */

/* AF_UNSPEC: it is none of the internet. */
static struct sockaddr_storage peer_address(nng_pipe pipe, bool *is_network_out)
{
    nng_sockaddr address;
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &address) != 0)
        address.s_family = NNG_AF_UNSPEC;
    *is_network_out = address.s_family != NNG_AF_IPC;
    return address_plain(&address);
}

static int pipe_of(const struct exchange *exchange)
{
    return nng_pipe_id(nng_msg_get_pipe(exchange->request));
}

static bool name_address(nng_pipe pipe, char *text, size_t bytes)
{
    bool is_network;
    struct sockaddr_storage address = peer_address(pipe, &is_network);
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
    char host[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_INET && inet_ntop(AF_INET, &in->sin_addr, host, sizeof host))
        snprintf(text, bytes, "%s:%u", host, ntohs(in->sin_port));
    else if (address.ss_family == AF_INET6 &&
             inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host))
        snprintf(text, bytes, "[%s]:%u", host, ntohs(in6->sin6_port));
    return host[0] != '\0';
}

static void name_pipe(nng_pipe pipe, char *text, size_t bytes)
{
    uint64_t user, process;
    if (name_address(pipe, text, bytes))
        return;
    if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &user) == 0 &&
        nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_PID, &process) == 0)
        snprintf(text, bytes, "unix uid=%llu pid=%llu", (unsigned long long)user,
                 (unsigned long long)process);
    else
        snprintf(text, bytes, "%s", "gone");
}

/* The engine's namer: of an exchange with a request. */
static void name_peer(void *arg, char *text, size_t bytes)
{
    const struct exchange *exchange = arg;
    name_pipe(nng_msg_get_pipe(exchange->request), text, bytes);
}

/* ---- Clients that do not read ---- */

static bool is_crowded(const struct listener *listener)
{
    return listener->requests + EXTRA_EXCHANGES / 2 > listener->exchange_max;
}

/* Close the connections whose replies hold the exchanges that others need. */
static void close_unread(struct listener *listener)
{
    static struct log_limit limit = {.burst = 1};
    int64_t since_ms = clock_now_ms() - CROWDED_SEND_MS;
    int last = 0;
    for (size_t i = 0; i < listener->exchange_max; i++) {
        /* Whichever exchange is on: what it waits for since then was for this pipe (reply_goes). */
        int id = listener->exchanges[i].unread_pipe;
        if (id == 0 || id == last || listener->exchanges[i].unread_since_ms > since_ms)
            continue;
        char peer[128];
        nng_pipe pipe = {.id = (uint32_t)id};
        last = id;
        name_pipe(pipe, peer, sizeof peer);
        if (nng_pipe_close(pipe) == 0)
            log_limited(&limit, LOG_WARN,
                        "%s does not read its replies while others wait: the connection is closed",
                        peer);
    }
}

static void look_later_for_unread(struct listener *listener)
{
    if (is_crowded(listener) && !atomic_exchange(&listener->crowded, true))
        nng_sleep_aio(CROWDED_LOOK_MS, listener->crowded_aio);
}

static void look_for_unread(void *arg)
{
    struct listener *listener = arg;
    if (nng_aio_result(listener->crowded_aio) != 0)
        return;
    close_unread(listener);
    listener->crowded = false; /* first: a request that comes now must begin the next look */
    look_later_for_unread(listener);
}

/* False: its connection has more of them than it may, so it gets none. */
static bool reply_goes(struct exchange *exchange)
{
    static struct log_limit limit = {.burst = 1};
    struct listener *listener = exchange->listener;
    int id = pipe_of(exchange);
    unsigned unread = pipes_answer(listener->pipes, id);
    exchange->unread_since_ms = clock_now_ms(); /* before the pipe, see close_unread() */
    exchange->unread_pipe = id;
    if (unread == listener->connection_replies_max + 1) {
        char peer[128];
        name_peer(exchange, peer, sizeof peer);
        log_limited(&limit, LOG_WARN,
                    "%s has %u replies that it does not read (connection_replies_max): the "
                    "connection is closed",
                    peer, listener->connection_replies_max);
    }
    return unread <= listener->connection_replies_max;
}

static void request_comes(struct exchange *exchange)
{
    exchange->listener->requests++;
    look_later_for_unread(exchange->listener);
}

/* It was answered, or will not be. */
static void request_ends(struct exchange *exchange)
{
    struct listener *listener = exchange->listener;
    if (exchange->unread_pipe != 0)
        pipes_answered(listener->pipes, pipe_of(exchange), clock_now_ms());
    else
        pipes_drop(listener->pipes, pipe_of(exchange), clock_now_ms());
    exchange->unread_pipe = 0;
    listener->requests--;
}

/* ---- One request after the other ---- */

/* An exchange has stopped, or a thread has sent a reply off: it uses no context any more. */
static void listener_leave(struct listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    if (--listener->busy == 0)
        pthread_cond_broadcast(&listener->idle);
    pthread_mutex_unlock(&listener->lock);
}

static void exchange_receive(struct exchange *exchange)
{
    exchange->state = RECEIVING;
    nng_aio_set_timeout(exchange->aio, NNG_DURATION_INFINITE);
    nng_ctx_recv(exchange->context, exchange->aio);
    /* Looked at afterwards: either this or listener_stop sees the other. */
    if (exchange->listener->stopping)
        nng_aio_cancel(exchange->aio);
}

/* The request's token is nobody's. A peer that is gone by now is not counted: it will not learn
 * what its token was worth either. */
static void note_unknown(const struct exchange *exchange)
{
    static struct log_limit limit = {.burst = 1};
    struct listener *listener = exchange->listener;
    nng_pipe pipe = nng_msg_get_pipe(exchange->request);
    bool is_network, reached;
    struct sockaddr_storage address = peer_address(pipe, &is_network);
    bool over = bad_tokens_note(listener->bad_tokens, bad_tokens_address(&address), clock_now_ms(),
                                &reached);
    pipes_note_unknown(listener->pipes, pipe_of(exchange), over ? UNKNOWN_TOKENS_MAX : 1);
    if (!reached)
        return;
    char peer[128];
    name_peer((void *)exchange, peer, sizeof peer);
    log_limited(&limit, LOG_WARN,
                "%s: too many tokens that nobody has came from this address within a minute "
                "(bad_tokens_per_minute_max): its new connections are closed for a minute",
                peer);
}

/* The request is not answered: its connection ends. */
static void exchange_refuse(struct exchange *exchange)
{
    request_ends(exchange);
    nng_pipe_close(nng_msg_get_pipe(exchange->request));
    nng_msg_free(exchange->request);
    exchange->request = NULL;
    exchange_receive(exchange);
}

/* The request was worked on, and its reply is thrown away. */
static void exchange_drop(struct exchange *exchange)
{
    struct listener *listener = exchange->listener;
    struct frame *frame = exchange->frame;
    frame_reply_drop(frame);
    exchange->frame = NULL;
    give_frame(listener, frame);
    exchange_refuse(exchange);
    listener_leave(listener);
}

/* The one place where replies leave. */
static void exchange_done(struct frame *frame, void *arg)
{
    struct exchange *exchange = arg;
    struct listener *listener = exchange->listener;
    nng_msg *reply;
    exchange->frame = frame;
    if (frame_is_unknown(frame)) /* before the peer can know */
        note_unknown(exchange);
    if (!reply_goes(exchange)) {
        exchange_drop(exchange);
        return;
    }
    if (nng_msg_alloc(&reply, frame_reply_bytes(frame)) != 0) {
        log_line(LOG_ERROR, "no memory for a reply of %zu bytes: the connection is closed",
                 frame_reply_bytes(frame));
        exchange_drop(exchange);
        return;
    }
    frame_reply_pack(frame, nng_msg_body(reply));
    exchange->state = SENDING;
    exchange->reply_bytes = nng_msg_len(reply);
    engine_count_reply(listener->engine, (int64_t)exchange->reply_bytes);
    nng_aio_set_msg(exchange->aio, reply);
    nng_aio_set_timeout(exchange->aio, listener->reply_send_ms);
    nng_ctx_send(exchange->context, exchange->aio);
    listener_leave(listener);
}

/* Of a large request only the pipe is kept. */
static void exchange_read(void *arg)
{
    struct exchange *exchange = arg;
    nng_msg *rest;
    if (nng_msg_len(exchange->request) <= LARGE_BYTES || nng_msg_alloc(&rest, 0) != 0)
        return;
    nng_msg_set_pipe(rest, nng_msg_get_pipe(exchange->request));
    nng_msg_free(exchange->request);
    exchange->request = rest;
}

static void exchange_received(struct exchange *exchange)
{
    struct listener *listener = exchange->listener;
    exchange->request = nng_aio_get_msg(exchange->aio);
    exchange->state = WORKING;
    request_comes(exchange);
    unsigned unknown = pipes_begin(listener->pipes, pipe_of(exchange),
                                   nng_msg_len(exchange->request), clock_now_ms());
    /* Who tries tokens has to connect for every few of them. */
    if (unknown >= UNKNOWN_TOKENS_MAX) {
        static struct log_limit limit = {.burst = 1};
        char peer[128];
        name_peer(exchange, peer, sizeof peer);
        log_limited(&limit, LOG_WARN, "%s sent %u frames with tokens that nobody has: it is closed",
                    peer, unknown);
        exchange_refuse(exchange);
        return;
    }
    struct frame *frame = take_frame(listener);
    if (frame) {
        frame_set_own(frame, pipe_of(exchange) == listener->own_pipe);
        frame_run(frame, nng_msg_body(exchange->request), nng_msg_len(exchange->request), exchange);
        return;
    }
    log_line(LOG_ERROR, "no memory for a request: the connection is closed");
    listener_leave(listener); /* take_frame() counted it */
    exchange_refuse(exchange);
}

static void exchange_sent(struct exchange *exchange, int error)
{
    request_ends(exchange);
    engine_count_reply(exchange->listener->engine, -(int64_t)exchange->reply_bytes);
    if (error != 0) {
        nng_msg_free(nng_aio_get_msg(exchange->aio)); /* still ours */
        if (error == NNG_ETIMEDOUT) {
            static struct log_limit limit = {.burst = 1};
            log_limited(
                &limit, LOG_WARN,
                "a client does not read its reply (reply_send_ms): the connection is closed");
            nng_pipe_close(nng_msg_get_pipe(exchange->request));
        }
    }
    nng_msg_free(exchange->request);
    struct frame *frame = exchange->frame;
    exchange->request = NULL;
    exchange->frame = NULL;
    give_frame(exchange->listener, frame);
    if (error == NNG_ECLOSED)
        listener_leave(exchange->listener);
    else
        exchange_receive(exchange);
}

static void exchange_cb(void *arg)
{
    struct exchange *exchange = arg;
    int error = nng_aio_result(exchange->aio);
    if (exchange->state == SENDING)
        exchange_sent(exchange, error);
    else if (error == 0)
        exchange_received(exchange);
    else if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        listener_leave(exchange->listener);
    else
        exchange_receive(exchange);
}

/* ---- Connections ---- */

static bool is_own(nng_pipe pipe)
{
    nng_sockaddr address;
    return nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &address) == 0 &&
           address.s_family == NNG_AF_INPROC;
}

static void say_refused(struct listener *listener, nng_pipe pipe, enum pipes_outcome why)
{
    static struct log_limit full = {.burst = 1}, address_full = {.burst = 1};
    char peer[128];
    name_pipe(pipe, peer, sizeof peer);
    if (why == PIPES_ADDRESS_FULL)
        log_limited(&address_full, LOG_WARN,
                    "a connection of %s is closed at once: its address has as many as it may "
                    "(connections_per_address_max)",
                    peer);
    else
        log_limited(&full, LOG_WARN, "a connection is closed at once: there are %zu (%s)",
                    pipes_count(listener->pipes),
                    why == PIPES_FULL ? "connections_max" : "no memory");
}

static void pipe_added(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct listener *listener = arg;
    bool is_network;
    struct sockaddr_storage address = peer_address(pipe, &is_network);
    uint64_t origin = bad_tokens_address(&address);
    int64_t now_ms = clock_now_ms();
    (void)event;
    if (is_own(pipe)) { /* takes no client's place */
        listener->own_pipe = nng_pipe_id(pipe);
        return;
    }
    if (bad_tokens_refuses(listener->bad_tokens, origin, now_ms)) {
        nng_pipe_close(pipe);
        return;
    }
    uint64_t peer = address.ss_family != AF_UNSPEC ? half_open_peer(&address) : 0;
    enum pipes_outcome outcome =
        pipes_add(listener->pipes, nng_pipe_id(pipe), is_network, peer, origin, now_ms);
    if (outcome == PIPES_ADDED)
        return;
    say_refused(listener, pipe, outcome);
    nng_pipe_close(pipe);
}

static void pipe_removed(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct listener *listener = arg;
    (void)event;
    if (nng_pipe_id(pipe) == listener->own_pipe)
        listener->own_pipe = 0;
    pipes_remove(listener->pipes, nng_pipe_id(pipe));
}

static void look_later(struct listener *listener)
{
    int64_t wait_ms = listener->idle_ms / 4;
    nng_sleep_aio(wait_ms < LOOK_MS_MAX ? (nng_duration)wait_ms : LOOK_MS_MAX, listener->look_aio);
}

/* A peer that is gone without a word, over TLS also one that was killed, would be kept for good. */
static void look_for_silent(void *arg)
{
    struct listener *listener = arg;
    int ids[CLOSE_AT_ONCE_MAX];
    if (nng_aio_result(listener->look_aio) != 0)
        return;
    size_t count = pipes_list_silent(listener->pipes, clock_now_ms() - listener->idle_ms, ids,
                                     CLOSE_AT_ONCE_MAX);
    for (size_t i = 0; i < count; i++)
        nng_pipe_close((nng_pipe){.id = (uint32_t)ids[i]});
    if (count > 0)
        log_line(LOG_DEBUG, "%zu silent connections are closed (idle_ms)", count);
    look_later(listener);
}

static int watch_pipes(struct listener *listener, const struct config_limits *limits)
{
    listener->idle_ms = limits->idle_ms;
    listener->pipes = pipes_new(limits->connections_max, limits->connections_per_address_max);
    listener->bad_tokens = bad_tokens_new(limits->bad_tokens_per_minute_max);
    if (!listener->pipes || !listener->bad_tokens ||
        nng_aio_alloc(&listener->look_aio, look_for_silent, listener) != 0 ||
        nng_aio_alloc(&listener->crowded_aio, look_for_unread, listener) != 0 ||
        nng_pipe_notify(listener->socket, NNG_PIPE_EV_ADD_PRE, pipe_added, listener) != 0 ||
        nng_pipe_notify(listener->socket, NNG_PIPE_EV_REM_POST, pipe_removed, listener) != 0)
        return ENOMEM;
    look_later(listener);
    return 0;
}

/* ---- Its life ---- */

/* More of them, up to count in all. */
static int start_exchanges(struct listener *listener, size_t count)
{
    size_t first = listener->exchange_count;
    for (; listener->exchange_count < count; listener->exchange_count++) {
        struct exchange *exchange = &listener->exchanges[listener->exchange_count];
        exchange->listener = listener;
        if (nng_ctx_open(&exchange->context, listener->socket) != 0)
            return ENOMEM;
        if (nng_aio_alloc(&exchange->aio, exchange_cb, exchange) != 0) {
            nng_ctx_close(exchange->context);
            return ENOMEM;
        }
    }
    pthread_mutex_lock(&listener->lock);
    listener->busy += count - first;
    pthread_mutex_unlock(&listener->lock);
    for (size_t i = first; i < count; i++)
        exchange_receive(&listener->exchanges[i]);
    return 0;
}

static int watch_sockets(struct listener *listener, const struct config_limits *limits)
{
    uint16_t ports[PORTS_MAX];
    size_t count = addresses_list_ports(listener->addresses, ports, PORTS_MAX);
    return count == 0 ? 0
                      : half_open_start(listener->pipes, ports, count, limits->handshake_ms,
                                        limits->frame_ms, &listener->half_open);
}

/* All that needs the socket. The first clients need not wait until there is room for the last. */
static int serve(struct listener *listener, const char *const *urls, size_t url_count,
                 const struct config *config, char *error, size_t error_bytes)
{
    const struct config_limits *limits = &config->limits;
    size_t count = limits->calls_in_flight_max + EXTRA_EXCHANGES;
    listener->connection_replies_max = limits->connection_replies_max;
    listener->exchange_max = count;
    listener->exchanges = calloc(count, sizeof *listener->exchanges);
    int failure = listener->exchanges ? watch_pipes(listener, limits) : ENOMEM;
    if (failure == 0)
        failure = start_exchanges(listener, EXTRA_EXCHANGES);
    if (failure == 0)
        failure = addresses_listen(listener->socket, urls, url_count, &config->tls,
                                   &listener->addresses, error, error_bytes);
    if (failure == 0)
        failure = watch_sockets(listener, limits);
    return failure == 0 ? start_exchanges(listener, count) : failure;
}

int listener_start(struct engine *engine, const char *const *urls, size_t url_count,
                   const struct config *config, struct listener **listener_out, char *error,
                   size_t error_bytes)
{
    const struct config_limits *limits = &config->limits;
    struct listener *listener = calloc(1, sizeof *listener);
    snprintf(error, error_bytes, "out of memory");
    if (!listener)
        return ENOMEM;
    listener->engine = engine;
    listener->reply_send_ms = (nng_duration)limits->reply_send_ms;
    pthread_mutex_init(&listener->lock, NULL);
    pthread_cond_init(&listener->idle, NULL);
    struct listener_threads threads;
    listener_threads_begin(&threads, limits->network_cpus_max);
    int failure = nng_rep0_open(&listener->socket) == 0 ? 0 : ENOMEM;
    listener_threads_end(&threads);
    /* Before any listener exists, who inherits it: a frame that says it is endless would abort the
     * process. */
    if (failure == 0 &&
        nng_socket_set_size(listener->socket, NNG_OPT_RECVMAXSZ, limits->frame_bytes) != 0)
        failure = ENOMEM;
    if (failure == 0) {
        engine_set_peer_namer(engine, name_peer);
        failure = serve(listener, urls, url_count, config, error, error_bytes);
    }
    if (failure != 0) {
        listener_stop(listener, 0);
        return failure;
    }
    *listener_out = listener;
    return 0;
}

static void wait_until_idle(struct listener *listener, unsigned drain_ms)
{
    int64_t until_ms = clock_now_ms() + drain_ms;
    int error = 0;
    pthread_mutex_lock(&listener->lock);
    while (listener->busy > 0 && error == 0)
        error = clock_wait(&listener->idle, &listener->lock, until_ms);
    pthread_mutex_unlock(&listener->lock);
}

void listener_stop(struct listener *listener, unsigned drain_ms)
{
    half_open_stop(listener->half_open);
    listener->stopping = true;
    for (size_t i = 0; i < listener->exchange_count; i++) {
        if (listener->exchanges[i].state == RECEIVING)
            nng_aio_cancel(listener->exchanges[i].aio);
    }
    wait_until_idle(listener, drain_ms);
    wait_until_idle(listener, 60000); /* what still runs on the sources holds frames */
    for (size_t i = 0; i < listener->exchange_count; i++)
        nng_aio_stop(listener->exchanges[i].aio);
    if (listener->look_aio)
        nng_aio_stop(listener->look_aio);
    if (listener->crowded_aio)
        nng_aio_stop(listener->crowded_aio);
    if (addresses_abandon(listener->addresses))
        return;
    /* Before the socket: it waits for the thread that just sees one time out, and looks at its
     * context then. */
    for (size_t i = 0; i < listener->exchange_count; i++)
        nng_aio_free(listener->exchanges[i].aio);
    /* Last: nng aborts when a thread is still in a call on a context of a socket that is
     * closed. */
    nng_close(listener->socket);
    if (listener->look_aio)
        nng_aio_free(listener->look_aio);
    if (listener->crowded_aio)
        nng_aio_free(listener->crowded_aio);
    for (size_t i = 0; i < listener->spare_count; i++)
        frame_free(listener->spare[i]);
    addresses_free(listener->addresses);
    pipes_free(listener->pipes);
    bad_tokens_free(listener->bad_tokens);
    pthread_cond_destroy(&listener->idle);
    pthread_mutex_destroy(&listener->lock);
    free(listener->exchanges);
    free(listener);
}

nng_socket listener_socket(const struct listener *listener)
{
    return listener->socket;
}

struct listener_tls *listener_prepare_tls(const struct config_tls *config, struct status *why)
{
    return listener_tls_load(config, why);
}

void listener_use_tls(struct listener *listener, struct listener_tls *tls)
{
    addresses_use_tls(listener->addresses, tls);
}
