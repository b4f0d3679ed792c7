/* An engine over files in a sandbox, and frames run in it. */
#ifndef CHATSTORE_TESTS_ENGINE_FIXTURE_H
#define CHATSTORE_TESTS_ENGINE_FIXTURE_H

#include "sandbox.h"
#include "service/config.h"
#include "service/engine.h"
#include "wire.h"

#include <stdio.h>

struct service {
    struct sandbox sandbox;
    struct config *config;
    struct config_report *report;
    struct engine *engine;
};

/* Paths in the text are relative to the sandbox, which is opened by service_prepare(). */
void service_prepare(struct service *service);
void service_start(struct service *service, const char *toml);
void service_stop(struct service *service);

/* One source "main", and these lines of [service.limits]. */
void service_start_limited(struct service *service, const char *limits);

/* A client of that name, whose token is service_token(), as lines of the configuration; `more` are
 * its other lines. */
enum { SERVICE_TOKEN_BYTES = 64 };
const char *service_token(const char *name, char token[SERVICE_TOKEN_BYTES]);
void service_write_client(FILE *to, const char *name, const char *more);

/* Run a frame of one call. */
Chatstore__V1__Reply *service_call(struct service *service, const char *method, const char *json);
/* Run the calls as one frame and wait for the reply, which chatstore__v1__reply__free_unpacked()
 * frees. */
Chatstore__V1__Reply *service_run(struct service *service, struct wire *wire);
Chatstore__V1__Reply *service_run_bytes(struct service *service, const void *bytes, size_t count);
/* One call, whose reply must have this status. */
void service_expect(struct service *service, const char *method, const char *json,
                    enum chatstore_status status, const char *part);

/* A frame under way: the request's bytes and whether it is done. */
struct passage;
struct passage *passage_start(struct service *service, struct wire *wire);
/* Waits for it, and frees the passage. */
Chatstore__V1__Reply *passage_wait(struct passage *passage);

/* The answer of ListSources for one source, as JSON; to be freed with json_decref(). */
json_t *service_source(struct service *service, const char *name);

#endif
