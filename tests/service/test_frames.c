/* Frames, good and bad, and the limits that hold for them. */
#include "engine_fixture.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char get_user[] = "{\"chat_id\": -100, \"user_id\": 7}";

/* The whole frame is refused: one result says why. And the next frame is answered. */
static void expect_frame_refused(struct service *service, const void *bytes, size_t count,
                                 enum chatstore_status status, const char *part)
{
    Chatstore__V1__Reply *reply = service_run_bytes(service, bytes, count);
    assert_int_equal(reply->n_results, 1);
    expect_result(reply, 0, status, part);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_expect(service, "GetChatUser", get_user, CHATSTORE_OK, NULL);
}

static void a_frame_that_is_none_is_refused(void **state)
{
    static const char invalid_method[] = "\x12\x03\x0a\x01\xff";
    static const char nul_in_method[] = "\x12\x04\x0a\x02\x41\x00";
    struct service service;
    (void)state;
    service_start_limited(&service, "");
    expect_frame_refused(&service, "", 0, CHATSTORE_INVALID_ARGUMENT, "no calls");
    expect_frame_refused(&service, "\x0a\x01t", 3, CHATSTORE_INVALID_ARGUMENT, "no calls");
    expect_frame_refused(&service, "\xff\xff\xff", 3, CHATSTORE_INVALID_ARGUMENT, "frame");
    expect_frame_refused(&service, "\x12\x7f\x0a", 3, CHATSTORE_INVALID_ARGUMENT, "frame");
    expect_frame_refused(&service, "GET / HTTP/1.1\r\n\r\n", 18, CHATSTORE_INVALID_ARGUMENT,
                         "frame");
    expect_frame_refused(&service, invalid_method, 5, CHATSTORE_INVALID_ARGUMENT, "UTF-8");
    expect_frame_refused(&service, nul_in_method, 6, CHATSTORE_INVALID_ARGUMENT, "NUL");
    service_stop(&service);
}

static void too_many_calls_or_bytes_are_refused(void **state)
{
    struct service service;
    struct wire wire = {0};
    size_t bytes;
    (void)state;
    service_start_limited(&service, "calls_per_frame_max = 4\nframe_bytes = 4096");
    for (int i = 0; i < 5; i++)
        wire_add(&wire, "Ping", "{}", 0);
    uint8_t *frame = wire_take(&wire, &bytes);
    expect_frame_refused(&service, frame, bytes, CHATSTORE_RESOURCE_EXHAUSTED,
                         "calls_per_frame_max");
    free(frame);
    frame = calloc(1, 4097);
    expect_frame_refused(&service, frame, 4097, CHATSTORE_RESOURCE_EXHAUSTED, "frame_bytes");
    free(frame);
    service_stop(&service);
}

static void as_many_calls_as_the_limit_says_are_answered(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "");
    for (int i = 0; i < 1024; i++)
        wire_add(&wire, i % 2 ? "Ping" : "GetModelStats", "{}", 0);
    Chatstore__V1__Reply *reply = service_run(&service, &wire);
    assert_int_equal(reply->n_results, 1024);
    for (size_t i = 0; i < reply->n_results; i++)
        expect_result(reply, i, CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_stop(&service);
}

