#include "fixture.h"

#include "file.h"
#include "pool/log.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>

static struct pool pool;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool gate_closed;
static unsigned gate_count;
static char log_lines[64 << 10];
static size_t log_bytes;

/* ---- Waiting ---- */

/* With the lock held. */
static void wait_a_while(int64_t until_ms)
{
    if (clock_now_ms() > until_ms) {
        pthread_mutex_unlock(&lock);
        fail_msg("waited in vain");
    }
    clock_wait(&changed, &lock, clock_now_ms() + 2);
}

void eventually(condition_fn *condition, void *arg)
{
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    while (!condition(arg)) {
        pthread_mutex_lock(&lock);
        wait_a_while(until_ms);
        pthread_mutex_unlock(&lock);
    }
}

bool source_is_up(void *arg)
{
    return info_of(arg).state == SOURCE_UP;
}

bool source_is_down(void *arg)
{
    return info_of(arg).state == SOURCE_DOWN;
}

bool source_is_shared(void *arg)
{
    return info_of(arg).shared;
}

bool source_has_waiting(void *arg)
{
    return info_of(arg).waiting > 0;
}

/* ---- The gate ---- */

static void wait_at_gate(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    (void)values;
    pthread_mutex_lock(&lock);
    gate_count++;
    pthread_cond_broadcast(&changed);
    while (gate_closed)
        pthread_cond_wait(&changed, &lock);
    gate_count--;
    pthread_mutex_unlock(&lock);
    sqlite3_result_text(context, "passed", -1, SQLITE_STATIC);
}

static int add_gate(sqlite3 *db, const char **error, const struct sqlite3_api_routines *api)
{
    (void)error;
    (void)api;
    return sqlite3_create_function(db, "wait_at_gate", 0, SQLITE_UTF8, NULL, wait_at_gate, NULL,
                                   NULL);
}

void gate_close(void)
{
    pthread_mutex_lock(&lock);
    gate_closed = true;
    pthread_mutex_unlock(&lock);
}

