/* Optional fields that have a value are sent without their _NAME_case; the envelope that the client
 * writes by hand is the contract's; the table of calls is what the .proto says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "call.h"
#include "call_ids.h"
#include "chatstore/calls.h"
#include "envelope.h"
#include "presence.h"

typedef Chatstore__V1__SaveChatMessageRequest save_request;

static const save_request *marked(const save_request *request, struct client_arena *arena)
{
    const ProtobufCMessage *message = presence_mark(&request->base, arena);
    assert_non_null(message);
    return (const save_request *)message;
}

static void optional_fields_with_a_value_are_marked(void **state)
{
    struct client_arena arena;
    save_request request = CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST__INIT;
    char text[] = "9", empty[] = "";

    (void)state;
    client_arena_init(&arena, NULL, 0, 1 << 20);
    assert_ptr_equal(marked(&request, &arena), &request); /* nothing to do: no copy */

    request.reply_id = text;
    request.quote_text = empty;
    request.media_id = (char *)&protobuf_c_empty_string;
    const save_request *copy = marked(&request, &arena);
    assert_ptr_not_equal(copy, &request);
    assert_int_equal(copy->_reply_id_case,
                     CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST___REPLY_ID_REPLY_ID);
    assert_int_equal(copy->_quote_text_case,
                     CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST___QUOTE_TEXT_QUOTE_TEXT);
    assert_int_equal(copy->_media_id_case, 0);
    assert_int_equal(copy->_message_type_case, 0);
    assert_int_equal(request._reply_id_case, 0); /* the caller's is left alone */
    client_arena_fini(&arena);
}

static void an_explicit_zero_is_sent(void **state)
{
    uint8_t bytes[64];
    Chatstore__V1__GetChatMessagesSinceRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;
    size_t absent = protobuf_c_message_pack(&request.base, bytes);

    (void)state;
    request._thread_id_case = CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST___THREAD_ID_THREAD_ID;
    assert_int_equal(protobuf_c_message_pack(&request.base, bytes), absent + 2);
    assert_memory_equal(bytes + absent, "\x20\x00", 2);
}

static void elements_are_marked_too(void **state)
{
    struct client_arena arena;
    Chatstore__V1__BatchUpdateTokensRequest request =
        CHATSTORE__V1__BATCH_UPDATE_TOKENS_REQUEST__INIT;
    Chatstore__V1__TokenUpdate plain = CHATSTORE__V1__TOKEN_UPDATE__INIT;
    Chatstore__V1__TokenUpdate counted = CHATSTORE__V1__TOKEN_UPDATE__INIT;
    Chatstore__V1__TokenUpdate *updates[] = {&plain, &counted};

    (void)state;
    client_arena_init(&arena, NULL, 0, 1 << 20);
    counted.increment = 3;
    request.updates = updates;
    request.n_updates = 2;
    const Chatstore__V1__BatchUpdateTokensRequest *copy =
        (const void *)presence_mark(&request.base, &arena);
    assert_ptr_not_equal(copy, &request);
    assert_ptr_equal(copy->updates[0], &plain);
    assert_int_not_equal(copy->updates[1]->_increment_case, 0);
    assert_int_equal(counted._increment_case, 0);
    assert_ptr_equal(updates[1], &counted);
    client_arena_fini(&arena);
}

static void the_want_of_memory_is_noticed(void **state)
{
    struct client_arena arena;
    save_request request = CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST__INIT;
    char text[] = "9";

    (void)state;
    request.reply_id = text;
    client_arena_init(&arena, NULL, 0, 0);
    assert_null(presence_mark(&request.base, &arena));
    client_arena_fini(&arena);
}