static void note_done(struct frame *frame, void *arg)
{
    (void)frame;
    *(bool *)arg = true;
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Frames wait for their next run in numbers, and that may be long. */
static void a_frame_whose_reply_is_packed_holds_nothing(void **state)
{
    struct service service;
    struct wire wire = {0};
    bool done = false;
    size_t bytes;
    (void)state;
    service_start_limited(&service, "");
    for (int i = 0; i < 1024; i++)
        wire_add(&wire, "Ping", "{}", 0);
    uint8_t *request = wire_take(&wire, &bytes);
    struct frame *frame = frame_new(service.engine, note_done);
    assert_non_null(frame);
    uint8_t *reply = malloc(1 << 20);
    size_t before = heap_bytes();
    frame_run(frame, request, bytes, &done);
    assert_true(done);
    assert_true(frame_reply_bytes(frame) < 1 << 20);
    frame_reply_pack(frame, reply);
    assert_true(heap_bytes() < before + (64 << 10));
    frame_free(frame);
    free(reply);
    free(request);
    service_stop(&service);
}

static void the_calls_of_a_frame_fail_alone(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "");
    wire_add(&wire, "UpdateChatUser", "{\"chat_id\": -100, \"user_id\": 7}", 0);
    wire_add(&wire, "/chatstore.v1.UserService/NoSuchCall", "{}", 0);
    wire_add(&wire, "GetChatUser", "{}", 0);
    wire_add(&wire, "Ping", "{}", 0);
    wire_add(&wire, "", "{}", 0);
    wire_add(&wire, "AddMediaAttachment", "{\"file_unique_id\": \"u\", \"file_id\": \"f\"}", 0);
    wire_add(&wire, "AddMediaAttachment", "{\"file_unique_id\": \"u\", \"file_id\": \"f\"}", 0);
    wire_add(&wire, "GetUserChats", "{\"user_id\": 7}", 0);
    Chatstore__V1__Reply *reply = service_run(&service, &wire);
    assert_int_equal(reply->n_results, 8);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    expect_result(reply, 1, CHATSTORE_UNIMPLEMENTED, "NoSuchCall");
    expect_result(reply, 2, CHATSTORE_INVALID_ARGUMENT, "chat_id is missing");
    expect_result(reply, 3, CHATSTORE_OK, NULL);
    expect_result(reply, 4, CHATSTORE_UNIMPLEMENTED, "there is no method");
    /* Unordered: one of the two is the duplicate. */
    bool first_failed = reply->results[5]->status != NULL;
    expect_result(reply, first_failed ? 5 : 6, CHATSTORE_ALREADY_EXISTS, "AddMediaAttachment");
    expect_result(reply, first_failed ? 6 : 5, CHATSTORE_OK, NULL);
    expect_result(reply, 7, CHATSTORE_OK, NULL);
    assert_string_equal(reply->results[0]->source, "main");
    assert_string_equal(reply->results[3]->source, "");
    assert_string_equal(reply->results[7]->merged_sources[0], "main");
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_stop(&service);
}

/* ---- Answers that are too large ---- */

static void save_setting(struct service *service, const char *key, int bytes)
{
    char json[8192];
    snprintf(json, sizeof json, "{\"key\": \"%s\", \"value\": \"%0*d\"}", key, bytes, 0);
    service_expect(service, "SetSetting", json, CHATSTORE_OK, NULL);
}

static void a_result_that_does_not_fit_fails_alone(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "reply_bytes = 4096");
    save_setting(&service, "large", 2500);
    save_setting(&service, "small", 10);
    wire_add(&wire, "GetSetting", "{\"key\": \"large\"}", 0);
    wire_add(&wire, "GetSetting", "{\"key\": \"large\"}", 0);
    wire_add(&wire, "GetSetting", "{\"key\": \"small\"}", 0);
    Chatstore__V1__Reply *reply = service_run(&service, &wire);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    expect_result(reply, 1, CHATSTORE_RESOURCE_EXHAUSTED, "reply_bytes");
    expect_result(reply, 2, CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_stop(&service);
}

/* Else the client would take what was done for refused. */
static void a_write_is_answered_however_full_the_reply_is(void **state)
{
    struct service service;
    unsigned fitted = 0, refused = 0;
    (void)state;
    service_start_limited(&service, "reply_bytes = 4096");
    save_setting(&service, "large", 2500);
    for (int bytes = 1500; bytes < 1600; bytes += 5) {
        struct wire wire = {0};
        save_setting(&service, "rest", bytes);
        wire_add(&wire, "GetSetting", "{\"key\": \"large\"}", 0);
        wire_add(&wire, "GetSetting", "{\"key\": \"rest\"}", 0);
        wire_add(&wire, "SetSetting", "{\"key\": \"k\", \"value\": \"v\"}", 0);
        Chatstore__V1__Reply *reply = service_run(&service, &wire);
        expect_result(reply, 2, CHATSTORE_OK, NULL);
        fitted += reply->results[1]->status == NULL;
        refused += reply->results[1]->status != NULL;
        chatstore__v1__reply__free_unpacked(reply, NULL);
    }
    assert_true(fitted > 0 && refused > 0);
    service_stop(&service);
}

static void an_answer_over_the_limit_fails(void **state)
{
    struct service service;
    (void)state;
    service_start_limited(&service, "reply_bytes = 4096");
    save_setting(&service, "one", 2500);
    save_setting(&service, "two", 2500);
    service_expect(&service, "GetSettings", "{}", CHATSTORE_RESOURCE_EXHAUSTED, "reply_bytes");
    service_expect(&service, "GetSetting", "{\"key\": \"one\"}", CHATSTORE_OK, NULL);
    service_stop(&service);
}

