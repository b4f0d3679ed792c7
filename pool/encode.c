#include "encode.h"

#include "log.h"
#include "page.h"
#include "timestamp.h"
#include "utf8.h"

#include "google/protobuf/timestamp.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 64, SORT_COLUMNS_MAX = 8, KEY_BYTES_MAX = 5, VARINT_BYTES_MAX = 10 };

struct encode_column {
    const ProtobufCFieldDescriptor *field;
    const ProtobufCFieldDescriptor
        *nested;     /* the row's field that holds the message of `field`, or NULL: the row */
    bool keeps_zero; /* zero is written: the field has presence or is repeated */
    uint8_t key_bytes;
    uint8_t key[KEY_BYTES_MAX]; /* of the field on the wire */
};

struct sort_column {
    int number;
    bool descending;
};

struct encode_plan {
    const ProtobufCFieldDescriptor *answer_field; /* field 1 of the response */
    bool repeated;
    bool is_utf16;          /* the file's texts are; else UTF-8 */
    bool rows_are_messages; /* else the columns are the response's own fields */
    struct sort_column key[SORT_COLUMNS_MAX], order[SORT_COLUMNS_MAX];
    size_t key_count, order_count;
    int column_count;
    int page_count; /* columns behind these, which order a page */
    struct encode_column columns[];
};

/* ---- Planning ---- */

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *message,
                                                  const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(message, name);
}

static enum wire_type wire_type_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_LENGTH;
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_FIXED64;
    default:
        return WIRE_VARINT;
    }
}

static bool is_encodable(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_INT64:
        return true;
    default:
        return field->descriptor == &google__protobuf__timestamp__descriptor;
    }
}

/* "media.file_id" is file_id in the row's message field media. */
static bool plan_column(struct encode_column *column, const ProtobufCMessageDescriptor *row,
                        const char *name)
{
    const char *dot = strchr(name, '.');
    if (dot) {
        char outer[NAME_BYTES_MAX];
        size_t bytes = (size_t)(dot - name);
        if (bytes >= sizeof outer)
            return false;
        memcpy(outer, name, bytes);
        outer[bytes] = '\0';
        column->nested = find_field(row, outer);
        if (!column->nested || column->nested->type != PROTOBUF_C_TYPE_MESSAGE)
            return false;
        row = column->nested->descriptor;
        name = dot + 1;
    }
    column->field = find_field(row, name);
    if (!column->field || !is_encodable(column->field))
        return false;
    column->key_bytes =
        (uint8_t)(wire_put_varint(column->key,
                                  wire_key(column->field->id, wire_type_of(column->field))) -
                  column->key);
    column->keeps_zero =
        call_field_has_presence(column->field) || column->field->label == PROTOBUF_C_LABEL_REPEATED;
    return true;
}

/* Each name is "column" or "column desc". False: no column is called so. */
static bool plan_sort(struct sort_column *sort, size_t *count_out, const char *const *names,
                      sqlite3_stmt *stmt)
{
    *count_out = 0;
    for (; *names && *count_out < SORT_COLUMNS_MAX; names++) {
        size_t bytes = strcspn(*names, " ");
        int number = sqlite3_column_count(stmt) - 1;
        for (; number >= 0; number--) {
            const char *column = sqlite3_column_name(stmt, number);
            if (strncmp(column, *names, bytes) == 0 && column[bytes] == '\0')
                break;
        }
        if (number < 0)
            return false;
        sort[(*count_out)++] = (struct sort_column){number, strcmp(*names + bytes, " desc") == 0};
    }
    return true;
}

static int note_encoding(void *is_utf16, int count, char **values, char **names)
{
    (void)names;
    *(bool *)is_utf16 = count == 1 && values[0] && strncmp(values[0], "UTF-16", 6) == 0;
    return 0;
}

static bool has_utf16(sqlite3 *db)
{
    bool is_utf16 = true; /* the slower way is right for both */
    sqlite3_exec(db, "PRAGMA encoding", note_encoding, &is_utf16, NULL);
    return is_utf16;
}

/* The columns of the row; behind them may stand "page 1" and so on. */
static int count_columns(sqlite3_stmt *stmt, int *page_count_out)
{
    int all = sqlite3_column_count(stmt);
    int count = 0;
    while (count < all && strncmp(sqlite3_column_name(stmt, count), "page ", 5) != 0)
        count++;
    *page_count_out = all - count;
    return count;
}

