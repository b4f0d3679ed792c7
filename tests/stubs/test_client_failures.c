/* The client when things go wrong: time, garbage, servers that come and go, closing, fork. */
#include "client_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport.h"

/* Time */

static void a_blocking_call_ends_when_its_time_is_up(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);
    struct chatstore_call_options options = {.timeout_ms = 100};
    int64_t start_ms = fixture_now_ms();

    (void)state;
    fake_server_hold(server);
    assert_int_equal(fixture_get_user(client, 1, &options, NULL), CHATSTORE_DEADLINE_EXCEEDED);
    assert_in_range(fixture_now_ms() - start_ms, 95, 3000);
    assert_non_null(strstr(chatstore_client_error(client), url));
    fake_server_release(server); /* the late answer is dropped */
    assert_int_equal(fixture_get_user(client, 1, NULL, NULL), CHATSTORE_OK);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void a_call_ends_though_its_frame_is_still_out(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.frames_in_flight_max = 1};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally slow, fast;
    int64_t start_ms = fixture_now_ms();

    (void)state;
    fixture_tally_init(&slow);
    fixture_tally_init(&fast);
    fake_server_hold(server);
    fixture_start_user(client, 1, 20000, &slow); /* in the frame that is out */
    fixture_start_user(client, 2, 20000, &slow); /* these wait for the next */
    fixture_start_user(client, 3, 100, &fast);
    fixture_tally_wait(&fast, 1);
    assert_int_equal(fast.status, CHATSTORE_DEADLINE_EXCEEDED);
    assert_in_range(fixture_now_ms() - start_ms, 95, 5000);
    fake_server_release(server);
    fixture_tally_wait(&slow, 2);
    assert_int_equal(slow.ok, 2);
    assert_int_equal(slow.user_id_sum, 3);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void a_joined_call_ends_before_its_frame(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.frames_in_flight_max = 1};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally first, slow, fast;

    (void)state;
    fixture_tally_init(&first);
    fixture_tally_init(&slow);
    fixture_tally_init(&fast);
    fake_server_hold(server);
    fixture_start_user(client, 1, 200, &first);
    fixture_start_user(client, 2, 20000, &slow);
    fixture_start_user(client, 3, 600, &fast);
    fixture_tally_wait(&first, 1); /* then the other two leave in one frame */
    fake_server_wait_frames(server, 2);
    assert_int_equal(fake_server_frame_calls(server, 1), 2);
    fixture_tally_wait(&fast, 1);
    assert_int_equal(fast.status, CHATSTORE_DEADLINE_EXCEEDED);
    assert_int_equal(slow.ended, 0);
    fake_server_release(server);
    fixture_tally_wait(&slow, 1);
    assert_int_equal(slow.ok, 1);
    chatstore_client_close(client);
    fake_server_stop(server);
}

/* Garbage */

static void expect_garbage(const char *reply, size_t size)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);

    fake_server_answer_raw(server, reply, size);
    assert_int_equal(fixture_get_user(client, 1, NULL, NULL), CHATSTORE_INTERNAL);
    assert_ptr_equal(strstr(chatstore_client_error(client), "GetChatUser: "),
                     chatstore_client_error(client));
    fake_server_answer_raw(server, NULL, 0);
    assert_int_equal(fixture_get_user(client, 1, NULL, NULL), CHATSTORE_OK);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void garbage_is_an_error_of_the_call(void **state)
{
    /* A million empty results: what a hostile server could make of few bytes. */
    static char many[2000000];
    for (size_t i = 0; i < sizeof many; i += 2)
        many[i] = 0x0a;

    (void)state;
    expect_garbage("", 0);                             /* no result */
    expect_garbage("\xff\xff\xff", 3);                 /* no Reply */
    expect_garbage("\x0a\x00\x0a\x00", 4);             /* two results for one call */
    expect_garbage("\x0a\x05\x12\x03\xff\xff\xff", 7); /* a payload that is no response */
    expect_garbage(many, sizeof many);
}