static void add_cached(struct service *service, const char *name, int bytes)
{
    char sql[256], file[32];
    snprintf(sql, sizeof sql,
             "INSERT INTO cache_storage (namespace, key, value) VALUES ('%s', 'k', "
             "printf('%%0%dd', 0))",
             name, bytes);
    snprintf(file, sizeof file, "%s.db", name);
    json_decref(sandbox_sql(&service->sandbox, file, sql, name));
}

static void a_merged_answer_over_the_limit_fails(void **state)
{
    struct service service;
    (void)state;
    service_prepare(&service);
    service_start(&service, "[service.limits]\nreply_bytes = 4096\n"
                            "[database]\ndefault = \"one\"\n[database.sources]\n"
                            "one = { path = \"one.db\" }\ntwo = { path = \"two.db\" }\n");
    add_cached(&service, "one", 2500);
    service_expect(&service, "GetCacheStorage", "{}", CHATSTORE_OK, NULL);
    add_cached(&service, "two", 2500);
    service_expect(&service, "GetCacheStorage", "{}", CHATSTORE_RESOURCE_EXHAUSTED, "reply_bytes");
    service_stop(&service);
}

/* ---- Time and load ---- */

static const char save_user[] = "{\"chat_id\": -100, \"user_id\": 7, \"username\": \"ann\"}";

static void calls_over_the_limit_are_refused_until_others_end(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "calls_in_flight_max = 2");
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "main.db");
    wire_add(&wire, "UpdateChatUser", save_user, 0);
    wire_add(&wire, "UpdateChatUser", save_user, 0);
    struct passage *passage = passage_start(&service, &wire);
    service_expect(&service, "Ping", "{}", CHATSTORE_RESOURCE_EXHAUSTED, "calls_in_flight_max");
    sandbox_unlock(lock);
    Chatstore__V1__Reply *reply = passage_wait(passage);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    expect_result(reply, 1, CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_expect(&service, "Ping", "{}", CHATSTORE_OK, NULL);
    service_stop(&service);
}

static void of_a_frame_over_the_limit_the_first_calls_are_admitted(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "calls_in_flight_max = 2");
    for (int round = 0; round < 3; round++) { /* what was refused is not counted */
        for (int i = 0; i < 3; i++)
            wire_add(&wire, "Ping", "{}", 0);
        Chatstore__V1__Reply *reply = service_run(&service, &wire);
        assert_int_equal(reply->n_results, 3);
        expect_result(reply, 0, CHATSTORE_OK, NULL);
        expect_result(reply, 1, CHATSTORE_OK, NULL);
        expect_result(reply, 2, CHATSTORE_RESOURCE_EXHAUSTED, "calls_in_flight_max");
        chatstore__v1__reply__free_unpacked(reply, NULL);
    }
    service_stop(&service);
}

static void a_frame_up_to_half_of_the_limit_is_admitted_whole_or_not(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "calls_in_flight_max = 4");
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "main.db");
    for (int i = 0; i < 3; i++)
        wire_add(&wire, "UpdateChatUser", save_user, 0);
    struct passage *passage = passage_start(&service, &wire);
    wire_add(&wire, "Ping", "{}", 0);
    wire_add(&wire, "Ping", "{}", 0);
    Chatstore__V1__Reply *reply = service_run(&service, &wire);
    assert_int_equal(reply->n_results, 1);
    expect_result(reply, 0, CHATSTORE_RESOURCE_EXHAUSTED, "calls_in_flight_max");
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_expect(&service, "Ping", "{}", CHATSTORE_OK, NULL); /* one place was left */
    sandbox_unlock(lock);
    chatstore__v1__reply__free_unpacked(passage_wait(passage), NULL);
    service_stop(&service);
}

static struct passage *start_write_of(struct service *service, size_t value_bytes)
{
    struct wire wire = {0};
    char *json = malloc(value_bytes + 64);
    assert_non_null(json);
    snprintf(json, value_bytes + 64, "{\"key\": \"k\", \"value\": \"%0*d\"}", (int)value_bytes, 0);
    wire_add(&wire, "SetSetting", json, 0);
    free(json);
    return passage_start(service, &wire);
}

