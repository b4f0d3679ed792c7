/* The forms of configuration files that are in use, the rules, and the printed configuration. */
#include "router/router.h"
#include "tests/service/config/load_text.h"

static void a_legacy_file_is_one_source(void **state)
{
    (void)state;
    struct loaded loaded =
        load_clean("[database]\npath = \"bot.db\"\nmax_connections = 7\ntimeout = 2\n");
    const struct config_source *source = &loaded.config->sources[0];
    assert_int_equal(loaded.config->source_count, 1);
    assert_string_equal(source->name, "default");
    assert_string_equal(source->path, "/base/bot.db");
    assert_int_equal(source->pool_size, 7);
    assert_int_equal(source->timeout_ms, 2000);
    assert_false(source->readonly);
    assert_int_equal(source->journal_mode, CONFIG_JOURNAL_WAL);
    assert_int_equal(source->synchronous, CONFIG_SYNCHRONOUS_FULL);
    assert_int_equal(loaded.config->limits.frame_bytes, 4194304);
    assert_int_equal(loaded.config->limits.merge_ms, 5000);
    assert_int_equal(loaded.config->listen_count, 0);
    loaded_free(&loaded);
}

static void tables_of_sources_load(void **state)
{
    (void)state;
    struct loaded loaded = load_clean("[database]\n"
                                      "default = \"primary\"\n"
                                      "[database.sources.zulu]\n"
                                      "type = \"sqlite\"\n"
                                      "path = \"/srv/z.db\"\n"
                                      "readonly = true\n"
                                      "immutable = true\n"
                                      "[database.sources.primary]\n"
                                      "path = \"./data/bot.db\"\n"
                                      "pool-size = 9\n"
                                      "timeout = 0.0004\n"
                                      "journal-mode = \"truncate\"\n"
                                      "synchronous = \"normal\"\n"
                                      "[database.sources.scratch]\n"
                                      "path = \":memory:\"\n"
                                      "options = { timeout = 12.5, maxConnections = 3 }\n"
                                      "[database.chat_mapping]\n"
                                      "-1001234567890 = \"zulu\"\n"
                                      "\"12\" = \"scratch\"\n");
    const struct config *config = loaded.config;
    assert_int_equal(config->source_count, 3);
    assert_string_equal(config->sources[0].name, "zulu");
    assert_string_equal(config->sources[0].path, "/srv/z.db");
    assert_true(config->sources[0].immutable);
    assert_string_equal(config->sources[1].path, "/base/data/bot.db");
    assert_int_equal(config->sources[1].timeout_ms, 1);
    assert_int_equal(config->sources[1].pool_size, 9);
    assert_int_equal(config->sources[1].journal_mode, CONFIG_JOURNAL_TRUNCATE);
    assert_int_equal(config->sources[1].synchronous, CONFIG_SYNCHRONOUS_NORMAL);
    assert_true(config->sources[2].memory);
    assert_string_equal(config->sources[2].path, ":memory:");
    assert_int_equal(config->sources[2].timeout_ms, 12500);
    assert_int_equal(config->sources[2].pool_size, 3);
    assert_int_equal(config->default_source, 1);
    assert_int_equal(config->mapping_count, 2);
    assert_true(config->mappings[0].chat_id == -1001234567890);
    assert_int_equal(config->mappings[0].source, 0);
    assert_int_equal(config->mappings[1].source, 2);
    loaded_free(&loaded);
}

static void inline_sources_over_several_lines_load(void **state)
{
    (void)state;
    struct loaded loaded = load_clean("[database]\n"
                                      "sources = {\n"
                                      "    primary = { path = \"bot.db\", readonly = false },\n"
                                      "    # old chats\n"
                                      "    archive = { path = \"archive.db\", readonly = true },\n"
                                      "}\n"
                                      "chatMapping = {\n"
                                      "    12345 = \"archive\",  # moved\n"
                                      "    67890 = \"primary\",\n"
                                      "}\n"
                                      "defaultSource = \"primary\"\n");
    assert_int_equal(loaded.config->source_count, 2);
    assert_string_equal(loaded.config->sources[1].name, "archive");
    assert_true(loaded.config->sources[1].readonly);
    assert_int_equal(loaded.config->mapping_count, 2);
    assert_true(loaded.config->mappings[0].chat_id == 12345);
    loaded_free(&loaded);
}

