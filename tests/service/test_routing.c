/* Where a call goes, as the log and the counters tell it. */
#include "engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char config_text[] = "[database]\ndefault = \"main\"\n[database.sources]\n"
                                  "main = { path = \"main.db\" }\n"
                                  "other = { path = \"other.db\" }\n"
                                  "[database.chatMapping]\n-2 = \"other\"\n-6 = \"nowhere\"\n";

static int start(void **state)
{
    struct service *service = malloc(sizeof *service);
    assert_non_null(service);
    service_prepare(service);
    service_start(service, config_text);
    log_capture_clear();
    *state = service;
    return 0;
}

static int stop(void **state)
{
    service_stop(*state);
    free(*state);
    return 0;
}

static void expect_logged(struct service *service, const char *method, const char *json,
                          const char *line)
{
    log_capture_clear();
    service_expect(service, method, json, CHATSTORE_OK, NULL);
    if (log_capture_count(line) != 1)
        fail_msg("%s %s: the log has no line with \"%s\"", method, json, line);
}

static void each_decision_is_logged_with_its_tier(void **state)
{
    expect_logged(
        *state, "GetChatInfo", "{\"chat_id\": -2, \"data_source\": \"main\"}",
        "route call=GetChatInfo chat_id=-2 data_source=\"main\" tier=explicit source=main");
    expect_logged(*state, "GetChatInfo", "{\"chat_id\": -2}", "tier=mapped source=other");
    expect_logged(*state, "GetChatInfo", "{\"chat_id\": -1}", "tier=default source=main");
    expect_logged(*state, "GetAllGroupChats", "{}", "tier=merged source=all");
    expect_logged(*state, "GetAllGroupChats", "{\"data_source\": \"other\"}",
                  "tier=explicit source=other");
    expect_logged(*state, "SetSetting", "{\"key\": \"k\", \"data_source\": \"other\"}",
                  "tier=explicit source=other");
    expect_logged(*state, "GetTokenStats", "{\"chat_id\": -2}", "tier=default source=main");
}

static void decisions_are_not_logged_above_debug(void **state)
{
    log_set_level(LOG_INFO);
    log_capture_clear();
    service_expect(*state, "GetChatInfo", "{\"chat_id\": -1}", CHATSTORE_OK, NULL);
    assert_int_equal(log_capture_count("route "), 0);
    log_set_level(LOG_DEBUG);
}

static int64_t fallbacks(struct service *service, const char *source)
{
    json_t *row = service_source(service, source);
    int64_t count = strtoll(json_string_value(json_object_get(row, "fallbacks")), NULL, 10);
    json_decref(row);
    return count;
}

static void fallbacks_are_counted_and_warned_of(void **state)
{
    expect_logged(*state, "GetChatInfo", "{\"chat_id\": -2, \"data_source\": \"nowhere\"}",
                  "warn: GetChatInfo (chat -2, data_source \"nowhere\"): unknown data_source; the "
                  "default source main is used");
    expect_logged(*state, "GetChatInfo", "{\"chat_id\": -6}", "mapped to an unknown source");
    expect_logged(*state, "SetChatSetting", "{\"chat_id\": -6, \"key\": \"k\"}",
                  "mapped to an unknown source");
    assert_int_equal(fallbacks(*state, "main"), 3);
    assert_int_equal(fallbacks(*state, "other"), 0);
}

static void many_fallbacks_are_few_warnings(void **state)
{
    enum { CALLS = 1000 };
    struct wire wire = {0};
    int64_t before = fallbacks(*state, "main");
    for (int i = 0; i < CALLS; i++)
        wire_add(&wire, "GetChatInfo", "{\"chat_id\": -6}", 0);
    log_capture_clear();
    Chatstore__V1__Reply *reply = service_run(*state, &wire);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    assert_int_equal(fallbacks(*state, "main") - before, CALLS);
    size_t warned = log_capture_count("warn: GetChatInfo");
    assert_true(warned < CALLS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_decision_is_logged_with_its_tier, start, stop),
        cmocka_unit_test_setup_teardown(decisions_are_not_logged_above_debug, start, stop),
        cmocka_unit_test_setup_teardown(fallbacks_are_counted_and_warned_of, start, stop),
        cmocka_unit_test_setup_teardown(many_fallbacks_are_few_warnings, start, stop),
    };
    log_capture_start(LOG_DEBUG);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