static void expect_write(struct passage *passage, enum chatstore_status status, const char *part)
{
    Chatstore__V1__Reply *reply = passage_wait(passage);
    expect_result(reply, 0, status, part);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

static void large_requests_are_refused_until_others_end(void **state)
{
    enum { ROUNDS = 3, LARGE = 400 << 10, LARGER = 2 << 20, SMALL = 20 << 10 };
    struct service service;
    (void)state;
    service_start_limited(&service, "requests_bytes = 1048576");
    for (int round = 0; round < ROUNDS; round++) { /* all room comes back */
        struct sqlite3 *lock = sandbox_lock(&service.sandbox, "main.db");
        struct passage *first = start_write_of(&service, LARGE);
        expect_write(start_write_of(&service, LARGE), CHATSTORE_RESOURCE_EXHAUSTED,
                     "(requests_bytes = 1048576)");
        struct passage *small = start_write_of(&service, SMALL);
        service_expect(&service, "Ping", "{}", CHATSTORE_OK, NULL);
        sandbox_unlock(lock);
        expect_write(first, CHATSTORE_OK, NULL);
        expect_write(small, CHATSTORE_OK, NULL);
        expect_write(start_write_of(&service, LARGE), CHATSTORE_OK, NULL);
        expect_write(start_write_of(&service, LARGER), CHATSTORE_OK, NULL); /* it is alone */
    }
    service_stop(&service);
}

/* Of few bytes much memory may be made. */
static void requests_that_become_large_are_refused(void **state)
{
    enum { UPDATES = 5000, FIRST_BYTES = 480 << 10 };
    struct service service;
    struct wire wire = {0};
    size_t bytes, room = UPDATES * 4 + 32;
    char *payload = malloc(room);
    (void)state;
    assert_non_null(payload);
    bytes = (size_t)snprintf(payload, room, "{\"updates\": [{}");
    for (int i = 1; i < UPDATES; i++)
        bytes += (size_t)snprintf(payload + bytes, room - bytes, ",{}");
    snprintf(payload + bytes, room - bytes, "]}");
    service_start_limited(&service, "requests_bytes = 1048576");
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "main.db");
    struct passage *first = start_write_of(&service, FIRST_BYTES);
    service_expect(&service, "BatchUpdateTokens", payload, CHATSTORE_RESOURCE_EXHAUSTED,
                   "requests_bytes");
    sandbox_unlock(lock);
    expect_write(first, CHATSTORE_OK, NULL);
    wire_add(&wire, "BatchUpdateTokens", payload, 0);
    Chatstore__V1__Reply *reply =
        service_run(&service, &wire); /* has room, whatever else it lacks */
    assert_true(!reply->results[0]->status ||
                reply->results[0]->status->code != CHATSTORE_RESOURCE_EXHAUSTED);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_stop(&service);
    free(payload);
}

/* As large as frames may be, so may be a value: in the frame, in the file, in the reply. */
static void a_value_fills_a_large_frame(void **state)
{
    enum { BYTES = 40 << 20 };
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "frame_bytes = 67108864\nreply_bytes = 67108864");
    expect_write(start_write_of(&service, BYTES), CHATSTORE_OK, NULL);
    wire_add(&wire, "GetSetting", "{\"key\": \"k\"}", 0);
    Chatstore__V1__Reply *reply = service_run(&service, &wire);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    assert_true(reply->results[0]->payload.len > BYTES);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_stop(&service);
}

static void a_write_that_waits_too_long_is_not_done(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_prepare(&service);
    service_start(&service, "[service.limits]\ntimeout_ms = 20\n"
                            "[database.sources.main]\npath = \"main.db\"\ntimeout = 20.0\n");
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "main.db");
    /* The first makes the writer busy; the others wait behind it, by their own time or by the
     * server's. */
    wire_add(&wire, "UpdateChatUser", save_user, 20000);
    struct passage *first = passage_start(&service, &wire);
    wire_add(&wire, "SetSetting", "{\"key\": \"k\"}", 1);
    wire_add(&wire, "SetSetting", "{\"key\": \"l\"}", 0);
    struct passage *late = passage_start(&service, &wire);
    struct timespec pause = {.tv_nsec = 40 * 1000000};
    nanosleep(&pause, NULL); /* time that passes is what is tested */
    sandbox_unlock(lock);
    Chatstore__V1__Reply *reply = passage_wait(first);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    reply = passage_wait(late);
    expect_result(reply, 0, CHATSTORE_DEADLINE_EXCEEDED, "nothing was written");
    expect_result(reply, 1, CHATSTORE_DEADLINE_EXCEEDED, "nothing was written");
    chatstore__v1__reply__free_unpacked(reply, NULL);
    assert_int_equal(sandbox_integer(&service.sandbox, "main.db",
                                     "SELECT count(*) FROM settings WHERE key IN ('k', 'l')"),
                     0);
    service_stop(&service);
}

