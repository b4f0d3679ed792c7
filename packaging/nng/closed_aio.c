/* What two objects of nng call instead of functions of nng's (packaging/nng/bundle sees to it). Any
 * thread.
 *
 * nng 1.10 to 1.12: an operation that is begun with an aio that has been closed never ends; only
 * its result says NNG_ECANCELED. Both callers hold the lock that stands before the closing of what
 * they use, so here that result is of no operation that was begun and has ended since. */
#include <nng/nng.h>

void nni_pipe_send(void *pipe, nng_aio *aio); /* nng's own */
void chatstore_nng_tls_recv(nng_stream *tcp, nng_aio *aio);
void chatstore_nng_rep_send(void *pipe, nng_aio *aio);

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
