/* Calls that are sent again: which, how often, for how long, and with which request_id. */
#include "client_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "retry.h"

enum { CALLS_KEPT = 64, ID_BYTES = 40 };

/* A server that fails its first calls. */
struct plan {
    pthread_mutex_t lock;
    unsigned failures_left;
    enum chatstore_status code;
    bool names_source;
    unsigned call_count;
    char ids[CALLS_KEPT][ID_BYTES];
};

static struct plan plan;

static void plan_failures(unsigned count, enum chatstore_status code, bool names_source)
{
    plan = (struct plan){.lock = PTHREAD_MUTEX_INITIALIZER,
                         .failures_left = count,
                         .code = code,
                         .names_source = names_source};
}

static void answer_planned(void *arg, const Chatstore__V1__Call *call,
                           Chatstore__V1__Result *result)
{
    static char text[] = "not now", source[] = "main";
    static _Thread_local Chatstore__V1__Status status;

    pthread_mutex_lock(&plan.lock);
    if (plan.call_count < CALLS_KEPT)
        snprintf(plan.ids[plan.call_count], ID_BYTES, "%s", call->request_id);
    plan.call_count++;
    bool fails = plan.failures_left > 0;
    plan.failures_left -= fails;
    pthread_mutex_unlock(&plan.lock);
    if (!fails) {
        fixture_answer(arg, call, result);
        return;
    }
    status = (Chatstore__V1__Status)CHATSTORE__V1__STATUS__INIT;
    status.code = (int32_t)plan.code;
    status.message = text;
    result->status = &status;
    if (plan.names_source)
        result->source = source;
}

static enum chatstore_status update_user(struct chatstore_client *client,
                                         const struct chatstore_call_options *options)
{
    Chatstore__V1__UpdateChatUserRequest request = CHATSTORE__V1__UPDATE_CHAT_USER_REQUEST__INIT;
    Chatstore__V1__UpdateChatUserResponse *response;
    static char name[] = "ann";

    request.chat_id = -100;
    request.user_id = 7;
    request.username = request.full_name = name;
    enum chatstore_status status = chatstore_update_chat_user(client, &request, options, &response);
    chatstore__v1__update_chat_user_response__free_unpacked(response, NULL);
    return status;
}

/* What a client and its server go through in most of these. */
struct stage {
    struct fake_server *server;
    struct chatstore_client *client;
    const char *url;
};

static struct stage stage_open(const struct chatstore_client_options *options)
{
    struct stage stage = {.url = fake_url()};

    stage.server = fake_server_start(stage.url, answer_planned, NULL);
    stage.client = fixture_open(stage.url, options);
    return stage;
}

static void stage_close(struct stage *stage)
{
    chatstore_client_close(stage->client);
    fake_server_stop(stage->server);
}

static void a_server_that_is_not_ready_is_asked_again(void **state)
{
    (void)state;
    plan_failures(3, CHATSTORE_UNAVAILABLE, false);
    struct stage stage = stage_open(NULL);
    int64_t start_ms = fixture_now_ms();
    assert_int_equal(update_user(stage.client, NULL), CHATSTORE_OK);
    assert_in_range(fixture_now_ms() - start_ms, 3 * (20 + 40 + 80) / 4, 5000);
    assert_int_equal(plan.call_count, 4);
    assert_string_not_equal(plan.ids[0], "");
    for (int i = 1; i < 4; i++)
        assert_string_equal(plan.ids[i], plan.ids[0]);
    plan_failures(2, CHATSTORE_UNAVAILABLE, true);
    assert_int_equal(fixture_get_user(stage.client, 7, NULL, NULL), CHATSTORE_OK);
    assert_int_equal(plan.call_count, 3);
    stage_close(&stage);
}

static void calls_with_callbacks_are_sent_again_too(void **state)
{
    struct fixture_tally tally;

    (void)state;
    plan_failures(25, CHATSTORE_UNAVAILABLE, false);
    struct stage stage = stage_open(NULL);
    fixture_tally_init(&tally);
    for (int64_t i = 1; i <= 10; i++)
        fixture_start_user(stage.client, i, 0, &tally);
    fixture_start_scan(stage.client, &tally);
    fixture_tally_wait(&tally, 11);
    assert_int_equal(tally.ok, 11);
    assert_int_equal(tally.user_id_sum, 55);
    stage_close(&stage);
}

static void a_source_that_stays_down_is_told_soon(void **state)
{
    struct chatstore_client_options options = {.source_retry_ms = 300};

    (void)state;
    plan_failures(1000, CHATSTORE_UNAVAILABLE, true);
    struct stage stage = stage_open(&options);
    int64_t start_ms = fixture_now_ms();
    assert_int_equal(update_user(stage.client, NULL), CHATSTORE_UNAVAILABLE);
    assert_in_range(fixture_now_ms() - start_ms, 150, 5000);
    assert_string_equal(chatstore_client_error(stage.client), "not now");
    assert_in_range(plan.call_count, 3, 20);
    stage_close(&stage);
}