static void a_deadline_is_not_longer_than_the_server_allows(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_prepare(&service);
    service_start(&service, "[service.limits]\ntimeout_ms = 1\ntimeout_max_ms = 20\n"
                            "[database.sources.main]\npath = \"main.db\"\ntimeout = 20.0\n");
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "main.db");
    wire_add(&wire, "SetSetting", "{\"key\": \"k\"}", 3600000);
    struct passage *passage = passage_start(&service, &wire);
    struct timespec pause = {.tv_nsec = 40 * 1000000};
    nanosleep(&pause, NULL);
    sandbox_unlock(lock);
    Chatstore__V1__Reply *reply = passage_wait(passage);
    expect_result(reply, 0, CHATSTORE_DEADLINE_EXCEEDED, "nothing was written");
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_stop(&service);
}

/* Of many changes: between two of them. */
static void a_write_that_takes_too_long_is_undone(void **state)
{
    enum { UPDATES = 30000 };
    struct service service;
    struct wire wire = {0};
    size_t bytes = 0, room = UPDATES * 20 + 32;
    char *payload = malloc(room);
    (void)state;
    assert_non_null(payload);
    bytes += (size_t)snprintf(payload, room, "{\"updates\": [");
    for (int i = 0; i < UPDATES; i++)
        bytes += (size_t)snprintf(payload + bytes, room - bytes, "%s{\"token\":\"%d\"}",
                                  i > 0 ? "," : "", i);
    snprintf(payload + bytes, room - bytes, "]}");
    service_start_limited(&service, "");
    wire_add(&wire, "SetSetting", "{\"key\": \"k\"}", 0);
    wire_add(&wire, "BatchUpdateTokens", payload, 10);
    wire_add(&wire, "SetSetting", "{\"key\": \"l\"}", 0);
    Chatstore__V1__Reply *reply = service_run(&service, &wire);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    expect_result(reply, 1, CHATSTORE_DEADLINE_EXCEEDED, "nothing");
    expect_result(reply, 2, CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    assert_int_equal(
        sandbox_integer(&service.sandbox, "main.db", "SELECT count(*) FROM bayes_tokens"), 0);
    service_stop(&service);
    free(payload);
}

static void a_read_that_takes_too_long_is_stopped(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    service_start_limited(&service, "");
    json_decref(sandbox_sql(
        &service.sandbox, "main.db",
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 30000)"
        " INSERT INTO bayes_tokens (token, spam_count, total_count) SELECT 't' || i, i, i FROM n",
        "tokens"));
    wire_add(&wire, "GetTopSpamTokens", "{}", 1);
    wire_add(&wire, "Ping", "{}", 1);
    Chatstore__V1__Reply *reply = service_run(&service, &wire);
    expect_result(reply, 0, CHATSTORE_DEADLINE_EXCEEDED, "deadline");
    expect_result(reply, 1, CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_expect(&service, "GetTopSpamTokens", "{}", CHATSTORE_OK, NULL);
    service_stop(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_that_is_none_is_refused),
        cmocka_unit_test(too_many_calls_or_bytes_are_refused),
        cmocka_unit_test(as_many_calls_as_the_limit_says_are_answered),
        cmocka_unit_test(a_frame_whose_reply_is_packed_holds_nothing),
        cmocka_unit_test(the_calls_of_a_frame_fail_alone),
        cmocka_unit_test(a_result_that_does_not_fit_fails_alone),
        cmocka_unit_test(a_write_is_answered_however_full_the_reply_is),
        cmocka_unit_test(an_answer_over_the_limit_fails),
        cmocka_unit_test(a_merged_answer_over_the_limit_fails),
        cmocka_unit_test(calls_over_the_limit_are_refused_until_others_end),
        cmocka_unit_test(of_a_frame_over_the_limit_the_first_calls_are_admitted),
        cmocka_unit_test(a_frame_up_to_half_of_the_limit_is_admitted_whole_or_not),
        cmocka_unit_test(large_requests_are_refused_until_others_end),
        cmocka_unit_test(requests_that_become_large_are_refused),
        cmocka_unit_test(a_value_fills_a_large_frame),
        cmocka_unit_test(a_write_that_waits_too_long_is_not_done),
        cmocka_unit_test(a_deadline_is_not_longer_than_the_server_allows),
        cmocka_unit_test(a_write_that_takes_too_long_is_undone),
        cmocka_unit_test(a_read_that_takes_too_long_is_stopped),
    };
    log_capture_start(LOG_INFO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
