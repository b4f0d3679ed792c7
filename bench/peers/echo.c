/* The bare transport: an nng REP socket that answers each request with --reply-bytes bytes, 64
 * contexts on aio callbacks, and a REQ client of the same kind. What no service can beat. */
#include "peer.h"
#include "usage.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { SERVER_CONTEXTS = 64, TIMEOUT_MS = 30000 };

static void check(int error, const char *what)
{
    if (error != 0)
        peer_die("echo: %s: %s", what, nng_strerror(error));
}

/* ---- Server ---- */

struct answerer {
    nng_ctx context;
    nng_aio *aio;
    enum { RECEIVING, SENDING } state;
    size_t reply_bytes;
};

static void answerer_step(void *arg)
{
    struct answerer *answerer = arg;
    int error = nng_aio_result(answerer->aio);
    if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        return;
    if (answerer->state == RECEIVING && error == 0) {
        nng_msg *request = nng_aio_get_msg(answerer->aio), *reply;
        nng_msg_free(request);
        check(nng_msg_alloc(&reply, answerer->reply_bytes), "nng_msg_alloc");
        memset(nng_msg_body(reply), 'r', answerer->reply_bytes);
        nng_aio_set_msg(answerer->aio, reply);
        answerer->state = SENDING;
        nng_ctx_send(answerer->context, answerer->aio);
        return;
    }
    if (answerer->state == SENDING && error != 0)
        nng_msg_free(nng_aio_get_msg(answerer->aio));
    answerer->state = RECEIVING;
    nng_ctx_recv(answerer->context, answerer->aio);
}

static int serve(const struct peer_options *options)
{
    static struct answerer answerers[SERVER_CONTEXTS];
    nng_socket socket;
    peer_hold_signals();
    check(nng_rep0_open(&socket), "nng_rep0_open");
    check(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 1 << 26), "RECVMAXSZ");
    for (size_t i = 0; i < SERVER_CONTEXTS; i++) {
        struct answerer *answerer = &answerers[i];
        answerer->reply_bytes = options->reply_bytes;
        check(nng_ctx_open(&answerer->context, socket), "nng_ctx_open");
        check(nng_aio_alloc(&answerer->aio, answerer_step, answerer), "nng_aio_alloc");
        nng_ctx_recv(answerer->context, answerer->aio);
    }
    check(nng_listen(socket, options->url, NULL, 0), options->url);
    peer_wait_for_signal();
    nng_close(socket);
    return EX_OK;
}

/* ---- Client ---- */

struct asker {
    nng_ctx context;
    nng_aio *aio;
    enum { ASKING, HEARING } state;
    struct slot *slot;
};

struct client {
    const struct peer_options *options;
    struct asker *askers;
};

static void asker_step(void *arg)
{
    struct asker *asker = arg;
    int error = nng_aio_result(asker->aio);
    if (error != 0) {
        if (asker->state == ASKING)
            nng_msg_free(nng_aio_get_msg(asker->aio));
        slot_done(asker->slot, nng_strerror(error));
    } else if (asker->state == ASKING) {
        asker->state = HEARING;
        nng_ctx_recv(asker->context, asker->aio);
    } else {
        nng_msg_free(nng_aio_get_msg(asker->aio));
        slot_done(asker->slot, NULL);
    }
}

static void ask(struct slot *slot, void *arg)
{
    struct client *client = arg;
    struct asker *asker = &client->askers[slot_index(slot)];
    nng_msg *request;
    check(nng_msg_alloc(&request, client->options->request_bytes), "nng_msg_alloc");
    memset(nng_msg_body(request), 'q', client->options->request_bytes);
    asker->slot = slot;
    asker->state = ASKING;
    nng_aio_set_msg(asker->aio, request);
    nng_ctx_send(asker->context, asker->aio);
}

static int measure(struct peer_options *options)
{
    struct client client = {options, calloc(options->in_flight, sizeof *client.askers)};
    nng_socket socket;
    if (!client.askers)
        peer_die("echo: out of memory");
    check(nng_req0_open(&socket), "nng_req0_open");
    check(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 1 << 26), "RECVMAXSZ");
    check(nng_socket_set_ms(socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), "RESENDTIME");
    for (unsigned i = 0; i < options->in_flight; i++) {
        struct asker *asker = &client.askers[i];
        check(nng_ctx_open(&asker->context, socket), "nng_ctx_open");
        check(nng_aio_alloc(&asker->aio, asker_step, asker), "nng_aio_alloc");
        nng_aio_set_timeout(asker->aio, TIMEOUT_MS);
    }
    check(nng_dial(socket, options->url, NULL, 0), options->url);
    if (options->server_pid == 0)
        options->server_pid = usage_listener(options->url);
    int status = peer_measure(options, false, ask, &client);
    nng_close(socket);
    for (unsigned i = 0; i < options->in_flight; i++)
        nng_aio_free(client.askers[i].aio);
    free(client.askers);
    return status;
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_parse(argc, argv, "echo", "serve point version", &options);
    if (peer_is(&options, "version")) {
        puts(nng_version());
        return EX_OK;
    }
    return peer_is(&options, "serve") ? serve(&options) : measure(&options);
}
