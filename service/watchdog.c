#include "watchdog.h"

#include "notify.h"

#include "chatstore/v1/envelope.pb-c.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

enum { PING_BYTES_MAX = 256 };

struct watchdog {
    unsigned pause_ms;
    struct listener_ping *connection;
    uint8_t ping[PING_BYTES_MAX]; /* an encoded frame */
    size_t ping_bytes;
    sem_t stop;
    pthread_t thread;
};

static void encode_ping(struct watchdog *watchdog)
{
    Chatstore__V1__Call call = CHATSTORE__V1__CALL__INIT;
    Chatstore__V1__Call *calls[] = {&call};
    Chatstore__V1__Request request = CHATSTORE__V1__REQUEST__INIT;
    call.method = (char *)"/chatstore.v1.AdminService/Ping";
    request.calls = calls;
    request.n_calls = 1;
    watchdog->ping_bytes = chatstore__v1__request__pack(&request, watchdog->ping);
}

static bool wait_for_stop(struct watchdog *watchdog)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(watchdog->pause_ms % 1000) * 1000000;
    until.tv_sec += watchdog->pause_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int error;
    while ((error = sem_clockwait(&watchdog->stop, CLOCK_MONOTONIC, &until)) != 0 && errno == EINTR)
        continue;
    return error == 0;
}

/* A refusal (overload, draining) is an answer as well; a listener or an engine that hangs gives
 * none. */
static void *watchdog_main(void *arg)
{
    struct watchdog *watchdog = arg;
    pthread_setname_np(pthread_self(), "watchdog");
    do {
        if (listener_ping(watchdog->connection, watchdog->ping, watchdog->ping_bytes,
                          2 * watchdog->pause_ms))
            notify_send("WATCHDOG=1");
    } while (!wait_for_stop(watchdog));
    return NULL;
}

int watchdog_start(struct listener *listener, unsigned period_ms, struct watchdog **watchdog_out)
{
    *watchdog_out = NULL;
    if (period_ms == 0)
        return 0;
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (!watchdog)
        return ENOMEM;
    watchdog->pause_ms = period_ms / 3 > 0 ? period_ms / 3 : 1;
    sem_init(&watchdog->stop, 0, 0);
    encode_ping(watchdog);
    int error = listener_ping_open(listener, &watchdog->connection);
    if (error == 0)
        error = pthread_create(&watchdog->thread, NULL, watchdog_main, watchdog);
    if (error == 0) {
        *watchdog_out = watchdog;
    } else {
        listener_ping_close(watchdog->connection);
        free(watchdog);
    }
    return error;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    sem_post(&watchdog->stop);
    pthread_join(watchdog->thread, NULL);
    listener_ping_close(watchdog->connection);
    sem_destroy(&watchdog->stop);
    free(watchdog);
}
