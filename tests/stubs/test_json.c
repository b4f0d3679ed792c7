/* Messages as JSON, and that protobuf-c's messages are the contract's though their optional fields
 * were rewritten: libprotobuf, which knows them as optional, is the other side. */
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
#include "json.h"
#include "suggest.h"

#define TYPE(name) (&chatstore__v1__##name##__descriptor)

struct encoded {
    uint8_t *bytes;
    size_t size;
    char error[512];
};

static bool encode(const ProtobufCMessageDescriptor *type, const char *text, struct encoded *to)
{
    json_t *object = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(object);
    bool ok = message_from_json(type, object, &to->bytes, &to->size, to->error, sizeof to->error);
    json_decref(object);
    return ok;
}

static void expect_json(const ProtobufCMessageDescriptor *type, const char *given,
                        const char *wanted)
{
    struct encoded encoded;

    if (!encode(type, given, &encoded))
        fail_msg("%s: %s", given, encoded.error);
    char *text = message_to_json(type, encoded.bytes, encoded.size, false);
    /* Compared as values: libprotobuf has an order of its own. */
    json_t *got = json_loads(text, 0, NULL), *expected = json_loads(wanted, 0, NULL);
    assert_non_null(expected);
    if (!json_equal(got, expected))
        fail_msg("%s gives %s instead of %s", given, text, wanted);
    json_decref(got);
    json_decref(expected);
    assert_null(strchr(text, '\n'));
    free(text);
    free(encoded.bytes);
}

static void expect_error(const ProtobufCMessageDescriptor *type, const char *given,
                         const char *part)
{
    struct encoded encoded;

    assert_false(encode(type, given, &encoded));
    if (strstr(encoded.error, part) == NULL)
        fail_msg("%s gives \"%s\", without \"%s\"", given, encoded.error, part);
    assert_null(encoded.bytes);
}

/* Of the request of a list. */
#define NO_PAGE "\"pageSize\":0,\"pageToken\":\"\""

static void names_may_have_either_form(void **state)
{
    static const char wanted[] = "{\"chatId\":\"-100\",\"userId\":\"7\",\"dataSource\":\"a\"}";

    (void)state;
    expect_json(TYPE(get_chat_user_request),
                "{\"chat_id\": -100, \"user_id\": 7, \"data_source\": \"a\"}", wanted);
    expect_json(TYPE(get_chat_user_request),
                "{\"chatId\": \"-100\", \"userId\": \"7\", \"dataSource\": \"a\"}", wanted);
}

static void integers_are_taken_for_text(void **state)
{
    (void)state;
    expect_json(TYPE(get_chat_message_by_message_id_request),
                "{\"chat_id\": 1, \"message_id\": 9007199254740993}",
                "{\"chatId\":\"1\",\"messageId\":\"9007199254740993\",\"dataSource\":\"\"}");
    expect_json(TYPE(get_token_stats_request), "{\"tokens\": [\"a\", 5]}",
                "{\"tokens\":[\"a\",\"5\"],\"dataSource\":\"\"," NO_PAGE "}");
    expect_json(TYPE(batch_update_tokens_request), "{\"updates\": [{\"token\": 5}]}",
                "{\"updates\":[{\"token\":\"5\",\"isSpam\":false}]}");
}

static void extremes_survive(void **state)
{
    (void)state;
    expect_json(TYPE(get_user_chats_request), "{\"user_id\": -9223372036854775808}",
                "{\"userId\":\"-9223372036854775808\",\"dataSource\":\"\"," NO_PAGE "}");
    expect_json(TYPE(get_user_chats_request), "{\"user_id\": 9223372036854775807}",
                "{\"userId\":\"9223372036854775807\",\"dataSource\":\"\"," NO_PAGE "}");
    expect_json(TYPE(set_setting_request),
                "{\"key\": \"\\u00e9\\ud83d\\ude00\", \"value\": \"a\\\"b\\\\\\n<&>\"}",
                "{\"key\":\"\\u00e9\\ud83d\\ude00\",\"value\":\"a\\\"b\\\\\\n\\u003c&\\u003e\","
                "\"dataSource\":\"\"}");
}

static void absent_optionals_are_left_out_and_zeros_are_not(void **state)
{
    (void)state;
    expect_json(TYPE(chat_user), "{}",
                "{\"chatId\":\"0\",\"userId\":\"0\",\"username\":\"\",\"fullName\":\"\","
                "\"messagesCount\":\"0\",\"isSpammer\":false,\"metadata\":\"\"}");
    expect_json(TYPE(get_chat_messages_since_request), "{\"thread_id\": 0, \"since\": null}",
                "{\"chatId\":\"0\",\"threadId\":\"0\",\"limit\":0,\"messageCategory\":[],"
                "\"dataSource\":\"\"," NO_PAGE "}");
    expect_json(TYPE(get_setting_response), "{\"value\": \"\"}", "{\"value\":\"\"}");
    expect_json(TYPE(get_setting_response), "{}", "{}");
    expect_json(TYPE(get_settings_response), "{}", "{\"settings\":[],\"nextPageToken\":\"\"}");
}

