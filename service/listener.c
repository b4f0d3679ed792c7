#include "listener.h"

#include "pool/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SPARE_FRAMES_MAX = 128, /* frames kept for the next requests; more are freed */
    EXTRA_EXCHANGES =
        64, /* beyond the calls admitted, so that one too many is answered, not left unread */
    EXCHANGES_MAX = 4096,
    SOCKET_MODE = 0660,
};

/* One request at a time: received, run, answered, and then the next. */
struct exchange {
    struct listener *listener;
    nng_ctx context;
    nng_aio *aio;
    nng_msg *request;
    struct frame *frame; /* borrowed from the listener's spare ones while a request is worked on */
    _Atomic enum exchange_state { RECEIVING, WORKING, SENDING } state;
};

/* A lock file beside a unix socket: a second server on the same path must not touch the first one's
 * socket. */
struct path_lock {
    int file;
    char path[256];
};

struct listener {
    struct engine *engine;
    nng_socket socket;
    nng_duration reply_send_ms;
    struct path_lock *locks;
    size_t lock_count;
    struct exchange *exchanges;
    size_t exchange_count;
    atomic_bool stopping; /* no more requests are taken */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* busy became 0 */
    size_t busy;         /* exchanges that have not stopped, and requests until they are sent off */
    struct frame *spare[SPARE_FRAMES_MAX];
    size_t spare_count;
};

void listener_configure_process(void)
{
    nng_init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
}

/* ---- Frames ---- */

static void exchange_done(struct frame *frame, void *arg);

static struct frame *take_frame(struct listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    struct frame *frame =
        listener->spare_count > 0 ? listener->spare[--listener->spare_count] : NULL;
    listener->busy++;
    pthread_mutex_unlock(&listener->lock);
    return frame ? frame : frame_new(listener->engine, exchange_done);
}

static void give_frame(struct listener *listener, struct frame *frame)
{
    pthread_mutex_lock(&listener->lock);
    if (listener->spare_count < SPARE_FRAMES_MAX) {
        listener->spare[listener->spare_count++] = frame;
        frame = NULL;
    }
    pthread_mutex_unlock(&listener->lock);
    frame_free(frame);
}

/* ---- One request after the other ---- */

/* An exchange has stopped, or a thread has sent a reply off: it uses no context any more. */
static void listener_leave(struct listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    if (--listener->busy == 0)
        pthread_cond_broadcast(&listener->idle);
    pthread_mutex_unlock(&listener->lock);
}

static void exchange_receive(struct exchange *exchange)
{
    exchange->state = RECEIVING;
    nng_aio_set_timeout(exchange->aio, NNG_DURATION_INFINITE);
    nng_ctx_recv(exchange->context, exchange->aio);
    /* Looked at afterwards: either this or listener_stop sees the other. */
    if (exchange->listener->stopping)
        nng_aio_cancel(exchange->aio);
}

/* The one place where replies leave. */
static void exchange_done(struct frame *frame, void *arg)
{
    struct exchange *exchange = arg;
    struct listener *listener = exchange->listener;
    nng_msg *reply;
    exchange->frame = frame;
    if (nng_msg_alloc(&reply, frame_reply_bytes(frame)) != 0) {
        log_line(LOG_ERROR, "no memory for a reply of %zu bytes: the connection is closed",
                 frame_reply_bytes(frame));
        nng_pipe_close(nng_msg_get_pipe(exchange->request));
        if (nng_msg_alloc(&reply, 0) !=
            0) { /* to be sent nowhere, so that the context is free again */
            give_frame(listener, frame);
            listener_leave(listener);
            listener_leave(listener);
            return;
        }
    } else {
        frame_reply_pack(frame, nng_msg_body(reply));
    }
    exchange->state = SENDING;
    nng_aio_set_msg(exchange->aio, reply);
    nng_aio_set_timeout(exchange->aio, listener->reply_send_ms);
    nng_ctx_send(exchange->context, exchange->aio);
    listener_leave(listener);
}

