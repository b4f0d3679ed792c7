#include "requests.h"

#include "clock.h"

#include <mbedtls/sha256.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    CONTENT_BYTES = 16, /* of the SHA-256 of method and request: enough to tell mistakes */
    KEY_BYTES = 512,    /* a client's name and a request_id, which the engine has bounded */
    FORGET_EVERY_MS = 100,
    FORGET_ROWS_MAX = 5000, /* at a time, so that no group waits long for it */
};

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **stmt)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
}

/* The age of rows is counted by time that has passed under a server: a clock that is set ahead by a
 * year would make them all a year old, and repeats would be done again. */
static int start_clock(struct requests *requests, sqlite3 *db)
{
    sqlite3_stmt *newest;
    int error = sqlite3_prepare_v2(
        db, "SELECT at FROM chatstore_requests ORDER BY number DESC LIMIT 1", -1, &newest, NULL);
    if (error != SQLITE_OK)
        return error;
    requests->opened_ms = clock_now_ms();
    requests->opened_s =
        sqlite3_step(newest) == SQLITE_ROW ? sqlite3_column_int64(newest, 0) : (int64_t)time(NULL);
    return sqlite3_finalize(newest);
}

static int64_t now_s(const struct requests *requests)
{
    return requests->opened_s + (clock_now_ms() - requests->opened_ms) / 1000;
}

int requests_open(struct requests *requests, sqlite3 *db)
{
    int error = start_clock(requests, db);
    if (error != SQLITE_OK)
        return error;
    error =
        prepare(db, "SELECT content, code, answer FROM chatstore_requests WHERE request_id = ?1",
                &requests->find);
    if (error == SQLITE_OK)
        error = prepare(db,
                        "INSERT INTO chatstore_requests (request_id, content, code, answer, at) "
                        "VALUES (?1, ?2, ?3, ?4, ?5)",
                        &requests->store);
    if (error == SQLITE_OK)
        error =
            prepare(db,
                    "DELETE FROM chatstore_requests "
                    "WHERE number < (SELECT min(number) FROM chatstore_requests) + ?3 "
                    "AND (at < ?1 OR number <= (SELECT max(number) FROM chatstore_requests) - ?2)",
                    &requests->forget);
    requests->forgotten_ms = 0;
    return error;
}

void requests_close(struct requests *requests)
{
    sqlite3_finalize(requests->find);
    sqlite3_finalize(requests->store);
    sqlite3_finalize(requests->forget);
    *requests = (struct requests){0};
}

static bool has_id(const struct job *job)
{
    return job->request_id && job->request_id[0] != '\0';
}

/* Under what a job's answer is kept. The first newline ends the client's name, as names hold no
 * control characters. False: it does not fit. */
static bool make_key(const struct job *job, char key[KEY_BYTES])
{
    const char *client = job->client ? job->client : "";
    int bytes =
        snprintf(key, KEY_BYTES, "%s%s%s", client, client[0] != '\0' ? "\n" : "", job->request_id);
    return bytes < KEY_BYTES;
}

/* What tells a repeat from another request under the same id. The client belongs to it: an id may
 * be spelled like the key of another client's row. */
static void hash_content(const struct job *job, const char *client, unsigned char hash[32])
{
    mbedtls_sha256_context context;
    mbedtls_sha256_init(&context);
    mbedtls_sha256_starts(&context, 0);
    if (client && client[0] != '\0')
        mbedtls_sha256_update(&context, (const unsigned char *)client, strlen(client) + 1);
    mbedtls_sha256_update(&context, (const unsigned char *)job->call->method,
                          strlen(job->call->method) + 1);
    mbedtls_sha256_update(&context, job->payload, job->payload_bytes);
    mbedtls_sha256_finish(&context, hash);
    mbedtls_sha256_free(&context);
}

static int finish(sqlite3_stmt *stmt)
{
    int error = sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return error;
}

enum found { FOUND_NONE, FOUND_SAME, FOUND_OTHER };

/* The row of the key: whether it is there, and of the request with this hash (NULL: none is); then
 * `find` stands on it. */
static int look_up(sqlite3_stmt *find, const char *key, const unsigned char *hash,
                   enum found *found_out)
{
    *found_out = FOUND_NONE;
    finish(find);
    int error = sqlite3_bind_text(find, 1, key, -1, SQLITE_STATIC);
    if (error != SQLITE_OK || sqlite3_step(find) != SQLITE_ROW) {
        int reset = finish(find);
        return error != SQLITE_OK ? error : reset;
    }
    const void *content = sqlite3_column_blob(find, 0);
    bool same = hash && content && sqlite3_column_bytes(find, 0) == CONTENT_BYTES &&
                memcmp(content, hash, CONTENT_BYTES) == 0;
    *found_out = same ? FOUND_SAME : FOUND_OTHER;
    return SQLITE_OK;
}

