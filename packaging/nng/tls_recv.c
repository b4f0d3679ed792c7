/* What nng's TLS reads with instead of nng_stream_recv (packaging/nng/bundle puts it there). Any
 * thread. */
#include <nng/nng.h>

void chatstore_nng_tls_recv(nng_stream *tcp, nng_aio *aio);

/* nng 1.10: once the TCP connection under TLS has failed, the aio of its reads is closed, and a
 * read that is begun with it then never ends. A peer that closes right after its handshake, before
 * the transport's first read, so leaves its connection behind for good: descriptor, buffers, keys.
 * Here such a read fails, and TLS learns a second time that the connection is gone.
 *
 * Only an aio that was not begun says NNG_ECANCELED here: one that was ends in its callback, which
 * first takes the lock that the caller holds. */
void chatstore_nng_tls_recv(nng_stream *tcp, nng_aio *aio)
{
    nng_stream_recv(tcp, aio);
    if (nng_aio_result(aio) == NNG_ECANCELED)
        nng_aio_finish(aio, NNG_ECLOSED);
}
