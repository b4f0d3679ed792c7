/* Sources that are missing, broken, newer, and come back, as calls see them. */
#include "engine_fixture.h"

#include "chatstore/v1/chats.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char two_sources[] = "[database]\ndefault = \"main\"\n[database.sources]\n"
                                  "main = { path = \"main.db\" }\n"
                                  "other = { path = \"other.db\", readonly = true }\n"
                                  "[database.chatMapping]\n-2 = \"other\"\n";

/* A file of the current schema with one group chat. */
static void make_file(const struct sandbox *sandbox, const char *name, int64_t chat_id)
{
    struct service maker = {.sandbox = *sandbox};
    char toml[256], json[128];
    snprintf(toml, sizeof toml,
             "[database.sources.maker]\npath = \"%s\"\njournal-mode = \"truncate\"\n", name);
    service_start(&maker, toml);
    snprintf(json, sizeof json, "{\"chat_id\": %lld, \"type\": \"group\"}", (long long)chat_id);
    service_expect(&maker, "UpdateChatInfo", json, CHATSTORE_OK, NULL);
    engine_close(maker.engine);
    config_report_free(maker.report);
    config_free(maker.config);
}

static void move(const struct sandbox *sandbox, const char *from, const char *to)
{
    char from_path[SANDBOX_PATH_BYTES], to_path[SANDBOX_PATH_BYTES];
    sandbox_path(sandbox, from, from_path);
    sandbox_path(sandbox, to, to_path);
    assert_int_equal(rename(from_path, to_path), 0);
}

static void expect_state(struct service *service, const char *source, const char *state)
{
    json_t *row = service_source(service, source);
    assert_string_equal(json_string_value(json_object_get(row, "state")), state);
    json_decref(row);
}

