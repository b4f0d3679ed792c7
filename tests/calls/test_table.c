/* Claims over the whole table of calls. A call that is added is tested here with no edit. Each
 * claim is made through a server and without one. */
#include "door.h"
#include "fill.h"
#include "world.h"

#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { RANDOM_PAYLOADS = 24, RANDOM_BYTES_MAX = 64, FIELD_BYTES = 32 };

struct stage {
    struct sandbox sandbox;
    struct door door;
};

static int stage_open(void **state, enum door_kind kind)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    world_open(&stage->sandbox);
    door_open(&stage->door, kind, &stage->sandbox, WORLD_CONFIG);
    *state = stage;
    return 0;
}

static int stage_open_ipc(void **state)
{
    return stage_open(state, DOOR_IPC);
}

static int stage_open_embedded(void **state)
{
    return stage_open(state, DOOR_EMBEDDED);
}

static int stage_close(void **state)
{
    struct stage *stage = *state;
    door_close(&stage->door);
    sandbox_close(&stage->sandbox);
    free(stage);
    return 0;
}

/* Call with these bytes; returns the status. Not OK must say whose fault it is: its text, which the
 * caller reads before the next call, names the call. */
static enum chatstore_status attempt(const struct stage *stage, const struct call *call,
                                     const uint8_t *payload, size_t bytes, char text[512])
{
    struct chatstore_outcome outcome;
    uint8_t *reply;
    size_t reply_bytes;
    enum chatstore_status status =
        door_call(&stage->door, call->method, payload, bytes, &outcome, &reply, &reply_bytes);
    snprintf(text, 512, "%s", outcome.message);
    if (status != CHATSTORE_OK && strstr(text, call->name) == NULL)
        fail_msg("%s: its failure does not name it: %s", call->name, text);
    free(reply);
    chatstore_outcome_clear(&outcome);
    return status;
}

static void expect_refusal(const struct stage *stage, const struct call *call,
                           const uint8_t *payload, size_t bytes, const char *part)
{
    char text[512];
    enum chatstore_status status = attempt(stage, call, payload, bytes, text);
    if (status != CHATSTORE_INVALID_ARGUMENT || strstr(text, part) == NULL)
        fail_msg("%s: expected INVALID_ARGUMENT with \"%s\", got %s: %s", call->name, part,
                 chatstore_status_name(status), text);
}

static void expect_request_refused(const struct stage *stage, const struct call *call,
                                   const ProtobufCMessage *request, const char *part)
{
    size_t bytes;
    uint8_t *payload = message_bytes(request, &bytes);
    expect_refusal(stage, call, payload, bytes, part);
    free(payload);
}

/* What all tables of the default source hold: whether anything was written. */
static int64_t count_rows(const struct stage *stage)
{
    return sandbox_integer(
        &stage->sandbox, "main.db",
        "SELECT (SELECT count(*) FROM chat_messages) + (SELECT count(*) FROM chat_users)"
        " + (SELECT count(*) FROM chat_info) + (SELECT count(*) FROM chat_topics)"
        " + (SELECT count(*) FROM chat_settings) + (SELECT count(*) FROM chat_stats)"
        " + (SELECT count(*) FROM media_attachments) + (SELECT count(*) FROM delayed_tasks)"
        " + (SELECT count(*) FROM user_data) + (SELECT count(*) FROM spam_messages)"
        " + (SELECT count(*) FROM ham_messages) + (SELECT count(*) FROM cache_storage)"
        " + (SELECT count(*) FROM chat_summarization_cache) + (SELECT count(*) FROM bayes_tokens)"
        " + (SELECT count(*) FROM settings) + (SELECT count(*) FROM cache_weather)");
}

/* ---- Payloads that are no messages ---- */

static bool is_message(const struct call *call, const uint8_t *payload, size_t bytes)
{
    ProtobufCMessage *message = protobuf_c_message_unpack(call->request, NULL, bytes, payload);
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, NULL);
    return message != NULL;
}

