#include "listener_addresses.h"

#include "pool/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { SOCKET_MODE = 0660, KNOCK_S_MAX = 1 };

/* A lock file beside a unix socket: a second server on the same path must not touch the first one's
 * socket. */
struct path_lock {
    int file;
    char path[256];
};

struct tls_address {
    nng_listener nng;
    char *url; /* with the port that it has, also if any free one was asked for */
};

struct addresses {
    nng_socket socket;
    struct path_lock *locks;
    size_t lock_count;
    struct tls_address *tls_addresses;
    size_t tls_count;
    uint16_t *ports; /* of all that are of the network, in network order */
    size_t port_count;
    struct listener_tls *tls; /* NULL: no certificate is needed */
    struct listener_tls *tls_before;
};

#define LOCK_END ".lock" /* behind the path of the socket */

struct sockaddr_storage address_plain(const nng_sockaddr *address)
{
    struct sockaddr_storage plain = {.ss_family = AF_UNSPEC};
    if (address->s_family == NNG_AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&plain;
        in->sin_family = AF_INET;
        in->sin_port = address->s_in.sa_port;
        in->sin_addr.s_addr = address->s_in.sa_addr;
    } else if (address->s_family == NNG_AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&plain;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = address->s_in6.sa_port;
        memcpy(&in6->sin6_addr, address->s_in6.sa_addr, sizeof in6->sin6_addr);
    }
    return plain;
}

static bool is_ipc(const char *url)
{
    return strncmp(url, "ipc://", 6) == 0;
}

/* The folder of the default socket may be missing after a boot. */
static void make_folder(const char *path)
{
    char folder[256];
    const char *slash = strrchr(path, '/');
    if (slash && slash != path && (size_t)(slash - path) < sizeof folder) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        mkdir(folder, 0750);
    }
}

/* Whether the path still names the file: a server that ends may have removed it between our
 * opening and locking it, and a lock on what has no name keeps nobody off. */