static void the_written_envelope_is_the_contracts(void **state)
{
    char token[] = "secret";
    uint8_t body[64], frame[256];
    Chatstore__V1__GetChatUserRequest message = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    struct envelope_call call = {
        .method = "/m/M", .request_id = "id", .payload = "abc", .payload_bytes = 3};

    (void)state;
    uint8_t *at = envelope_write_token(token, frame);
    assert_int_equal(at - frame, envelope_token_bytes(token));
    for (unsigned i = 0; i < 2; i++) {
        size_t bytes = envelope_call_bytes(&call);
        assert_true(bytes <= sizeof body);
        envelope_write_call(&call, body);
        uint8_t *end = envelope_write_entry(body, bytes, 30000, at);
        assert_int_equal(end - at, envelope_entry_bytes(bytes, 30000));
        at = end;
        message.chat_id = -1;
        call = (struct envelope_call){.method = "/m/N",
                                      .message = &message.base,
                                      .payload_bytes =
                                          protobuf_c_message_get_packed_size(&message.base)};
    }
    Chatstore__V1__Request *read =
        chatstore__v1__request__unpack(NULL, (size_t)(at - frame), frame);
    assert_non_null(read);
    assert_string_equal(read->token, "secret");
    assert_int_equal(read->n_calls, 2);
    assert_string_equal(read->calls[0]->method, "/m/M");
    assert_string_equal(read->calls[0]->request_id, "id");
    assert_int_equal(read->calls[0]->timeout_ms, 30000);
    assert_memory_equal(read->calls[0]->payload.data, "abc", 3);
    assert_string_equal(read->calls[1]->request_id, "");
    assert_int_equal(read->calls[1]->payload.len, 11);
    chatstore__v1__request__free_unpacked(read, NULL);
}

static void every_row_is_found_by_its_names(void **state)
{
    (void)state;
    assert_int_equal(call_table_count, CALL_COUNT);
    for (size_t i = 0; i < call_table_count; i++) {
        const struct call *row = &call_table[i];
        assert_int_equal(row->id, i);
        assert_ptr_equal(call_find(row->method), row);
        assert_ptr_equal(call_find_by_name(row->name), row);
        assert_ptr_equal(call_find_by_name(row->method), row);
        assert_non_null(row->request->name);
        assert_true(i == 0 || strcmp(row[-1].method, row->method) < 0);
    }
    assert_ptr_equal(call_find_by_name("UserService/GetChatUser"), &call_table[CALL_GET_CHAT_USER]);
    assert_null(call_find("GetChatUser"));
    assert_null(call_find_by_name("ChatUser"));
    assert_null(call_find_by_name(""));
    assert_null(call_find_by_name("/other.v1.UserService/GetChatUser"));
}

static void rows_say_what_the_contract_says(void **state)
{
    const struct call *row = &call_table[CALL_GET_USER_CHATS];

    (void)state;
    assert_int_equal(row->scope, CALL_SCOPE_ALL);
    assert_int_equal(row->access, CALL_ACCESS_READ);
    assert_int_equal(row->cost, CALL_COST_SCAN);
    assert_string_equal(row->merge_key[0], "chat_id");
    assert_null(row->merge_key[1]);
    assert_null(row->merge_order[0]);
    assert_string_equal(row->data_source->name, "data_source");
    assert_null(row->chat_id);

    row = &call_table[CALL_GET_CHAT_USERS];
    assert_string_equal(row->chat_id->name, "chat_id");
    assert_string_equal(row->limit->name, "limit");
    assert_int_equal(row->rule_count, 2);
    assert_true(row->rules[0].required);
    assert_string_equal(row->rules[1].field->name, "limit");
    assert_true(row->rules[1].has_min && row->rules[1].min == 0);
    assert_int_equal(row->rules[1].default_integer, 10);

    assert_string_equal(call_table[CALL_BATCH_UPDATE_TOKENS].each->name, "updates");
    row = &call_table[CALL_CLEAR_CACHE];
    assert_string_equal(row->rules[0].in[0], "weather");
    assert_null(row->rules[0].in[6]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optional_fields_with_a_value_are_marked),
        cmocka_unit_test(an_explicit_zero_is_sent),
        cmocka_unit_test(elements_are_marked_too),
        cmocka_unit_test(the_want_of_memory_is_noticed),
        cmocka_unit_test(the_written_envelope_is_the_contracts),
        cmocka_unit_test(every_row_is_found_by_its_names),
        cmocka_unit_test(rows_say_what_the_contract_says),
    };
    return cmocka_run_group_tests_name("encoding", tests, NULL, NULL);
}
