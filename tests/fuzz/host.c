#include "host.h"

#include "pool/log.h"
#include "pool/utf8.h"
#include "proto/call.h"
#include "service/engine.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chatstore/v1/envelope.pb-c.h"

static struct {
    struct config *config;
    struct config_report *report;
    struct engine *engine;
    struct frame *frame;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} host = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static char folder[256];

/* ---- Opening ---- */

static void frame_is_done(struct frame *frame, void *arg)
{
    (void)frame;
    (void)arg;
    pthread_mutex_lock(&host.lock);
    host.done = true;
    pthread_cond_broadcast(&host.changed);
    pthread_mutex_unlock(&host.lock);
}

void host_open(const char *toml, const char *base)
{
    struct config_input input = {
        .text = toml, .bytes = strlen(toml), .origin = "fuzz", .base_dir = base};

    log_set_level(LOG_ERROR);
    if (config_parse(&input, &host.config, &host.report) != CONFIG_OK) {
        config_report_print(host.report, stderr);
        abort();
    }
    if (engine_open(host.config, INT64_MAX, &host.engine) != 0)
        abort();
    engine_trust_callers(host.engine);
    host.frame = frame_new(host.engine, frame_is_done);
    if (!host.frame)
        abort();
}

void host_close(void)
{
    frame_free(host.frame);
    engine_close(host.engine);
    config_report_free(host.report);
    config_free(host.config);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *host_folder(void)
{
    if (folder[0] == '\0') {
        const char *wanted = getenv("TMPDIR");
        const char *base = wanted ? wanted : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(folder, sizeof folder, "%s/chatstore-fuzz-XXXXXX", base);
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    return folder;
}

/* ---- Judging ---- */

static void wrong(const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static void judge_text(const char *text)
{
    if (utf8_valid_bytes(text, strlen(text)) != strlen(text))
        wrong("not UTF-8", text);
}

static void judge_status(int32_t code, const char *text, bool is_ours)
{
    static const char known[] = {0, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16};

    judge_text(text);
    if (code < 0 || code > 16 || !memchr(known, (char)code, sizeof known))
        wrong("a status that is none", text);
    if ((code != 0) != (text[0] != '\0'))
        wrong("a failure without a text, or a text without a failure", text);
    if (code == STATUS_INTERNAL || code == STATUS_DATA_LOSS)
        wrong("a mistake of the server's", text);
    if (is_ours && code == STATUS_UNAVAILABLE)
        wrong("a source that was well", text);
}

static void judge_result(const Chatstore__V1__Result *result, const Chatstore__V1__Call *call,
                         bool is_ours)
{
    int32_t code = result->status ? result->status->code : 0;
    const struct call *row = call ? call_find(call->method) : NULL;

    judge_status(code, result->status ? result->status->message : "", is_ours);
    judge_text(result->source);
    for (size_t i = 0; i < result->n_failed_sources; i++)
        judge_status(result->failed_sources[i]->code, result->failed_sources[i]->message, is_ours);
    if (code != 0) {
        if (result->payload.len != 0)
            wrong("a failure with an answer", result->status->message);
        return;
    }
    if (!row)
        wrong("success of", call ? call->method : "no call");
    ProtobufCMessage *response =
        protobuf_c_message_unpack(row->response, NULL, result->payload.len, result->payload.data);
    if (!response)
        wrong("an answer that is none of", row->name);
    protobuf_c_message_free_unpacked(response, NULL);
}

static void judge(const uint8_t *frame, size_t size, const uint8_t *bytes, size_t count,
                  bool is_ours)
{
    Chatstore__V1__Reply *reply = chatstore__v1__reply__unpack(NULL, count, bytes);
    Chatstore__V1__Request *request = chatstore__v1__request__unpack(NULL, size, frame);

    if (!reply)
        wrong("the reply", "cannot be read");
    if (reply->n_results != 1 && (!request || reply->n_results != request->n_calls))
        wrong("the reply", "has another number of results than the frame has calls");
    for (size_t i = 0; i < reply->n_results; i++)
        judge_result(reply->results[i],
                     request && reply->n_results == request->n_calls ? request->calls[i] : NULL,
                     is_ours);
    chatstore__v1__request__free_unpacked(request, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

void host_run(const uint8_t *frame, size_t size, bool is_ours)
{
    /* Memory of just that size: reading behind it is seen. */
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (!copy)
        abort();
    if (size > 0)
        memcpy(copy, frame, size);
    host.done = false;
    frame_run(host.frame, copy, size, NULL);
    pthread_mutex_lock(&host.lock);
    while (!host.done)
        pthread_cond_wait(&host.changed, &host.lock);
    pthread_mutex_unlock(&host.lock);
    size_t count = frame_reply_bytes(host.frame);
    uint8_t *reply = malloc(count > 0 ? count : 1);
    if (!reply)
        abort();
    frame_reply_pack(host.frame, reply);
    judge(copy, size, reply, count, is_ours);
    free(reply);
    free(copy);
}
