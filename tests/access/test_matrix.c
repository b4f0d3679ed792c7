/* Every call x who sends it x the source that it asks for, from the table of calls: a call that is
 * added is denied to whom it should be without an edit here. What is allowed is worked out from the
 * list of principals alone. */
#include "tests/service/engine_fixture.h"

#include "fill.h"
#include "proto/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MAIN, SHARED, SECRET, SOURCES, READ = 1, WRITE = 2, NOWHERE = SOURCES, DEFAULT };

static const char *const source_names[] = {"main", "shared", "zzsecretzz", "nowhere", ""};

static const struct principal {
    const char *name;
    unsigned rights[SOURCES];
    bool admin;
    int64_t chat; /* the only one that it may name; 0: any */
} principals[] = {
    {"reader", {READ, READ, 0}, false, 0},
    {"writer", {WRITE, 0, 0}, false, 0},
    {"both", {READ | WRITE, READ, 0}, false, 0},
    {"elsewhere", {0, READ | WRITE, 0}, false, 0},
    {"all", {READ | WRITE, READ | WRITE, READ | WRITE}, false, 0},
    {"admin", {0, 0, 0}, true, 0},
    {"chatty", {READ | WRITE, READ | WRITE, READ | WRITE}, false, -77},
};
enum { PRINCIPALS = sizeof principals / sizeof *principals };

static void list_rights(FILE *to, const struct principal *principal, const char *key,
                        unsigned right)
{
    const char *comma = "";
    fprintf(to, "%s = [", key);
    for (int i = 0; i < SOURCES; i++) {
        if (!(principal->rights[i] & right))
            continue;
        fprintf(to, "%s\"%s\"", comma, source_names[i]);
        comma = ", ";
    }
    fputs("]\n", to);
}

static void write_client(FILE *to, const struct principal *principal)
{
    service_write_client(to, principal->name, principal->admin ? "admin = true" : "");
    list_rights(to, principal, "read", READ);
    list_rights(to, principal, "write", WRITE);
    if (principal->chat != 0)
        fprintf(to, "chats = [%lld]\n", (long long)principal->chat);
}

static int start(void **state)
{
    struct service *service = calloc(1, sizeof *service);
    char *toml;
    size_t bytes;
    assert_non_null(service);
    FILE *to = open_memstream(&toml, &bytes);
    fputs("[database]\ndefault = \"main\"\n[database.chatMapping]\n-3 = \"zzsecretzz\"\n", to);
    for (int i = 0; i < SOURCES; i++)
        fprintf(to, "[database.sources.%s]\npath = \"%d.db\"\nsynchronous = \"normal\"\n",
                source_names[i], i);
    for (size_t i = 0; i < PRINCIPALS; i++)
        write_client(to, &principals[i]);
    fclose(to);
    service_prepare(service);
    service_start(service, toml);
    free(toml);
    *state = service;
    return 0;
}

static int stop(void **state)
{
    service_stop(*state);
    free(*state);
    return 0;
}

/* ---- Sending ---- */

static uint8_t *pack_frame(const char *token, const struct call *call, ProtobufCMessage *message,
                           size_t *bytes_out)
{
    Chatstore__V1__Request request = CHATSTORE__V1__REQUEST__INIT;
    Chatstore__V1__Call wire = CHATSTORE__V1__CALL__INIT, *calls[] = {&wire};
    wire.method = (char *)call->method;
    wire.payload.data = message_bytes(message, &wire.payload.len);
    request.token = (char *)token;
    request.calls = calls;
    request.n_calls = 1;
    *bytes_out = chatstore__v1__request__get_packed_size(&request);
    uint8_t *bytes = malloc(*bytes_out + 1);
    assert_non_null(bytes);
    chatstore__v1__request__pack(&request, bytes);
    free(wire.payload.data);
    return bytes;
}

static ProtobufCMessage *make_request(const struct call *call, const char *data_source,
                                      int64_t chat_id)
{
    ProtobufCMessage *message = request_fill(call, 1);
    if (call->data_source) {
        char **text = (char **)((char *)message + call->data_source->offset);
        if (*text != protobuf_c_empty_string)
            free(*text);
        *text = strdup(data_source);
    }
    if (call->chat_id)
        *(int64_t *)((char *)message + call->chat_id->offset) = chat_id;
    return message;
}

static Chatstore__V1__Reply *send(struct service *service, const char *token,
                                  const struct call *call, const char *data_source, int64_t chat_id)
{
    size_t bytes;
    ProtobufCMessage *message = make_request(call, data_source, chat_id);
    uint8_t *frame = pack_frame(token, call, message, &bytes);
    Chatstore__V1__Reply *reply = service_run_bytes(service, frame, bytes);
    protobuf_c_message_free_unpacked(message, NULL);
    free(frame);
    return reply;
}

/* ---- What should come ---- */

static bool sees(const struct principal *who, int source)
{
    return who->admin || who->rights[source] != 0;
}

static bool sees_all(const struct principal *who)
{
    return sees(who, MAIN) && sees(who, SHARED) && sees(who, SECRET);
}

