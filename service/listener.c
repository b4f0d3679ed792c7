#include "listener_internal.h"
#include "listener_threads.h"

#include "pool/clock.h"
#include "pool/log.h"

#include <errno.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LARGE_BYTES = 64 << 10, /* of requests that are not kept beside what was made of them */
    UNKNOWN_TOKENS_MAX = 5, /* from one connection; then it is closed */
    PORTS_MAX = 256,
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

/* The engine's namer: of an exchange with a request. */
static void name_peer(void *arg, char *text, size_t bytes)
{
    const struct exchange *exchange = arg;
    peer_name(nng_msg_get_pipe(exchange->request), text, bytes);
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
    pipes_note_unknown(listener->pipes, exchange_pipe(exchange), over ? UNKNOWN_TOKENS_MAX : 1);
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
    connections_request_ends(exchange);
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
    if (!connections_reply_goes(exchange)) {
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
    connections_request_comes(exchange);
    unsigned unknown = pipes_begin(listener->pipes, exchange_pipe(exchange),
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
        frame_set_own(frame, exchange_pipe(exchange) == listener->own_pipe);
        frame_run(frame, nng_msg_body(exchange->request), nng_msg_len(exchange->request), exchange);
        return;
    }
    log_line(LOG_ERROR, "no memory for a request: the connection is closed");
    listener_leave(listener); /* take_frame() counted it */
    exchange_refuse(exchange);
}

static void exchange_sent(struct exchange *exchange, int error)
{
    connections_request_ends(exchange);
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
    int failure = listener->exchanges ? connections_watch(listener, limits) : ENOMEM;
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
