#include "beside.h"

#include "clock.h"
#include "connect.h"
#include "names.h"

#include <chatstore/calls.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct beside {
    const struct options *options;
    struct chatstore_client *client;
    atomic_bool stop;
    atomic_uint_fast64_t scans, touches, failures;
    pthread_t *threads; /* beside_scans, and perhaps one that touches */
    unsigned thread_count;
    int *idle; /* sockets */
    unsigned idle_count;
};

/* The answers are not decoded: the measured client shares the machine. */
static void *scan(void *arg)
{
    struct beside *beside = arg;
    Chatstore__V1__GetChatMessagesSinceRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;
    request.chat_id = name_chat_id(beside->options->scan_chat);
    uint8_t payload[64];
    size_t bytes = chatstore__v1__get_chat_messages_since_request__pack(&request, payload);
    while (!atomic_load(&beside->stop)) {
        uint8_t *reply;
        size_t reply_bytes;
        enum chatstore_status status = chatstore_client_call(
            beside->client, "GetChatMessagesSince", payload, bytes, NULL, &reply, &reply_bytes);
        if (status == CHATSTORE_OK && reply_bytes > 0)
            atomic_fetch_add(&beside->scans, 1);
        else if (atomic_fetch_add(&beside->failures, 1) == 0)
            fprintf(stderr, "chatstore-bench: --beside-scans: %s\n",
                    status == CHATSTORE_OK ? "the chat is empty"
                                           : chatstore_client_error(beside->client));
        free(reply);
    }
    return NULL;
}

static void *touch(void *arg)
{
    struct beside *beside = arg;
    int64_t next_ns = bench_now_ns();
    for (unsigned i = 0; !atomic_load(&beside->stop); i++) {
        Chatstore__V1__UpdateChatInfoRequest request =
            CHATSTORE__V1__UPDATE_CHAT_INFO_REQUEST__INIT;
        Chatstore__V1__UpdateChatInfoResponse *response;
        char title[64], type[] = "supergroup";
        snprintf(title, sizeof title, "Group number %u", i % 2);
        request.chat_id = name_chat_id(0);
        request.title = title;
        request.type = type;
        if (chatstore_update_chat_info(beside->client, &request, NULL, &response) == CHATSTORE_OK)
            atomic_fetch_add(&beside->touches, 1);
        else if (atomic_fetch_add(&beside->failures, 1) == 0)
            fprintf(stderr, "chatstore-bench: --touch-ms: %s\n",
                    chatstore_client_error(beside->client));
        if (response)
            chatstore__v1__update_chat_info_response__free_unpacked(response, NULL);
        next_ns += (int64_t)beside->options->touch_ms * (BENCH_SECOND_NS / 1000);
        bench_sleep_until(next_ns);
    }
    return NULL;
}

static bool spawn(struct beside *beside, void *(*run)(void *arg))
{
    int error = pthread_create(&beside->threads[beside->thread_count], NULL, run, beside);
    if (error != 0)
        fprintf(stderr, "chatstore-bench: cannot start a thread: %s\n", strerror(error));
    else
        beside->thread_count++;
    return error == 0;
}

static bool connect_idle(struct beside *beside, const char *url)
{
    for (unsigned i = 0; i < beside->options->idle_connections; i++) {
        int fd = connect_url(url);
        int error = fd < 0 ? errno : connect_greet(fd);
        if (fd >= 0)
            beside->idle[beside->idle_count++] = fd;
        if (error != 0) {
            fprintf(stderr, "chatstore-bench: --idle-connections: number %u to %s: %s\n", i + 1,
                    url, strerror(error));
            return false;
        }
    }
    return true;
}

static bool start_threads(struct beside *beside)
{
    bool started = true;
    for (unsigned i = 0; started && i < beside->options->beside_scans; i++)
        started = spawn(beside, scan);
    return started && (beside->options->touch_ms == 0 || spawn(beside, touch));
}

struct beside *beside_start(const struct options *options, const char *url)
{
    struct beside *beside = calloc(1, sizeof *beside);
    if (!beside)
        return NULL;
    beside->options = options;
    beside->threads = calloc(options->beside_scans + 1, sizeof *beside->threads);
    beside->idle = calloc(options->idle_connections + 1, sizeof *beside->idle);
    /* A frame for each scan, so that they go on side by side. */
    struct chatstore_client_options client_options = {.no_join = true};
    bool calls = options->beside_scans > 0 || options->touch_ms > 0;
    if (beside->threads && beside->idle &&
        (!calls || chatstore_client_open(url, &client_options, &beside->client) == CHATSTORE_OK) &&
        connect_idle(beside, url) && start_threads(beside))
        return beside;
    beside_stop(beside);
    return NULL;
}

void beside_report(const struct beside *beside, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes,
             ", \"scans\": %" PRIuFAST64 ", \"touches\": %" PRIuFAST64
             ", \"failures_beside\": %" PRIuFAST64 ", \"idle_connections\": %u",
             atomic_load(&beside->scans), atomic_load(&beside->touches),
             atomic_load(&beside->failures), beside->idle_count);
}

void beside_stop(struct beside *beside)
{
    if (!beside)
        return;
    atomic_store(&beside->stop, true);
    for (unsigned i = 0; i < beside->thread_count; i++)
        pthread_join(beside->threads[i], NULL);
    for (unsigned i = 0; i < beside->idle_count; i++)
        close(beside->idle[i]);
    chatstore_client_close(beside->client);
    free(beside->threads);
    free(beside->idle);
    free(beside);
}