static bool is_allowed(const struct principal *who, const struct call *call, int wanted,
                       int64_t chat_id)
{
    unsigned right = call->access == CALL_ACCESS_WRITE ? WRITE : READ;
    int source = call->data_source ? wanted : DEFAULT;
    if (call->scope == CALL_SCOPE_SERVER)
        return call->access != CALL_ACCESS_ADMIN || who->admin;
    if (who->chat != 0 && (!call->chat_id || chat_id != who->chat))
        return false;
    if (source == NOWHERE && !sees_all(who))
        return false;
    if (source == DEFAULT && call->scope == CALL_SCOPE_ALL && right == READ)
        return who->rights[MAIN] & READ || who->rights[SHARED] & READ || who->rights[SECRET] & READ;
    if (source == NOWHERE || source == DEFAULT)
        source = call->scope == CALL_SCOPE_CHAT && chat_id == -3 ? SECRET : MAIN;
    return who->rights[source] & right;
}

static bool holds(const uint8_t *bytes, size_t count, const char *text)
{
    return memmem(bytes, count, text, strlen(text)) != NULL;
}

/* Nothing of a reply, in any field, names a source that the principal may not see. */
static void expect_no_leak(const struct principal *who, const struct call *call,
                           const Chatstore__V1__Reply *reply)
{
    size_t bytes = chatstore__v1__reply__get_packed_size(reply);
    uint8_t *packed = malloc(bytes + 1);
    assert_non_null(packed);
    chatstore__v1__reply__pack(reply, packed);
    for (int i = SHARED; i < SOURCES; i++) {
        if (!sees(who, i) && holds(packed, bytes, source_names[i]))
            fail_msg("%s, sent by %s: the reply names %s", call->name, who->name, source_names[i]);
    }
    free(packed);
}

