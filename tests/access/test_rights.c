/* Rights that change while calls are under way, what each client may have under way, and whose
 * request_id is whose. */
#include "tests/service/engine_fixture.h"

#include "service/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char sources[] = "[database]\ndefault = \"main\"\n"
                              "[database.sources]\nmain = { path = \"main.db\" }\n"
                              "other = { path = \"other.db\" }\n";
/* The same, where another process's lock stops readers as well. */
static const char keeping[] =
    "[database]\ndefault = \"main\"\n"
    "[database.sources]\nmain = { path = \"main.db\", journal-mode = \"truncate\" }\n"
    "other = { path = \"other.db\", journal-mode = \"truncate\" }\n";
static const char all[] = "read = [\"main\", \"other\"]\nwrite = [\"main\", \"other\"]";

struct client {
    const char *name, *more;
};

/* To be freed. */
static char *toml_of(const char *head, const struct client *clients)
{
    char *toml;
    size_t bytes;
    FILE *to = open_memstream(&toml, &bytes);
    assert_non_null(to);
    fputs(head, to);
    for (; clients->name; clients++)
        service_write_client(to, clients->name, clients->more);
    fclose(to);
    return toml;
}

static void start(struct service *service, const char *head, const struct client *clients)
{
    char *toml = toml_of(head, clients);
    service_prepare(service);
    service_start(service, toml);
    free(toml);
}

static struct snapshot *reload(struct service *service, const char *head,
                               const struct client *clients)
{
    struct config *config;
    struct config_report *report;
    struct snapshot *old;
    struct status why;
    char path[SANDBOX_PATH_BYTES];
    char *toml = toml_of(head, clients);
    sandbox_write(&service->sandbox, "chatstore.toml", toml);
    free(toml);
    assert_int_equal(
        config_load(sandbox_path(&service->sandbox, "chatstore.toml", path), &config, &report),
        CONFIG_OK);
    config_report_free(report);
    if (!engine_reload(service->engine, config, &old, &why))
        fail_msg("%s", why.text);
    return old;
}

static struct passage *send(struct service *service, struct wire *wire, const char *name)
{
    char token[SERVICE_TOKEN_BYTES];
    wire->token = name ? service_token(name, token) : NULL;
    return passage_start(service, wire);
}

