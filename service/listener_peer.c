/* Who is at the other end of a connection. */
#include "listener_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

struct sockaddr_storage peer_address(nng_pipe pipe, bool *is_network_out)
{
    nng_sockaddr address;
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &address) != 0)
        address.s_family = NNG_AF_UNSPEC;
    *is_network_out = address.s_family != NNG_AF_IPC;
    return address_plain(&address);
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

void peer_name(nng_pipe pipe, char *text, size_t bytes)
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

bool peer_is_own(nng_pipe pipe)
{
    nng_sockaddr address;
    return nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &address) == 0 &&
           address.s_family == NNG_AF_INPROC;
}