static void check_cell(struct service *service, const struct principal *who,
                       const struct call *call, int wanted, int64_t chat_id)
{
    char token[SERVICE_TOKEN_BYTES];
    service_token(who->name, token);
    Chatstore__V1__Reply *reply = send(service, token, call, source_names[wanted], chat_id);
    assert_int_equal(reply->n_results, 1);
    const Chatstore__V1__Status *status = reply->results[0]->status;
    int code = status ? status->code : 0;
    bool refused = code == CHATSTORE_PERMISSION_DENIED || code == CHATSTORE_UNAUTHENTICATED;
    if (code == CHATSTORE_INVALID_ARGUMENT || code == CHATSTORE_UNAUTHENTICATED ||
        refused == is_allowed(who, call, wanted, chat_id))
        fail_msg("%s, sent by %s, data_source \"%s\", chat %lld: %d %s", call->name, who->name,
                 source_names[wanted], (long long)chat_id, code, status ? status->message : "");
    expect_no_leak(who, call, reply);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

static void each_cell_is_as_the_rights_say(void **state)
{
    static const int64_t chats[] = {-77, -3};
    for (size_t i = 0; i < call_table_count; i++) {
        for (size_t j = 0; j < PRINCIPALS; j++) {
            for (int wanted = MAIN; wanted <= DEFAULT; wanted++) {
                for (size_t k = 0; k < 2; k++)
                    check_cell(*state, &principals[j], &call_table[i], wanted, chats[k]);
            }
        }
    }
}

/* ---- Tokens that are nobody's ---- */

static uint8_t *pack_reply(Chatstore__V1__Reply *reply, size_t *bytes_out)
{
    *bytes_out = chatstore__v1__reply__get_packed_size(reply);
    uint8_t *packed = malloc(*bytes_out + 1);
    assert_non_null(packed);
    chatstore__v1__reply__pack(reply, packed);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    return packed;
}

static void bad_tokens_get_the_same_bytes(void **state)
{
    char nearly[SERVICE_TOKEN_BYTES], no_text[SERVICE_TOKEN_BYTES + 1], long_one[4096];
    service_token(principals[0].name, nearly);
    snprintf(no_text, sizeof no_text, "%s\xff", nearly);
    nearly[strlen(nearly) - 1] ^= 1;
    memset(long_one, 'a', sizeof long_one);
    long_one[sizeof long_one - 1] = '\0';
    const char *const tokens[] = {
        "", "x", nearly, "cst_", "Bearer abc", "\xff\xfe\x80", no_text, long_one, "\xc3\xa4"};
    uint8_t *first = NULL;
    size_t first_bytes = 0;
    for (size_t i = 0; i < call_table_count; i++) {
        for (size_t j = 0; j < sizeof tokens / sizeof *tokens; j++) {
            Chatstore__V1__Reply *reply = send(*state, tokens[j], &call_table[i], "main", -77);
            expect_result(reply, 0, CHATSTORE_UNAUTHENTICATED, "a token");
            size_t bytes;
            uint8_t *packed = pack_reply(reply, &bytes);
            if (first) {
                assert_int_equal(bytes, first_bytes);
                assert_memory_equal(packed, first, bytes);
                free(packed);
            } else {
                first = packed;
                first_bytes = bytes;
            }
        }
    }
    free(first);
}

/* A frame of one Ping with these tokens, as bytes, before it. */
static void expect_of_tokens(struct service *service, enum chatstore_status status,
                             const char *const *tokens, const size_t *token_bytes, size_t count)
{
    uint8_t frame[512];
    size_t bytes = 0, call_bytes;
    const struct call *call = call_find_by_name("Ping");
    ProtobufCMessage *message = make_request(call, "", 0);
    uint8_t *packed = pack_frame("", call, message, &call_bytes);
    for (size_t i = 0; i < count; i++) {
        frame[bytes++] = 0x0a; /* field 1, length-delimited */
        frame[bytes++] = (uint8_t)token_bytes[i];
        memcpy(frame + bytes, tokens[i], token_bytes[i]);
        bytes += token_bytes[i];
    }
    memcpy(frame + bytes, packed, call_bytes);
    Chatstore__V1__Reply *reply = service_run_bytes(service, frame, bytes + call_bytes);
    expect_result(reply, 0, status, status == CHATSTORE_OK ? NULL : "a token");
    chatstore__v1__reply__free_unpacked(reply, NULL);
    protobuf_c_message_free_unpacked(message, NULL);
    free(packed);
}

/* The last of several counts, as everywhere in Protobuf; what it says after a NUL counts too. */
static void a_token_is_all_its_bytes(void **state)
{
    char good[SERVICE_TOKEN_BYTES], longer[SERVICE_TOKEN_BYTES];
    service_token(principals[0].name, good);
    size_t bytes = strlen(good);
    memcpy(longer, good, bytes);
    memcpy(longer + bytes, "\0x", 2);
    expect_of_tokens(*state, CHATSTORE_OK, (const char *[]){good}, (size_t[]){bytes}, 1);
    expect_of_tokens(*state, CHATSTORE_UNAUTHENTICATED, (const char *[]){longer},
                     (size_t[]){bytes + 2}, 1);
    expect_of_tokens(*state, CHATSTORE_OK, (const char *[]){longer, good},
                     (size_t[]){bytes + 2, bytes}, 2);
    expect_of_tokens(*state, CHATSTORE_UNAUTHENTICATED, (const char *[]){good, "\xff"},
                     (size_t[]){bytes, 1}, 2);
}

/* An unknown name and one that may not be seen are refused with the same words. */
static void a_hidden_source_is_as_one_that_is_not_there(void **state)
{
    char token[SERVICE_TOKEN_BYTES];
    const struct call *call = call_find_by_name("GetSettings");
    service_token(principals[0].name, token);
    Chatstore__V1__Reply *hidden = send(*state, token, call, source_names[SECRET], -77);
    Chatstore__V1__Reply *nowhere = send(*state, token, call, source_names[NOWHERE], -77);
    assert_string_equal(hidden->results[0]->status->message, nowhere->results[0]->status->message);
    assert_int_equal(hidden->results[0]->status->code, nowhere->results[0]->status->code);
    chatstore__v1__reply__free_unpacked(hidden, NULL);
    chatstore__v1__reply__free_unpacked(nowhere, NULL);
}

/* Merged answers come from the cache when they can, and never another client's. */
static void a_merge_is_of_the_sources_that_may_be_read(void **state)
{
    static const size_t order[] = {4, 0, 3, 4, 0, 3};
    static const size_t merged[] = {3, 2, 1};
    const struct call *call = call_find_by_name("GetAllGroupChats");
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        char token[SERVICE_TOKEN_BYTES];
        service_token(principals[order[i]].name, token);
        Chatstore__V1__Reply *reply = send(*state, token, call, "", -77);
        expect_result(reply, 0, CHATSTORE_OK, NULL);
        assert_int_equal(reply->results[0]->n_merged_sources, merged[i % 3]);
        chatstore__v1__reply__free_unpacked(reply, NULL);
    }
}

static void a_source_list_is_of_those_that_may_be_seen(void **state)
{
    static const char admin_only[] = "zzsecretzz";
    const struct call *call = call_find_by_name("ListSources");
    for (size_t i = 0; i < PRINCIPALS; i++) {
        char token[SERVICE_TOKEN_BYTES];
        service_token(principals[i].name, token);
        Chatstore__V1__Reply *reply = send(*state, token, call, "", 0);
        const ProtobufCBinaryData *payload = &reply->results[0]->payload;
        expect_result(reply, 0, CHATSTORE_OK, NULL);
        assert_int_equal(holds(payload->data, payload->len, admin_only),
                         sees(&principals[i], SECRET));
        chatstore__v1__reply__free_unpacked(reply, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_is_as_the_rights_say),
        cmocka_unit_test(bad_tokens_get_the_same_bytes),
        cmocka_unit_test(a_token_is_all_its_bytes),
        cmocka_unit_test(a_hidden_source_is_as_one_that_is_not_there),
        cmocka_unit_test(a_merge_is_of_the_sources_that_may_be_read),
        cmocka_unit_test(a_source_list_is_of_those_that_may_be_seen),
    };
    log_capture_start(LOG_WARN);
    return cmocka_run_group_tests_name("access_matrix", tests, start, stop);
}