void gate_open(void)
{
    pthread_mutex_lock(&lock);
    gate_closed = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void gate_wait(unsigned count)
{
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    pthread_mutex_lock(&lock);
    while (gate_count < count)
        wait_a_while(until_ms);
    pthread_mutex_unlock(&lock);
}

/* ---- Pool and sources ---- */

static void keep_line(void *arg, enum log_level level, const char *text)
{
    (void)arg;
    (void)level;
    pthread_mutex_lock(&lock);
    int bytes = snprintf(log_lines + log_bytes, sizeof log_lines - log_bytes, "%s\n", text);
    if (log_bytes + (size_t)bytes < sizeof log_lines)
        log_bytes += (size_t)bytes;
    pthread_mutex_unlock(&lock);
}

bool log_has(const char *text)
{
    pthread_mutex_lock(&lock);
    bool found = strstr(log_lines, text) != NULL;
    pthread_mutex_unlock(&lock);
    return found;
}

int pool_setup(void **state)
{
    static bool added;
    if (!added && sqlite3_auto_extension((void (*)(void))add_gate) != SQLITE_OK)
        return -1;
    added = true;
    log_bytes = 0;
    log_lines[0] = '\0';
    gate_closed = false;
    log_set_sink(keep_line, NULL);
    return folder_setup(state) || pool_start(&pool, 4, 2);
}

int pool_teardown(void **state)
{
    pool_stop(&pool);
    log_set_sink(NULL, NULL);
    return folder_teardown(state);
}

struct pool *fixture_pool(void)
{
    return &pool;
}

struct source_config config_of(const char *name, const char *path)
{
    return (struct source_config){.name = name,
                                  .path = path,
                                  .pool_size = 5,
                                  .timeout_ms = 500,
                                  .write_queue_max = 1000,
                                  .read_queue_max = 1000,
                                  .requests_keep_ms = 3600000,
                                  .requests_max = 100000};
}

struct source *open_source(const struct source_config *config)
{
    struct source *source = source_open(&pool, config);
    assert_non_null(source);
    source_wait_opened(source, INT64_MAX);
    return source;
}

struct source_info info_of(struct source *source)
{
    struct source_info info;
    source_get_info(source, &info);
    return info;
}

/* ---- Runs ---- */

static void run_done(struct job *job)
{
    struct run *run = (struct run *)((char *)job - offsetof(struct run, job));
    pthread_mutex_lock(&lock);
    assert_false(run->done);
    run->done = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void run_init(struct run *run, enum call_id id, const ProtobufCMessage *request, const char *sql)
{
    run->job = (struct job){.call = &call_table[id],
                            .sql = sql ? sql : call_sql[id],
                            .request = request,
                            .deadline_ms = clock_now_ms() + PATIENCE_MS,
                            .answer = &run->answer,
                            .done = run_done};
    run->done = false;
    run->response = NULL;
    answer_init(&run->answer, false, NULL, 0, 16 << 20);
}

void run_end(struct run *run)
{
    if (run->response)
        protobuf_c_message_free_unpacked(run->response, NULL);
    answer_fini(&run->answer);
}

void run_submit(struct run *run, struct source *source)
{
    source_submit(source, &run->job);
}

bool run_is_done(struct run *run)
{
    pthread_mutex_lock(&lock);
    bool done = run->done;
    pthread_mutex_unlock(&lock);
    return done;
}

enum status_code run_wait(struct run *run)
{
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    pthread_mutex_lock(&lock);
    while (!run->done)
        wait_a_while(until_ms);
    pthread_mutex_unlock(&lock);
    if (run->job.status.code != STATUS_OK) { /* a failure has a reason and no bytes */
        assert_true(run->job.status.text[0]);
        assert_int_equal(run->answer.payload.bytes, 0);
    }
    return run->job.status.code;
}

enum status_code run_on(struct run *run, struct source *source)
{
    run_submit(run, source);
    return run_wait(run);
}

void *run_response(struct run *run)
{
    if (run->job.status.code != STATUS_OK)
        fail_msg("%s: %s", run->job.call->name, run->job.status.text);
    if (!run->response)
        run->response = protobuf_c_message_unpack(
            run->job.call->response, NULL, run->answer.payload.bytes,
            run->answer.payload.bytes ? run->answer.payload.data : (const uint8_t *)"");
    assert_non_null(run->response);
    return run->response;
}

void run_init_save(struct run *run, int64_t chat_id, unsigned number)
{
    snprintf(run->id, sizeof run->id, "%u", number);
    snprintf(run->text, sizeof run->text, "text of message %u", number);
    google__protobuf__timestamp__init(&run->date);
    run->date.seconds = 1700000000 + number;
    chatstore__v1__save_chat_message_request__init(&run->request.save);
    run->request.save.date = &run->date;
    run->request.save.chat_id = chat_id;
    run->request.save.user_id = 7;
    run->request.save.message_id = run->id;
    run->request.save.message_text = run->text;
    run_init(run, CALL_SAVE_CHAT_MESSAGE, &run->request.base, NULL);
}

void run_init_set(struct run *run, const char *key, const char *value)
{
    chatstore__v1__set_setting_request__init(&run->request.set);
    run->request.set.key = (char *)key;
    if (value) {
        run->request.set._value_case = CHATSTORE__V1__SET_SETTING_REQUEST___VALUE_VALUE;
        run->request.set.value = (char *)value;
    }
    run_init(run, CALL_SET_SETTING, &run->request.base, NULL);
}

void run_init_get(struct run *run, const char *key)
{
    chatstore__v1__get_setting_request__init(&run->request.get);
    run->request.get.key = (char *)key;
    run_init(run, CALL_GET_SETTING, &run->request.base, NULL);
}

void run_init_messages(struct run *run, int64_t chat_id)
{
    chatstore__v1__get_chat_messages_since_request__init(&run->request.messages);
    run->request.messages.chat_id = chat_id;
    run_init(run, CALL_GET_CHAT_MESSAGES_SINCE, &run->request.base, NULL);
}

/* Blocks of their own run as calls that tests do not use otherwise: a connection keeps the
 * statements of a call. */
void run_init_gate_read(struct run *run)
{
    chatstore__v1__get_chat_user_request__init(&run->request.get_user);
    run_init(run, CALL_GET_CHAT_USER, &run->request.base, "SELECT wait_at_gate() AS username");
}

void run_init_gate_scan(struct run *run)
{
    chatstore__v1__get_vocabulary_size_request__init(&run->request.vocabulary);
    run_init(run, CALL_GET_VOCABULARY_SIZE, &run->request.base,
             "SELECT length(wait_at_gate()) AS vocabulary_size");
}

void run_init_gate_write(struct run *run, const char *key)
{
    chatstore__v1__update_chat_user_request__init(&run->request.update_user);
    run->request.update_user.username = (char *)key;
    run_init(run, CALL_UPDATE_CHAT_USER, &run->request.base,
             "INSERT OR REPLACE INTO settings (key, value) VALUES (:username, wait_at_gate())");
}

enum status_code set_setting(struct source *source, const char *key, const char *value)
{
    struct run run;
    run_init_set(&run, key, value);
    enum status_code code = run_on(&run, source);
    run_end(&run);
    return code;
}

struct status get_setting(struct source *source, const char *key)
{
    struct run run;
    run_init_get(&run, key);
    struct status status = {.code = run_on(&run, source)};
    if (status.code == STATUS_OK) {
        const Chatstore__V1__GetSettingResponse *response = run_response(&run);
        bool present = response->_value_case != 0;
        snprintf(status.text, sizeof status.text, "%s", present ? response->value : "-");
    } else {
        status = run.job.status;
    }
    run_end(&run);
    return status;
}

void assert_source_down(struct source *source, const char *reason)
{
    struct source_info info = info_of(source);
    assert_int_equal(info.state, SOURCE_DOWN);
    if (!strstr(info.why.text, reason))
        fail_msg("\"%s\" does not say \"%s\"", info.why.text, reason);
    struct status answer = get_setting(source, "k");
    assert_int_equal(answer.code, STATUS_UNAVAILABLE);
    if (!strstr(answer.text, reason) || !strstr(answer.text, source_config(source)->name))
        fail_msg("\"%s\" does not say \"%s\" and the source", answer.text, reason);
    if (!source_config(source)->readonly)
        assert_int_equal(set_setting(source, "k", "v"), STATUS_UNAVAILABLE);
}

void assert_source_works(struct source *source)
{
    eventually(source_is_up, source);
    assert_int_equal(set_setting(source, "works", "yes"), STATUS_OK);
    assert_string_equal(get_setting(source, "works").text, "yes");
}