/* Whether the client's id may be one that is nobody's: written before there were clients, or before
 * their ids were kept apart. */
static bool may_be_unowned(const struct job *job)
{
    return has_id(job) && job->client && job->client[0] != '\0';
}

int requests_find_unowned(struct requests *requests, struct job *job, bool *found_out)
{
    enum found found;
    *found_out = false;
    if (!may_be_unowned(job))
        return SQLITE_OK;
    int error = look_up(requests->find, job->request_id, NULL, &found);
    *found_out = found != FOUND_NONE;
    return error == SQLITE_OK ? finish(requests->find) : error;
}

static int find_row(sqlite3_stmt *find, const struct job *job, enum found *found_out)
{
    char key[KEY_BYTES];
    unsigned char hash[32];
    if (!make_key(job, key))
        return SQLITE_TOOBIG;
    hash_content(job, job->client, hash);
    int error = look_up(find, key, hash, found_out);
    if (error != SQLITE_OK || *found_out != FOUND_NONE || !may_be_unowned(job))
        return error;
    /* Only the very same request takes it for its own. */
    hash_content(job, NULL, hash);
    error = look_up(find, job->request_id, hash, found_out);
    if (*found_out == FOUND_OTHER)
        *found_out = FOUND_NONE;
    return error;
}

static void repeat_answer(sqlite3_stmt *find, struct job *job)
{
    int code = sqlite3_column_int(find, 1);
    const void *answer = sqlite3_column_blob(find, 2);
    size_t bytes = (size_t)sqlite3_column_bytes(find, 2);
    if (code != STATUS_OK) {
        status_set(&job->status, (enum status_code)code, "%.*s", (int)bytes, (const char *)answer);
        return;
    }
    job->status = (struct status){0};
    buffer_append(&job->answer->payload, answer, bytes);
    if (job->answer->payload.fault != BUFFER_OK)
        status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: %s: no room for the answer that was given before",
                   source_config(job->source)->name, job->call->name);
}

int requests_find(struct requests *requests, struct job *job, bool *known_out)
{
    enum found found;
    *known_out = false;
    if (!has_id(job))
        return SQLITE_OK;
    int error = find_row(requests->find, job, &found);
    if (error != SQLITE_OK)
        return error;
    *known_out = found != FOUND_NONE;
    if (found == FOUND_SAME)
        repeat_answer(requests->find, job);
    else if (found == FOUND_OTHER)
        status_set(&job->status, STATUS_ALREADY_EXISTS,
                   "source %s: %s: the request_id %.40s stood for another request before; each "
                   "request needs one of its own",
                   source_config(job->source)->name, job->call->name, job->request_id);
    return finish(requests->find);
}

int requests_store(struct requests *requests, const struct job *job)
{
    if (!has_id(job))
        return SQLITE_OK;
    char key[KEY_BYTES];
    unsigned char hash[32];
    if (!make_key(job, key))
        return SQLITE_TOOBIG;
    hash_content(job, job->client, hash);
    bool good = job->status.code == STATUS_OK;
    const struct buffer *payload = &job->answer->payload;
    sqlite3_stmt *store = requests->store;
    int error = sqlite3_bind_text(store, 1, key, -1, SQLITE_STATIC);
    if (error == SQLITE_OK)
        error = sqlite3_bind_blob(store, 2, hash, CONTENT_BYTES, SQLITE_STATIC);
    if (error == SQLITE_OK)
        error = sqlite3_bind_int(store, 3, (int)job->status.code);
    if (error == SQLITE_OK)
        error = good
                    ? sqlite3_bind_blob(store, 4, payload->bytes ? (const void *)payload->data : "",
                                        (int)payload->bytes, SQLITE_STATIC)
                    : sqlite3_bind_blob(store, 4, job->status.text, (int)strlen(job->status.text),
                                        SQLITE_STATIC);
    if (error == SQLITE_OK)
        error = sqlite3_bind_int64(store, 5, now_s(requests));
    if (error == SQLITE_OK)
        sqlite3_step(store);
    int reset = finish(store);
    return error != SQLITE_OK ? error : reset;
}

int requests_forget(struct requests *requests, const struct source_config *config)
{
    int64_t now_ms = clock_now_ms();
    if (now_ms - requests->forgotten_ms < FORGET_EVERY_MS)
        return SQLITE_OK;
    requests->forgotten_ms = now_ms;
    sqlite3_bind_int64(requests->forget, 1, now_s(requests) - config->requests_keep_ms / 1000);
    sqlite3_bind_int64(requests->forget, 2, config->requests_max);
    sqlite3_bind_int(requests->forget, 3, FORGET_ROWS_MAX);
    sqlite3_step(requests->forget);
    return finish(requests->forget);
}