static void times_are_text(void **state)
{
    (void)state;
    expect_json(TYPE(get_chat_users_request),
                "{\"chat_id\": 1, \"seen_since\": \"2024-05-01T12:00:00.5+03:00\"}",
                "{\"chatId\":\"1\",\"limit\":0,\"seenSince\":\"2024-05-01T09:00:00.500Z\","
                "\"dataSource\":\"\"," NO_PAGE "}");
    expect_error(TYPE(get_chat_users_request), "{\"seen_since\": {\"seconds\": 5}}", "seen_since");
    expect_error(TYPE(get_chat_users_request), "{\"seen_since\": \"yesterday\"}", "seen_since");
}

static void mistakes_are_told(void **state)
{
    (void)state;
    expect_error(TYPE(get_chat_user_request), "{\"chatid\": 1}", "did you mean chat_id?");
    expect_error(TYPE(get_chat_user_request), "{\"zzzzzzzz\": 1}", "no field \"zzzzzzzz\"");
    expect_error(TYPE(batch_update_tokens_request), "{\"updates\": [{\"tokem\": 1}]}",
                 "did you mean token?");
    expect_error(TYPE(get_chat_user_request), "{\"chat_id\": \"x\"}", "chat_id");
    expect_error(TYPE(get_chat_user_request), "{\"chat_id\": 1.5}", "chat_id");
    expect_error(TYPE(get_chat_user_request), "{\"chat_id\": [1]}", "");
    expect_error(TYPE(get_chat_user_request), "[]", "not a JSON object");
    assert_null(message_to_json(TYPE(chat_user), (const uint8_t *)"\xff", 1, false));
}

/* Fields that were optional in the .proto and are oneofs of one member in C: the same bytes. */
static void the_wire_is_the_same_for_both(void **state)
{
    static const char json[] =
        "{\"chatId\":\"-5\",\"threadId\":\"0\",\"limit\":3,\"messageCategory\":[\"a\",\"b\"]}";
    struct encoded encoded;

    (void)state;
    assert_true(encode(TYPE(get_chat_messages_since_request), json, &encoded));
    Chatstore__V1__GetChatMessagesSinceRequest *request =
        chatstore__v1__get_chat_messages_since_request__unpack(NULL, encoded.size, encoded.bytes);
    assert_non_null(request);
    assert_int_equal(request->_thread_id_case,
                     CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST___THREAD_ID_THREAD_ID);
    assert_null(request->since);
    uint8_t *again = malloc(encoded.size);
    assert_int_equal(chatstore__v1__get_chat_messages_since_request__get_packed_size(request),
                     encoded.size);
    chatstore__v1__get_chat_messages_since_request__pack(request, again);
    assert_memory_equal(again, encoded.bytes, encoded.size);
    free(again);
    free(encoded.bytes);
    chatstore__v1__get_chat_messages_since_request__free_unpacked(request, NULL);
}

static void every_message_of_the_table_has_a_mapping(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_table_count; i++) {
        const ProtobufCMessageDescriptor *types[] = {call_table[i].request, call_table[i].response};
        for (int j = 0; j < 2; j++) {
            struct encoded encoded;
            assert_true(encode(types[j], "{}", &encoded));
            assert_int_equal(encoded.size, 0);
            char *text = message_to_json(types[j], encoded.bytes, 0, true);
            assert_non_null(text);
            free(text);
            free(encoded.bytes);
        }
    }
}

static void comments_are_carried(void **state)
{
    char *comment = contract_comment("chatstore.v1.UserService.GetChatUser");

    (void)state;
    assert_string_equal(comment, "One user of one chat, or none.");
    free(comment);
    comment = contract_comment("chatstore.v1.ChatUser.user_id");
    assert_string_equal(comment, "The user.");
    free(comment);
    comment = contract_comment("chatstore.v1.Nothing");
    assert_string_equal(comment, "");
    free(comment);
}

static const char *suggest(const char *given, const char *first, const char *second)
{
    struct suggestion suggestion;

    suggest_start(&suggestion, given);
    suggest_offer(&suggestion, first);
    suggest_offer(&suggestion, second);
    return suggestion.best;
}

static void the_nearest_name_is_suggested(void **state)
{
    (void)state;
    assert_string_equal(suggest("getchatusr", "GetChatUsers", "GetChatUser"), "GetChatUser");
    assert_string_equal(suggest("lmit", "limit", "chat_id"), "limit");
    assert_null(suggest("zebra", "limit", "chat_id"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_may_have_either_form),
        cmocka_unit_test(integers_are_taken_for_text),
        cmocka_unit_test(extremes_survive),
        cmocka_unit_test(absent_optionals_are_left_out_and_zeros_are_not),
        cmocka_unit_test(times_are_text),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(the_wire_is_the_same_for_both),
        cmocka_unit_test(every_message_of_the_table_has_a_mapping),
        cmocka_unit_test(comments_are_carried),
        cmocka_unit_test(the_nearest_name_is_suggested),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
