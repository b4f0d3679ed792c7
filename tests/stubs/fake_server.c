#include "fake_server.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

enum { WORKERS = 8, FRAMES_MAX = 4096, CALLS_MAX = 256 };

struct fake_server {
    nng_socket socket;
    pthread_t workers[WORKERS];
    fake_answer *answer;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool holds, stops;
    const void *raw;
    size_t raw_size;
    size_t frame_count;
    size_t frame_calls[FRAMES_MAX];
};

const char *fake_url(void)
{
    static char urls[16][64];
    static unsigned count;
    char *url = urls[count % 16];

    snprintf(url, sizeof urls[0], "ipc:///tmp/chatstore-test-%d-%u", (int)getpid(), count++);
    return url;
}

/* False: the server stops. */
static bool note_frame(struct fake_server *server, size_t calls)
{
    pthread_mutex_lock(&server->lock);
    if (server->frame_count < FRAMES_MAX)
        server->frame_calls[server->frame_count] = calls;
    server->frame_count++;
    pthread_cond_broadcast(&server->changed);
    while (server->holds && !server->stops)
        pthread_cond_wait(&server->changed, &server->lock);
    bool stops = server->stops;
    pthread_mutex_unlock(&server->lock);
    return !stops;
}

static void pack_reply(struct fake_server *server, const Chatstore__V1__Request *request,
                       nng_msg *reply_msg)
{
    Chatstore__V1__Result results[CALLS_MAX];
    Chatstore__V1__Result *pointers[CALLS_MAX];
    Chatstore__V1__Reply reply = CHATSTORE__V1__REPLY__INIT;

    reply.n_results = request->n_calls;
    reply.results = pointers;
    for (size_t i = 0; i < request->n_calls; i++) {
        results[i] = (Chatstore__V1__Result)CHATSTORE__V1__RESULT__INIT;
        pointers[i] = &results[i];
        server->answer(server->arg, request->calls[i], &results[i]);
    }
    size_t size = chatstore__v1__reply__get_packed_size(&reply);
    uint8_t *bytes = malloc(size + 1);
    chatstore__v1__reply__pack(&reply, bytes);
    nng_msg_append(reply_msg, bytes, size);
    free(bytes);
}

/* Make the reply out of the request; false: the server stops. */
static bool answer_frame(struct fake_server *server, nng_msg *message)
{
    Chatstore__V1__Request *request =
        chatstore__v1__request__unpack(NULL, nng_msg_len(message), nng_msg_body(message));

    bool goes_on = note_frame(server, request == NULL ? 0 : request->n_calls);
    nng_msg_clear(message);
    pthread_mutex_lock(&server->lock);
    const void *raw = server->raw;
    size_t raw_size = server->raw_size;
    pthread_mutex_unlock(&server->lock);
    if (raw != NULL)
        nng_msg_append(message, raw, raw_size);
    else if (request != NULL && request->n_calls <= CALLS_MAX)
        pack_reply(server, request, message);
    chatstore__v1__request__free_unpacked(request, NULL);
    return goes_on;
}

static bool is_stopping(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool stops = server->stops;
    pthread_mutex_unlock(&server->lock);
    return stops;
}

/* Ends by itself: nng aborts now and then if the socket of a context that receives is closed. */
static void *work(void *arg)
{
    struct fake_server *server = arg;
    nng_ctx context;
    nng_msg *message;

    if (nng_ctx_open(&context, server->socket) != 0)
        return NULL;
    nng_ctx_set_ms(context, NNG_OPT_RECVTIMEO, 20);
    while (!is_stopping(server)) {
        if (nng_ctx_recvmsg(context, &message, 0) != 0)
            continue;
        if (!answer_frame(server, message) || nng_ctx_sendmsg(context, message, 0) != 0)
            nng_msg_free(message);
    }
    return NULL;
}

struct fake_server *fake_server_start(const char *url, fake_answer *answer, void *arg)
{
    struct fake_server *server = calloc(1, sizeof *server);

    assert_non_null(server);
    server->answer = answer;
    server->arg = arg;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    assert_int_equal(nng_rep0_open(&server->socket), 0);
    assert_int_equal(nng_socket_set_size(server->socket, NNG_OPT_RECVMAXSZ, 8 << 20), 0);
    assert_int_equal(nng_listen(server->socket, url, NULL, 0), 0);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&server->workers[i], NULL, work, server), 0);
    return server;
}

void fake_server_stop(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stops = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(server->workers[i], NULL);
    nng_close(server->socket);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

void fake_server_hold(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->holds = true;
    pthread_mutex_unlock(&server->lock);
}

void fake_server_release(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->holds = false;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

void fake_server_answer_raw(struct fake_server *server, const void *bytes, size_t size)
{
    pthread_mutex_lock(&server->lock);
    server->raw = bytes;
    server->raw_size = size;
    pthread_mutex_unlock(&server->lock);
}

void fake_server_wait_frames(struct fake_server *server, size_t count)
{
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&server->lock);
    while (server->frame_count < count && error == 0)
        error = pthread_cond_clockwait(&server->changed, &server->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&server->lock);
    assert_int_equal(error, 0);
}

size_t fake_server_frame_count(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t count = server->frame_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

size_t fake_server_frame_calls(struct fake_server *server, size_t i)
{
    pthread_mutex_lock(&server->lock);
    assert_true(i < server->frame_count && i < FRAMES_MAX);
    size_t calls = server->frame_calls[i];
    pthread_mutex_unlock(&server->lock);
    return calls;
}
