#include "requests.h"

#include "clock.h"

#include <mbedtls/sha256.h>

#include <string.h>
#include <time.h>

enum {
    CONTENT_BYTES = 16, /* of the SHA-256 of method and request: enough to tell mistakes */
    FORGET_EVERY_MS = 100,
    FORGET_ROWS_MAX = 5000, /* at a time, so that no group waits long for it */
};

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **stmt)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
}

int requests_open(struct requests *requests, sqlite3 *db)
{
    int error =
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

/* What tells a repeat from another request under the same id. */
static void hash_content(const struct job *job, unsigned char hash[32])
{
    mbedtls_sha256_context context;
    mbedtls_sha256_init(&context);
    mbedtls_sha256_starts(&context, 0);
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

int requests_find(struct requests *requests, struct job *job, bool *known_out)
{
    *known_out = false;
    if (!has_id(job))
        return SQLITE_OK;
    sqlite3_stmt *find = requests->find;
    int error = sqlite3_bind_text(find, 1, job->request_id, -1, SQLITE_STATIC);
    if (error != SQLITE_OK || sqlite3_step(find) != SQLITE_ROW) {
        int reset = finish(find);
        return error != SQLITE_OK ? error : reset;
    }
    *known_out = true;
    unsigned char hash[32];
    hash_content(job, hash);
    const void *content = sqlite3_column_blob(find, 0);
    if (!content || sqlite3_column_bytes(find, 0) != CONTENT_BYTES ||
        memcmp(content, hash, CONTENT_BYTES) != 0) {
        status_set(&job->status, STATUS_ALREADY_EXISTS,
                   "source %s: %s: the request_id %.40s stood for another request before; each "
                   "request needs one of "
                   "its own",
                   source_config(job->source)->name, job->call->name, job->request_id);
        return finish(find);
    }
    int code = sqlite3_column_int(find, 1);
    const void *answer = sqlite3_column_blob(find, 2);
    size_t bytes = (size_t)sqlite3_column_bytes(find, 2);
    if (code == STATUS_OK) {
        job->status = (struct status){0};
        buffer_append(&job->answer->payload, answer, bytes);
        if (job->answer->payload.fault != BUFFER_OK)
            status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                       "source %s: %s: no room for the answer that was given before",
                       source_config(job->source)->name, job->call->name);
    } else {
        status_set(&job->status, (enum status_code)code, "%.*s", (int)bytes, (const char *)answer);
    }
    return finish(find);
}

int requests_store(struct requests *requests, const struct job *job)
{
    if (!has_id(job))
        return SQLITE_OK;
    unsigned char hash[32];
    hash_content(job, hash);
    bool good = job->status.code == STATUS_OK;
    const struct buffer *payload = &job->answer->payload;
    sqlite3_stmt *store = requests->store;
    int error = sqlite3_bind_text(store, 1, job->request_id, -1, SQLITE_STATIC);
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
        error = sqlite3_bind_int64(store, 5, (int64_t)time(NULL));
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
    sqlite3_bind_int64(requests->forget, 1, (int64_t)time(NULL) - config->requests_keep_ms / 1000);
    sqlite3_bind_int64(requests->forget, 2, config->requests_max);
    sqlite3_bind_int(requests->forget, 3, FORGET_ROWS_MAX);
    sqlite3_step(requests->forget);
    return finish(requests->forget);
}
