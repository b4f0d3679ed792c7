#include "page.h"

#include "statement.h"

#include <string.h>

/* ---- Values ---- */

struct value {
    int type; /* of SQLite */
    uint64_t bits;
    const uint8_t *text; /* of a text or a blob */
    size_t text_bytes;
};

void page_put_value(struct buffer *out, sqlite3_stmt *stmt, int column)
{
    uint8_t type = (uint8_t)sqlite3_column_type(stmt, column);
    double real;
    uint64_t bits;
    buffer_append(out, &type, 1);
    switch (type) {
    case SQLITE_INTEGER:
        buffer_fixed64(out, (uint64_t)sqlite3_column_int64(stmt, column));
        break;
    case SQLITE_FLOAT:
        real = sqlite3_column_double(stmt, column);
        memcpy(&bits, &real, sizeof bits);
        buffer_fixed64(out, bits);
        break;
    case SQLITE_TEXT:
    case SQLITE_BLOB: {
        const void *text = type == SQLITE_TEXT ? sqlite3_column_text(stmt, column)
                                               : sqlite3_column_blob(stmt, column);
        size_t bytes = (size_t)sqlite3_column_bytes(stmt, column);
        if (!text && bytes > 0)
            out->fault = BUFFER_NO_MEMORY;
        else
            buffer_string(out, text, bytes);
    }
    }
}

/* The value at *at, which moves behind it. False: there is none. */
static bool next_value(const uint8_t **at, const uint8_t *end, struct value *value)
{
    *value = (struct value){0};
    if (*at == end)
        return false;
    value->type = *(*at)++;
    if (value->type == SQLITE_INTEGER || value->type == SQLITE_FLOAT) {
        if (end - *at < 8)
            return false;
        value->bits = fixed64_at(*at);
        *at += 8;
        return true;
    }
    if (value->type != SQLITE_TEXT && value->type != SQLITE_BLOB)
        return value->type == SQLITE_NULL;
    for (unsigned shift = 0;; shift += 7) {
        if (*at == end || shift > 28)
            return false;
        value->text_bytes |= (size_t)(**at & 0x7f) << shift;
        if (*(*at)++ < 0x80)
            break;
    }
    if ((size_t)(end - *at) < value->text_bytes)
        return false;
    value->text = *at;
    *at += value->text_bytes;
    return true;
}

bool page_values_are_valid(const uint8_t *values, size_t bytes, size_t count)
{
    struct value value;
    if (bytes == 0)
        return count == 0;
    const uint8_t *end = values + bytes;
    for (size_t i = 0; i < count; i++) {
        if (!next_value(&values, end, &value))
            return false;
    }
    return values == end;
}

static int bind_value(sqlite3_stmt *stmt, int number, const struct value *value)
{
    double real;
    switch (value->type) {
    case SQLITE_INTEGER:
        return sqlite3_bind_int64(stmt, number, (int64_t)value->bits);
    case SQLITE_FLOAT:
        memcpy(&real, &value->bits, sizeof real);
        return sqlite3_bind_double(stmt, number, real);
    case SQLITE_TEXT:
        return sqlite3_bind_text(stmt, number, (const char *)value->text, (int)value->text_bytes,
                                 SQLITE_STATIC);
    case SQLITE_BLOB:
        return value->text_bytes == 0 ? sqlite3_bind_zeroblob(stmt, number, 0)
                                      : sqlite3_bind_blob(stmt, number, value->text,
                                                          (int)value->text_bytes, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, number);
    }
}

/* The values are the parameters @1, @2 and so on, where the statement has them. */
static int bind_values(sqlite3_stmt *stmt, const uint8_t *values, size_t bytes)
{
    struct value value;
    int error = SQLITE_OK;
    if (bytes == 0)
        return SQLITE_OK;
    const uint8_t *end = values + bytes;
    for (int i = 1; error == SQLITE_OK && next_value(&values, end, &value); i++) {
        char name[16];
        sqlite3_snprintf(sizeof name, name, "@%d", i);
        int number = sqlite3_bind_parameter_index(stmt, name);
        if (number > 0)
            error = bind_value(stmt, number, &value);
    }
    return error;
}

/* ---- The statements ---- */

enum part {
    PART_BEHIND, /* behind the place; without those whose first column is NULL, if NULLs are last */
    PART_NULLS,  /* these */
};

static bool is_null(const struct page_read *page, size_t column)
{
    const uint8_t *at = page->after;
    struct value value = {.type = SQLITE_NULL};
    for (size_t i = 0; i <= column; i++)
        next_value(&at, page->after + page->after_bytes, &value);
    return value.type == SQLITE_NULL;
}

/* Two statements where NULLs come last: with "or NULL" in the condition no index finds the place.
 */
static bool has_nulls_part(const struct page_read *page)
{
    return page->after_columns > 0 && page->directions[0] == 'd' && !is_null(page, 0);
}

/* True for the rows that come behind the place by its columns from `i` on. NULL is less than any
 * value. */
