#include "statement.h"

#include "bind.h"
#include "clock.h"
#include "encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct statement {
    sqlite3_stmt *stmt;
    struct bind_plan *binds; /* binds[i] is parameter i + 1 */
    int bind_count;
    struct encode_plan *encode; /* NULL: returns no rows */
};

struct prepared {
    const struct call *call;
    size_t statement_count;
    struct statement statements[];
};

enum {
    STATEMENTS_MAX = 8,           /* in one block */
    ELEMENTS_BETWEEN_LOOKS = 128, /* at the clock */
};

const char *prepared_variant(const struct call *call, const char *sql,
                             const ProtobufCMessage *request, unsigned *number_out)
{
    *number_out = 0;
    if (!strchr(sql, '{'))
        return NULL;
    for (size_t i = 0; i < call->rule_count; i++) {
        const struct call_field_rule *rule = &call->rules[i];
        if (!rule->in)
            continue;
        const char *value = *(char *const *)((const char *)request + rule->field->offset);
        for (unsigned n = 0; rule->in[n]; n++) {
            if (strcmp(rule->in[n], value) == 0) {
                *number_out = n;
                return rule->in[n];
            }
        }
    }
    return NULL;
}

/* The block with each "{field}" replaced; from malloc. */
static char *expand(const char *sql, const char *variant)
{
    size_t variant_bytes = variant ? strlen(variant) : 0;
    size_t room = strlen(sql) + 1;
    for (const char *at = sql; variant && (at = strchr(at, '{')); at++)
        room += variant_bytes;
    char *text = malloc(room);
    if (!text)
        return NULL;
    char *to = text;
    for (const char *at = sql; *at;) {
        const char *close = variant && *at == '{' ? strchr(at, '}') : NULL;
        if (close) {
            memcpy(to, variant, variant_bytes);
            to += variant_bytes;
            at = close + 1;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    return text;
}

/* A table or column that the file lacks is an older schema; any other fault of our SQL is our
 * mistake; what was met while reading the schema is the file's. */
static int set_prepare_status(sqlite3 *db, const struct call *call, int error, struct status *why)
{
    const char *text = sqlite3_errmsg(db);
    if (error == SQLITE_ERROR && strncmp(text, "no such ", 8) == 0)
        status_set(why, STATUS_FAILED_PRECONDITION,
                   "%s needs what the file does not have: %s; its schema is older than the call",
                   call->name, text);
    else if (error == SQLITE_NOMEM || error == SQLITE_IOERR_NOMEM)
        return SQLITE_NOMEM; /* says nothing about the file */
    else if (error != SQLITE_ERROR && error != SQLITE_INTERRUPT)
        status_set(why, STATUS_UNAVAILABLE, "%s", text); /* the file's */
    else if (error == SQLITE_ERROR)
        status_set(why, STATUS_INTERNAL, "%s: %s", call->name, text);
    return error;
}

static int plan_binds(const struct call *call, struct statement *statement, struct status *why)
{
    statement->bind_count = sqlite3_bind_parameter_count(statement->stmt);
    statement->binds = calloc((size_t)statement->bind_count + 1, sizeof *statement->binds);
    if (!statement->binds)
        return SQLITE_NOMEM;
    for (int i = 0; i < statement->bind_count; i++) {
        const char *name = sqlite3_bind_parameter_name(statement->stmt, i + 1);
        if (name && name[0] == '@') /* the caller's */
            continue;
        if (!name || !bind_plan_init(&statement->binds[i], call, name + 1)) {
            status_set(why, STATUS_INTERNAL, "%s: parameter %s is no field of the request",
                       call->name, name ? name : "?");
            return SQLITE_MISUSE;
        }
    }
    return SQLITE_OK;
}

static int plan_columns(const struct call *call, struct statement *statement, struct status *why)
{
    if (sqlite3_column_count(statement->stmt) == 0)
        return SQLITE_OK;
    const char *unknown = NULL;
    statement->encode = encode_plan_new(call, statement->stmt, &unknown);
    if (statement->encode)
        return SQLITE_OK;
    if (!unknown)
        return SQLITE_NOMEM;
    status_set(why, STATUS_INTERNAL, "%s: column %s is no field of the response", call->name,
               unknown);
    return SQLITE_MISUSE;
}

static int prepare_all(sqlite3 *db, const struct call *call, const char *sql,
                       struct prepared *prepared, struct status *why)
{
    for (const char *rest = sql; rest && *rest;) {
        struct statement *statement = &prepared->statements[prepared->statement_count];
        int error =
            sqlite3_prepare_v3(db, rest, -1, SQLITE_PREPARE_PERSISTENT, &statement->stmt, &rest);
        if (error != SQLITE_OK)
            return set_prepare_status(db, call, error, why);
        if (!statement->stmt) /* white space at the end */
            break;
        if (++prepared->statement_count == STATEMENTS_MAX) {
            status_set(why, STATUS_INTERNAL, "%s: %d statements are too many", call->name,
                       STATEMENTS_MAX);
            return SQLITE_MISUSE;
        }
        error = plan_binds(call, statement, why);
        if (error == SQLITE_OK)
            error = plan_columns(call, statement, why);
        if (error != SQLITE_OK)
            return error;
    }
    return SQLITE_OK;
}

int prepared_new(sqlite3 *db, const struct call *call, const char *sql, const char *variant,
                 struct prepared **prepared_out, struct status *why)
{
    struct prepared *prepared =
        calloc(1, sizeof *prepared + STATEMENTS_MAX * sizeof *prepared->statements);
    char *text = expand(sql, variant);
    int error = SQLITE_NOMEM;
    if (prepared && text) {
        prepared->call = call;
        error = prepare_all(db, call, text, prepared, why);
    }
    free(text);
    if (error != SQLITE_OK) {
        if (error == SQLITE_NOMEM)
            status_set(why, STATUS_RESOURCE_EXHAUSTED, "%s: out of memory", call->name);
        prepared_free(prepared);
        return error;
    }
    *prepared_out = prepared;
    return SQLITE_OK;
}

void prepared_free(struct prepared *prepared)
{
    if (!prepared)
        return;
    for (size_t i = 0; i <= prepared->statement_count && i < STATEMENTS_MAX; i++) {
        sqlite3_finalize(prepared->statements[i].stmt);
        encode_plan_free(prepared->statements[i].encode);
        free(prepared->statements[i].binds);
    }
    free(prepared);
}

sqlite3_stmt *prepared_statement(struct prepared *prepared)
{
    return prepared->statements[0].stmt;
}

static int answer_fault(const struct answer *answer)
{
    enum buffer_fault fault = answer->payload.fault ? answer->payload.fault : answer->keys.fault;
    return fault == BUFFER_FULL        ? SQLITE_TOOBIG
           : fault == BUFFER_NO_MEMORY ? SQLITE_NOMEM
                                       : SQLITE_OK;
}

/* Step through one bound statement. */
static int step_all(const struct statement *statement, struct answer *answer)
{
    int result;
    while ((result = sqlite3_step(statement->stmt)) == SQLITE_ROW) {
        if (answer->rows_max > 0 && answer->row_count == answer->rows_max) {
            answer->more = true;
            return SQLITE_DONE;
        }
        bool more = encode_row(statement->encode, statement->stmt, answer);
        if (answer->rows_max > 0 && answer_drop_excess(answer))
            return SQLITE_DONE;
        int fault = answer_fault(answer);
        if (fault != SQLITE_OK)
            return fault;
        if (!more)
            return SQLITE_DONE;
    }
    return result;
}

static int run_statement(const struct statement *statement, const ProtobufCMessage *request,
                         const ProtobufCMessage *element, struct answer *answer, int64_t *changed)
{
    int error = SQLITE_OK;
    for (int i = 0; i < statement->bind_count && error == SQLITE_OK; i++) {
        if (statement->binds[i].field)
            error = bind_field(statement->stmt, i + 1, &statement->binds[i], request, element);
    }
    int result = error == SQLITE_OK ? step_all(statement, answer) : error;
    if (result == SQLITE_DONE && !sqlite3_stmt_readonly(statement->stmt))
        *changed += sqlite3_changes64(sqlite3_db_handle(statement->stmt));
    error = sqlite3_reset(statement->stmt);
    if (result != SQLITE_DONE && error != SQLITE_OK)
        result = sqlite3_extended_errcode(sqlite3_db_handle(statement->stmt));
    return result;
}

static int run_once(struct prepared *prepared, const ProtobufCMessage *request,
                    const ProtobufCMessage *element, struct answer *answer, int64_t *changed)
{
    int result = SQLITE_DONE;
    for (size_t i = 0; i < prepared->statement_count && result == SQLITE_DONE; i++)
        result = run_statement(&prepared->statements[i], request, element, answer, changed);
    return result;
}

int prepared_run(struct prepared *prepared, const ProtobufCMessage *request, int64_t until_ms,
                 struct answer *answer)
{
    const struct call *call = prepared->call;
    int64_t changed = 0;
    int result = SQLITE_DONE;
    if (call->each) {
        const char *base = (const char *)request;
        size_t count = *(const size_t *)(base + call->each->quantifier_offset);
        ProtobufCMessage *const *elements =
            *(ProtobufCMessage * *const *)(base + call->each->offset);
        for (size_t i = 0; i < count && result == SQLITE_DONE; i++) {
            bool looks = i % ELEMENTS_BETWEEN_LOOKS == ELEMENTS_BETWEEN_LOOKS - 1;
            result = looks && clock_now_ms() >= until_ms
                         ? SQLITE_INTERRUPT
                         : run_once(prepared, request, elements[i], answer, &changed);
        }
    } else {
        result = run_once(prepared, request, NULL, answer, &changed);
    }
    if (result == SQLITE_DONE && call->access == CALL_ACCESS_WRITE) {
        encode_changed_rows(answer, changed);
        int fault = answer_fault(answer);
        if (fault != SQLITE_OK)
            return fault;
    }
    return result;
}
