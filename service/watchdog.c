#include "watchdog.h"

#include "notify.h"

#include "chatstore/v1/envelope.pb-c.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

enum { PING_BYTES_MAX = 256, REPLY_BYTES_MAX = 4096 };

struct watchdog {
    unsigned pause_ms;
    struct frame *frame;
    uint8_t ping[PING_BYTES_MAX]; /* an encoded frame */
    size_t ping_bytes;
    sem_t answered;
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

static void ping_answered(struct frame *frame, void *arg)
{
    struct watchdog *watchdog = arg;
    uint8_t reply[REPLY_BYTES_MAX];
    if (frame_reply_bytes(frame) <= sizeof reply)
        frame_reply_pack(frame, reply);
    else
        frame_reply_drop(frame);
    sem_post(&watchdog->answered);
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

/* A refusal (overload, draining) is an answer as well; an engine that hangs gives none, and then
 * this thread hangs with it and says no more. */
static void *watchdog_main(void *arg)
{
    struct watchdog *watchdog = arg;
    pthread_setname_np(pthread_self(), "watchdog");
    do {
        frame_run(watchdog->frame, watchdog->ping, watchdog->ping_bytes, watchdog);
        while (sem_wait(&watchdog->answered) != 0)
            continue;
        notify_send("WATCHDOG=1");
    } while (!wait_for_stop(watchdog));
    return NULL;
}

int watchdog_start(struct engine *engine, unsigned period_ms, struct watchdog **watchdog_out)
{
    *watchdog_out = NULL;
    if (period_ms == 0)
        return 0;
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (!watchdog)
        return ENOMEM;
    watchdog->pause_ms = period_ms / 2 > 0 ? period_ms / 2 : 1;
    sem_init(&watchdog->answered, 0, 0);
    sem_init(&watchdog->stop, 0, 0);
    encode_ping(watchdog);
    watchdog->frame = frame_new(engine, ping_answered);
    if (watchdog->frame)
        frame_set_own(watchdog->frame);
    int error =
        watchdog->frame ? pthread_create(&watchdog->thread, NULL, watchdog_main, watchdog) : ENOMEM;
    if (error == 0) {
        *watchdog_out = watchdog;
    } else {
        frame_free(watchdog->frame);
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
    frame_free(watchdog->frame);
    sem_destroy(&watchdog->stop);
    sem_destroy(&watchdog->answered);
    free(watchdog);
}