static void a_server_is_asked_until_the_time_is_up(void **state)
{
    struct chatstore_client_options options = {.source_retry_ms = 1};
    struct chatstore_call_options call = {.timeout_ms = 500};
    struct fixture_tally tally;

    (void)state;
    plan_failures(100000, CHATSTORE_UNAVAILABLE, false);
    struct stage stage = stage_open(&options);
    int64_t start_ms = fixture_now_ms();
    assert_int_equal(update_user(stage.client, &call), CHATSTORE_UNAVAILABLE);
    assert_in_range(fixture_now_ms() - start_ms, 400, 5000);
    assert_string_equal(chatstore_client_error(stage.client), "not now");
    fixture_tally_init(&tally);
    fixture_start_user(stage.client, 7, 200, &tally);
    fixture_tally_wait(&tally, 1);
    assert_int_equal(tally.status, CHATSTORE_UNAVAILABLE);
    stage_close(&stage);
}

static void what_another_try_would_not_change_is_not_sent_again(void **state)
{
    static const enum chatstore_status codes[] = {CHATSTORE_INVALID_ARGUMENT,
                                                  CHATSTORE_DEADLINE_EXCEEDED,
                                                  CHATSTORE_NOT_FOUND,
                                                  CHATSTORE_RESOURCE_EXHAUSTED,
                                                  CHATSTORE_FAILED_PRECONDITION,
                                                  CHATSTORE_ALREADY_EXISTS,
                                                  CHATSTORE_INTERNAL};
    struct stage stage = stage_open(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        plan_failures(1, codes[i], true);
        assert_int_equal(update_user(stage.client, NULL), codes[i]);
        assert_int_equal(plan.call_count, 1);
    }
    stage_close(&stage);
}

static void with_no_retry_each_call_is_sent_once(void **state)
{
    struct chatstore_client_options options = {.no_retry = true};

    (void)state;
    plan_failures(1, CHATSTORE_UNAVAILABLE, false);
    struct stage stage = stage_open(&options);
    assert_int_equal(update_user(stage.client, NULL), CHATSTORE_UNAVAILABLE);
    assert_int_equal(plan.call_count, 1);
    stage_close(&stage);
}

static void a_call_outlives_its_server(void **state)
{
    struct fixture_tally tally;

    (void)state;
    plan_failures(0, CHATSTORE_OK, false);
    struct stage stage = stage_open(NULL);
    fixture_tally_init(&tally);
    for (int i = 0; i < 3; i++) {
        fake_server_hold(stage.server);
        fixture_start_user(stage.client, 5, 20000, &tally);
        fake_server_wait_frames(stage.server, 1);
        fake_server_stop(stage.server); /* has read it, and never answers */
        stage.server = fake_server_start(stage.url, answer_planned, NULL);
        fixture_tally_wait(&tally, (unsigned)i + 1);
        assert_int_equal(tally.status, CHATSTORE_OK);
        fake_server_stop(stage.server);
        stage.server = fake_server_start(stage.url, answer_planned, NULL);
    }
    stage_close(&stage);
}

static void *stop_when_it_has_the_call(void *arg)
{
    struct fake_server *server = arg;

    fake_server_wait_frames(server, 2);
    fake_server_stop(server);
    return NULL;
}

static void a_write_that_may_be_done_says_so(void **state)
{
    struct chatstore_call_options call = {.timeout_ms = 700};
    pthread_t thread;

    (void)state;
    plan_failures(0, CHATSTORE_OK, false);
    struct stage stage = stage_open(NULL);
    for (int writes = 0; writes < 2; writes++) {
        assert_int_equal(fixture_get_user(stage.client, 7, NULL, NULL), CHATSTORE_OK);
        fake_server_hold(stage.server);
        assert_int_equal(pthread_create(&thread, NULL, stop_when_it_has_the_call, stage.server), 0);
        int64_t start_ms = fixture_now_ms();
        enum chatstore_status status = writes ? update_user(stage.client, &call)
                                              : fixture_get_user(stage.client, 7, &call, NULL);
        assert_int_equal(status, CHATSTORE_UNAVAILABLE);
        assert_in_range(fixture_now_ms() - start_ms, 600, 5000);
        const char *error = chatstore_client_error(stage.client);
        assert_non_null(strstr(error, "there is no connection"));
        assert_int_equal(strstr(error, "may have been carried out") != NULL, writes);
        pthread_join(thread, NULL);
        stage.server = fake_server_start(stage.url, answer_planned, NULL);
    }
    stage_close(&stage);
}