static void expect(struct service *service, const char *name, const char *method, const char *json,
                   enum chatstore_status status, const char *part)
{
    struct wire wire = {0};
    wire_add(&wire, method, json, 0);
    Chatstore__V1__Reply *reply = passage_wait(send(service, &wire, name));
    expect_result(reply, 0, status, part);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

/* ---- Rights that go while a call waits ---- */

static const char set_other[] = "{\"key\": \"k\", \"value\": \"v\", \"data_source\": \"other\"}";

/* The audit log's lines, which are there when the engine has been closed. */
static void expect_audit(struct service *service, const char *part)
{
    char path[SANDBOX_PATH_BYTES];
    size_t bytes;
    char *text = file_read(sandbox_path(&service->sandbox, "audit.log", path), &bytes);
    if ((strstr(text, "\"SetSetting\"") != NULL) != (part != NULL) || (part && !strstr(text, part)))
        fail_msg("%s: %s", part ? part : "nothing", text);
    free(text);
}

static void a_waiting_write_is_judged_when_it_begins(void **state)
{
    static const char one[] = "[database.sources]\nmain = { path = \"main.db\" }\n";
    static const char mapped[] = "[database]\ndefault = \"other\"\n[database.sources]\n"
                                 "other = { path = \"other.db\" }\nmain = { path = \"main.db\" }\n";
    static const char only_main[] = "read = [\"main\"]\nwrite = [\"main\"]";
    static const struct {
        const char *head;
        struct client clients[3];
        enum chatstore_status status;
    } cases[] = {
        {sources, {{"a", all}}, CHATSTORE_OK},
        {sources, {{"b", all}}, CHATSTORE_UNAUTHENTICATED},
        {sources, {{"b", all}, {"a", only_main}}, CHATSTORE_PERMISSION_DENIED},
        {sources, {{"a", "read = [\"main\", \"other\"]"}}, CHATSTORE_PERMISSION_DENIED},
        {sources,
         {{"a", "chats = [-7]\nread = [\"*\"]\nwrite = [\"*\"]"}},
         CHATSTORE_PERMISSION_DENIED},
        {sources, {{NULL, NULL}}, CHATSTORE_OK}, /* nobody needs a token any more */
        {mapped, {{"b", only_main}, {"a", all}}, CHATSTORE_OK},
        {one, {{"a", only_main}}, CHATSTORE_OK}, /* the source's last call */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct service service;
        struct wire wire = {0};
        struct status why;
        char path[SANDBOX_PATH_BYTES];
        start(&service, sources, (struct client[]){{"a", all}, {NULL, NULL}});
        audit_use(engine_audit(service.engine),
                  audit_open_file(sandbox_path(&service.sandbox, "audit.log", path), &why), NULL);
        struct sqlite3 *lock = sandbox_lock(&service.sandbox, "other.db");
        wire_add(&wire, "SetSetting", set_other, 0);
        struct passage *passage = send(&service, &wire, "a");
        struct snapshot *old = reload(&service, cases[i].head, cases[i].clients);
        sandbox_unlock(lock);
        Chatstore__V1__Reply *reply = passage_wait(passage);
        expect_result(reply, 0, cases[i].status, NULL);
        chatstore__v1__reply__free_unpacked(reply, NULL);
        assert_true(engine_end_reload(service.engine, old, 20000));
        audit_use(engine_audit(service.engine), -1, NULL);
        expect_audit(&service, cases[i].status == CHATSTORE_OK ? NULL
                               : cases[i].status == CHATSTORE_UNAUTHENTICATED
                                   ? "UNAUTHENTICATED"
                                   : "PERMISSION_DENIED");
        assert_int_equal(sandbox_integer(&service.sandbox, "other.db",
                                         "SELECT count(*) FROM settings WHERE key = 'k'"),
                         cases[i].status == CHATSTORE_OK);
        service_stop(&service);
    }
}

/* What a merged read answers depends on the rights that are left for all of its sources: without
 * one of them it is refused whole, and no row of any source is told. */
static void a_waiting_merged_read_is_judged_when_it_begins(void **state)
{
    static const char update[] = "{\"chat_id\": -1, \"type\": \"group\", \"title\": \"Secret\"}";
    static const struct {
        const char *more; /* of client a after the reload; NULL: it is gone */
        enum chatstore_status status;
        bool locked[2]; /* main, other: until the answer, which is not for what is in there */
    } cases[] = {
        {all, CHATSTORE_OK, {false, false}},
        {"read = [\"main\"]", CHATSTORE_PERMISSION_DENIED, {false, true}},
        {"read = [\"other\"]", CHATSTORE_PERMISSION_DENIED, {true, false}},
        {"chats = [-1]\nread = [\"*\"]", CHATSTORE_PERMISSION_DENIED, {true, true}},
        {NULL, CHATSTORE_UNAUTHENTICATED, {true, true}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int paged = 0; paged < 2; paged++) {
            struct service service;
            struct wire wire = {0};
            start(&service, keeping, (struct client[]){{"a", all}, {NULL, NULL}});
            expect(&service, "a", "UpdateChatInfo", update, CHATSTORE_OK, NULL);
            struct sqlite3 *locks[] = {sandbox_lock(&service.sandbox, "main.db"),
                                       sandbox_lock(&service.sandbox, "other.db")};
            wire_add(&wire, "GetAllGroupChats", paged ? "{\"page_size\": 5}" : "{}", 0);
            struct passage *passage = send(&service, &wire, "a");
            struct snapshot *old =
                reload(&service, keeping,
                       cases[i].more ? (struct client[]){{"a", cases[i].more}, {NULL, NULL}}
                                     : (struct client[]){{"b", all}, {NULL, NULL}});
            for (int n = 0; n < 2; n++) {
                if (!cases[i].locked[n])
                    sandbox_unlock(locks[n]);
            }
            Chatstore__V1__Reply *reply = passage_wait(passage);
            for (int n = 0; n < 2; n++) {
                if (cases[i].locked[n])
                    sandbox_unlock(locks[n]);
            }
            expect_result(reply, 0, cases[i].status, NULL);
            const Chatstore__V1__Result *result = reply->results[0];
            assert_int_equal(result->payload.len > 0, cases[i].status == CHATSTORE_OK);
            assert_int_equal(result->n_merged_sources, cases[i].status == CHATSTORE_OK ? 2 : 0);
            assert_int_equal(result->n_failed_sources, 0);
            chatstore__v1__reply__free_unpacked(reply, NULL);
            assert_true(engine_end_reload(service.engine, old, 20000));
            service_stop(&service);
        }
    }
}

static void a_waiting_call_without_a_token_needs_one_when_clients_come(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    start(&service, sources, (struct client[]){{NULL, NULL}});
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "other.db");
    wire_add(&wire, "SetSetting", set_other, 0);
    struct passage *passage = send(&service, &wire, NULL);
    struct snapshot *old = reload(&service, sources, (struct client[]){{"a", all}, {NULL, NULL}});
    sandbox_unlock(lock);
    Chatstore__V1__Reply *reply = passage_wait(passage);
    expect_result(reply, 0, CHATSTORE_UNAUTHENTICATED, "a token");
    chatstore__v1__reply__free_unpacked(reply, NULL);
    assert_true(engine_end_reload(service.engine, old, 20000));
    service_stop(&service);
}

