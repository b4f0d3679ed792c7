#include "transport.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char embedded_scheme[] = "embedded";
static const char embedded_library[] = "libchatstore-embedded.so.1";
static const char embedded_symbol[] = "chatstore_embedded_transport";

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *scheme;
    const struct chatstore_transport_ops *ops;
} registry[4];

enum { REGISTRY_COUNT = sizeof registry / sizeof registry[0] };

void chatstore_transport_register(const char *scheme, const struct chatstore_transport_ops *ops)
{
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < REGISTRY_COUNT; i++) {
        if (registry[i].scheme == NULL || strcmp(registry[i].scheme, scheme) == 0) {
            registry[i].scheme = scheme;
            registry[i].ops = ops;
            break;
        }
    }
    pthread_mutex_unlock(&registry_lock);
}

static bool has_scheme(const char *url, const char *scheme)
{
    size_t length = strlen(scheme);
    return strncmp(url, scheme, length) == 0 && url[length] == ':';
}

static const struct chatstore_transport_ops *find_registered(const char *url)
{
    const struct chatstore_transport_ops *found = NULL;

    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < REGISTRY_COUNT && registry[i].scheme != NULL; i++)
        if (has_scheme(url, registry[i].scheme))
            found = registry[i].ops;
    pthread_mutex_unlock(&registry_lock);
    return found;
}

/* The library stays loaded: its threads may outlive the last client by a moment. */
static const struct chatstore_transport_ops *load_embedded(const char *url, char *error,
                                                           size_t error_bytes)
{
    void *library = dlopen(embedded_library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL) {
        snprintf(error, error_bytes,
                 "%s: calls without a server need the library %s, which cannot be loaded (%s); "
                 "install it, or use the URL of a server",
                 url, embedded_library, dlerror());
        return NULL;
    }
    const struct chatstore_transport_ops *ops = dlsym(library, embedded_symbol);
    if (ops == NULL)
        snprintf(error, error_bytes, "%s: the library %s has no %s; it is not chatstore's", url,
                 embedded_library, embedded_symbol);
    return ops;
}

const struct chatstore_transport_ops *transport_find(const char *url, char *error,
                                                     size_t error_bytes)
{
    const struct chatstore_transport_ops *ops = find_registered(url);

    if (ops == NULL && !has_scheme(url, embedded_scheme))
        return &transport_nng;
    if (ops == NULL)
        ops = load_embedded(url, error, error_bytes);
    if (ops != NULL && ops->version != CHATSTORE_TRANSPORT_VERSION) {
        snprintf(error, error_bytes,
                 "%s: its transport has version %u, this libchatstore wants %u; install both from "
                 "the same release",
                 url, ops->version, (unsigned)CHATSTORE_TRANSPORT_VERSION);
        return NULL;
    }
    return ops;
}
