/* Wrong configurations: each with the place, the key and the text that the reader must see. */
#include "tests/service/config/load_text.h"

struct bad_case {
    const char *text;
    uint32_t line;
    uint32_t column;
    const char *key;      /* NULL = any */
    const char *fragment; /* of the text */
    const char *nearest;  /* NULL = any */
};

#define GOOD "[database.sources.a]\npath = \"a.db\"\n"
#define DIGITS_60 "456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HASH "token-hash = \"sha256:" DIGITS "\"\n"
#define CLIENT(lines) GOOD "[[service.clients]]\n" lines
#define URL(url) GOOD "[service]\nlisten = [\"" url "\"]\n"

static const struct bad_case bad_cases[] = {
    /* not TOML */
    {"[database", 1, 10, "", "", NULL},
    {"[,", 1, 2, "", "bare key", NULL},
    {"[database]\npath = bot.db\n", 2, 8, "", "", NULL},
    {"[database]\npath = \"bot.db\n", 2, 15, "", "", NULL},
    {"[database]\npath \"bot.db\"\n", 2, 6, "", "", NULL},
    {"[database]\npath = \"a\"\npath = \"b\"\n", 3, 8, "", "redefine", NULL},
    {GOOD GOOD, 3, 1, "", "redefine", NULL},
    {"[database]\nchatMapping = { 1 = \"a\", \"1\" = \"b\" }\n", 2, 32, "", "redefine", NULL},
    {"a = \"\xff\"\n", 1, 5, "", "", NULL},
    {"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1", 1, 64, "",
     "more than 32 parts", NULL},
    {"x = 99999999999999999999\n", 1, 25, "", "64 bits", NULL},
    /* no sources */
    {"", 1, 1, "database", "no source", NULL},
    {"[service]\n", 1, 1, "database", "no source", NULL},
    {"\n[database]\n", 2, 2, "database", "no source", NULL},
    {"[database]\nsources = {}\n", 2, 1, "database.sources", "is empty", NULL},
    {"database = 5\n", 1, 12, "database", "must be a table, not an integer", NULL},
    {"[[database]]\npath = \"a\"\n", 1, 1, "database", "must be a table, not an array", NULL},
    {"[database]\nsources = [\"a.db\"]\n", 2, 11, "database.sources", "must be a table", NULL},
    {"[database]\npath = \"b.db\"\n" GOOD, 2, 8, "database.path", "exclude each other", NULL},
    /* unknown keys */
    {GOOD "[databse]\n", 3, 2, "databse", "unknown key", "database"},
    {GOOD "[logging]\n", 3, 2, "logging", "unknown key", NULL},
    {GOOD "pool_size = 5\n", 3, 1, "database.sources.a.pool_size", "unknown key", "pool-size"},
    {GOOD "poolSize = 5\n", 3, 1, "database.sources.a.poolSize", "unknown key", "pool-size"},
    {GOOD "journal_mode = \"wal\"\n", 3, 1, NULL, "unknown key", "journal-mode"},
    {GOOD "raedonly = true\n", 3, 1, NULL, "unknown key", "readonly"},
    {GOOD "frame_bytes = 1\n", 3, 1, NULL, "belongs into [service.limits]", NULL},
    {GOOD "database = 1\n", 3, 1, NULL, "belongs to the top of the file", NULL},
    {GOOD "[database.sources.a.options]\nmax_connections = 4\n", 4, 1,
     "database.sources.a.options.max_connections", "unknown key", "maxConnections"},
    {"[database]\npath = \"a\"\nreadonly = true\n", 3, 1, NULL,
     "belongs into [database.sources.NAME]", NULL},
    {"[database]\npath = \"a\"\ndefault_source = \"a\"\n", 3, 1, NULL, "unknown key",
     "defaultSource"},
    {GOOD "[database.chatmapping]\n1 = \"a\"\n", 3, 11, NULL, "unknown key", "chatMapping"},
    {GOOD "[service.limit]\n", 3, 10, "service.limit", "unknown key", "limits"},
    {GOOD "[service.limits]\nmerge_sec = 1\n", 4, 1, "service.limits.merge_sec", "unknown key",
     "merge_ms"},
    {GOOD "[service.tls]\ncert = \"x\"\n", 4, 1, "service.tls.cert", "unknown key", NULL},
    {GOOD "\"a b\" = 1\n", 3, 1, "database.sources.a.\"a b\"", "unknown key", NULL},
    {GOOD "\"path\\u0000\" = 1\n", 3, 1, NULL, "unknown key", NULL},
    /* given twice */
    {GOOD "timeout = 1\noptions = { timeout = 2 }\n", 4, 13, "database.sources.a.options.timeout",
     "given twice: timeout and options.timeout", NULL},
    {GOOD "pool-size = 1\noptions.maxConnections = 2\n", 4, 9, NULL, "given twice", NULL},
    {"[database]\ndefault = \"a\"\ndefaultSource = \"a\"\n" GOOD, 3, 1, "database.defaultSource",
     "given twice: default and defaultSource", NULL},
    {GOOD "[database.chatMapping]\n1 = \"a\"\n[database.chat_mapping]\n2 = \"a\"\n", 5, 11, NULL,
     "given twice: chatMapping and chat_mapping", NULL},
    /* wrong types */
    {"[database]\npath = 7\n", 2, 8, "database.path", "must be a string, not an integer", NULL},
    {"[database.sources.a]\npath = [\"a\"]\n", 2, 8, NULL, "must be a string, not an array", NULL},
    {GOOD "readonly = \"yes\"\n", 3, 12, "database.sources.a.readonly",
     "must be true or false, not a string", NULL},
    {GOOD "pool-size = \"5\"\n", 3, 13, NULL, "must be an integer, not a string", NULL},
    {GOOD "pool-size = 5.0\n", 3, 13, NULL, "must be an integer, not a float", NULL},
    {GOOD "timeout = \"30\"\n", 3, 11, NULL, "must be a number of seconds, not a string", NULL},
    {GOOD "timeout = 07:32:00\n", 3, 11, NULL, "not a date or time", NULL},
    {GOOD "options = 5\n", 3, 11, NULL, "must be a table", NULL},
    {GOOD "type = true\n", 3, 8, NULL, "not a boolean", NULL},
    {"[database.sources]\na = \"a.db\"\n", 2, 5, "database.sources.a",
     "must be a table such as { path", NULL},
    {"[database]\ndefault = 1\n" GOOD, 2, 11, "database.default", "must be a string", NULL},
    {"[database]\nchatMapping = [1]\n" GOOD, 2, 15, NULL, "must be a table such as { 12345", NULL},
    {GOOD "[database.chatMapping]\n1 = 2\n", 4, 5, "database.chatMapping.1", "must be a string",
     NULL},
    {"service = 1\n" GOOD, 1, 11, "service", "must be a table", NULL},
    {GOOD "[service]\nlisten = \"tcp://127.0.0.1:1\"\n", 4, 10, "service.listen",
     "must be an array of URLs", NULL},
    {GOOD "[service]\nlisten = [1]\n", 4, 11, "service.listen", "must be a string", NULL},
    {GOOD "[service]\nlimits = 1\n", 4, 10, "service.limits", "must be a table", NULL},
    /* out of range */
    {GOOD "pool-size = 0\n", 3, 13, NULL, "0 is out of range; allowed is 1 to 1000", NULL},
    {GOOD "pool-size = 1001\n", 3, 13, NULL, "1001 is out of range", NULL},
    {GOOD "pool-size = -9223372036854775808\n", 3, 13, NULL, "out of range", NULL},
    {GOOD "timeout = 0\n", 3, 11, NULL, "0 seconds is out of range", NULL},
    {GOOD "timeout = -0.5\n", 3, 11, NULL, "-0.5 seconds is out of range", NULL},
    {GOOD "timeout = nan\n", 3, 11, NULL, "out of range", NULL},
    {GOOD "timeout = inf\n", 3, 11, NULL, "out of range", NULL},
    {GOOD "timeout = 86401\n", 3, 11, NULL, "up to 86400", NULL},
    {"[database]\npath = \"a\"\nmax_connections = 0\n", 3, 19, "database.max_connections",
     "out of range", NULL},
    {GOOD "[service.limits]\nframe_bytes = 16\n", 4, 15, "service.limits.frame_bytes",
     "allowed is 4096 to 1073741824", NULL},
    {GOOD "[service.limits]\nmerge_ms = 0\n", 4, 12, NULL, "out of range", NULL},
    /* choices */
    {GOOD "type = \"postgresql\"\n", 3, 8, NULL, "\"postgresql\" is not known", NULL},
    {GOOD "type = \"SQLite\"\n", 3, 8, NULL, "is not known", "sqlite"},
    {GOOD "journal-mode = \"delete\"\n", 3, 16, NULL, "is not known; allowed is `\"wal\"`", NULL},
    {GOOD "synchronous = \"ful\"\n", 3, 15, NULL, "is not known", "full"},
    /* names and paths */
    {"[database.sources.\"\"]\npath = \"a\"\n", 1, 19, "database.sources.\"\"", "empty", NULL},
    {"[database.sources.\"a,b\"]\npath = \"a\"\n", 1, 19, NULL, "comma", NULL},
    {"[database.sources.\"a\\nb\"]\npath = \"a\"\n", 1, 19, NULL, "control characters", NULL},
    {"[database.sources.\" a\"]\npath = \"a\"\n", 1, 19, NULL, "space", NULL},
    {"[database.sources.a]\n", 1, 19, "database.sources.a", "has no path", NULL},
    {"[database.sources.a]\npath = \"\"\n", 2, 8, NULL, "is empty", NULL},
    {"[database.sources.a]\npath = \"a\\u0000b\"\n", 2, 8, NULL, "control character", NULL},
    {"[database.sources.a]\npath = \"a\\u009bb\"\n", 2, 8, NULL, "control character", NULL},
    {"[database.sources.a]\npath = \"file:a?mode=memory\"\n", 2, 8, NULL, "is a URI", NULL},
    {"[database.sources.a]\npath = \"~/a.db\"\n", 2, 8, NULL, "not expanded", NULL},
    {"[database.sources.a]\npath = \"data/\"\n", 2, 8, NULL, "names a folder", NULL},
    {"[database.sources.a]\npath = \":memory:\"\nreadonly = true\n", 2, 8, NULL, "always be empty",
     NULL},
    {GOOD "immutable = true\n", 1, 19, NULL, "needs readonly", NULL},
    {GOOD "[database.sources.b]\npath = \"./a.db\"\n", 4, 8, "database.sources.b",
     "same file as source \"a\"", NULL},
    {"[database]\ndefault = \"aa\"\n" GOOD, 2, 11, "database.default", "\"aa\" is no source", "a"},
    {"[database]\ndefault = \"primary\"\n" GOOD, 2, 11, "database.default", "is no source", NULL},
    /* chat ids */
    {GOOD "[database.chatMapping]\nabc = \"a\"\n", 4, 1, "database.chatMapping.abc",
     "is not a chat id", NULL},
    {GOOD "[database.chatMapping]\n\"+1\" = \"a\"\n", 4, 1, NULL, "is not a chat id", NULL},
    {GOOD "[database.chatMapping]\n01 = \"a\"\n", 4, 1, NULL, "is not a chat id", NULL},
    {GOOD "[database.chatMapping]\n\"-0\" = \"a\"\n", 4, 1, NULL, "is not a chat id", NULL},
    {GOOD "[database.chatMapping]\n\"\" = \"a\"\n", 4, 1, NULL, "is not a chat id", NULL},
    {GOOD "[database.chatMapping]\n9223372036854775808 = \"a\"\n", 4, 1, NULL, "is not a chat id",
     NULL},
    {GOOD "[database.chatMapping]\n1.5 = \"a\"\n", 4, 1, "database.chatMapping.1",
     "must be a string, not a table", NULL},
    {GOOD "[database.chatMapping]\n1 = \"\"\n", 4, 5, NULL, "is empty", NULL},
    /* listen */
    {GOOD "[service]\nlisten = []\n", 4, 10, "service.listen", "is empty", NULL},
    {URL("127.0.0.1:7000"), 4, 11, "service.listen", "no known scheme", NULL},
    {URL("http://127.0.0.1:7000"), 4, 11, NULL, "no known scheme", NULL},
    {URL("ipc://"), 4, 11, NULL, "names nothing", NULL},
    {URL("ipc:///run/"), 4, 11, NULL, "names a folder", NULL},
    {URL("ipc:///tmp/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaa"),
     4, 11, NULL, "107 bytes", NULL},
    /* who may call */
    {GOOD "[service.clients]\nname = \"x\"\n", 3, 1, "service.clients", "two brackets", NULL},
    {CLIENT(HASH), 3, 1, "service.clients.1", "needs a name", NULL},
    {CLIENT("name = \"x\"\nadmin = true\n"), 3, 1, "service.clients.1", "needs token-hash", NULL},
    {CLIENT("name = \"x\"\ntoken-hash = \"cst_secret\"\n"), 5, 14, NULL, "it is burnt", NULL},
    {CLIENT("name = \"x\"\ntoken-hash = \"sha256:" DIGITS "a\"\n"), 5, 14, NULL, "64 digits", NULL},
    {CLIENT("name = \"x\"\ntoken-hash = \"sha256:" DIGITS "\"\nread = [\"b\"]\n"), 6, 9, NULL,
     "\"b\" is no source", NULL},
    {CLIENT("name = \"x\"\nread = \"a\"\n" HASH), 5, 8, "service.clients.1.read",
     "must be an array of source names", NULL},
    {CLIENT("name = \"x\"\nchats = [\"1\"]\n" HASH), 5, 10, "service.clients.1.chats",
     "must be a chat id", NULL},
    {CLIENT("name = \"x\"\nraed = [\"a\"]\n" HASH), 5, 1, NULL, "unknown key", "read"},
    {CLIENT("name = \"x\"\nadmin = true\n" HASH "[[service.clients]]\nname = \"x\"\n"
            "admin = true\ntoken-hash = \"sha256:1123" DIGITS_60 "\"\n"),
     8, 8, "service.clients.2", "two clients with the name", NULL},
    {CLIENT("name = \"x\"\nadmin = true\n" HASH "[[service.clients]]\nname = \"y\"\n" HASH), 9, 14,
     "service.clients.2", "the same token-hash as client 1", NULL},
    {GOOD "[service.tls]\nkey = \"k\"\n", 4, 7, "service.tls", "needs certificate and key", NULL},
    {GOOD "[service.tls]\nkey = \"k\"\ncertificate = \"c\"\nclient-certificates = \"required\"\n",
     5, 15, "service.tls", "need client-ca", NULL},
    {URL("tls+tcp://127.0.0.1:1"), 4, 11, "service.listen", "needs a certificate", NULL},
    {URL("tcp://0.0.0.0:1"), 4, 11, "service.listen", "without TLS", NULL},
    {URL("ws://*:1"), 4, 11, "service.listen", "or set insecure-listen", NULL},
    {GOOD "[service]\ntls = { certificate = \"c\", key = \"k\" }\nlisten = [\"wss://*:1\"]\n", 5,
     11, "service.listen", "would let everybody in", NULL},
    {URL("tcp://127.0.0.1"), 4, 11, NULL, "needs HOST:PORT", NULL},
    {URL("tcp://127.0.0.1:"), 4, 11, NULL, "needs a port", NULL},
    {URL("tcp://127.0.0.1:65536"), 4, 11, NULL, "needs a port", NULL},
    {URL("tcp://127.0.0.1:http"), 4, 11, NULL, "needs a port", NULL},
    {URL("tcp://::1:7000"), 4, 11, NULL, "needs HOST:PORT", NULL},
    {URL("tcp://a b:7000"), 4, 11, NULL, "space", NULL},
    {URL("ws://127.0.0.1/path"), 4, 11, NULL, "needs HOST:PORT", NULL},
    {URL("tcp://127.0.0.1:1\", \"tcp://127.0.0.1:1"), 4, 32, NULL, "given twice", NULL},
};