/* ---- What a client may have under way ---- */

static void a_client_has_its_own_limit_of_calls(void **state)
{
    struct service service;
    struct wire wire = {0};
    (void)state;
    start(&service, sources,
          (struct client[]){{"a", "read = [\"*\"]\nwrite = [\"*\"]\ncalls_in_flight_max = 2"},
                            {"b", all},
                            {NULL, NULL}});
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "other.db");
    wire_add(&wire, "SetSetting", set_other, 0);
    wire_add(&wire, "SetSetting", set_other, 0);
    struct passage *passage = send(&service, &wire, "a");
    expect(&service, "a", "Ping", "{}", CHATSTORE_RESOURCE_EXHAUSTED,
           "client a has as many calls under way as it may (calls_in_flight_max = 2");
    expect(&service, "b", "Ping", "{}", CHATSTORE_OK, NULL);
    sandbox_unlock(lock);
    Chatstore__V1__Reply *reply = passage_wait(passage);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    expect_result(reply, 1, CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    for (int i = 0; i < 5; i++) /* those that were refused are not counted */
        expect(&service, "a", "Ping", "{}", CHATSTORE_OK, NULL);
    for (int i = 0; i < 3; i++)
        wire_add(&wire, "Ping", "{}", 0);
    reply = passage_wait(send(&service, &wire, "a"));
    assert_int_equal(reply->n_results, 3);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    expect_result(reply, 1, CHATSTORE_OK, NULL);
    expect_result(reply, 2, CHATSTORE_RESOURCE_EXHAUSTED, "this frame brings 3");
    chatstore__v1__reply__free_unpacked(reply, NULL);
    service_stop(&service);
}

static void what_the_server_refuses_is_not_the_clients(void **state)
{
    struct service service;
    struct wire wire = {0};
    char head[1024];
    (void)state;
    snprintf(head, sizeof head, "[service.limits]\ncalls_in_flight_max = 4\n%s", sources);
    start(&service, head,
          (struct client[]){
              {"a", "read = [\"*\"]\ncalls_in_flight_max = 5"}, {"b", all}, {NULL, NULL}});
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 5; i++)
            wire_add(&wire, "Ping", "{}", 0);
        Chatstore__V1__Reply *reply = passage_wait(send(&service, &wire, "a"));
        assert_int_equal(reply->n_results, 5);
        expect_result(reply, 3, CHATSTORE_OK, NULL);
        expect_result(reply, 4, CHATSTORE_RESOURCE_EXHAUSTED, "the server works on");
        chatstore__v1__reply__free_unpacked(reply, NULL);
    }
    struct sqlite3 *lock = sandbox_lock(&service.sandbox, "other.db");
    for (int i = 0; i < 4; i++)
        wire_add(&wire, "SetSetting", set_other, 0);
    struct passage *passage = send(&service, &wire, "b");
    for (int round = 0; round < 8; round++)
        expect(&service, "a", "Ping", "{}", CHATSTORE_RESOURCE_EXHAUSTED, "the server works on");
    sandbox_unlock(lock);
    chatstore__v1__reply__free_unpacked(passage_wait(passage), NULL);
    expect(&service, "a", "Ping", "{}", CHATSTORE_OK, NULL);
    service_stop(&service);
}

/* ---- Whose request_id ---- */