static void expect_garbage_refused(const struct stage *stage, const struct call *call,
                                   const uint8_t *payload, size_t bytes)
{
    /* Some random bytes are a message after all, of fields that nobody knows. */
    if (!is_message(call, payload, bytes))
        expect_refusal(stage, call, payload, bytes, call->name);
}

static void garbage_is_refused(void **state)
{
    static const uint8_t garbage[][4] = {{0xff, 0xff, 0xff, 0xff}, {0x0a, 0xff, 0xff, 0x01},
                                         {0x0b, 0x08, 0x01, 0x0c}, {0x00, 0x00, 0x00, 0x00},
                                         {0x0a, 0x7f, 0x41, 0x41}, {0x09, 0x01, 0x02, 0x03}};
    const struct stage *stage = *state;
    int64_t rows = count_rows(stage);
    for (size_t i = 0; i < call_table_count; i++)
        for (size_t k = 0; k < sizeof garbage / sizeof garbage[0]; k++)
            expect_refusal(stage, &call_table[i], garbage[k], 4, call_table[i].name);
    assert_int_equal(count_rows(stage), rows);
}

static void random_bytes_are_refused(void **state)
{
    const struct stage *stage = *state;
    unsigned seed = 20240229;
    for (size_t i = 0; i < call_table_count; i++) {
        for (unsigned k = 0; k < RANDOM_PAYLOADS; k++) {
            uint8_t payload[RANDOM_BYTES_MAX];
            size_t bytes = 1 + (size_t)rand_r(&seed) % RANDOM_BYTES_MAX;
            for (size_t n = 0; n < bytes; n++)
                payload[n] = (uint8_t)(rand_r(&seed) >> 7);
            expect_garbage_refused(stage, &call_table[i], payload, bytes);
        }
    }
}

static void truncated_requests_are_refused(void **state)
{
    const struct stage *stage = *state;
    int64_t rows = count_rows(stage);
    for (size_t i = 0; i < call_table_count; i++) {
        const struct call *call = &call_table[i];
        ProtobufCMessage *request = request_fill(call, 1);
        size_t bytes;
        uint8_t *payload = message_bytes(request, &bytes);
        for (size_t cut = 1; cut < bytes; cut++)
            expect_garbage_refused(stage, call, payload, cut);
        free(payload);
        protobuf_c_message_free_unpacked(request, NULL);
    }
    assert_int_equal(count_rows(stage), rows);
}

/* ---- Fields ---- */

/* Do something with each rule of each call, in a request that is valid but for that. Element rules
 * are about the first element of the repeated field. */
typedef void rule_claim(const struct stage *stage, const struct call *call,
                        ProtobufCMessage *request, ProtobufCMessage *holder,
                        const struct call_field_rule *rule);

static void for_each_rule(const struct stage *stage, rule_claim *claim)
{
    for (size_t i = 0; i < call_table_count; i++) {
        const struct call *call = &call_table[i];
        for (size_t k = 0; k < call->rule_count; k++) {
            const struct call_field_rule *rule = &call->rules[k];
            const ProtobufCMessageDescriptor *type = call->request;
            ProtobufCMessage *request = request_fill(call, 1), *holder = request;
            bool in_request =
                rule->field >= type->fields && rule->field < type->fields + type->n_fields;
            if (!in_request)
                holder = (*(ProtobufCMessage ***)((char *)request + call->each->offset))[0];
            claim(stage, call, request, holder, rule);
            protobuf_c_message_free_unpacked(request, NULL);
        }
    }
}

static void claim_required(const struct stage *stage, const struct call *call,
                           ProtobufCMessage *request, ProtobufCMessage *holder,
                           const struct call_field_rule *rule)
{
    char part[128];
    if (!rule->required)
        return;
    field_clear(holder, rule->field);
    snprintf(part, sizeof part, "%s is missing", rule->field->name);
    expect_request_refused(stage, call, request, part);
}

static void a_required_field_that_is_absent_is_named(void **state)
{
    for_each_rule(*state, claim_required);
}

