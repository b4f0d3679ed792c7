/* What objects of nng call instead of functions of nng's: packaging/nng/bundle sees to it. Each
 * mends a fault of nng 1.10 to 1.12. Any thread. */
#include <nng/nng.h>

#include <stdbool.h>

/* nng's own */
void nni_pipe_send(void *pipe, nng_aio *aio);
void *nni_list_first(const void *list);
void *nni_list_next(const void *list, void *item);
void nni_list_prepend(void *list, void *item);
void nni_list_remove(void *list, void *item);

void chatstore_nng_tls_recv(nng_stream *tcp, nng_aio *aio);
void chatstore_nng_rep_send(void *pipe, nng_aio *aio);
nng_msg *chatstore_nng_ws_take_msg(nng_aio *aio);
void chatstore_nng_ws_aio_free(nng_aio *aio);
void chatstore_nng_ws_prepend(void *frames, void *frame);

/* ---- Operations that never end ----
 *
 * One that is begun with an aio that has been closed does not: only its result says NNG_ECANCELED.
 * Both callers hold the lock that stands before the closing of what they use, so here that result
 * is of no operation that was begun and has ended since. */

static void end_if_closed(nng_aio *aio)
{
    if (nng_aio_result(aio) == NNG_ECANCELED)
        nng_aio_finish(aio, NNG_ECLOSED);
}

/* In nng's TLS, for nng_stream_recv. A peer that closes right after its handshake, before the
 * transport's first read, would leave its connection behind for good: descriptor, buffers, keys. */
void chatstore_nng_tls_recv(nng_stream *tcp, nng_aio *aio)
{
    nng_stream_recv(tcp, aio);
    end_if_closed(aio);
}

/* In nng's REP, for nni_pipe_send. A reply to a connection that is just being closed would never be
 * freed. */
void chatstore_nng_rep_send(void *pipe, nng_aio *aio)
{
    nni_pipe_send(pipe, aio);
    end_if_closed(aio);
}

/* ---- Messages that a WebSocket leaves behind ----
 *
 * Its transport hands a reply to an aio of its own, and forgets it there when the peer has gone:
 * nine in ten replies to clients that did not wait for theirs were never freed. So what is still
 * there when the aio goes is freed with it; and a message that goes on to the protocol is no longer
 * there. */

/* For nni_aio_get_msg, of which each caller there takes the message. */
nng_msg *chatstore_nng_ws_take_msg(nng_aio *aio)
{
    nng_msg *msg = nng_aio_get_msg(aio);
    nng_aio_set_msg(aio, NULL);
    return msg;
}

/* For nni_aio_free, after nni_aio_stop: nobody uses the aio any more. NULL is allowed. */
void chatstore_nng_ws_aio_free(nng_aio *aio)
{
    if (!aio)
        return;
    nng_msg_free(chatstore_nng_ws_take_msg(aio));
    nng_aio_free(aio);
}

/* ---- Pongs for a peer that does not read ----
 *
 * Each ping would add one for ever, and those that wait when the connection closes were never
 * freed. A peer needs an answer to its newest ping only (RFC 6455, 5.5.3). */

/* A frame of nng's begins with its place in a list, then comes what goes over the wire. */
static bool is_pong(const void *frame)
{
    return ((const unsigned char *)frame)[2 * sizeof(void *)] == (0x80 | 0xa);
}

/* In nng's WebSocket, for nni_list_prepend, with which pongs, and at last the frame that closes,
 * come before the data that waits to be written. An SP connection has at most one frame of data
 * waiting, so the first of two is a pong in any case. A pong is one piece of memory. */
void chatstore_nng_ws_prepend(void *frames, void *frame)
{
    void *first = nni_list_first(frames);
    if (first && (is_pong(first) || nni_list_next(frames, first))) {
        nni_list_remove(frames, first);
        nng_free(first, 0); /* nng looks at no size */
    }
    nni_list_prepend(frames, frame);
}
