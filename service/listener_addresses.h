/* The addresses of a listener: lock files, sockets, certificates. */
#ifndef CHATSTORE_SERVICE_LISTENER_ADDRESSES_H
#define CHATSTORE_SERVICE_LISTENER_ADDRESSES_H

#include "listener_tls.h"

#include <nng/nng.h>
#include <sys/socket.h>

struct addresses;

/* nng's form of an address as everybody's; AF_UNSPEC: it is none of the internet. */
struct sockaddr_storage address_plain(const nng_sockaddr *address);

/* Listen on all URLs; says in the log which are listening. On failure *addresses_out is what
 * listens so far, to be freed all the same, and error has a text that names the URL. Returns 0 or
 * an errno. */
int addresses_listen(nng_socket socket, const char *const *urls, size_t url_count,
                     const struct config_tls *tls, struct addresses **addresses_out, char *error,
                     size_t error_bytes);

/* After the socket was closed. NULL is allowed. */
void addresses_free(struct addresses *addresses);

/* Before the process ends: nng 1.10 may abort it when a socket with TLS connections is closed, as
 * it frees what its own threads still lock (nanomsg/nng issue 2110). So such a socket is left to
 * the kernel. True: there are TLS addresses, the files of the others are gone, and neither the
 * socket nor anything that its callbacks use may be touched any more. */
bool addresses_abandon(struct addresses *addresses);

/* The ports of the network, in network order; up to port_count. */
size_t addresses_list_ports(const struct addresses *addresses, uint16_t *ports, size_t port_count);

/* As listener_use_tls(). */
void addresses_use_tls(struct addresses *addresses, struct listener_tls *tls);

#endif