static void claim_min(const struct stage *stage, const struct call *call, ProtobufCMessage *request,
                      ProtobufCMessage *holder, const struct call_field_rule *rule)
{
    if (!rule->has_min)
        return;
    void *member = (char *)holder + rule->field->offset;
    const int64_t values[] = {rule->min - 1, INT32_MIN};
    for (size_t i = 0; i < 2; i++) {
        if (rule->field->type == PROTOBUF_C_TYPE_INT64)
            *(int64_t *)member = values[i];
        else
            *(int32_t *)member = (int32_t)values[i];
        expect_request_refused(stage, call, request, rule->field->name);
    }
}

static void a_number_below_its_bound_is_refused(void **state)
{
    for_each_rule(*state, claim_min);
}

/* A limit without a bound would let -1 through, which means all to SQLite. */
static void every_limit_has_a_bound(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_table_count; i++) {
        const struct call *call = &call_table[i];
        if (call->limit == NULL)
            continue;
        const struct call_field_rule *rule = rule_of(call, call->limit);
        assert_true(rule != NULL && rule->has_min && rule->min == 0);
    }
}

static void set_text(ProtobufCMessage *holder, const ProtobufCFieldDescriptor *field,
                     const char *text)
{
    char **member = (char **)((char *)holder + field->offset);
    free(*member);
    *member = strdup(text);
}

static void claim_closed_set(const struct stage *stage, const struct call *call,
                             ProtobufCMessage *request, ProtobufCMessage *holder,
                             const struct call_field_rule *rule)
{
    static const char *const others[] = {"storage", "WEATHER", " weather", "weather--", "\xd0\xb6"};
    char text[512];
    for (size_t i = 0; rule->in != NULL && i < sizeof others / sizeof others[0]; i++) {
        set_text(holder, rule->field, others[i]);
        expect_request_refused(stage, call, request, rule->field->name);
    }
    for (size_t i = 0; rule->in != NULL && rule->in[i] != NULL; i++) {
        size_t bytes;
        set_text(holder, rule->field, rule->in[i]);
        uint8_t *payload = message_bytes(request, &bytes);
        assert_int_equal(attempt(stage, call, payload, bytes, text), CHATSTORE_OK);
        free(payload);
    }
}

static void a_closed_set_takes_its_values_and_no_other(void **state)
{
    for_each_rule(*state, claim_closed_set);
}

/* ---- Texts ---- */

/* The bytes of a string field; `path` are the message fields around it, NULL: none. */
static size_t encode_text(uint8_t out[FIELD_BYTES], const ProtobufCFieldDescriptor *around,
                          const ProtobufCFieldDescriptor *field, const char *text, size_t length)
{
    uint8_t inner[FIELD_BYTES / 2];
    size_t bytes = 0;
    assert_true(field->id < 16 && length + 4 < sizeof inner);
    inner[bytes++] = (uint8_t)(field->id << 3 | 2);
    inner[bytes++] = (uint8_t)length;
    memcpy(inner + bytes, text, length);
    bytes += length;
    if (around != NULL) {
        assert_true(around->id < 16);
        *out++ = (uint8_t)(around->id << 3 | 2);
        *out++ = (uint8_t)bytes;
    }
    memcpy(out, inner, bytes);
    return bytes + (around ? 2 : 0);
}

static void expect_text_refused(const struct stage *stage, const struct call *call,
                                const ProtobufCFieldDescriptor *around,
                                const ProtobufCFieldDescriptor *field)
{
    static const struct {
        const char *text;
        size_t length;
        const char *part;
    } texts[] = {{"a\xff", 2, "UTF-8"},
                 {"\xc0\x80", 2, "UTF-8"},
                 {"\xed\xa0\x80", 3, "UTF-8"},
                 {"\xf4\x90\x80\x80", 4, "UTF-8"},
                 {"\xd0", 1, "UTF-8"},
                 {"a\0b", 3, "NUL"},
                 {"\0", 1, "NUL"}};
    ProtobufCMessage *request = request_fill(call, 1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t bytes;
        uint8_t *payload = message_bytes_and(request, &bytes, FIELD_BYTES);
        bytes += encode_text(payload + bytes, around, field, texts[i].text, texts[i].length);
        expect_refusal(stage, call, payload, bytes, texts[i].part);
        expect_refusal(stage, call, payload, bytes, field->name);
        free(payload);
    }
    protobuf_c_message_free_unpacked(request, NULL);
}