static void set_once(struct service *service, const char *name, const char *value,
                     enum chatstore_status status)
{
    struct wire wire = {0};
    char json[128];
    snprintf(json, sizeof json, "{\"key\": \"by %s\", \"value\": \"%s\"}", name, value);
    wire_add(&wire, "SetSetting", json, 0);
    wire.calls[0]->request_id = strdup("the same id");
    Chatstore__V1__Reply *reply = passage_wait(send(service, &wire, name));
    expect_result(reply, 0, status, NULL);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

static void clients_do_not_share_request_ids(void **state)
{
    struct service service;
    (void)state;
    start(&service, sources, (struct client[]){{"a", all}, {"b", all}, {NULL, NULL}});
    set_once(&service, "a", "1", CHATSTORE_OK);
    set_once(&service, "b", "2", CHATSTORE_OK);
    set_once(&service, "b", "2", CHATSTORE_OK);
    set_once(&service, "a", "3", CHATSTORE_ALREADY_EXISTS);
    assert_int_equal(sandbox_integer(&service.sandbox, "main.db",
                                     "SELECT sum(value) FROM settings WHERE key LIKE 'by _'"),
                     3);
    service_stop(&service);
}

/* ---- Without an audit log ---- */

static bool writes_are_refused(struct service *service, const char *part)
{
    struct wire wire = {0};
    wire_add(&wire, "SetSetting", set_other, 0);
    Chatstore__V1__Reply *reply = passage_wait(send(service, &wire, "a"));
    const Chatstore__V1__Status *status = reply->results[0]->status;
    bool refused = status && status->code == CHATSTORE_UNAVAILABLE;
    if (status && (!refused || !strstr(status->message, part)))
        fail_msg("%s", status->message);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    return refused;
}

/* The audit log is larger than any file may be now: as a full disk, but for this one file. */
static void audit_into_a_full_file(struct service *service)
{
    char path[SANDBOX_PATH_BYTES];
    struct status why;
    int file = audit_open_file(sandbox_path(&service->sandbox, "audit.log", path), &why);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, 64 << 20), 0);
    assert_int_equal(audit_use(engine_audit(service->engine), file, NULL), 0);
    file_size_limit(32 << 20);
    expect(service, "b", "SetSetting", set_other, CHATSTORE_PERMISSION_DENIED, NULL);
    struct timespec pause = {.tv_nsec = 5000000};
    for (int i = 0; i < 4000 && !audit_is_stuck(engine_audit(service->engine)); i++)
        nanosleep(&pause, NULL);
    assert_true(audit_is_stuck(engine_audit(service->engine)));
}

static void without_its_audit_log_nothing_is_written_if_so_wanted(void **state)
{
    static const char get[] = "{\"key\": \"k\", \"data_source\": \"other\"}";
    struct service service;
    char head[1024];
    (void)state;
    for (int required = 0; required < 2; required++) {
        snprintf(head, sizeof head, "%s[service.audit]\npath = \"audit.log\"\nrequired = %s\n",
                 sources, required ? "true" : "false");
        start(&service, head,
              (struct client[]){{"a", all}, {"b", ""}, {"ops", "admin = true"}, {NULL, NULL}});
        assert_false(writes_are_refused(&service, ""));
        audit_into_a_full_file(&service);
        assert_int_equal(writes_are_refused(&service, "audit log"), required);
        expect(&service, "a", "GetSetting", get, CHATSTORE_OK, NULL);
        expect(&service, "ops", "Reload", "{}",
               required ? CHATSTORE_UNAVAILABLE : CHATSTORE_FAILED_PRECONDITION, NULL);
        file_size_limit(0);
        struct timespec pause = {.tv_nsec = 20000000};
        for (int i = 0; i < 1000 && writes_are_refused(&service, "audit log"); i++)
            nanosleep(&pause, NULL);
        assert_false(writes_are_refused(&service, ""));
        service_stop(&service);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waiting_write_is_judged_when_it_begins),
        cmocka_unit_test(a_waiting_merged_read_is_judged_when_it_begins),
        cmocka_unit_test(a_waiting_call_without_a_token_needs_one_when_clients_come),
        cmocka_unit_test(a_client_has_its_own_limit_of_calls),
        cmocka_unit_test(what_the_server_refuses_is_not_the_clients),
        cmocka_unit_test(clients_do_not_share_request_ids),
        cmocka_unit_test(without_its_audit_log_nothing_is_written_if_so_wanted),
    };
    log_capture_start(LOG_WARN);
    return cmocka_run_group_tests_name("access_rights", tests, NULL, NULL);
}
