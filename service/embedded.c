#include "embedded.h"

#include "engine.h"

#include "pool/log.h"
#include "pool/source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPARE_FRAMES_MAX = 32 };

struct embedded {
    struct config *config;
    struct engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* working became 0 */
    size_t working;
    struct frame *spare[SPARE_FRAMES_MAX];
    size_t spare_count;
};

/* A frame on its way: what the engine's done function needs. */
struct passage {
    struct embedded *embedded;
    struct chatstore_frame *frame;
};

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static enum chatstore_status set_load_error(const char *url, enum config_status status,
                                            const struct config_report *report, char *error,
                                            size_t error_bytes)
{
    if (status == CONFIG_NO_MEMORY || !report || report->count == 0) {
        snprintf(error, error_bytes, "%s: out of memory", url);
        return CHATSTORE_RESOURCE_EXHAUSTED;
    }
    const struct config_finding *worst = &report->findings[0];
    for (size_t i = 0; i < report->count; i++) {
        if (report->findings[i].severity > worst->severity)
            worst = &report->findings[i];
    }
    char text[400];
    snprintf(error, error_bytes, "%.*s: %s", (int)strcspn(url, "\n"), url,
             config_finding_text(report, worst, text, sizeof text));
    return CHATSTORE_INVALID_ARGUMENT;
}

/* The configuration that a URL means: what is in a .toml file, or one database file, or, if it has
 * a line feed, the text of the URL itself. */
static enum config_status load_config(const char *path, struct config **config_out,
                                      struct config_report **report_out)
{
    if (!strchr(path, '\n'))
        return ends_with(path, ".toml") ? config_load(path, config_out, report_out)
                                        : config_single(path, false, config_out, report_out);
    *report_out = NULL;
    char *folder = get_current_dir_name();
    if (!folder)
        return CONFIG_NO_MEMORY;
    struct config_input input = {
        .text = path, .bytes = strlen(path), .origin = "embedded", .base_dir = folder};
    enum config_status status = config_parse(&input, config_out, report_out);
    free(folder);
    return status;
}

/* Standard error is the program's own, which says in CHATSTORE_LOG how much it wants to see there.
 */
static void choose_log_level(void)
{
    const char *name = getenv("CHATSTORE_LOG");
    enum log_level level;
    if (!name)
        return;
    if (log_level_parse(name, &level))
        log_set_level(level);
    else
        log_line(LOG_WARN, "CHATSTORE_LOG is \"%.20s\"; it may be error, warn, info or debug",
                 name);
}

static void embedded_free(struct embedded *embedded)
{
    for (size_t i = 0; i < embedded->spare_count; i++)
        frame_free(embedded->spare[i]);
    if (embedded->engine)
        engine_close(embedded->engine);
    config_free(embedded->config);
    pthread_cond_destroy(&embedded->idle);
    pthread_mutex_destroy(&embedded->lock);
    free(embedded);
}

static enum chatstore_status embedded_open(const char *url,
                                           const struct chatstore_transport_options *options,
                                           void **transport_out, char *error, size_t error_bytes)
{
    (void)options;
    choose_log_level();
    const char *path = url + strlen("embedded:");
    struct embedded *embedded = calloc(1, sizeof *embedded);
    if (!embedded) {
        snprintf(error, error_bytes, "%s: out of memory", url);
        return CHATSTORE_RESOURCE_EXHAUSTED;
    }
    pthread_mutex_init(&embedded->lock, NULL);
    pthread_cond_init(&embedded->idle, NULL);
    struct config_report *report = NULL;
    enum config_status status = load_config(path, &embedded->config, &report);
    enum chatstore_status result = CHATSTORE_OK;
    if (status != CONFIG_OK) {
        result = set_load_error(url, status, report, error, error_bytes);
    } else {
        int failure = engine_open(embedded->config, INT64_MAX, &embedded->engine);
        if (failure != 0) {
            snprintf(error, error_bytes, "%s: %s", url, strerror(failure));
            result = CHATSTORE_RESOURCE_EXHAUSTED;
        } else {
            engine_trust_callers(embedded->engine);
        }
    }
    config_report_free(report);
    if (result == CHATSTORE_OK)
        *transport_out = embedded;
    else
        embedded_free(embedded);
    return result;
}

static void give_frame(struct embedded *embedded, struct frame *frame)
{
    pthread_mutex_lock(&embedded->lock);
    if (frame && embedded->spare_count < SPARE_FRAMES_MAX) {
        embedded->spare[embedded->spare_count++] = frame;
        frame = NULL;
    }
    if (--embedded->working == 0)
        pthread_cond_broadcast(&embedded->idle);
    pthread_mutex_unlock(&embedded->lock);
    frame_free(frame);
}

static void fail(struct chatstore_frame *frame, const char *why)
{
    struct chatstore_frame_result result = {.status = CHATSTORE_RESOURCE_EXHAUSTED, .message = why};
    frame->done(frame, &result);
}

static void embedded_done(struct frame *frame, void *arg)
{
    struct passage passage = *(struct passage *)arg;
    free(arg);
    size_t bytes = frame_reply_bytes(frame);
    uint8_t start[4096];
    uint8_t *reply = bytes <= sizeof start ? start : malloc(bytes);
    if (reply) {
        frame_reply_pack(frame, reply);
        struct chatstore_frame_result result = {
            .status = CHATSTORE_OK, .reply = reply, .reply_bytes = bytes};
        passage.frame->done(passage.frame, &result);
    } else {
        frame_reply_drop(frame);
        fail(passage.frame, "no memory for the reply");
    }
    if (reply != start)
        free(reply);
    give_frame(passage.embedded, frame);
}

static void embedded_submit(void *transport, struct chatstore_frame *frame)
{
    struct embedded *embedded = transport;
    pthread_mutex_lock(&embedded->lock);
    struct frame *inner =
        embedded->spare_count > 0 ? embedded->spare[--embedded->spare_count] : NULL;
    embedded->working++;
    pthread_mutex_unlock(&embedded->lock);
    if (!inner)
        inner = frame_new(embedded->engine, embedded_done);
    struct passage *passage = malloc(sizeof *passage);
    if (!inner || !passage) {
        free(passage);
        fail(frame, "no memory for the call");
        give_frame(embedded, inner);
        return;
    }
    *passage = (struct passage){embedded, frame};
    atomic_store(&frame->sent, true);
    frame_run(inner, frame->bytes, frame->byte_count, passage);
}

static void embedded_submit_waiting(void *transport, struct chatstore_frame *frame)
{
    source_begin_waiting();
    embedded_submit(transport, frame);
    source_end_waiting();
}

static void embedded_close(void *transport)
{
    struct embedded *embedded = transport;
    pthread_mutex_lock(&embedded->lock);
    while (embedded->working > 0)
        pthread_cond_wait(&embedded->idle, &embedded->lock);
    pthread_mutex_unlock(&embedded->lock);
    embedded_free(embedded);
}

const struct chatstore_transport_ops chatstore_embedded_transport = {
    .version = CHATSTORE_TRANSPORT_VERSION,
    .open = embedded_open,
    .submit = embedded_submit,
    .close = embedded_close,
};

const struct chatstore_transport_ops chatstore_embedded_waiting_transport = {
    .version = CHATSTORE_TRANSPORT_VERSION,
    .open = embedded_open,
    .submit = embedded_submit_waiting,
    .close = embedded_close,
};