static void one_failure_may_stand_for_the_whole_frame(void **state)
{
    static const char reply[] = "\x0a\x09\x0a\x07\x08\x03\x12\x03"
                                "bad";
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.frames_in_flight_max = 1};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally tally;

    (void)state;
    fixture_tally_init(&tally);
    fake_server_answer_raw(server, reply, sizeof reply - 1);
    fake_server_hold(server);
    for (int64_t i = 0; i < 3; i++)
        fixture_start_user(client, i, 0, &tally);
    fake_server_release(server);
    fixture_tally_wait(&tally, 3);
    assert_int_equal(tally.ok, 0);
    assert_int_equal(tally.status, CHATSTORE_INVALID_ARGUMENT);
    assert_string_equal(tally.message, "bad");
    chatstore_client_close(client);
    fake_server_stop(server);
}

/* Servers that come and go */

static void without_a_server_calls_are_unavailable(void **state)
{
    const char *url = fake_url();
    struct chatstore_client_options hasty = {.connect_timeout_ms = 50};
    struct chatstore_client *client = fixture_open(url, &hasty);
    struct chatstore_client *patient = fixture_open(url, NULL);
    struct chatstore_call_options options = {.timeout_ms = 100};
    struct fixture_tally tally;
    int64_t start_ms = fixture_now_ms();

    (void)state;
    assert_int_equal(fixture_get_user(client, 1, NULL, NULL), CHATSTORE_UNAVAILABLE);
    assert_in_range(fixture_now_ms() - start_ms, 45, 5000);
    assert_non_null(strstr(chatstore_client_error(client), url));
    assert_int_equal(fixture_get_user(patient, 1, &options, NULL), CHATSTORE_UNAVAILABLE);
    fixture_tally_init(&tally);
    fixture_start_user(patient, 1, 100, &tally);
    fixture_tally_wait(&tally, 1);
    assert_int_equal(tally.status, CHATSTORE_UNAVAILABLE);
    chatstore_client_close(patient);
    chatstore_client_close(client);
}

static void calls_wait_for_a_server_that_is_starting(void **state)
{
    const char *url = fake_url();
    struct chatstore_client *client = fixture_open(url, NULL);
    struct fixture_tally tally;

    (void)state;
    fixture_tally_init(&tally);
    fixture_start_user(client, 5, 20000, &tally);
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    fixture_tally_wait(&tally, 1);
    assert_int_equal(tally.ok, 1);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void a_lost_connection_ends_the_call_and_heals(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.no_retry = true};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally tally;
    int64_t start_ms = fixture_now_ms();

    (void)state;
    fixture_tally_init(&tally);
    fake_server_hold(server);
    fixture_start_user(client, 5, 20000, &tally);
    fake_server_wait_frames(server, 1);
    fake_server_stop(server);
    fixture_tally_wait(&tally, 1);
    assert_int_equal(tally.status, CHATSTORE_UNAVAILABLE);
    assert_true(fixture_now_ms() - start_ms < 10000);

    server = fake_server_start(url, fixture_answer, NULL);
    assert_int_equal(fixture_get_user(client, 1, NULL, NULL), CHATSTORE_OK);
    /* Nothing was sent again behind our back. */
    assert_int_equal(fake_server_frame_count(server), 1);
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void closing_ends_what_is_under_way(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client_options options = {.frames_in_flight_max = 1};
    struct chatstore_client *client = fixture_open(url, &options);
    struct fixture_tally tally;

    (void)state;
    fixture_tally_init(&tally);
    fake_server_hold(server);
    for (int64_t i = 0; i < 20; i++)
        fixture_start_user(client, i, 0, &tally);
    fake_server_wait_frames(server, 1);
    chatstore_client_close(client);
    assert_int_equal(tally.ended, 20);
    assert_int_equal(tally.ok, 0);
    assert_int_equal(tally.status, CHATSTORE_UNAVAILABLE);
    chatstore_client_close(NULL);
    fake_server_stop(server);
}

static void a_child_of_fork_is_refused(void **state)
{
    const char *url = fake_url();
    static struct fake_server *server; /* known to the child, too: it has not lost it */
    server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);
    int status = 0;

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        enum chatstore_status got = fixture_get_user(client, 1, NULL, NULL);
        chatstore_client_close(client);
        _exit(got == CHATSTORE_FAILED_PRECONDITION ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fixture_get_user(client, 1, NULL, NULL), CHATSTORE_OK);
    chatstore_client_close(client);
    fake_server_stop(server);
}

/* URLs and transports */

static void bad_urls_are_refused_with_a_reason(void **state)
{
    struct chatstore_client *client;

    (void)state;
    assert_int_equal(chatstore_client_open("nonsense", NULL, &client), CHATSTORE_INVALID_ARGUMENT);
    assert_null(client);
    assert_non_null(strstr(chatstore_client_error(NULL), "nonsense"));
    assert_non_null(strstr(chatstore_client_error(NULL), "ipc:///"));
}

