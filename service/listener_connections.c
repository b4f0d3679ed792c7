/* The connections: how many there may be, which are closed for their silence, and which for not
 * reading what they asked for. */
#include "listener_internal.h"

#include "pool/clock.h"
#include "pool/log.h"

#include <errno.h>

enum {
    LOOK_MS_MAX = 5000, /* how often silent connections are looked for */
    CLOSE_AT_ONCE_MAX = 64,
    CROWDED_SEND_MS = 250, /* how long a reply waits when hardly an exchange is left for others */
    CROWDED_LOOK_MS = 50,
};

int exchange_pipe(const struct exchange *exchange)
{
    return nng_pipe_id(nng_msg_get_pipe(exchange->request));
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
        /* Whichever exchange is on: what it waits for since then was for this pipe
         * (connections_reply_goes). */
        int id = listener->exchanges[i].unread_pipe;
        if (id == 0 || id == last || listener->exchanges[i].unread_since_ms > since_ms)
            continue;
        char peer[128];
        nng_pipe pipe = {.id = (uint32_t)id};
        last = id;
        peer_name(pipe, peer, sizeof peer);
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

bool connections_reply_goes(struct exchange *exchange)
{
    static struct log_limit limit = {.burst = 1};
    struct listener *listener = exchange->listener;
    int id = exchange_pipe(exchange);
    unsigned unread = pipes_answer(listener->pipes, id);
    exchange->unread_since_ms = clock_now_ms(); /* before the pipe, see close_unread() */
    exchange->unread_pipe = id;
    if (unread == listener->connection_replies_max + 1) {
        char peer[128];
        peer_name(nng_msg_get_pipe(exchange->request), peer, sizeof peer);
        log_limited(&limit, LOG_WARN,
                    "%s has %u replies that it does not read (connection_replies_max): the "
                    "connection is closed",
                    peer, listener->connection_replies_max);
    }
    return unread <= listener->connection_replies_max;
}

void connections_request_comes(struct exchange *exchange)
{
    exchange->listener->requests++;
    look_later_for_unread(exchange->listener);
}

void connections_request_ends(struct exchange *exchange)
{
    struct listener *listener = exchange->listener;
    if (exchange->unread_pipe != 0)
        pipes_answered(listener->pipes, exchange_pipe(exchange), clock_now_ms());
    else
        pipes_drop(listener->pipes, exchange_pipe(exchange), clock_now_ms());
    exchange->unread_pipe = 0;
    listener->requests--;
}

/* ---- Who comes, and who is silent ---- */

static void say_refused(struct listener *listener, nng_pipe pipe, enum pipes_outcome why)
{
    static struct log_limit full = {.burst = 1}, address_full = {.burst = 1};
    char peer[128];
    peer_name(pipe, peer, sizeof peer);
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
    if (peer_is_own(pipe)) { /* takes no client's place */
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

int connections_watch(struct listener *listener, const struct config_limits *limits)
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
