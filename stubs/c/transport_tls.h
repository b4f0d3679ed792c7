/* TLS for the nng transport: certificates and names. */
#ifndef CHATSTORE_STUBS_TRANSPORT_TLS_H
#define CHATSTORE_STUBS_TRANSPORT_TLS_H

#include "transport.h"

#include <nng/nng.h>

/* Whether the URL's scheme is one over TLS. */
bool transport_tls_is_used(const char *url);

/* Make the dialer of such a URL check the server's certificate, and show ours if the options have
 * one. Every error is one: less protection than was asked for would be none. False: error has a
 * text that names the file. Blocks on the file system. */
bool transport_tls_set_up(nng_dialer dialer, const char *url,
                          const struct chatstore_transport_options *options, char *error,
                          size_t error_bytes);

#endif