static void the_service_section_loads(void **state)
{
    (void)state;
    struct loaded loaded =
        load_clean("[database]\npath = \"/bot.db\"\n[service]\nlisten = [\n"
                   "  \"ipc://run/c.sock\", \"tcp://127.0.0.1:0\",\n"
                   "  \"tcp://[::1]:7000\", \"ws://localhost:80/chatstore\",\n]\n"
                   "[service.limits]\nframe_bytes = 65536\nmerge_ms = 1\n");
    assert_int_equal(loaded.config->listen_count, 4);
    assert_string_equal(loaded.config->listen[0], "ipc:///base/run/c.sock");
    assert_string_equal(loaded.config->listen[3], "ws://localhost:80/chatstore");
    assert_int_equal(loaded.config->limits.frame_bytes, 65536);
    assert_int_equal(loaded.config->limits.merge_ms, 1);
    assert_int_equal(loaded.config->limits.timeout_ms, 30000);
    loaded_free(&loaded);
}

static void assert_default(const char *text, const char *name, size_t warnings)
{
    struct loaded loaded = load_text(text);
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_string_equal(loaded.config->sources[loaded.config->default_source].name, name);
    assert_int_equal(loaded.report->total[CONFIG_WARNING], warnings);
    loaded_free(&loaded);
}

static void the_default_source_is_found(void **state)
{
    (void)state;
    assert_default("database.sources = {a = {path = \"a\"}, default = {path = \"b\"}}", "default",
                   0);
    assert_default("database.sources = {a = {path = \"a\"}}", "a", 0);
    assert_default("database.sources = {a = {path = \"a\"}, b = {path = \"b\"}}", "a", 1);
    assert_default("database.default = \"b\"\n"
                   "database.sources = {a = {path = \"a\"}, b = {path = \"b\"}}",
                   "b", 0);
    /* readonly beside a writable one is worth a warning, readonly only is not */
    assert_default("database.default = \"b\"\n"
                   "database.sources = {a = {path = \"a\"}, b = {path = \"b\", readonly = true}}",
                   "b", 1);
    assert_default("database.sources = {b = {path = \"b\", readonly = true}}", "b", 0);
    assert_default("database.sources = {a = {path = \"a\", readonly = true}, "
                   "b = {path = \"b\"}}",
                   "a", 2);
}

static void a_mapping_to_an_unknown_source_uses_the_default(void **state)
{
    (void)state;
    struct loaded loaded = load_text("[database]\nsources = { archive = { path = \"a\" } }\n"
                                     "chatMapping = { -5 = \"archve\", 6 = \"archive\" }\n");
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_int_equal(loaded.report->count, 1);
    const struct config_finding *finding = &loaded.report->findings[0];
    assert_int_equal(finding->severity, CONFIG_WARNING);
    assert_non_null(strstr(finding->text, "chat -5 is mapped to \"archve\""));
    assert_string_equal(finding->key, "database.chatMapping.-5");
    assert_string_equal(finding->nearest, "archive");
    assert_int_equal(finding->line, 3);
    assert_int_equal(finding->column, 22);

    struct router *router;
    struct router_decision decision;
    struct router_query query = {CALL_SCOPE_CHAT, CALL_ACCESS_READ, true, -5, NULL};
    assert_int_equal(config_new_router(loaded.config, &router), 0);
    router_route(router, &query, &decision);
    assert_int_equal(decision.fallback, ROUTER_FALLBACK_UNKNOWN_MAPPED_SOURCE);
    query.chat_id = 6;
    router_route(router, &query, &decision);
    assert_int_equal(decision.tier, ROUTER_TIER_MAPPED);
    router_free(router);
    loaded_free(&loaded);
}

static void settings_without_effect_are_warned_of(void **state)
{
    (void)state;
    struct loaded loaded =
        load_text("[database]\ntimeout = 3\n[database.sources.a]\npath = \"a\"\nreadonly = true\n"
                  "synchronous = \"full\"\n[service]\ninsecure-listen = true\n"
                  "listen = [\"tcp://0.0.0.0:7000\", \"tls+tcp://127.0.0.1:7001\", "
                  "\"wss://*:1\"]\ntls = { certificate = \"c\", key = \"k\" }\n");
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_int_equal(loaded.report->total[CONFIG_WARNING], 4);
    assert_non_null(find_text(loaded.report, "have no effect beside sources"));
    assert_non_null(find_text(loaded.report, "no effect on a readonly source"));
    assert_non_null(find_text(loaded.report, "is open (insecure-listen)"));
    loaded_free(&loaded);
}

#define HASH_A "\"sha256:" TEN TEN TEN TEN TEN TEN "aaaa\""
#define HASH_B "\"sha256:" TEN TEN TEN TEN TEN TEN "bbbb\""
#define TEN "0123456789"

