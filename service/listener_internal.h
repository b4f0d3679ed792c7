/* What the listener's files share. */
#ifndef CHATSTORE_SERVICE_LISTENER_INTERNAL_H
#define CHATSTORE_SERVICE_LISTENER_INTERNAL_H

#include "listener.h"

#include <nng/nng.h>

nng_socket listener_socket(const struct listener *listener);

#endif