static bool fits(const struct config_finding *finding, const struct bad_case *bad)
{
    return finding->line == bad->line && finding->column == bad->column &&
           finding->severity == CONFIG_ERROR && strstr(finding->text, bad->fragment) &&
           (!bad->key || strcmp(finding->key, bad->key) == 0) &&
           (!bad->nearest || (finding->nearest && strcmp(finding->nearest, bad->nearest) == 0));
}

static void each_mistake_is_told_with_its_place(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        struct loaded loaded = load_text(bad_cases[i].text);
        bool found = false;
        for (size_t j = 0; j < loaded.report->count; j++)
            found |= fits(&loaded.report->findings[j], &bad_cases[i]);
        if (!found || loaded.status != CONFIG_INVALID || loaded.config) {
            print_message("case %zu wants %u:%u %s: %s (%s); text:\n%s\n", i, bad_cases[i].line,
                          bad_cases[i].column, bad_cases[i].key ? bad_cases[i].key : "*",
                          bad_cases[i].fragment, bad_cases[i].nearest ? bad_cases[i].nearest : "-",
                          bad_cases[i].text);
            config_report_print(loaded.report, stderr);
            failures++;
        }
        loaded_free(&loaded);
    }
    assert_int_equal(failures, 0);
}

/* A mistake must not bring others with it. */
static void one_mistake_is_told_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        struct loaded loaded = load_text(bad_cases[i].text);
        size_t errors = loaded.report->total[CONFIG_ERROR];
        bool starts_without_source = strstr(bad_cases[i].text, "path") == NULL;
        if (errors != 1 && !starts_without_source) {
            config_report_print(loaded.report, stderr);
            fail_msg("case %zu: %zu errors", i, errors);
        }
        loaded_free(&loaded);
    }
}

