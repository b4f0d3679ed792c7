/* Loading and routing when memory runs out: each allocation fails once, in turn. The linker gives
 * calloc, malloc and aligned_alloc of our libraries to the functions below. */
#include "router/router.h"
#include "tests/service/config/load_text.h"

#include <errno.h>

void *__real_calloc(size_t count, size_t bytes);
void *__real_malloc(size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

static long until_failure = -1; /* negative = none fails */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails_now() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_malloc(size_t bytes)
{
    return fails_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, bytes);
}

static const char text[] =
    "[database]\ndefault = \"b\"\n[database.sources.a]\npath = \"a.db\"\n"
    "[database.sources.b]\npath = \"./b.db\"\nreadonly = true\nsynchronous = \"full\"\n"
    "[database.chatMapping]\n1 = \"a\"\n-2 = \"aa\"\n"
    "[service]\nlisten = [\"ipc://a\", \"tcp://0.0.0.0:1\"]\ninsecure-listen = true\n"
    "[service.tls]\ncertificate = \"c\"\nkey = \"k\"\nclient-ca = \"a\"\n"
    "[service.audit]\npath = \"audit\"\n"
    "[[service.clients]]\nname = \"x\"\nread = [\"a\"]\nwrite = [\"*\"]\nchats = [1, 2]\n"
    "token-hash = \"sha256:0123456789012345678901234567890123456789012345678901234567891234\"\n";

/* Loads with the n-th allocation failing; true when there were fewer than n. */
static bool load_failing(long n, enum config_status (*load)(struct loaded *loaded))
{
    struct loaded loaded;
    until_failure = n;
    enum config_status status = load(&loaded);
    bool done = until_failure >= 0;
    until_failure = -1;
    if (done) {
        assert_int_equal(status, CONFIG_OK);
    } else {
        assert_int_equal(status, CONFIG_NO_MEMORY);
        assert_null(loaded.config);
        assert_null(loaded.report);
    }
    loaded_free(&loaded);
    return done;
}

static enum config_status load_parsed(struct loaded *loaded)
{
    struct config_input input = {text, sizeof text - 1, "text", "/no/such/folder", true};
    return config_parse(&input, &loaded->config, &loaded->report);
}

static enum config_status load_single_file(struct loaded *loaded)
{
    return config_single("/no/such/bot.db", true, &loaded->config, &loaded->report);
}

static enum config_status load_example(struct loaded *loaded)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/examples/config/advanced.toml", getenv("CHATSTORE_SOURCE_DIR"));
    return config_load(path, &loaded->config, &loaded->report);
}

static void each_failing_allocation_is_told(void **state)
{
    (void)state;
    enum config_status (*const loads[])(struct loaded *) = {load_parsed, load_single_file,
                                                            load_example};
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        long n = 0;
        while (!load_failing(n, loads[i]))
            n++;
        assert_true(n > 5);
    }
}

static void a_router_needs_all_its_memory(void **state)
{
    (void)state;
    struct loaded loaded = load_text(text);
    struct router *router = NULL;
    long n = 0;
    for (;; n++) {
        until_failure = n;
        int error = config_new_router(loaded.config, &router);
        bool done = until_failure >= 0;
        until_failure = -1;
        assert_int_equal(error, done ? 0 : ENOMEM);
        if (done)
            break;
        assert_null(router);
    }
    assert_int_equal(n, 2 + 1 + 4 + 3);
    router_free(router);
    loaded_free(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failing_allocation_is_told),
        cmocka_unit_test(a_router_needs_all_its_memory),
    };
    return cmocka_run_group_tests_name("config_memory", tests, NULL, NULL);
}
