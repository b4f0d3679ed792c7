#include "run_sql.h"

#include "pool/csid.h"
#include "pool/schema.h"

static sqlite3 *db;

int memory_setup(void **state)
{
    (void)state;
    struct status why;
    return sqlite3_open(":memory:", &db) || csid_register(db) || schema_migrate(db, 0, &why);
}

int memory_teardown(void **state)
{
    (void)state;
    return sqlite3_close(db);
}

sqlite3 *memory_db(void)
{
    return db;
}

int run_sql(enum call_id id, const char *sql, const void *request, struct answer *answer)
{
    struct prepared *prepared = NULL;
    struct status why = {0};
    unsigned number;
    const struct call *call = &call_table[id];
    const char *variant = prepared_variant(call, sql ? sql : call_sql[id], request, &number);
    if (prepared_new(db, call, sql ? sql : call_sql[id], variant, &prepared, &why) != SQLITE_OK)
        fail_msg("%s", why.text);
    int result = prepared_run(prepared, request, INT64_MAX, answer);
    prepared_free(prepared);
    return result;
}

void *run_decoded(enum call_id id, const char *sql, const void *request)
{
    struct answer answer;
    answer_init(&answer, false, NULL, 0, 1 << 20);
    int result = run_sql(id, sql, request, &answer);
    if (result != SQLITE_DONE)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    const uint8_t *bytes = answer.payload.bytes ? answer.payload.data : (const uint8_t *)"";
    void *response =
        protobuf_c_message_unpack(call_table[id].response, NULL, answer.payload.bytes, bytes);
    assert_non_null(response);
    answer_fini(&answer);
    return response;
}