/* A transport that answers at once, on the caller's thread, with one empty result. */
static enum chatstore_status inline_open(const char *url,
                                         const struct chatstore_transport_options *options,
                                         void **transport_out, char *error, size_t error_bytes)
{
    static int transport;

    (void)url;
    (void)options;
    (void)error;
    (void)error_bytes;
    *transport_out = &transport;
    return CHATSTORE_OK;
}

static void inline_submit(void *transport, struct chatstore_frame *frame)
{
    static const uint8_t reply[] = {0x0a, 0x00};
    struct chatstore_frame_result result = {.reply = reply, .reply_bytes = sizeof reply};

    (void)transport;
    frame->done(frame, &result);
}

static void inline_close(void *transport)
{
    (void)transport;
}

static const struct chatstore_transport_ops inline_ops = {
    .version = CHATSTORE_TRANSPORT_VERSION,
    .open = inline_open,
    .submit = inline_submit,
    .close = inline_close,
};

struct chain {
    struct chatstore_client *client;
    unsigned left;
};

static void call_next(enum chatstore_status status, Chatstore__V1__GetChatUsersResponse *response,
                      const struct chatstore_outcome *outcome, void *arg)
{
    struct chain *chain = arg;
    Chatstore__V1__GetChatUsersRequest request = CHATSTORE__V1__GET_CHAT_USERS_REQUEST__INIT;

    (void)outcome;
    assert_int_equal(status, CHATSTORE_OK);
    chatstore__v1__get_chat_users_response__free_unpacked(response, NULL);
    if (--chain->left > 0)
        chatstore_get_chat_users_async(chain->client, &request, NULL, call_next, chain);
}

static void callbacks_may_make_calls_without_end(void **state)
{
    struct chain chain = {.left = 200000};
    Chatstore__V1__GetChatUsersRequest request = CHATSTORE__V1__GET_CHAT_USERS_REQUEST__INIT;

    (void)state;
    chatstore_transport_register("inline", &inline_ops);
    chain.client = fixture_open("inline:", NULL);
    chatstore_get_chat_users_async(chain.client, &request, NULL, call_next, &chain);
    assert_int_equal(chain.left, 0);
    chatstore_client_close(chain.client);
}

static void a_transport_of_another_version_is_refused(void **state)
{
    static struct chatstore_transport_ops other;
    struct chatstore_client *client;

    (void)state;
    other = inline_ops;
    other.version++;
    chatstore_transport_register("other", &other);
    assert_int_equal(chatstore_client_open("other:", NULL, &client), CHATSTORE_UNAVAILABLE);
    assert_non_null(strstr(chatstore_client_error(NULL), "version"));
}

static void the_default_url_follows_the_environment(void **state)
{
    char url[128];

    (void)state;
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0);
    assert_int_equal(chatstore_url_default(url, sizeof url), strlen("ipc:///run/user/7") + 15);
    assert_string_equal(url, "ipc:///run/user/7/chatstore.sock");
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    chatstore_url_default(url, sizeof url);
    assert_string_equal(url, "ipc:///run/chatstore/chatstore.sock");
    assert_true(chatstore_url_default(url, 4) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_blocking_call_ends_when_its_time_is_up),
        cmocka_unit_test(a_call_ends_though_its_frame_is_still_out),
        cmocka_unit_test(a_joined_call_ends_before_its_frame),
        cmocka_unit_test(garbage_is_an_error_of_the_call),
        cmocka_unit_test(one_failure_may_stand_for_the_whole_frame),
        cmocka_unit_test(without_a_server_calls_are_unavailable),
        cmocka_unit_test(calls_wait_for_a_server_that_is_starting),
        cmocka_unit_test(a_lost_connection_ends_the_call_and_heals),
        cmocka_unit_test(closing_ends_what_is_under_way),
        cmocka_unit_test(a_child_of_fork_is_refused),
        cmocka_unit_test(bad_urls_are_refused_with_a_reason),
        cmocka_unit_test(callbacks_may_make_calls_without_end),
        cmocka_unit_test(a_transport_of_another_version_is_refused),
        cmocka_unit_test(the_default_url_follows_the_environment),
    };
    return cmocka_run_group_tests_name("client failures", tests, NULL, NULL);
}