static bool is_named(int file, const char *path)
{
    struct stat opened, named;
    return fstat(file, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

/* Returns 0 or an errno. */
static int open_locked(struct path_lock *lock)
{
    for (;;) {
        lock->file = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock->file < 0 || flock(lock->file, LOCK_EX | LOCK_NB) != 0)
            return errno;
        if (is_named(lock->file, lock->path))
            return 0;
        close(lock->file);
    }
}

static int lock_path(struct path_lock *lock, const char *path, char *error, size_t error_bytes)
{
    make_folder(path);
    snprintf(lock->path, sizeof lock->path, "%s" LOCK_END, path);
    int failure = open_locked(lock);
    if (failure == 0)
        return 0;
    if (failure == EWOULDBLOCK)
        snprintf(error, error_bytes, "ipc://%s: another chatstored listens there", path);
    else
        snprintf(error, error_bytes, "ipc://%s: its lock file %s: %s", path, lock->path,
                 strerror(failure));
    if (lock->file >= 0)
        close(lock->file);
    lock->file = -1;
    return failure;
}

/* In network order; 0: it is not of the network. */
static uint16_t port_of(nng_listener nng)
{
    nng_sockaddr address;
    if (nng_listener_get_addr(nng, NNG_OPT_LOCADDR, &address) != 0)
        return 0;
    return address.s_family == NNG_AF_INET    ? address.s_in.sa_port
           : address.s_family == NNG_AF_INET6 ? address.s_in6.sa_port
                                              : 0;
}

/* The port that was chosen, if any free one was asked for. */
static void say_address(uint16_t port, const char *url, char *text, size_t bytes)
{
    const char *end = strrchr(url, ':');
    if (port != 0 && end && strncmp(end, ":0", 2) == 0 && (end[2] == '\0' || end[2] == '/'))
        snprintf(text, bytes, "%.*s:%u%s", (int)(end - url), url, port, end + 2);
    else
        snprintf(text, bytes, "%s", url);
}

/* By itself nng takes a megabyte in one frame of WebSocket, and more only in several; most
 * libraries send a message as one. */
static int allow_long_frames(nng_socket socket, nng_listener nng)
{
    size_t bytes = 0;
    int failure = nng_socket_get_size(socket, NNG_OPT_RECVMAXSZ, &bytes);
    return failure != 0 ? failure : nng_listener_set_size(nng, NNG_OPT_WS_RECVMAXFRAME, bytes);
}

static int start_nng(const struct addresses *addresses, const char *url, nng_listener *nng)
{
    int failure = nng_listener_create(nng, addresses->socket, url);
    if (failure != 0)
        return failure;
    if (config_listen_is_websocket(url))
        failure = allow_long_frames(addresses->socket, *nng);
    if (failure == 0 && config_listen_is_tls(url))
        failure =
            nng_listener_set_ptr(*nng, NNG_OPT_TLS_CONFIG, listener_tls_config(addresses->tls));
    mode_t mask = 0;
    if (failure == 0 && is_ipc(url)) {
        failure = nng_listener_set_int(*nng, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE);
        mask = umask(0777 & ~SOCKET_MODE);
    }
    if (failure == 0)
        failure = nng_listener_start(*nng, 0);
    if (is_ipc(url))
        umask(mask);
    if (failure != 0)
        nng_listener_close(*nng);
    return failure;
}

/* What the build tells as well (packaging/cmake/ChatstoreNng.cmake); a system's library may be
 * another. */
static void warn_of_old_nng(const char *url)
{
    unsigned major = 0, minor = 0;
    if (sscanf(nng_version(), "%u.%u", &major, &minor) == 2 && major == 1 && minor < 12)
        log_line(
            LOG_WARN,
            "%s: nng %s may end this process when a WebSocket connection ends; use nng 1.12 or "
            "later, or let only clients that you trust connect",
            url, nng_version());
}

static int listen_on(struct addresses *addresses, const char *url, char *error, size_t error_bytes)
{
    nng_listener nng;
    char text[512];
    int failure = start_nng(addresses, url, &nng);
    if (failure != 0) {
        snprintf(error, error_bytes, "cannot listen on %s: %s", url, nng_strerror(failure));
        return EADDRNOTAVAIL;
    }
    uint16_t port = port_of(nng);
    say_address(ntohs(port), url, text, sizeof text);
    if (port != 0)
        addresses->ports[addresses->port_count++] = port;
    log_line(LOG_INFO, "listening on %s", text);
    if (config_listen_is_websocket(url))
        warn_of_old_nng(text);
    if (!config_listen_is_tls(url))
        return 0;
    char *copy = strdup(text);
    if (!copy)
        return ENOMEM;
    addresses->tls_addresses[addresses->tls_count++] = (struct tls_address){nng, copy};
    return 0;
}

static int load_tls(struct addresses *addresses, const char *const *urls, size_t url_count,
                    const struct config_tls *tls, char *error, size_t error_bytes)
{
    struct status why;
    bool needed = false;
    for (size_t i = 0; i < url_count; i++)
        needed = needed || config_listen_is_tls(urls[i]);
    if (!needed)
        return 0;
    if (!tls->certificate)
        status_set(&why, STATUS_FAILED_PRECONDITION,
                   "a TLS address needs a certificate: [service.tls]");
    else
        addresses->tls = listener_tls_load(tls, &why);
    if (addresses->tls)
        return 0;
    snprintf(error, error_bytes, "%s", why.text);
    return EINVAL;
}

static int lock_paths(struct addresses *addresses, const char *const *urls, size_t url_count,
                      char *error, size_t error_bytes)
{
    int failure = 0;
    for (size_t i = 0; i < url_count && failure == 0; i++) {
        if (!is_ipc(urls[i]))
            continue;
        failure =
            lock_path(&addresses->locks[addresses->lock_count], urls[i] + 6, error, error_bytes);
        addresses->lock_count += failure == 0;
    }
    return failure;
}

int addresses_listen(nng_socket socket, const char *const *urls, size_t url_count,
                     const struct config_tls *tls, struct addresses **addresses_out, char *error,
                     size_t error_bytes)
{
    struct addresses *addresses = calloc(1, sizeof *addresses);
    *addresses_out = addresses;
    if (!addresses)
        return ENOMEM;
    addresses->socket = socket;
    addresses->locks = calloc(url_count, sizeof *addresses->locks);
    addresses->tls_addresses = calloc(url_count, sizeof *addresses->tls_addresses);
    addresses->ports = calloc(url_count, sizeof *addresses->ports);
    if (!addresses->locks || !addresses->tls_addresses || !addresses->ports)
        return ENOMEM;
    int failure = load_tls(addresses, urls, url_count, tls, error, error_bytes);
    if (failure == 0)
        failure = lock_paths(addresses, urls, url_count, error, error_bytes);
    for (size_t i = 0; i < url_count && failure == 0; i++)
        failure = listen_on(addresses, urls[i], error, error_bytes);
    return failure;
}

void addresses_free(struct addresses *addresses)
{
    if (!addresses)
        return;
    for (size_t i = 0; i < addresses->lock_count; i++) {
        unlink(addresses->locks[i].path);
        close(addresses->locks[i].file);
    }
    for (size_t i = 0; i < addresses->tls_count; i++)
        free(addresses->tls_addresses[i].url);
    listener_tls_free(addresses->tls);
    listener_tls_free(addresses->tls_before);
    free(addresses->ports);
    free(addresses->tls_addresses);
    free(addresses->locks);
    free(addresses);
}

bool addresses_abandon(struct addresses *addresses)
{
    if (!addresses || addresses->tls_count == 0)
        return false;
    for (size_t i = 0; i < addresses->lock_count; i++) {
        char socket[sizeof addresses->locks[i].path];
        size_t bytes = strlen(addresses->locks[i].path) - strlen(LOCK_END);
        snprintf(socket, sizeof socket, "%.*s", (int)bytes, addresses->locks[i].path);
        unlink(socket);
        unlink(addresses->locks[i].path);
    }
    return true;
}

size_t addresses_list_ports(const struct addresses *addresses, uint16_t *ports, size_t port_count)
{
    size_t count = addresses->port_count < port_count ? addresses->port_count : port_count;
    memcpy(ports, addresses->ports, count * sizeof *ports);
    return count;
}

/* nng already waits for the next connection, with the certificates that it had when it began to: a
 * connection of our own uses that up. */
static void knock(nng_listener nng)
{
    nng_sockaddr at;
    if (nng_listener_get_addr(nng, NNG_OPT_LOCADDR, &at) != 0)
        return;
    struct sockaddr_storage address = address_plain(&at); /* 0.0.0.0 is this machine, too */
    int file = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = KNOCK_S_MAX};
    if (file < 0)
        return;
    setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(file, (struct sockaddr *)&address, sizeof address) != 0)
        log_line(LOG_DEBUG, "no connection to an address of our own: %s", strerror(errno));
    close(file);
}

void addresses_use_tls(struct addresses *addresses, struct listener_tls *tls)
{
    if (!addresses->tls || listener_tls_is_same(addresses->tls, tls)) {
        listener_tls_free(tls);
        return;
    }
    for (size_t i = 0; i < addresses->tls_count; i++) {
        const struct tls_address *address = &addresses->tls_addresses[i];
        int failure =
            nng_listener_set_ptr(address->nng, NNG_OPT_TLS_CONFIG, listener_tls_config(tls));
        if (failure == 0) {
            knock(address->nng);
            log_line(LOG_INFO, "listening on %s, with new certificates", address->url);
        } else {
            log_line(LOG_ERROR, "%s keeps its certificates: %s; restart the server", address->url,
                     nng_strerror(failure));
        }
    }
    /* Not freed yet: nng takes no hold of what it may just be accepting a connection with. */
    listener_tls_free(addresses->tls_before);
    addresses->tls_before = addresses->tls;
    addresses->tls = tls;
}
