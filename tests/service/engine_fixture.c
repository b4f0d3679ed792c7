#include "engine_fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "chatstore/v1/admin.pb-c.h"
#include "json.h"
#include "service/access.h"

struct passage {
    struct frame *frame;
    uint8_t *bytes;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

void service_prepare(struct service *service)
{
    *service = (struct service){0};
    sandbox_open(&service->sandbox);
}

void service_start(struct service *service, const char *toml)
{
    char path[SANDBOX_PATH_BYTES];
    sandbox_write(&service->sandbox, "chatstore.toml", toml);
    sandbox_path(&service->sandbox, "chatstore.toml", path);
    enum config_status status = config_load(path, &service->config, &service->report);
    if (status != CONFIG_OK)
        config_report_print(service->report, stderr);
    assert_int_equal(status, CONFIG_OK);
    assert_int_equal(engine_open(service->config, INT64_MAX, &service->engine), 0);
}

void service_start_limited(struct service *service, const char *limits)
{
    char toml[1024];
    service_prepare(service);
    snprintf(toml, sizeof toml,
             "[service.limits]\n%s\n[database.sources.main]\npath = \"main.db\"\n"
             "synchronous = \"normal\"\n",
             limits);
    service_start(service, toml);
}

const char *service_token(const char *name, char token[SERVICE_TOKEN_BYTES])
{
    snprintf(token, SERVICE_TOKEN_BYTES, "cst_%s_0123456789012345678901234567890", name);
    return token;
}

void service_write_client(FILE *to, const char *name, const char *more)
{
    char token[SERVICE_TOKEN_BYTES];
    uint8_t hash[CONFIG_TOKEN_HASH_BYTES];
    service_token(name, token);
    access_hash(token, strlen(token), hash);
    fprintf(to, "[[service.clients]]\nname = \"%s\"\ntoken-hash = \"sha256:", name);
    for (size_t i = 0; i < sizeof hash; i++)
        fprintf(to, "%02x", hash[i]);
    fprintf(to, "\"\n%s\n", more);
}

void service_stop(struct service *service)
{
    engine_close(service->engine);
    config_report_free(service->report);
    config_free(service->config);
    sandbox_close(&service->sandbox);
}

static void passage_done(struct frame *frame, void *arg)
{
    struct passage *passage = arg;
    (void)frame;
    pthread_mutex_lock(&passage->lock);
    passage->done = true;
    pthread_cond_broadcast(&passage->changed);
    pthread_mutex_unlock(&passage->lock);
}

static struct passage *passage_begin(struct service *service, uint8_t *bytes, size_t count)
{
    struct passage *passage = calloc(1, sizeof *passage);
    assert_non_null(passage);
    pthread_mutex_init(&passage->lock, NULL);
    pthread_cond_init(&passage->changed, NULL);
    passage->bytes = bytes;
    passage->frame = frame_new(service->engine, passage_done);
    assert_non_null(passage->frame);
    frame_run(passage->frame, bytes, count, passage);
    return passage;
}

struct passage *passage_start(struct service *service, struct wire *wire)
{
    size_t count;
    uint8_t *bytes = wire_take(wire, &count);
    return passage_begin(service, bytes, count);
}

Chatstore__V1__Reply *passage_wait(struct passage *passage)
{
    pthread_mutex_lock(&passage->lock);
    while (!passage->done)
        pthread_cond_wait(&passage->changed, &passage->lock);
    pthread_mutex_unlock(&passage->lock);
    size_t bytes = frame_reply_bytes(passage->frame);
    uint8_t *packed = malloc(bytes + 1);
    assert_non_null(packed);
    frame_reply_pack(passage->frame, packed);
    Chatstore__V1__Reply *reply = chatstore__v1__reply__unpack(NULL, bytes, packed);
    assert_non_null(reply);
    free(packed);
    frame_free(passage->frame);
    pthread_cond_destroy(&passage->changed);
    pthread_mutex_destroy(&passage->lock);
    free(passage->bytes);
    free(passage);
    return reply;
}

Chatstore__V1__Reply *service_run(struct service *service, struct wire *wire)
{
    return passage_wait(passage_start(service, wire));
}

Chatstore__V1__Reply *service_run_bytes(struct service *service, const void *bytes, size_t count)
{
    uint8_t *copy = malloc(count + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    return passage_wait(passage_begin(service, copy, count));
}

Chatstore__V1__Reply *service_call(struct service *service, const char *method, const char *json)
{
    struct wire wire = {0};
    wire_add(&wire, method, json, 0);
    return service_run(service, &wire);
}

void service_expect(struct service *service, const char *method, const char *json,
                    enum chatstore_status status, const char *part)
{
    Chatstore__V1__Reply *reply = service_call(service, method, json);
    expect_result(reply, 0, status, part);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

json_t *service_source(struct service *service, const char *name)
{
    Chatstore__V1__Reply *reply = service_call(service, "ListSources", "{}");
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    const ProtobufCBinaryData *payload = &reply->results[0]->payload;
    char *text = message_to_json(&chatstore__v1__list_sources_response__descriptor, payload->data,
                                 payload->len, false);
    json_t *answer = json_loads(text, 0, NULL), *each, *found = NULL;
    size_t i;
    json_array_foreach(json_object_get(answer, "sources"), i, each)
    {
        if (strcmp(json_string_value(json_object_get(each, "name")), name) == 0)
            found = json_incref(each);
    }
    assert_non_null(found);
    json_decref(answer);
    free(text);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    return found;
}
