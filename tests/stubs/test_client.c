/* The client against a server that answers: what travels, what comes back, how calls are joined. */
#include "client_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What travels */

/* The last call that a recording server got, copied. */
static struct {
    char method[128], request_id[64];
    uint32_t timeout_ms;
} recorded;

static void record_answer(void *arg, const Chatstore__V1__Call *call, Chatstore__V1__Result *result)
{
    snprintf(recorded.method, sizeof recorded.method, "%s", call->method);
    snprintf(recorded.request_id, sizeof recorded.request_id, "%s", call->request_id);
    recorded.timeout_ms = call->timeout_ms;
    fixture_answer(arg, call, result);
}

static enum chatstore_status update_user(struct chatstore_client *client,
                                         const struct chatstore_call_options *options)
{
    Chatstore__V1__UpdateChatUserRequest request = CHATSTORE__V1__UPDATE_CHAT_USER_REQUEST__INIT;

    request.chat_id = -100;
    request.user_id = 7;
    return chatstore_update_chat_user(client, &request, options, NULL);
}

static void a_call_comes_back_with_its_answer(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, record_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);
    struct chatstore_outcome outcome;
    struct chatstore_call_options options = {.timeout_ms = 5000, .outcome = &outcome};
    int64_t user_id = 0;

    (void)state;
    chatstore_outcome_init(&outcome);
    assert_int_equal(fixture_get_user(client, 7, &options, &user_id), CHATSTORE_OK);
    assert_int_equal(user_id, 7);
    assert_int_equal(outcome.status, CHATSTORE_OK);
    assert_string_equal(outcome.message, "");
    assert_string_equal(outcome.source, "main");
    assert_string_equal(chatstore_client_error(client), "");
    assert_string_equal(recorded.method, "/chatstore.v1.UserService/GetChatUser");
    assert_string_equal(recorded.request_id, "");
    assert_in_range(recorded.timeout_ms, 1, 5000);
    chatstore_outcome_clear(&outcome);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void a_write_gets_a_request_id_of_its_own(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, record_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);
    char first[64];

    (void)state;
    assert_int_equal(update_user(client, NULL), CHATSTORE_OK);
    snprintf(first, sizeof first, "%s", recorded.request_id);
    assert_int_equal(strlen(first), 36);
    assert_int_equal(first[14], '7');
    assert_non_null(strchr("89ab", first[19]));
    assert_int_equal(update_user(client, NULL), CHATSTORE_OK);
    assert_string_not_equal(recorded.request_id, first);

    struct chatstore_call_options options = {.request_id = first};
    assert_int_equal(update_user(client, &options), CHATSTORE_OK);
    assert_string_equal(recorded.request_id, first);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void a_failure_comes_with_its_text(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);
    struct chatstore_client *other = fixture_open(url, NULL);

    (void)state;
    assert_int_equal(fixture_get_user(client, -7, NULL, NULL), CHATSTORE_NOT_FOUND);
    assert_string_equal(chatstore_client_error(client), "GetChatUser: no such user");
    assert_string_equal(chatstore_client_error(other), "");
    assert_int_equal(fixture_get_user(client, 7, NULL, NULL), CHATSTORE_OK);
    assert_string_equal(chatstore_client_error(client), "");
    chatstore_client_close(other);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void merged_answer(void *arg, const Chatstore__V1__Call *call, Chatstore__V1__Result *result)
{
    static char names[2][8] = {"main", "archive"};
    static char *merged[] = {names[0], names[1]};
    static char failed_name[] = "other";
    static char failed_text[] = "the file is gone";
    static Chatstore__V1__SourceFailure failure = {
        PROTOBUF_C_MESSAGE_INIT(&chatstore__v1__source_failure__descriptor), failed_name,
        CHATSTORE_UNAVAILABLE, failed_text};
    static Chatstore__V1__SourceFailure *failures[] = {&failure};

    (void)arg;
    (void)call;
    result->merged_sources = merged;
    result->n_merged_sources = 2;
    result->failed_sources = failures;
    result->n_failed_sources = 1;
}

static void a_merged_answer_names_its_sources(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, merged_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);
    Chatstore__V1__GetAllGroupChatsRequest request =
        CHATSTORE__V1__GET_ALL_GROUP_CHATS_REQUEST__INIT;
    Chatstore__V1__GetAllGroupChatsResponse *response;
    struct chatstore_outcome outcome;
    struct chatstore_call_options options = {.outcome = &outcome};

    (void)state;
    chatstore_outcome_init(&outcome);
    assert_int_equal(chatstore_get_all_group_chats(client, &request, &options, &response),
                     CHATSTORE_OK);
    chatstore__v1__get_all_group_chats_response__free_unpacked(response, NULL);
    assert_int_equal(outcome.merged_source_count, 2);
    assert_string_equal(outcome.merged_sources[1], "archive");
    assert_int_equal(outcome.failed_source_count, 1);
    assert_string_equal(outcome.failed_sources[0].source, "other");
    assert_int_equal(outcome.failed_sources[0].code, CHATSTORE_UNAVAILABLE);
    assert_string_equal(outcome.failed_sources[0].message, "the file is gone");
    chatstore_outcome_clear(&outcome);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void calls_by_name_carry_bytes(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, record_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);
    uint8_t *reply;
    size_t reply_bytes;

    (void)state;
    assert_int_equal(
        chatstore_client_call(client, "UpdateChatUser", NULL, 0, NULL, &reply, &reply_bytes),
        CHATSTORE_OK);
    assert_int_equal(reply_bytes, 2);
    assert_memory_equal(reply, "\x08\x01", 2);
    assert_string_not_equal(recorded.request_id, "");
    free(reply);
    assert_int_equal(
        chatstore_client_call(client, "/no.such/Method", "x", 1, NULL, &reply, &reply_bytes),
        CHATSTORE_UNIMPLEMENTED);
    assert_null(reply);
    assert_string_equal(recorded.method, "/no.such/Method");
    chatstore_client_close(client);
    fake_server_stop(server);
}