struct encode_plan *encode_plan_new(const struct call *call, sqlite3_stmt *stmt,
                                    const char **unknown_out)
{
    int page_count;
    int count = count_columns(stmt, &page_count);
    struct encode_plan *plan = calloc(1, sizeof *plan + (size_t)count * sizeof *plan->columns);
    *unknown_out = NULL;
    if (!plan)
        return NULL;
    plan->answer_field = protobuf_c_message_descriptor_get_field(call->response, 1);
    plan->repeated = plan->answer_field->label == PROTOBUF_C_LABEL_REPEATED;
    plan->rows_are_messages = plan->answer_field->type == PROTOBUF_C_TYPE_MESSAGE;
    plan->column_count = count;
    plan->page_count = page_count;
    plan->is_utf16 = has_utf16(sqlite3_db_handle(stmt));
    const ProtobufCMessageDescriptor *row =
        plan->rows_are_messages ? plan->answer_field->descriptor : call->response;
    for (int i = 0; i < count && !*unknown_out; i++) {
        if (!plan_column(&plan->columns[i], row, sqlite3_column_name(stmt, i)))
            *unknown_out = sqlite3_column_name(stmt, i);
    }
    if (!*unknown_out && (!plan_sort(plan->key, &plan->key_count, call->merge_key, stmt) ||
                          !plan_sort(plan->order, &plan->order_count, call->merge_order, stmt)))
        *unknown_out = "of merge_key or merge_order";
    if (*unknown_out) {
        free(plan);
        return NULL;
    }
    return plan;
}

void encode_plan_free(struct encode_plan *plan)
{
    free(plan);
}

/* ---- Encoding ---- */

static void put_key(struct buffer *out, const ProtobufCFieldDescriptor *field, enum wire_type type)
{
    buffer_varint(out, wire_key(field->id, type));
}

/* The column's key, with room behind it for `bytes` more; NULL with the buffer's fault set. */
static uint8_t *begin_field(struct buffer *out, const struct encode_column *column, size_t bytes)
{
    uint8_t *at = buffer_reserve(out, KEY_BYTES_MAX + bytes);
    if (!at)
        return NULL;
    memcpy(at, column->key, KEY_BYTES_MAX);
    return at + column->key_bytes;
}

static void end_field(struct buffer *out, const uint8_t *end)
{
    out->bytes = (size_t)(end - out->data);
}

static void put_integer(struct buffer *out, const struct encode_column *column, int64_t value)
{
    if (value == 0 && !column->keeps_zero)
        return;
    uint8_t *at = begin_field(out, column, VARINT_BYTES_MAX);
    if (at)
        end_field(out, wire_put_varint(at, (uint64_t)value));
}

static void put_double(struct buffer *out, const struct encode_column *column, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (bits == 0 && !column->keeps_zero)
        return;
    uint8_t *at = begin_field(out, column, sizeof bits);
    if (!at)
        return;
    end_field(out, at);
    buffer_fixed64(out, bits);
}

/* Old files may hold anything; protobuf's readers refuse a whole frame for one bad byte, so each
 * becomes U+FFFD. */
static void put_mended_text(struct buffer *out, const char *text, size_t bytes)
{
    size_t mark = buffer_open_length(out);
    while (bytes > 0) {
        size_t valid = utf8_valid_bytes(text, bytes);
        buffer_append(out, text, valid);
        if (valid < bytes) {
            buffer_append(out, "\xef\xbf\xbd", 3);
            valid++;
        }
        text += valid;
        bytes -= valid;
    }
    buffer_close_length(out, mark);
}

/* The bytes of a value's text, without the copy that a NUL behind them would take; not NULL. */
static bool get_text(const struct encode_plan *plan, sqlite3_value *value, int type,
                     const char **text_out, size_t *bytes_out)
{
    bool as_stored = (type == SQLITE_TEXT && !plan->is_utf16) || type == SQLITE_BLOB;
    const char *text =
        as_stored ? sqlite3_value_blob(value) : (const char *)sqlite3_value_text(value);
    *bytes_out = (size_t)sqlite3_value_bytes(value);
    *text_out = text ? text : "";
    return text || (as_stored && *bytes_out == 0);
}