static void exchange_received(struct exchange *exchange)
{
    exchange->request = nng_aio_get_msg(exchange->aio);
    exchange->state = WORKING;
    struct frame *frame = take_frame(exchange->listener);
    if (frame) {
        frame_run(frame, nng_msg_body(exchange->request), nng_msg_len(exchange->request), exchange);
        return;
    }
    log_line(LOG_ERROR, "no memory for a request: the connection is closed");
    nng_pipe_close(nng_msg_get_pipe(exchange->request));
    nng_msg_free(exchange->request);
    listener_leave(exchange->listener);
    exchange_receive(exchange);
}

static void exchange_sent(struct exchange *exchange, int error)
{
    if (error != 0) {
        nng_msg_free(nng_aio_get_msg(exchange->aio)); /* still ours */
        if (error == NNG_ETIMEDOUT) {
            static struct log_limit limit = {.burst = 1};
            log_limited(
                &limit, LOG_WARN,
                "a client does not read its reply (reply_send_ms): the connection is closed");
            nng_pipe_close(nng_msg_get_pipe(exchange->request));
        }
    }
    nng_msg_free(exchange->request);
    struct frame *frame = exchange->frame;
    exchange->request = NULL;
    exchange->frame = NULL;
    give_frame(exchange->listener, frame);
    if (error == NNG_ECLOSED)
        listener_leave(exchange->listener);
    else
        exchange_receive(exchange);
}

static void exchange_cb(void *arg)
{
    struct exchange *exchange = arg;
    int error = nng_aio_result(exchange->aio);
    if (exchange->state == SENDING)
        exchange_sent(exchange, error);
    else if (error == 0)
        exchange_received(exchange);
    else if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        listener_leave(exchange->listener);
    else
        exchange_receive(exchange);
}

/* ---- Listening ---- */

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