static const char access_text[] =
    "[database.sources]\nmain = { path = \"/m\" }\nold = { path = \"/o\", readonly = true }\n"
    "[database]\ndefault = \"main\"\n"
    "[service]\nlisten = [\"tls+tcp://0.0.0.0:7000\"]\n"
    "[service.tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\nclient-ca = \"ca.pem\"\n"
    "[service.audit]\npath = \"audit.log\"\nrequired = true\n"
    "[[service.clients]]\nname = \"bot-a\"\ntoken-hash = " HASH_A "\nread = [\"*\"]\n"
    "write = [\"main\"]\n"
    "[[service.clients]]\nname = \"ops\"\ntoken-hash = " HASH_B "\nadmin = true\n"
    "read = [\"old\"]\nchats = [5, -7]\ncalls_in_flight_max = 7\n";

static void check_access(const struct config *config)
{
    const struct config_client *bot = &config->clients[0], *ops = &config->clients[1];
    assert_int_equal(config->client_count, 2);
    assert_string_equal(bot->name, "bot-a");
    assert_int_equal(bot->token_hash[0], 0x01);
    assert_int_equal(bot->token_hash[31], 0xaa);
    assert_int_equal(bot->rights[0], CONFIG_RIGHT_READ | CONFIG_RIGHT_WRITE);
    assert_int_equal(bot->rights[1], CONFIG_RIGHT_READ);
    assert_false(bot->admin || bot->has_chats);
    assert_int_equal(ops->rights[0], 0);
    assert_int_equal(ops->rights[1], CONFIG_RIGHT_READ);
    assert_true(ops->admin && ops->has_chats);
    assert_int_equal(ops->chat_count, 2);
    assert_int_equal(ops->chats[0], -7);
    assert_string_equal(config->tls.certificate, "/base/c.pem");
    assert_string_equal(config->tls.key, "/k.pem");
    assert_string_equal(config->tls.client_ca, "/base/ca.pem");
    assert_int_equal(config->tls.client_certificates, CONFIG_CLIENT_CERTIFICATES_REQUIRED);
    assert_string_equal(config->audit_path, "/base/audit.log");
    assert_true(config->audit_required);
    assert_int_equal(bot->calls_in_flight_max, 0);
    assert_int_equal(ops->calls_in_flight_max, 7);
}

static void who_may_call_loads_and_prints_and_loads_again(void **state)
{
    (void)state;
    char *printed;
    size_t bytes;
    struct loaded loaded = load_clean(access_text);
    check_access(loaded.config);
    FILE *file = open_memstream(&printed, &bytes);
    config_print(loaded.config, file);
    fclose(file);
    loaded_free(&loaded);
    loaded = load_clean(printed);
    check_access(loaded.config);
    loaded_free(&loaded);
    free(printed);
}

static void all_problems_are_told_together_in_order(void **state)
{
    (void)state;
    char line[512];
    struct loaded loaded = load_text("[database]\ndefalt = \"a\"\n[database.sources.a]\n"
                                     "path = 5\npool-size = 0\nread-only = true\n[servce]\n");
    assert_int_equal(loaded.status, CONFIG_INVALID);
    assert_null(loaded.config);
    assert_int_equal(loaded.report->count, 5);
    assert_string_equal(
        config_finding_text(loaded.report, &loaded.report->findings[0], line, sizeof line),
        "test.toml:2:1: error: database.defalt: unknown key (did you mean "
        "\"default\"?)");
    assert_string_equal(
        config_finding_text(loaded.report, &loaded.report->findings[1], line, sizeof line),
        "test.toml:4:8: error: database.sources.a.path: must be a string, not an "
        "integer");
    assert_string_equal(loaded.report->findings[3].nearest, "readonly");
    assert_string_equal(loaded.report->findings[4].nearest, "service");
    loaded_free(&loaded);
}

static void a_flood_of_findings_is_counted_not_listed(void **state)
{
    (void)state;
    char *printed = NULL;
    size_t bytes = 0;
    char text[8192] = "x = 1\n";
    char *at = text + strlen(text);
    for (int i = 0; i < 500; i++)
        at += snprintf(at, (size_t)(text + sizeof text - at), "k%d = 1\n", i);
    struct loaded loaded = load_text(text);
    assert_int_equal(loaded.report->total[CONFIG_ERROR], 502);
    assert_int_equal(loaded.report->count, 100);
    FILE *file = open_memstream(&printed, &bytes);
    config_report_print(loaded.report, file);
    fclose(file);
    assert_non_null(strstr(printed, "and 402 more"));
    free(printed);
    loaded_free(&loaded);
}

static void findings_hold_no_control_characters(void **state)
{
    (void)state;
    struct loaded loaded = load_text("\"a\\u001b[2Jb\\u009b\" = 1\ndatabase.path = \"x\"\n");
    assert_int_equal(loaded.report->count, 1);
    assert_string_equal(loaded.report->findings[0].key, "\"a\\x1b[2Jb\\xc2\x9b\"" + 0);
    loaded_free(&loaded);
}