/* Joining */

static void points_share_a_frame_while_others_are_out(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.frames_in_flight_max = 1, .calls_per_frame_max = 8};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally tally;

    (void)state;
    fixture_tally_init(&tally);
    fake_server_hold(server);
    fixture_start_user(client, 1, 0, &tally);
    fake_server_wait_frames(server, 1);
    for (int64_t i = 2; i <= 11; i++)
        fixture_start_user(client, i, 0, &tally);
    fixture_start_scan(client, &tally); /* does not wait for the points, nor share a frame */
    fake_server_wait_frames(server, 2);
    assert_int_equal(fake_server_frame_calls(server, 0), 1);
    assert_int_equal(fake_server_frame_calls(server, 1), 1);
    fake_server_release(server);
    fixture_tally_wait(&tally, 12);
    assert_int_equal(tally.ok, 12);
    assert_int_equal(tally.user_id_sum, 66);
    assert_int_equal(fake_server_frame_count(server), 4);
    assert_int_equal(fake_server_frame_calls(server, 2), 8);
    assert_int_equal(fake_server_frame_calls(server, 3), 2);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void without_joining_each_call_has_a_frame(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.frames_in_flight_max = 1, .no_join = true};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally tally;

    (void)state;
    fixture_tally_init(&tally);
    fake_server_hold(server);
    for (int64_t i = 1; i <= 5; i++)
        fixture_start_user(client, i, 0, &tally);
    fake_server_wait_frames(server, 5);
    fake_server_release(server);
    fixture_tally_wait(&tally, 5);
    assert_int_equal(tally.ok, 5);
    chatstore_client_close(client);
    fake_server_stop(server);
}

struct caller {
    struct chatstore_client *client;
    int64_t first;
};

enum { CALLERS = 8, CALLS_EACH = 200 };

static void *call_many(void *arg)
{
    const struct caller *caller = arg;

    for (int64_t i = 0; i < CALLS_EACH; i++) {
        int64_t user_id = 0;
        assert_int_equal(fixture_get_user(caller->client, caller->first + i, NULL, &user_id),
                         CHATSTORE_OK);
        assert_int_equal(user_id, caller->first + i);
    }
    return NULL;
}

static void threads_get_their_own_answers(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.frames_in_flight_max = 2};
    struct chatstore_client *client = fixture_open(url, &options);
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];

    (void)state;
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.client = client, .first = i * 1000};
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(fake_server_frame_count(server) < (size_t)CALLERS * CALLS_EACH);
    chatstore_client_close(client);
    fake_server_stop(server);
}

/* Limits */

static void calls_over_the_limit_are_refused(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.calls_in_flight_max = 2};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally tally;

    (void)state;
    fixture_tally_init(&tally);
    fake_server_hold(server);
    fixture_start_user(client, 1, 0, &tally);
    fixture_start_user(client, 2, 0, &tally);
    assert_int_equal(fixture_get_user(client, 3, NULL, NULL), CHATSTORE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(chatstore_client_error(client), "calls_in_flight_max"));
    fake_server_release(server);
    fixture_tally_wait(&tally, 2);
    assert_int_equal(fixture_get_user(client, 3, NULL, NULL), CHATSTORE_OK);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void a_request_over_the_limit_is_refused(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.request_bytes_max = 100};
    struct chatstore_client *client = fixture_open(url, &options);
    static const char big[101];
    uint8_t *reply;
    size_t reply_bytes;

    (void)state;
    assert_int_equal(
        chatstore_client_call(client, "GetChatUser", big, sizeof big, NULL, &reply, &reply_bytes),
        CHATSTORE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(chatstore_client_error(client), "request_bytes_max"));
    assert_int_equal(fixture_get_user(client, 3, NULL, NULL), CHATSTORE_OK);
    chatstore_client_close(client);
    fake_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_comes_back_with_its_answer),
        cmocka_unit_test(a_write_gets_a_request_id_of_its_own),
        cmocka_unit_test(a_failure_comes_with_its_text),
        cmocka_unit_test(a_merged_answer_names_its_sources),
        cmocka_unit_test(calls_by_name_carry_bytes),
        cmocka_unit_test(points_share_a_frame_while_others_are_out),
        cmocka_unit_test(without_joining_each_call_has_a_frame),
        cmocka_unit_test(threads_get_their_own_answers),
        cmocka_unit_test(calls_over_the_limit_are_refused),
        cmocka_unit_test(a_request_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
