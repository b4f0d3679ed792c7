/* The certificates of [service.tls], read and checked, for the listener. */
#ifndef CHATSTORE_SERVICE_LISTENER_TLS_H
#define CHATSTORE_SERVICE_LISTENER_TLS_H

#include "service/config.h"

#include "pool/status.h"

#include <nng/supplemental/tls/tls.h>

struct listener_tls;

/* Read the files; warns in the log of a certificate that ends soon. NULL: why names the file and
 * what is wrong with it. Blocks on the file system. */
struct listener_tls *listener_tls_load(const struct config_tls *config, struct status *why);
void listener_tls_free(struct listener_tls *tls); /* NULL is allowed */

/* Whether both are the same certificates, used in the same way. */
bool listener_tls_is_same(const struct listener_tls *a, const struct listener_tls *b);

/* For one nng_listener; lives as long as `tls`, and longer for who holds it. */
nng_tls_config *listener_tls_config(const struct listener_tls *tls);

#endif