static void closing_ends_calls_that_rest(void **state)
{
    struct fixture_tally tally;

    (void)state;
    plan_failures(100000, CHATSTORE_UNAVAILABLE, false);
    struct stage stage = stage_open(NULL);
    fixture_tally_init(&tally);
    for (int64_t i = 0; i < 20; i++)
        fixture_start_user(stage.client, i, 20000, &tally);
    fake_server_wait_frames(stage.server, 30);
    stage_close(&stage);
    assert_int_equal(tally.ended, 20);
    assert_int_equal(tally.ok, 0);
    assert_int_equal(tally.status, CHATSTORE_UNAVAILABLE);
}

/* How long */

static struct retry_now now_of(enum retry_reason reason, int64_t now_ms)
{
    return (struct retry_now){
        .reason = reason, .now_ms = now_ms, .deadline_ms = 100000, .source_retry_ms = 2000};
}

static void delays_double_up_to_a_second(void **state)
{
    struct retry_state retry = {0};
    struct retry_now now = now_of(RETRY_SERVER, 1);
    uint32_t expected_ms = 20;

    (void)state;
    for (int i = 0; i < 40; i++) {
        assert_in_range(retry_delay_ms(&retry, &now), expected_ms * 3 / 4, expected_ms * 5 / 4);
        expected_ms = expected_ms * 2 < 1000 ? expected_ms * 2 : 1000;
    }
}

static void the_last_try_has_time_for_its_answer(void **state)
{
    struct retry_state retry = {.count = 10};
    struct retry_now now = now_of(RETRY_SERVER, 99900);

    (void)state;
    assert_int_equal(retry_delay_ms(&retry, &now), 50);
    now.now_ms = 99901;
    assert_int_equal(retry_delay_ms(&retry, &now), 0);
    now.now_ms = 100001;
    assert_int_equal(retry_delay_ms(&retry, &now), 0);
}

static void a_source_has_its_own_time(void **state)
{
    struct retry_state retry = {0};
    struct retry_now now = now_of(RETRY_SOURCE, 1000);

    (void)state;
    assert_int_not_equal(retry_delay_ms(&retry, &now), 0);
    now.now_ms = 2900;
    assert_in_range(retry_delay_ms(&retry, &now), 1, 50);
    now.now_ms = 3000;
    assert_int_equal(retry_delay_ms(&retry, &now), 0);
    now.reason = RETRY_SERVER;
    assert_int_not_equal(retry_delay_ms(&retry, &now), 0);
    now.reason = RETRY_NEVER;
    assert_int_equal(retry_delay_ms(&retry, &now), 0);
}

static void what_breaks_every_connection_is_given_up(void **state)
{
    struct retry_state retry = {0};
    struct retry_now now = now_of(RETRY_LOST, 1);

    (void)state;
    for (int i = 1; i < 10; i++)
        assert_int_not_equal(retry_delay_ms(&retry, &now), 0);
    assert_int_equal(retry_delay_ms(&retry, &now), 0);
}

/* All together */

enum { CALLERS = 6, RESTARTS = 5 };

static atomic_bool restarts_over;

static void *write_many(void *arg)
{
    while (!restarts_over)
        if (update_user(arg, NULL) != CHATSTORE_OK)
            return strdup(chatstore_client_error(arg));
    return NULL;
}

static void writers_do_not_notice_restarts(void **state)
{
    pthread_t threads[CALLERS];

    (void)state;
    restarts_over = false;
    plan_failures(50, CHATSTORE_UNAVAILABLE, false);
    struct stage stage = stage_open(NULL);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, stage.client), 0);
    for (int i = 0; i < RESTARTS; i++) {
        fake_server_wait_frames(stage.server, 5);
        fake_server_stop(stage.server);
        stage.server = fake_server_start(stage.url, answer_planned, NULL);
    }
    restarts_over = true;
    for (int i = 0; i < CALLERS; i++) {
        void *error;
        pthread_join(threads[i], &error);
        if (error != NULL)
            fail_msg("%s", (const char *)error);
    }
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_is_not_ready_is_asked_again),
        cmocka_unit_test(calls_with_callbacks_are_sent_again_too),
        cmocka_unit_test(a_source_that_stays_down_is_told_soon),
        cmocka_unit_test(a_server_is_asked_until_the_time_is_up),
        cmocka_unit_test(what_another_try_would_not_change_is_not_sent_again),
        cmocka_unit_test(with_no_retry_each_call_is_sent_once),
        cmocka_unit_test(a_call_outlives_its_server),
        cmocka_unit_test(a_write_that_may_be_done_says_so),
        cmocka_unit_test(closing_ends_calls_that_rest),
        cmocka_unit_test(delays_double_up_to_a_second),
        cmocka_unit_test(the_last_try_has_time_for_its_answer),
        cmocka_unit_test(a_source_has_its_own_time),
        cmocka_unit_test(what_breaks_every_connection_is_given_up),
        cmocka_unit_test(writers_do_not_notice_restarts),
    };
    return cmocka_run_group_tests_name("client retries", tests, NULL, NULL);
}