/* GetAllGroupChats is answered by these many sources, without `failed`, if that is not NULL. */
static void expect_merged(struct service *service, size_t merged, const char *failed)
{
    Chatstore__V1__Reply *reply = service_call(service, "GetAllGroupChats", "{}");
    const Chatstore__V1__Result *result = reply->results[0];
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    assert_int_equal(result->n_merged_sources, merged);
    assert_int_equal(result->n_failed_sources, failed != NULL);
    if (failed != NULL) {
        assert_string_equal(result->failed_sources[0]->source, failed);
        assert_int_equal(result->failed_sources[0]->code, CHATSTORE_UNAVAILABLE);
        assert_true(strlen(result->failed_sources[0]->message) > 0);
    }
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

static void a_source_that_is_missing_at_the_start_appears_later(void **state)
{
    struct service service;
    (void)state;
    service_prepare(&service);
    make_file(&service.sandbox, "elsewhere.db", -2);
    log_capture_clear();
    service_start(&service, two_sources);
    expect_state(&service, "other", "down");
    service_expect(&service, "GetChatInfo", "{\"chat_id\": -2}", CHATSTORE_UNAVAILABLE,
                   "source other is unavailable");
    service_expect(&service, "GetChatInfo", "{\"chat_id\": -1}", CHATSTORE_OK, NULL);
    expect_merged(&service, 1, "other");
    move(&service.sandbox, "elsewhere.db", "other.db");
    log_capture_wait("source other is up", NULL, 0);
    service_expect(&service, "GetChatInfo", "{\"chat_id\": -2}", CHATSTORE_OK, NULL);
    expect_merged(&service, 2, NULL);
    expect_state(&service, "other", "up");
    service_stop(&service);
}

static void a_source_that_vanishes_comes_back(void **state)
{
    struct service service;
    (void)state;
    service_prepare(&service);
    make_file(&service.sandbox, "other.db", -2);
    service_start(&service, two_sources);
    expect_merged(&service, 2, NULL);
    log_capture_clear();
    move(&service.sandbox, "other.db", "away.db");
    log_capture_wait("source other is down", NULL, 0);
    service_expect(&service, "GetChatInfo", "{\"chat_id\": -2}", CHATSTORE_UNAVAILABLE, "other");
    expect_merged(&service, 1, "other");
    move(&service.sandbox, "away.db", "other.db");
    log_capture_wait("source other is up", NULL, 0);
    expect_merged(&service, 2, NULL);
    service_stop(&service);
}

static void a_file_that_is_no_database_is_repaired(void **state)
{
    struct service service;
    (void)state;
    service_prepare(&service);
    make_file(&service.sandbox, "good.db", -2);
    sandbox_write(&service.sandbox, "other.db",
                  "this is no database, and is long enough to say so");
    log_capture_clear();
    service_start(&service, two_sources);
    service_expect(&service, "GetChatInfo", "{\"chat_id\": -2}", CHATSTORE_UNAVAILABLE, "other");
    service_expect(&service, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    move(&service.sandbox, "good.db", "other.db");
    log_capture_wait("source other is up", NULL, 0);
    service_expect(&service, "GetChatInfo", "{\"chat_id\": -2}", CHATSTORE_OK, NULL);
    service_stop(&service);
}

static void when_every_source_is_down_merged_calls_fail(void **state)
{
    struct service service;
    (void)state;
    service_prepare(&service);
    service_start(&service, "[database]\ndefault = \"a\"\n[database.sources]\n"
                            "a = { path = \"a.db\", readonly = true }\n"
                            "b = { path = \"b.db\", readonly = true }\n");
    Chatstore__V1__Reply *reply = service_call(&service, "GetAllGroupChats", "{}");
    expect_result(reply, 0, CHATSTORE_UNAVAILABLE, "source a");
    assert_int_equal(reply->results[0]->n_failed_sources, 2);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_expect(&service, "GetCacheEntry", "{\"key\": \"k\", \"cache_type\": \"weather\"}",
                   CHATSTORE_UNAVAILABLE, "source a");
    service_expect(&service, "Ping", "{}", CHATSTORE_OK, NULL);
    service_stop(&service);
}

static void a_newer_file_is_read_and_not_written(void **state)
{
    struct service service;
    (void)state;
    service_prepare(&service);
    make_file(&service.sandbox, "main.db", -1);
    json_decref(sandbox_sql(&service.sandbox, "main.db",
                            "UPDATE settings SET value = '7' WHERE key = 'db-migration-version'",
                            "newer"));
    service_start(&service, "[database.sources.main]\npath = \"main.db\"\n");
    service_expect(&service, "GetChatInfo", "{\"chat_id\": -1}", CHATSTORE_OK, NULL);
    service_expect(&service, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_FAILED_PRECONDITION,
                   "newer than the 6");
    service_stop(&service);
}

static void a_writable_file_is_made_if_its_folder_is_there(void **state)
{
    struct service service;
    char folder[SANDBOX_PATH_BYTES];
    (void)state;
    service_prepare(&service);
    service_start(&service, "[database]\ndefault = \"new\"\n[database.sources]\n"
                            "new = { path = \"new.db\" }\nfar = { path = \"far/far.db\" }\n"
                            "[database.chatMapping]\n-2 = \"far\"\n");
    service_expect(&service, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    service_expect(&service, "SetChatSetting", "{\"chat_id\": -2, \"key\": \"k\"}",
                   CHATSTORE_UNAVAILABLE, "source far");
    log_capture_clear();
    assert_int_equal(mkdir(sandbox_path(&service.sandbox, "far", folder), 0700), 0);
    log_capture_wait("source far is up", NULL, 0);
    service_expect(&service, "SetChatSetting", "{\"chat_id\": -2, \"key\": \"k\"}", CHATSTORE_OK,
                   NULL);
    service_stop(&service);
}

/* merge_ms: a source whose file is locked must not hold up the rest of the answer. */
static void a_merged_call_does_not_wait_for_a_locked_source(void **state)
{
    struct service service;
    (void)state;
    service_prepare(&service);
    make_file(&service.sandbox, "other.db", -2);
    service_start(&service, "[service.limits]\nmerge_ms = 50\n[database]\ndefault = \"main\"\n"
                            "[database.sources]\nmain = { path = \"main.db\" }\n"
                            "other = { path = \"other.db\", readonly = true, timeout = 20.0 }\n");
    expect_merged(&service, 2, NULL);
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "other.db");
    Chatstore__V1__Reply *reply = service_call(&service, "GetAllGroupChats", "{}");
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    assert_int_equal(reply->results[0]->n_failed_sources, 1);
    assert_int_equal(reply->results[0]->failed_sources[0]->code, CHATSTORE_DEADLINE_EXCEEDED);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    sandbox_unlock(lock);
    expect_merged(&service, 2, NULL);
    service_stop(&service);
}

/* ---- Pages of a merged list while sources come and go ---- */

#define SOURCE(name) #name " = { path = \"" #name ".db\" }\n"

static void reload(struct service *service, const char *sources)
{
    struct config *config;
    struct config_report *report;
    struct snapshot *old;
    struct status why;
    char path[SANDBOX_PATH_BYTES], toml[512];
    snprintf(toml, sizeof toml, "[database.sources]\n%s", sources);
    sandbox_write(&service->sandbox, "chatstore.toml", toml);
    sandbox_path(&service->sandbox, "chatstore.toml", path);
    assert_int_equal(config_load(path, &config, &report), CONFIG_OK);
    config_report_free(report);
    if (!engine_reload(service->engine, config, &old, &why))
        fail_msg("%s", why.text);
    assert_true(engine_end_reload(service->engine, old, 20000));
}

struct page_of_chats {
    char ids[64];    /* "-4 -3" */
    char token[512]; /* of the next page */
};

static struct page_of_chats get_chats(struct service *service, const char *token,
                                      enum chatstore_status status, const char *part)
{
    struct page_of_chats page = {0};
    char json[600];
    snprintf(json, sizeof json, "{\"page_size\": 3, \"page_token\": \"%s\"}", token);
    Chatstore__V1__Reply *reply = service_call(service, "GetAllGroupChats", json);
    expect_result(reply, 0, status, part);
    const Chatstore__V1__Result *result = reply->results[0];
    Chatstore__V1__GetAllGroupChatsResponse *response =
        chatstore__v1__get_all_group_chats_response__unpack(NULL, result->payload.len,
                                                            result->payload.data);
    for (size_t i = 0; i < response->n_chats; i++)
        snprintf(page.ids + strlen(page.ids), sizeof page.ids - strlen(page.ids), "%s%lld",
                 i > 0 ? " " : "", (long long)response->chats[i]->chat_id);
    assert_true(strlen(response->next_page_token) < sizeof page.token);
    snprintf(page.token, sizeof page.token, "%s", response->next_page_token);
    chatstore__v1__get_all_group_chats_response__free_unpacked(response, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    return page;
}

static void pages_go_on_when_sources_come_and_go(void **state)
{
    static const struct {
        const char *source;
        int64_t chats[2];
    } files[] = {{"a", {-2, -1}}, {"b", {-4, -2}}, {"c", {-5, -3}}};
    static const struct {
        const char *sources, *rest; /* NULL: the place is gone */
    } cases[] = {
        {SOURCE(a) SOURCE(b) SOURCE(c), "-5 -3"},
        {SOURCE(a) SOURCE(b), ""},             /* what was not read yet is gone */
        {SOURCE(b) SOURCE(c), "-2 -5 -3"},     /* -2 was hidden by a's */
        {SOURCE(b), "-2"},                     /* alone, but not another's place */
        {SOURCE(a) SOURCE(c), NULL},           /* the page ended in b */
        {SOURCE(c), NULL},                     /* also where one is left */
        {SOURCE(d) SOURCE(a) SOURCE(b), ""},   /* that comes before the place: too late */
        {SOURCE(a) SOURCE(b) SOURCE(d), "-6"}, /* behind it */
    };
    (void)state;
    struct service service;
    service_prepare(&service);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[8];
        snprintf(name, sizeof name, "%s.db", files[i].source);
        make_file(&service.sandbox, name, files[i].chats[0]);
        make_file(&service.sandbox, name, files[i].chats[1]);
    }
    make_file(&service.sandbox, "d.db", -6);
    service_start(&service, "[database.sources]\n" SOURCE(a) SOURCE(b) SOURCE(c));
    struct page_of_chats first = get_chats(&service, "", CHATSTORE_OK, NULL);
    assert_string_equal(first.ids, "-2 -1 -4");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reload(&service, cases[i].sources);
        struct page_of_chats rest =
            cases[i].rest ? get_chats(&service, first.token, CHATSTORE_OK, NULL)
                          : get_chats(&service, first.token, CHATSTORE_INVALID_ARGUMENT,
                                      "is not there any more; begin again without one");
        assert_string_equal(rest.ids, cases[i].rest ? cases[i].rest : "");
        assert_string_equal(rest.token, "");
    }
    service_stop(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_that_is_missing_at_the_start_appears_later),
        cmocka_unit_test(a_source_that_vanishes_comes_back),
        cmocka_unit_test(a_file_that_is_no_database_is_repaired),
        cmocka_unit_test(when_every_source_is_down_merged_calls_fail),
        cmocka_unit_test(a_newer_file_is_read_and_not_written),
        cmocka_unit_test(a_writable_file_is_made_if_its_folder_is_there),
        cmocka_unit_test(pages_go_on_when_sources_come_and_go),
        cmocka_unit_test(a_merged_call_does_not_wait_for_a_locked_source),
    };
    log_capture_start(LOG_INFO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
