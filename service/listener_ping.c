#include "listener_internal.h"

#include <errno.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct listener_ping {
    nng_socket socket;
};

/* Within this process: nobody else can come to it. */
static int connect_to(nng_socket listening, nng_socket socket)
{
    static atomic_uint count;
    char url[64];
    snprintf(url, sizeof url, "inproc://chatstore-ping-%u", count++);
    int failure = nng_listen(listening, url, NULL, 0);
    return failure != 0 ? failure : nng_dial(socket, url, NULL, 0);
}

int listener_ping_open(struct listener *listener, struct listener_ping **ping_out)
{
    struct listener_ping *ping = calloc(1, sizeof *ping);
    *ping_out = NULL;
    if (!ping || nng_req0_open(&ping->socket) != 0) {
        free(ping);
        return ENOMEM;
    }
    /* A repeat would be no sign of life of its own. */
    if (nng_socket_set_ms(ping->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) != 0 ||
        connect_to(listener_socket(listener), ping->socket) != 0) {
        listener_ping_close(ping);
        return ENOMEM;
    }
    *ping_out = ping;
    return 0;
}

bool listener_ping(struct listener_ping *ping, const void *frame, size_t bytes, unsigned wait_ms)
{
    nng_msg *reply = NULL;
    nng_msg *request;
    if (nng_msg_alloc(&request, 0) != 0)
        return false;
    nng_socket_set_ms(ping->socket, NNG_OPT_SENDTIMEO, (nng_duration)wait_ms);
    nng_socket_set_ms(ping->socket, NNG_OPT_RECVTIMEO, (nng_duration)wait_ms);
    if (nng_msg_append(request, frame, bytes) != 0 || nng_sendmsg(ping->socket, request, 0) != 0) {
        nng_msg_free(request);
        return false;
    }
    if (nng_recvmsg(ping->socket, &reply, 0) != 0)
        return false;
    nng_msg_free(reply);
    return true;
}

void listener_ping_close(struct listener_ping *ping)
{
    if (!ping)
        return;
    nng_close(ping->socket);
    free(ping);
}