static void every_text_must_be_utf8_without_nul(void **state)
{
    const struct stage *stage = *state;
    int64_t rows = count_rows(stage);
    for (size_t i = 0; i < call_table_count; i++) {
        const ProtobufCMessageDescriptor *type = call_table[i].request;
        for (unsigned f = 0; f < type->n_fields; f++) {
            const ProtobufCFieldDescriptor *field = &type->fields[f];
            const ProtobufCMessageDescriptor *inner = field->descriptor;
            if (field->type == PROTOBUF_C_TYPE_STRING)
                expect_text_refused(stage, &call_table[i], NULL, field);
            for (unsigned n = 0; field->type == PROTOBUF_C_TYPE_MESSAGE && n < inner->n_fields; n++)
                if (inner->fields[n].type == PROTOBUF_C_TYPE_STRING)
                    expect_text_refused(stage, &call_table[i], field, &inner->fields[n]);
        }
    }
    assert_int_equal(count_rows(stage), rows);
}

/* ---- Calls ---- */

static void every_valid_request_is_answered(void **state)
{
    const struct stage *stage = *state;
    for (size_t i = 0; i < call_table_count; i++) {
        const struct call *call = &call_table[i];
        ProtobufCMessage *request = request_fill(call, 3);
        char text[512];
        size_t bytes;
        uint8_t *payload = message_bytes(request, &bytes);
        enum chatstore_status status = attempt(stage, call, payload, bytes, text);
        /* An administrative call may have nothing to administer here. */
        bool idle = call->access == CALL_ACCESS_ADMIN && status == CHATSTORE_FAILED_PRECONDITION;
        if (status != CHATSTORE_OK && !idle)
            fail_msg("%s: %s: %s", call->name, chatstore_status_name(status), text);
        free(payload);
        protobuf_c_message_free_unpacked(request, NULL);
    }
}

static void every_call_of_the_server_has_a_handler(void **state)
{
    const struct stage *stage = *state;
    for (size_t i = 0; i < call_table_count; i++) {
        char text[512];
        if (call_table[i].scope == CALL_SCOPE_SERVER)
            assert_int_not_equal(attempt(stage, &call_table[i], NULL, 0, text),
                                 CHATSTORE_UNIMPLEMENTED);
    }
}

/* ---- Readonly ---- */

static const char readonly_config[] = "[database]\n"
                                      "default = \"archive\"\n"
                                      "[database.sources]\n"
                                      "archive = { path = \"archive.db\", readonly = true }\n"
                                      "main = { path = \"main.db\" }\n"
                                      "[database.chatMapping]\n"
                                      "-1 = \"main\"\n";

static void expect_write_refused(const struct stage *stage, const struct call *call)
{
    ProtobufCMessage *request = request_fill(call, 1);
    char text[512];
    size_t bytes;
    uint8_t *payload = message_bytes(request, &bytes);
    enum chatstore_status status = attempt(stage, call, payload, bytes, text);
    if (status != CHATSTORE_FAILED_PRECONDITION || strstr(text, "source archive") == NULL)
        fail_msg("%s: expected FAILED_PRECONDITION of source archive, got %s: %s", call->name,
                 chatstore_status_name(status), text);
    free(payload);
    protobuf_c_message_free_unpacked(request, NULL);
}