static char *print_config(const struct config *config)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    config_print(config, file);
    fclose(file);
    return text;
}

static void the_printed_configuration_loads_again(void **state)
{
    (void)state;
    struct loaded first = load_text(
        "[database]\ndefault = \"b b\"\n"
        "[database.sources.\"a\\\"\\\\\"]\npath = \"q\\\"\\\\.db\"\nreadonly = true\n"
        "[database.sources.\"b b\"]\npath = \":memory:\"\ntimeout = 1.25\njournal-mode = \"keep\"\n"
        "[database.chatMapping]\n-7 = \"b b\"\n8 = \"a\\\"\\\\\"\n9 = \"gone\"\n"
        "[service]\nlisten = [\"ipc:///a\", \"tcp://127.0.0.1:1\"]\nlimits.merge_ms = 77\n");
    assert_int_equal(first.status, CONFIG_OK);
    char *once = print_config(first.config);
    struct loaded second = load_text(once);
    if (second.status != CONFIG_OK)
        config_report_print(second.report, stderr);
    assert_int_equal(second.status, CONFIG_OK);
    assert_int_equal(second.report->count, 1); /* chat 9 */
    assert_int_equal(second.config->source_count, 2);
    assert_string_equal(second.config->sources[0].path, "/base/q\"\\.db");
    assert_int_equal(second.config->sources[1].timeout_ms, 1250);
    assert_int_equal(second.config->sources[1].journal_mode, CONFIG_JOURNAL_KEEP);
    assert_int_equal(second.config->default_source, 1);
    assert_int_equal(second.config->mapping_count, 3);
    assert_int_equal(second.config->listen_count, 2);
    assert_int_equal(second.config->limits.merge_ms, 77);
    assert_non_null(strstr(once, "pool-size = 5  # default"));
    assert_non_null(strstr(once, "merge_ms = 77\n"));
    assert_non_null(strstr(once, "9 = \"gone\"  # no such source"));
    /* What was default is now spelled out; nothing else changes. */
    char *twice = print_config(second.config);
    struct loaded third = load_text(twice);
    char *thrice = print_config(third.config);
    assert_string_equal(twice, thrice);
    free(once);
    free(twice);
    free(thrice);
    loaded_free(&first);
    loaded_free(&second);
    loaded_free(&third);
}

static void a_printed_minimum_says_what_is_default(void **state)
{
    (void)state;
    struct loaded loaded = load_clean("database.sources.r = { path = \"r\", readonly = true }");
    char *text = print_config(loaded.config);
    assert_non_null(strstr(text, "# listen: the default unix socket"));
    assert_non_null(strstr(text, "(readonly: writes are refused)"));
    assert_non_null(strstr(text, "immutable = false  # default"));
    assert_null(strstr(text, "chatMapping]"));
    free(text);
    loaded_free(&loaded);
}

static void listen_urls_are_checked(void **state)
{
    (void)state;
    assert_null(config_listen_problem("ipc:///run/chatstore/chatstore.sock"));
    assert_null(config_listen_problem("tcp://*:7000"));
    assert_null(config_listen_problem("tls+tcp://[fe80::1]:65535"));
    assert_null(config_listen_problem("wss://example.org:443/path:1"));
    assert_non_null(config_listen_problem("inproc://a"));
    assert_false(config_listen_is_open("ipc:///a"));
    assert_false(config_listen_is_open("nonsense"));
    assert_false(config_listen_is_open("tcp://127.3.2.1:1"));
    assert_false(config_listen_is_open("ws://[::1]:1/"));
    assert_true(config_listen_is_open("tcp://[::]:1"));
    assert_true(config_listen_is_open("tcp://:1"));
    assert_true(config_listen_is_open("ws://bots.example.org:1"));
    assert_true(config_listen_is_open(
        "tcp://a-name-that-is-longer-than-any-address-of-the-internet-protocol.example:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_legacy_file_is_one_source),
        cmocka_unit_test(tables_of_sources_load),
        cmocka_unit_test(inline_sources_over_several_lines_load),
        cmocka_unit_test(the_service_section_loads),
        cmocka_unit_test(the_default_source_is_found),
        cmocka_unit_test(a_mapping_to_an_unknown_source_uses_the_default),
        cmocka_unit_test(settings_without_effect_are_warned_of),
        cmocka_unit_test(who_may_call_loads_and_prints_and_loads_again),
        cmocka_unit_test(all_problems_are_told_together_in_order),
        cmocka_unit_test(a_flood_of_findings_is_counted_not_listed),
        cmocka_unit_test(findings_hold_no_control_characters),
        cmocka_unit_test(the_printed_configuration_loads_again),
        cmocka_unit_test(a_printed_minimum_says_what_is_default),
        cmocka_unit_test(listen_urls_are_checked),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
