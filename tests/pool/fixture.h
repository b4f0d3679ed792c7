/* Sources and calls for tests: a pool of workers, one source after the other, calls whose answers
 * can be waited for, and a gate at which calls can be held. */
#ifndef CHATSTORE_TESTS_POOL_FIXTURE_H
#define CHATSTORE_TESTS_POOL_FIXTURE_H

#include "pool/clock.h"
#include "pool/pool.h"
#include "pool/source.h"

#include "call_ids.h"
#include "chatstore/v1/bayes.pb-c.h"
#include "chatstore/v1/messages.pb-c.h"
#include "chatstore/v1/settings.pb-c.h"
#include "chatstore/v1/users.pb-c.h"
#include "sql_blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENCE_MS = 60000 }; /* longer than anything that is waited for takes */

/* cmocka setup and teardown: a folder (file.h) and a pool of 4 readers and 2 writers. */
int pool_setup(void **state);
int pool_teardown(void **state);
struct pool *fixture_pool(void);

/* As the service opens a source by default, but for a short timeout of 500 ms. */
struct source_config config_of(const char *name, const char *path);
/* Open and wait for the first attempt. */
struct source *open_source(const struct source_config *config);
struct source_info info_of(struct source *source);

/* Look again and again until it is true; fails the test when it never is. */
typedef bool condition_fn(void *arg);
void eventually(condition_fn *condition, void *arg);
/* Conditions for it; arg is the source. */
condition_fn source_is_up, source_is_down, source_is_shared, source_has_waiting;

/* One call. */
struct run {
    struct job job;
    struct answer answer;
    bool done;
    union {
        ProtobufCMessage base;
        Chatstore__V1__SaveChatMessageRequest save;
        Chatstore__V1__SetSettingRequest set;
        Chatstore__V1__GetSettingRequest get;
        Chatstore__V1__GetChatUserRequest get_user;
        Chatstore__V1__UpdateChatUserRequest update_user;
        Chatstore__V1__GetChatMessagesSinceRequest messages;
        Chatstore__V1__GetVocabularySizeRequest vocabulary;
    } request;
    Google__Protobuf__Timestamp date;
    char id[24], text[64];
    void *response;
};

/* Prepare a run; sql NULL: the call's own. request is the caller's. run_end frees what it holds. */
void run_init(struct run *run, enum call_id id, const ProtobufCMessage *request, const char *sql);
void run_end(struct run *run);
void run_submit(struct run *run, struct source *source);
enum status_code run_wait(struct run *run);
bool run_is_done(struct run *run);
/* Submit and wait. */
enum status_code run_on(struct run *run, struct source *source);
/* The decoded answer of a run that was OK. */
void *run_response(struct run *run);

/* Runs of single calls; each leaves the request in run->request. */
void run_init_save(struct run *run, int64_t chat_id, unsigned number);
void run_init_set(struct run *run, const char *key, const char *value);
void run_init_get(struct run *run, const char *key);
void run_init_messages(struct run *run, int64_t chat_id);
/* Calls that wait at the gate: a point read, a scan, a write. */
void run_init_gate_read(struct run *run);
void run_init_gate_scan(struct run *run);
void run_init_gate_write(struct run *run, const char *key);

/* All in one: the status of a call. */
enum status_code set_setting(struct source *source, const char *key, const char *value);
/* "-" for absent, else the value; the status's text when it failed. */
struct status get_setting(struct source *source, const char *key);

/* It is down for this reason, which its calls are told; it is up, or will be, and takes calls. */
void assert_source_down(struct source *source, const char *reason);
void assert_source_works(struct source *source);

/* The SQL function wait_at_gate() waits there while the gate is closed. */
void gate_close(void);
void gate_open(void);
/* Wait until so many wait at the gate. */
void gate_wait(unsigned count);

/* Lines of the log since the test began. */
bool log_has(const char *text);

#endif