static void put_text(struct buffer *out, const struct encode_column *column, const char *text,
                     size_t bytes)
{
    if (bytes == 0 && !column->keeps_zero)
        return;
    uint8_t *at = begin_field(out, column, VARINT_BYTES_MAX + bytes);
    if (!at)
        return;
    end_field(out, at);
    if (utf8_valid_bytes(text, bytes) == bytes)
        buffer_string(out, text, bytes);
    else
        put_mended_text(out, text, bytes);
}

static bool parse_time(const struct encode_column *column, const char *text, size_t bytes,
                       int64_t *seconds_out, int32_t *nanos_out)
{
    static struct log_limit limit = {.burst = 1};
    if (timestamp_parse(text, bytes, seconds_out, nanos_out))
        return true;
    log_limited(&limit, LOG_WARN,
                "column %s holds \"%.*s\", which is no timestamp: answered as absent",
                column->field->name, bytes < 40 ? (int)bytes : 40, text);
    return false;
}

static void put_timestamp(struct buffer *out, const struct encode_column *column, int64_t seconds,
                          int32_t nanos)
{
    enum { LENGTH_BYTES = 1, KEY_BYTES = 1 };
    if (seconds < TIMESTAMP_SECONDS_MIN || seconds > TIMESTAMP_SECONDS_MAX)
        return;
    uint8_t *length = begin_field(out, column, LENGTH_BYTES + 2 * (KEY_BYTES + VARINT_BYTES_MAX));
    if (!length)
        return;
    uint8_t *at = length + LENGTH_BYTES;
    if (seconds != 0) {
        *at++ = (uint8_t)wire_key(1, WIRE_VARINT);
        at = wire_put_varint(at, (uint64_t)seconds);
    }
    if (nanos != 0) {
        *at++ = (uint8_t)wire_key(2, WIRE_VARINT);
        at = wire_put_varint(at, (uint64_t)nanos);
    }
    *length = (uint8_t)(at - length - LENGTH_BYTES);
    end_field(out, at);
}

/* A column whose field wants text, of its own or of a timestamp. */
static void put_text_column(struct buffer *out, const struct encode_plan *plan,
                            const struct encode_column *column, sqlite3_value *value, int type)
{
    const char *text;
    size_t bytes;
    int64_t seconds;
    int32_t nanos;
    if (!get_text(plan, value, type, &text, &bytes))
        out->fault = BUFFER_NO_MEMORY;
    else if (column->field->type == PROTOBUF_C_TYPE_STRING)
        put_text(out, column, text, bytes);
    else if (parse_time(column, text, bytes, &seconds, &nanos))
        put_timestamp(out, column, seconds, nanos);
}

static void put_column(struct buffer *out, const struct encode_plan *plan,
                       const struct encode_column *column, sqlite3_value *value, int type)
{
    switch (column->field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        put_integer(out, column, sqlite3_value_int64(value) != 0);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_double(out, column, sqlite3_value_double(value));
        break;
    case PROTOBUF_C_TYPE_INT64:
        put_integer(out, column, sqlite3_value_int64(value));
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        if (type == SQLITE_INTEGER) { /* Unix seconds */
            put_timestamp(out, column, sqlite3_value_int64(value), 0);
            break;
        }
        /* fall through */
    default:
        put_text_column(out, plan, column, value, type);
    }
}

/* False: the column is NULL, which is an absent field. */
static bool put_present(struct buffer *out, const struct encode_plan *plan, sqlite3_stmt *stmt,
                        int number)
{
    sqlite3_value *value =
        sqlite3_column_value(stmt, number); /* the connection is this thread's alone */
    int type = sqlite3_value_type(value);
    if (type == SQLITE_NULL)
        return false;
    put_column(out, plan, &plan->columns[number], value, type);
    return true;
}

/* The columns of one nested message, which stand side by side; absent when all are NULL. Returns
 * the next column. */
static int put_nested(struct buffer *out, const struct encode_plan *plan, sqlite3_stmt *stmt,
                      int number)
{
    const ProtobufCFieldDescriptor *nested = plan->columns[number].nested;
    size_t start = out->bytes;
    bool present = false;
    put_key(out, nested, WIRE_LENGTH);
    size_t mark = buffer_open_length(out);
    for (; number < plan->column_count && plan->columns[number].nested == nested; number++)
        present |= put_present(out, plan, stmt, number);
    if (present)
        buffer_close_length(out, mark);
    else
        out->bytes = start;
    return number;
}