static void no_write_changes_a_readonly_source(void **state)
{
    struct stage stage;
    char path[SANDBOX_PATH_BYTES];
    size_t bytes_before, bytes_after;
    enum door_kind kind = *(const enum door_kind *)*state;
    world_open(&stage.sandbox);
    sandbox_write(&stage.sandbox, WORLD_CONFIG, readonly_config);
    sandbox_path(&stage.sandbox, "archive.db", path);
    char *before = file_read(path, &bytes_before);
    door_open(&stage.door, kind, &stage.sandbox, WORLD_CONFIG);
    for (size_t i = 0; i < call_table_count; i++)
        if (call_table[i].access == CALL_ACCESS_WRITE)
            expect_write_refused(&stage, &call_table[i]);
    door_close(&stage.door);
    char *after = file_read(path, &bytes_after);
    assert_int_equal(bytes_before, bytes_after);
    assert_memory_equal(before, after, bytes_before);
    free(before);
    free(after);
    sandbox_close(&stage.sandbox);
}

/* ---- Messages ---- */

/* The bytes are this message; unpacked and packed again they are the same. */
static void expect_same_message(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                                size_t count, const uint8_t *packed, size_t packed_count)
{
    ProtobufCMessage *unpacked = protobuf_c_message_unpack(type, NULL, count, bytes);
    assert_non_null(unpacked);
    assert_true(protobuf_c_message_check(unpacked));
    size_t again_count;
    uint8_t *again = message_bytes(unpacked, &again_count);
    assert_int_equal(again_count, packed_count);
    assert_memory_equal(again, packed, packed_count);
    free(again);
    protobuf_c_message_free_unpacked(unpacked, NULL);
}

/* Through protobuf-c, and through JSON, which libprotobuf writes and reads. */
static void expect_round_trip(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = message_fill(type, NULL, 5);
    size_t bytes, json_bytes;
    char error[512];
    uint8_t *packed = message_bytes(message, &bytes), *from_json;
    assert_true((bytes > 0) == (type->n_fields > 0));
    expect_same_message(type, packed, bytes, packed, bytes);

    char *text = message_to_json(type, packed, bytes, false);
    assert_non_null(text);
    json_t *object = json_loads(text, 0, NULL);
    assert_int_equal(json_object_size(object), type->n_fields);
    if (!message_from_json(type, object, &from_json, &json_bytes, error, sizeof error))
        fail_msg("%s: %s", type->name, error);
    expect_same_message(type, from_json, json_bytes, packed, bytes);
    json_decref(object);
    free(text);
    free(from_json);
    free(packed);
    protobuf_c_message_free_unpacked(message, NULL);
}

static void every_message_survives_a_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_table_count; i++) {
        expect_round_trip(call_table[i].request);
        expect_round_trip(call_table[i].response);
    }
}

/* Both doors for a claim that uses a stage. */
#define THROUGH_BOTH_DOORS(claim)                                                                  \
    {#claim " (ipc)", claim, stage_open_ipc, stage_close, NULL},                                   \
    {                                                                                              \
#claim " (embedded)", claim, stage_open_embedded, stage_close, NULL                        \
    }

int main(void)
{
    static enum door_kind ipc = DOOR_IPC, embedded = DOOR_EMBEDDED;
    const struct CMUnitTest tests[] = {
        THROUGH_BOTH_DOORS(garbage_is_refused),
        THROUGH_BOTH_DOORS(random_bytes_are_refused),
        THROUGH_BOTH_DOORS(truncated_requests_are_refused),
        THROUGH_BOTH_DOORS(a_required_field_that_is_absent_is_named),
        THROUGH_BOTH_DOORS(a_number_below_its_bound_is_refused),
        THROUGH_BOTH_DOORS(a_closed_set_takes_its_values_and_no_other),
        THROUGH_BOTH_DOORS(every_text_must_be_utf8_without_nul),
        THROUGH_BOTH_DOORS(every_valid_request_is_answered),
        THROUGH_BOTH_DOORS(every_call_of_the_server_has_a_handler),
        cmocka_unit_test_prestate(no_write_changes_a_readonly_source, &ipc),
        cmocka_unit_test_prestate(no_write_changes_a_readonly_source, &embedded),
        cmocka_unit_test(every_limit_has_a_bound),
        cmocka_unit_test(every_message_survives_a_round_trip),
    };
    door_setup(LOG_INFO);
    return cmocka_run_group_tests(tests, world_prepare, world_forget);
}