/* Text that is written by `write`, loaded. */
static struct loaded load_written(void (*write)(FILE *file))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    write(file);
    fclose(file);
    struct loaded loaded = load_text(text);
    free(text);
    return loaded;
}

static void write_65_urls(FILE *file)
{
    fputs(GOOD "[service]\nlisten = [", file);
    for (int i = 1; i <= 65; i++)
        fprintf(file, "\"tcp://127.0.0.1:%d\",", i);
    fputs("]\n", file);
}

static void write_4097_sources(FILE *file)
{
    fputs("[database.sources]\n", file);
    for (int i = 0; i < 4097; i++)
        fprintf(file, "s%d.path = \"%d\"\n", i, i);
}

static void write_long_path(FILE *file)
{
    fprintf(file, "[database.sources.a]\npath = \"%04096d\"\n", 0);
}

static void write_long_name(FILE *file)
{
    fprintf(file, "[database.sources.%03000d]\npath = \"a\"\nunknown_key_here = 1\n", 0);
}

static void what_is_too_much_is_refused(void **state)
{
    (void)state;
    static const struct {
        void (*write)(FILE *file);
        const char *fragment;
        size_t errors;
    } cases[] = {{write_65_urls, "more than 64", 1},
                 {write_4097_sources, "more than 4096", 1},
                 {write_long_path, "longer than 4095", 1},
                 {write_long_name, "longer than 128", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loaded loaded = load_written(cases[i].write);
        assert_non_null(find_text(loaded.report, cases[i].fragment));
        assert_int_equal(loaded.report->total[CONFIG_ERROR], cases[i].errors);
        loaded_free(&loaded);
    }
}

/* Many mappings to many sources, none of which exist: must not take the product of both. */
static void write_dangling_mappings(FILE *file)
{
    fputs("[database.sources]\n", file);
    for (int i = 0; i < 4096; i++)
        fprintf(file, "source-of-chats-%d.path = \"%d\"\n", i, i);
    fputs("[database.chatMapping]\n", file);
    for (int i = 0; i < 20000; i++)
        fprintf(file, "%d = \"sauce-of-chats-%d\"\n", i, i);
}

static void many_dangling_mappings_are_counted(void **state)
{
    (void)state;
    struct loaded loaded = load_written(write_dangling_mappings);
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_int_equal(loaded.report->total[CONFIG_WARNING], 20001); /* and no default */
    loaded_free(&loaded);
}

static const char good[] = "[database]\ndefault = \"a\"\nsources = {\n  a = { path = 'x', options "
                           "= {timeout = 1.5} }, # c\n"
                           "}\nchatMapping = { -1 = \"a\" }\n[service]\nlisten = "
                           "[\"tcp://[::1]:1\"]\nlimits.merge_ms = 9\n";

/* In memory of exactly this size, so that a sanitizer sees a read beyond it. */
static void load_bytes(const char *text, size_t bytes)
{
    char *exact = malloc(bytes + (bytes == 0));
    struct loaded loaded;
    memcpy(exact, text, bytes);
    struct config_input input = {exact, bytes, "bytes", "/", false};
    loaded.status = config_parse(&input, &loaded.config, &loaded.report);
    assert_non_null(loaded.report);
    assert_int_equal(loaded.status == CONFIG_OK, loaded.config != NULL);
    loaded_free(&loaded);
    free(exact);
}

static void every_prefix_of_a_good_file_is_survived(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof good; bytes++)
        load_bytes(good, bytes);
}

static uint32_t random_next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void damaged_files_are_survived(void **state)
{
    (void)state;
    static const char damage[] = "[]{}=\"'.,\n#\\-_0a \t\r\0\x7f\xc3\xff";
    uint32_t seed = 2463534242;
    for (unsigned round = 0; round < 3000; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (uint32_t i = random_next(&seed) % 5 + 1; i > 0; i--)
            text[random_next(&seed) % sizeof good] = damage[random_next(&seed) % sizeof damage];
        load_bytes(text, sizeof good - 1 - random_next(&seed) % 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_is_told_with_its_place),
        cmocka_unit_test(one_mistake_is_told_once),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(many_dangling_mappings_are_counted),
        cmocka_unit_test(every_prefix_of_a_good_file_is_survived),
        cmocka_unit_test(damaged_files_are_survived),
    };
    return cmocka_run_group_tests_name("config_bad", tests, NULL, NULL);
}