static void put_columns(struct buffer *out, const struct encode_plan *plan, sqlite3_stmt *stmt)
{
    for (int i = 0; i < plan->column_count;) {
        if (plan->columns[i].nested) {
            i = put_nested(out, plan, stmt, i);
            continue;
        }
        put_present(out, plan, stmt, i++);
    }
}

/* ---- Bytes that identify and order rows of several sources ---- */

static void sort_byte(struct buffer *out, uint8_t byte, uint8_t flip)
{
    byte ^= flip;
    buffer_append(out, &byte, 1);
}

/* SQLite's order of values: NULL, numbers, texts, blobs. A NUL byte is followed by 255, the end is
 * two NULs. */
static void sort_value(struct buffer *out, sqlite3_stmt *stmt, const struct sort_column *sort)
{
    uint8_t flip = sort->descending ? 0xff : 0;
    int type = sqlite3_column_type(stmt, sort->number);
    if (type == SQLITE_NULL) {
        sort_byte(out, 0, flip);
    } else if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) {
        uint64_t value = (uint64_t)sqlite3_column_int64(stmt, sort->number) ^ (1ULL << 63);
        sort_byte(out, 1, flip);
        for (int shift = 56; shift >= 0; shift -= 8)
            sort_byte(out, (uint8_t)(value >> shift), flip);
    } else {
        const uint8_t *bytes = sqlite3_column_blob(stmt, sort->number);
        int count = sqlite3_column_bytes(stmt, sort->number);
        sort_byte(out, type == SQLITE_TEXT ? 2 : 3, flip);
        for (int i = 0; i < count; i++) {
            sort_byte(out, bytes[i], flip);
            if (bytes[i] == 0)
                sort_byte(out, 255, flip);
        }
        sort_byte(out, 0, flip);
        sort_byte(out, 0, flip);
    }
}

static void mark_row(struct answer *answer, const struct encode_plan *plan, sqlite3_stmt *stmt,
                     size_t row_at)
{
    if (answer->row_count == answer->rows_room) {
        size_t room = answer->rows_room * 2 + 16;
        struct answer_row *rows = reallocarray(answer->rows, room, sizeof *rows);
        if (!rows) {
            answer->keys.fault = BUFFER_NO_MEMORY;
            return;
        }
        answer->rows = rows;
        answer->rows_room = room;
    }
    size_t key_at = answer->keys.bytes;
    for (size_t i = 0; i < plan->key_count; i++) {
        if (plan->page_count > 0)
            page_put_value(&answer->keys, stmt, plan->key[i].number);
        else
            sort_value(&answer->keys, stmt, &plan->key[i]);
    }
    size_t order_at = answer->keys.bytes;
    for (size_t i = 0; i < plan->order_count; i++)
        sort_value(&answer->keys, stmt, &plan->order[i]);
    size_t page_at = answer->keys.bytes;
    for (int i = 0; i < plan->page_count; i++)
        page_put_value(&answer->keys, stmt, plan->column_count + i);
    answer->rows[answer->row_count++] =
        (struct answer_row){.row_at = (uint32_t)row_at,
                            .row_bytes = (uint32_t)(answer->payload.bytes - row_at),
                            .key_at = (uint32_t)key_at,
                            .key_bytes = (uint32_t)(order_at - key_at),
                            .order_at = (uint32_t)order_at,
                            .order_bytes = (uint32_t)(page_at - order_at),
                            .page_at = (uint32_t)page_at,
                            .page_bytes = (uint32_t)(answer->keys.bytes - page_at)};
}

bool encode_row(const struct encode_plan *plan, sqlite3_stmt *stmt, struct answer *answer)
{
    struct buffer *out = &answer->payload;
    size_t row_at = out->bytes;
    if (plan->rows_are_messages) {
        put_key(out, plan->answer_field, WIRE_LENGTH);
        size_t mark = buffer_open_length(out);
        put_columns(out, plan, stmt);
        buffer_close_length(out, mark);
    } else {
        put_columns(out, plan, stmt);
    }
    if (answer->mark_rows)
        mark_row(answer, plan, stmt, row_at);
    return plan->repeated;
}

void encode_changed_rows(struct answer *answer, int64_t changed_rows)
{
    if (changed_rows != 0) {
        buffer_varint(&answer->payload, wire_key(1, WIRE_VARINT));
        buffer_varint(&answer->payload, (uint64_t)changed_rows);
    }
}