static int lock_path(struct path_lock *lock, const char *path, char *error, size_t error_bytes)
{
    make_folder(path);
    snprintf(lock->path, sizeof lock->path, "%s.lock", path);
    lock->file = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->file >= 0 && flock(lock->file, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int failure = errno;
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

static int listen_on(struct listener *listener, const char *url, char *error, size_t error_bytes)
{
    nng_listener nng;
    int failure = nng_listener_create(&nng, listener->socket, url);
    if (failure == 0 && is_ipc(url)) {
        nng_listener_set_int(nng, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE);
        mode_t mask = umask(0777 & ~SOCKET_MODE);
        failure = nng_listener_start(nng, 0);
        umask(mask);
    } else if (failure == 0) {
        failure = nng_listener_start(nng, 0);
    }
    if (failure != 0) {
        snprintf(error, error_bytes, "cannot listen on %s: %s", url, nng_strerror(failure));
        return EADDRNOTAVAIL;
    }
    nng_sockaddr address;
    uint16_t port = 0;
    if (nng_listener_get_addr(nng, NNG_OPT_LOCADDR, &address) == 0 &&
        address.s_family == NNG_AF_INET)
        port = ntohs(address.s_in.sa_port);
    const char *end = strrchr(url, ':');
    if (port != 0 && end && strncmp(end, ":0", 2) == 0 && (end[2] == '\0' || end[2] == '/'))
        log_line(LOG_INFO, "listening on %.*s:%u%s", (int)(end - url), url, port, end + 2);
    else
        log_line(LOG_INFO, "listening on %s", url);
    return 0;
}

static int start_exchanges(struct listener *listener, size_t count)
{
    listener->exchanges = calloc(count, sizeof *listener->exchanges);
    if (!listener->exchanges)
        return ENOMEM;
    for (; listener->exchange_count < count; listener->exchange_count++) {
        struct exchange *exchange = &listener->exchanges[listener->exchange_count];
        exchange->listener = listener;
        if (nng_ctx_open(&exchange->context, listener->socket) != 0)
            return ENOMEM;
        if (nng_aio_alloc(&exchange->aio, exchange_cb, exchange) != 0) {
            nng_ctx_close(exchange->context);
            return ENOMEM;
        }
    }
    listener->busy = count;
    for (size_t i = 0; i < count; i++)
        exchange_receive(&listener->exchanges[i]);
    return 0;
}

static int listen_on_all(struct listener *listener, const char *const *urls, size_t url_count,
                         char *error, size_t error_bytes)
{
    int failure = 0;
    listener->locks = calloc(url_count, sizeof *listener->locks);
    if (!listener->locks)
        return ENOMEM;
    for (size_t i = 0; i < url_count && failure == 0; i++) {
        if (!is_ipc(urls[i]))
            continue;
        failure =
            lock_path(&listener->locks[listener->lock_count], urls[i] + 6, error, error_bytes);
        listener->lock_count += failure == 0;
    }
    for (size_t i = 0; i < url_count && failure == 0; i++)
        failure = listen_on(listener, urls[i], error, error_bytes);
    return failure;
}

int listener_start(struct engine *engine, const char *const *urls, size_t url_count,
                   const struct config_limits *limits, struct listener **listener_out, char *error,
                   size_t error_bytes)
{
    struct listener *listener = calloc(1, sizeof *listener);
    snprintf(error, error_bytes, "out of memory");
    if (!listener)
        return ENOMEM;
    listener->engine = engine;
    listener->reply_send_ms = (nng_duration)limits->reply_send_ms;
    pthread_mutex_init(&listener->lock, NULL);
    pthread_cond_init(&listener->idle, NULL);
    int failure = nng_rep0_open(&listener->socket) == 0 ? 0 : ENOMEM;
    if (failure == 0) {
        /* Before any listener exists, who inherits it: a frame that says it is endless would abort
         * the process. */
        nng_socket_set_size(listener->socket, NNG_OPT_RECVMAXSZ, limits->frame_bytes);
        size_t count = limits->calls_in_flight_max + EXTRA_EXCHANGES;
        failure = start_exchanges(listener, count < EXCHANGES_MAX ? count : EXCHANGES_MAX);
        if (failure == 0)
            failure = listen_on_all(listener, urls, url_count, error, error_bytes);
    }
    if (failure != 0) {
        listener_stop(listener, 0);
        return failure;
    }
    *listener_out = listener;
    return 0;
}

static void wait_until_idle(struct listener *listener, unsigned drain_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += drain_ms / 1000;
    until.tv_nsec += drain_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&listener->lock);
    while (listener->busy > 0) {
        if (pthread_cond_timedwait(&listener->idle, &listener->lock, &until) != 0)
            break;
    }
    pthread_mutex_unlock(&listener->lock);
}

void listener_stop(struct listener *listener, unsigned drain_ms)
{
    listener->stopping = true;
    for (size_t i = 0; i < listener->exchange_count; i++) {
        if (listener->exchanges[i].state == RECEIVING)
            nng_aio_cancel(listener->exchanges[i].aio);
    }
    wait_until_idle(listener, drain_ms);
    wait_until_idle(listener, 60000); /* what still runs on the sources holds frames */
    for (size_t i = 0; i < listener->exchange_count; i++)
        nng_aio_stop(listener->exchanges[i].aio);
    /* Last: nng 1.10 aborts when a thread is still in a call on a context of a socket that is
     * closed. */
    nng_close(listener->socket);
    for (size_t i = 0; i < listener->exchange_count; i++)
        nng_aio_free(listener->exchanges[i].aio);
    for (size_t i = 0; i < listener->spare_count; i++)
        frame_free(listener->spare[i]);
    for (size_t i = 0; i < listener->lock_count; i++) {
        unlink(listener->locks[i].path);
        close(listener->locks[i].file);
    }
    pthread_cond_destroy(&listener->idle);
    pthread_mutex_destroy(&listener->lock);
    free(listener->locks);
    free(listener->exchanges);
    free(listener);
}