static void put_behind(sqlite3_str *text, const struct page_read *page, size_t i)
{
    int n = (int)i + 1;
    if (i == page->after_columns) {
        sqlite3_str_appendall(text, page->inclusive ? "TRUE" : "FALSE");
        return;
    }
    bool descending = page->directions[i] == 'd';
    if (is_null(page, i)) {
        if (!descending)
            sqlite3_str_appendf(text, "\"page %d\" IS NOT NULL OR ", n);
        sqlite3_str_appendf(text, "\"page %d\" IS NULL AND (", n);
    } else {
        if (descending && i > 0)
            sqlite3_str_appendf(text, "\"page %d\" IS NULL OR ", n);
        sqlite3_str_appendf(text, "\"page %d\" %s @%d OR \"page %d\" = @%d AND (", n,
                            descending ? "<" : ">", n, n, n);
    }
    put_behind(text, page, i + 1);
    sqlite3_str_appendall(text, ")");
}

static void put_condition(sqlite3_str *text, const struct page_read *page, enum part part)
{
    if (part == PART_NULLS) {
        sqlite3_str_appendall(text, " WHERE \"page 1\" IS NULL");
    } else if (page->after_columns > 0) {
        sqlite3_str_appendall(text, " WHERE ");
        /* Implied by the rest, and what an index can find. The block may have bounds of its own on
         * the column: this one is the better place to begin. */
        if (!is_null(page, 0))
            sqlite3_str_appendf(text, "likelihood(\"page 1\" %s @1, 0.0001) AND ",
                                page->directions[0] == 'd' ? "<=" : ">=");
        sqlite3_str_appendall(text, "(");
        put_behind(text, page, 0);
        sqlite3_str_appendall(text, ")");
    }
}

static char *rows_text(const struct page_read *page, enum part part, size_t rows_max)
{
    sqlite3_str *text = sqlite3_str_new(NULL);
    sqlite3_str_appendf(text, "SELECT * FROM (%s)", page->sql);
    put_condition(text, page, part);
    for (int i = 0; page->directions[i]; i++)
        sqlite3_str_appendf(text, "%s \"page %d\"%s", i == 0 ? " ORDER BY" : ",", i + 1,
                            page->directions[i] == 'd' ? " DESC" : "");
    sqlite3_str_appendf(text, " LIMIT %llu", (unsigned long long)rows_max + 1);
    return sqlite3_str_finish(text);
}

static char *key_text(const struct call *call, const struct page_read *page)
{
    sqlite3_str *text = sqlite3_str_new(NULL);
    for (int i = 0; call->merge_key[i]; i++)
        sqlite3_str_appendf(text, "%s \"%w\"", i == 0 ? "SELECT" : ",", call->merge_key[i]);
    for (int i = 0; call->merge_order[i]; i++)
        sqlite3_str_appendf(text, ", \"%.*w\"", (int)strcspn(call->merge_order[i], " "),
                            call->merge_order[i]);
    sqlite3_str_appendf(text, " FROM (%s)", page->sql);
    for (int i = 0; call->merge_key[i]; i++)
        sqlite3_str_appendf(text, " %s \"%w\" IS @%d", i == 0 ? "WHERE" : "AND", call->merge_key[i],
                            i + 1);
    sqlite3_str_appendall(text, " LIMIT 1");
    return sqlite3_str_finish(text);
}

/* Pages are prepared each time: what is asked depends on what the place holds. */
static int prepare(sqlite3 *db, const struct call *call, char *text, struct prepared **prepared_out,
                   struct status *why)
{
    int error = text ? prepared_new(db, call, text, NULL, prepared_out, why) : SQLITE_NOMEM;
    sqlite3_free(text);
    return error;
}

static int read_part(sqlite3 *db, const struct call *call, const struct page_read *page,
                     enum part part, const ProtobufCMessage *request, struct answer *answer,
                     struct status *why)
{
    struct prepared *prepared = NULL;
    size_t rows_left = answer->rows_max - answer->row_count;
    int error = prepare(db, call, rows_text(page, part, rows_left), &prepared, why);
    if (error == SQLITE_OK)
        error = bind_values(prepared_statement(prepared), page->after, page->after_bytes);
    if (error == SQLITE_OK)
        error = prepared_run(prepared, request, INT64_MAX, answer);
    prepared_free(prepared);
    return error;
}

static int find_keys(sqlite3 *db, const struct call *call, const struct page_read *page,
                     const ProtobufCMessage *request, struct answer *answer, struct status *why)
{
    struct prepared *prepared = NULL;
    int error = prepare(db, call, key_text(call, page), &prepared, why);
    int result = error == SQLITE_OK ? SQLITE_DONE : error;
    for (size_t i = 0; i < page->key_count && result == SQLITE_DONE; i++) {
        struct page_key *key = &page->keys[i];
        if (key->part <= page->part || key->found)
            continue;
        answer_reset(answer);
        error = bind_values(prepared_statement(prepared), key->values, key->values_bytes);
        result = error == SQLITE_OK ? prepared_run(prepared, request, INT64_MAX, answer) : error;
        if (result == SQLITE_DONE && answer->row_count > 0)
            key->found = true;
    }
    prepared_free(prepared);
    return result;
}

int page_run(sqlite3 *db, const struct call *call, const struct page_read *page,
             const ProtobufCMessage *request, struct answer *answer, struct status *why)
{
    if (page->keys)
        return find_keys(db, call, page, request, answer, why);
    int result = read_part(db, call, page, PART_BEHIND, request, answer, why);
    if (result == SQLITE_DONE && !answer->more && has_nulls_part(page))
        result = read_part(db, call, page, PART_NULLS, request, answer, why);
    return result;
}
