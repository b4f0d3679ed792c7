/* Sources as the engine sees them: opening, failing, coming back, closing. */
#include "file.h"
#include "fixture.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_missing_file_is_made_and_used(void **state)
{
    (void)state;
    struct path path = folder_file("new.db");
    struct source_config config = config_of("main", path.text);
    struct source *source = open_source(&config);
    struct source_info info = info_of(source);
    assert_int_equal(info.state, SOURCE_UP);
    assert_int_equal(info.schema_version, 6);
    assert_false(info.shared);
    assert_string_equal(source_kind(source), "sqlite");
    assert_string_equal(source_config(source)->name, "main");
    assert_string_equal(get_setting(source, "k").text, "-");
    assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
    assert_string_equal(get_setting(source, "k").text, "v");
    assert_int_equal(set_setting(source, "k", NULL), STATUS_OK);
    assert_string_equal(get_setting(source, "k").text, "-");
    assert_true(log_has("source main is up"));
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM settings WHERE key = 'k'"), 1);
    assert_false(file_exists(folder_file("new.db-wal").text)); /* closing has checkpointed */
}

static void a_new_file_has_the_rights_that_the_umask_leaves(void **state)
{
    (void)state;
    static const mode_t masks[] = {0007, 0022, 0077};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        static const char *const ends[] = {"", "-wal", "-shm"};
        char name[32], file[64];
        snprintf(name, sizeof name, "new%zu.db", i);
        struct path path = folder_file(name);
        struct source_config config = config_of("new", path.text);
        mode_t before = umask(masks[i]);
        struct source *source = open_source(&config);
        assert_source_works(source);
        umask(before);
        for (size_t n = 0; n < sizeof ends / sizeof *ends; n++) {
            struct stat info;
            snprintf(file, sizeof file, "%s%s", name, ends[n]);
            assert_int_equal(stat(folder_file(file).text, &info), 0);
            assert_int_equal(info.st_mode & 0777, 0666 & ~masks[i]);
        }
        source_close(source);
    }
}

static void a_path_is_taken_as_it_is_written(void **state)
{
    (void)state;
    static const char *const names[] = {"a%20b?mode=memory#x.db", "per%cent", "/two//slashes.db",
                                        "Ім'я \"файлу\".db"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct path path = folder_file(names[i]);
        char doubled[sizeof path.text + 1];
        snprintf(doubled, sizeof doubled, "/%s", path.text);
        if (i == 2)
            mkdir(folder_file("two").text, 0777);
        struct source_config config = config_of("odd", i == 2 ? doubled : path.text);
        struct source *source = open_source(&config);
        assert_source_works(source);
        source_close(source);
        assert_true(file_exists(path.text));
    }
}

static void a_folder_that_is_missing_is_waited_for(void **state)
{
    (void)state;
    struct path folder = folder_file("later"), path = folder_file("later/bot.db");
    struct source_config config = config_of("late", path.text);
    struct source *source = open_source(&config);
    assert_source_down(source, "No such file or directory");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    assert_source_works(source);
    source_close(source);
}

static void a_file_that_vanished_is_not_made_again(void **state)
{
    (void)state;
    struct path path = folder_file("bot.db"), aside = folder_file("aside.db");
    struct source_config config = config_of("main", path.text);
    config.journal = SOURCE_JOURNAL_TRUNCATE;
    struct source *source = open_source(&config);
    assert_source_works(source);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(rename(path.text, aside.text), 0);
        eventually(source_is_down, source);
        assert_source_down(source, "No such file or directory");
        assert_source_down(source, "No such file or directory");
        assert_false(file_exists(path.text));
        assert_int_equal(rename(aside.text, path.text), 0);
        assert_source_works(source);
    }
    assert_true(info_of(source).counters.failures >= 2);
    source_close(source);
}

/* At once, not only when health has looked: nothing is written to a file that is gone. */
static void a_write_notices_that_the_file_is_gone(void **state)
{
    (void)state;
    struct path path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    struct source *source = open_source(&config);
    assert_source_works(source);
    assert_int_equal(unlink(path.text), 0);
    assert_int_equal(set_setting(source, "k", "v"), STATUS_UNAVAILABLE);
    assert_int_equal(info_of(source).state, SOURCE_DOWN);
    source_close(source);
    assert_false(file_exists(path.text));
}

static void a_readonly_file_is_never_made(void **state)
{
    (void)state;
    struct path path = folder_file("missing.db");
    struct source_config config = config_of("old", path.text);
    config.readonly = true;
    struct source *source = open_source(&config);
    assert_source_down(source, "No such file or directory");
    assert_false(file_exists(path.text));
    file_make(path.text, 6);
    file_sql(path.text, "INSERT INTO settings (key, value) VALUES ('k', 'there')");
    eventually(source_is_up, source);
    assert_string_equal(get_setting(source, "k").text, "there");
    source_close(source);
}

static void a_readonly_file_is_served_as_it_is(void **state)
{
    (void)state;
    for (int version = 0; version <= 6; version++) {
        struct path path = folder_file("old.db");
        remove(path.text);
        file_make(path.text, version);
        if (version > 0)
            file_sql(path.text, "INSERT INTO settings (key, value) VALUES ('k', 'v')");
        struct bytes before = file_read(path.text);
        struct source_config config = config_of("old", path.text);
        config.readonly = true;
        struct source *source = open_source(&config);
        assert_int_equal(info_of(source).state, SOURCE_UP);
        assert_int_equal(info_of(source).schema_version, version);
        struct status value = get_setting(source, "k");
        if (version == 0) {
            assert_int_equal(value.code, STATUS_FAILED_PRECONDITION);
            assert_non_null(strstr(value.text, "settings"));
        } else {
            assert_string_equal(value.text, "v");
        }
        struct run run;
        Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
        run_init(&run, CALL_GET_CHAT_USER, &request.base, NULL);
        enum status_code code = run_on(&run, source);
        assert_int_equal(code, version < 3 ? STATUS_FAILED_PRECONDITION : STATUS_OK);
        if (version == 1 || version == 2)
            assert_non_null(strstr(run.job.status.text, version == 1 ? "is_spammer" : "metadata"));
        run_end(&run);
        assert_int_equal(set_setting(source, "k", "w"), STATUS_FAILED_PRECONDITION);
        source_close(source);
        struct bytes after = file_read(path.text);
        assert_true(bytes_equal(before, after));
        bytes_free(before);
        bytes_free(after);
    }
}

static void real_files_are_served(void **state)
{
    (void)state;
    static const char *const names[] = {"bot.db", "archive.db", "other_bot.db", "bot-schema-1.db",
                                        "bot-schema-3.db"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct path path;
        if (!real_file(names[i], &path)) {
            print_message("skipped: ../shared/data/%s is not here\n", names[i]);
            skip();
        }
        int64_t chat = file_integer(path.text, "SELECT chat_id FROM chat_messages LIMIT 1");
        struct bytes before = file_read(path.text);
        for (int readonly = 1; readonly >= 0; readonly--) {
            struct source_config config = config_of("real", path.text);
            config.readonly = readonly;
            struct source *source = open_source(&config);
            struct run run;
            run_init_messages(&run, chat);
            assert_int_equal(run_on(&run, source), STATUS_OK);
            const Chatstore__V1__GetChatMessagesSinceResponse *response = run_response(&run);
            assert_true(response->n_messages > 0);
            for (size_t k = 0; k < response->n_messages; k++)
                assert_non_null(response->messages[k]->date);
            run_end(&run);
            source_close(source);
            struct bytes after = file_read(path.text);
            assert_true(!readonly || bytes_equal(before, after));
            bytes_free(after);
        }
        bytes_free(before);
    }
}

/* As a user for whom rights count; root is let through everywhere. */
static void become_user(uid_t user)
{
    if (geteuid() == 0 || user == 0)
        assert_int_equal(seteuid(user), 0);
}

static void a_folder_without_rights_is_unavailable_until_they_are_back(void **state)
{
    (void)state;
    struct path path = folder_file("bot.db");
    bool root = geteuid() == 0;
    if (root) {
        assert_int_equal(chown(folder_path(), 65534, (gid_t)-1), 0);
        become_user(65534);
    }
    struct source_config config = config_of("main", path.text);
    struct source *source = open_source(&config);
    assert_source_works(source);
    assert_int_equal(chmod(folder_path(), 0), 0);
    eventually(source_is_down, source);
    assert_source_down(source, "Permission denied");
    assert_int_equal(chmod(folder_path(), 0700), 0);
    assert_source_works(source);
    source_close(source);
    if (root)
        become_user(0);
}

static void a_file_without_the_right_to_write_says_so(void **state)
{
    (void)state;
    struct path path = folder_file("bot.db");
    bool root = geteuid() == 0;
    file_make(path.text, 6);
    if (root) {
        assert_int_equal(chown(folder_path(), 65534, (gid_t)-1), 0);
        assert_int_equal(chown(path.text, 65534, (gid_t)-1), 0);
        become_user(65534);
    }
    assert_int_equal(chmod(path.text, 0400), 0);
    struct source_config config = config_of("main", path.text);
    struct source *source = open_source(&config);
    assert_source_down(source, "cannot be written");
    assert_int_equal(chmod(path.text, 0600), 0);
    assert_source_works(source);
    source_close(source);
    if (root)
        become_user(0);
}

/* A file in WAL mode wants a -shm file beside it even to be read. */
static void a_readonly_wal_file_in_a_folder_without_rights_says_what_to_do(void **state)
{
    (void)state;
    struct path path = folder_file("wal.db");
    bool root = geteuid() == 0;
    file_make(path.text, 6);
    file_sql(path.text, "PRAGMA journal_mode = WAL; INSERT INTO settings (key, value) VALUES "
                        "('k', 'v')");
    assert_int_equal(chmod(path.text, 0644), 0);
    assert_int_equal(chmod(folder_path(), 0555), 0);
    if (root)
        become_user(65534);
    struct source_config config = config_of("wal", path.text);
    config.readonly = true;
    struct source *source = open_source(&config);
    assert_source_down(source, "WAL mode");
    source_close(source);
    config.immutable = true;
    source = open_source(&config);
    assert_string_equal(get_setting(source, "k").text, "v");
    source_close(source);
    if (root)
        become_user(0);
    assert_int_equal(chmod(folder_path(), 0755), 0);
}

static void the_journal_mode_is_the_configured_one(void **state)
{
    (void)state;
    static const struct {
        enum source_journal journal;
        const char *mode;
    } cases[] = {{SOURCE_JOURNAL_WAL, "wal"},
                 {SOURCE_JOURNAL_KEEP, "wal"},
                 {SOURCE_JOURNAL_TRUNCATE, "delete"}, /* as other connections see it */
                 {SOURCE_JOURNAL_KEEP, "delete"}};
    struct path path = folder_file("bot.db");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct source_config config = config_of("main", path.text);
        config.journal = cases[i].journal;
        config.sync = i % 2 ? SOURCE_SYNC_NORMAL : SOURCE_SYNC_FULL;
        struct source *source = open_source(&config);
        assert_source_works(source);
        source_close(source);
        assert_string_equal(file_text(path.text, "PRAGMA journal_mode").text, cases[i].mode);
    }
}

static void a_file_in_utf16_is_served_as_any_other(void **state)
{
    (void)state;
    struct path path = folder_file("wide.db");
    file_sql(path.text, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE x (y)");
    struct source_config config = config_of("wide", path.text);
    struct source *source = open_source(&config);
    assert_int_equal(set_setting(source, "ключ", "значення 😀"), STATUS_OK);
    assert_string_equal(get_setting(source, "ключ").text, "значення 😀");
    struct run run;
    run_init_save(&run, 1, 1);
    assert_int_equal(run_on(&run, source), STATUS_OK);
    run_end(&run);
    file_sql(path.text, "INSERT INTO chat_users (chat_id, user_id, username, full_name) VALUES "
                        "(1, 7, 'ю', '')");
    run_init_messages(&run, 1);
    assert_int_equal(run_on(&run, source), STATUS_OK);
    const Chatstore__V1__GetChatMessagesSinceResponse *response = run_response(&run);
    assert_int_equal(response->n_messages, 1);
    assert_string_equal(response->messages[0]->username, "ю");
    assert_int_equal(response->messages[0]->date->seconds, 1700000001);
    run_end(&run);
    source_close(source);
}

static void a_source_in_memory_is_read_and_written(void **state)
{
    (void)state;
    struct source_config config = config_of("memory", ":memory:");
    struct source *source = open_source(&config);
    struct source *other = open_source(&config);
    assert_source_works(source);
    assert_string_equal(get_setting(other, "works").text, "-"); /* each has its own */
    struct run runs[40];
    for (unsigned i = 0; i < 40; i++) {
        if (i % 2)
            run_init_get(&runs[i], "works");
        else
            run_init_save(&runs[i], 1, i);
        run_submit(&runs[i], source);
    }
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(run_wait(&runs[i]), STATUS_OK);
        run_end(&runs[i]);
    }
    assert_false(info_of(source).shared);
    source_close(source);
    source_close(other);
}

static void closing_answers_everything_that_is_under_way(void **state)
{
    (void)state;
    enum { RUNS = 60 };
    struct path path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    config.pool_size = 2;
    for (int round = 0; round < 20; round++) {
        struct run runs[RUNS];
        unsigned saved = 0;
        struct source *source = open_source(&config);
        for (unsigned i = 0; i < RUNS; i++) {
            if (i % 3 == 0)
                run_init_save(&runs[i], round, i);
            else if (i % 3 == 1)
                run_init_get(&runs[i], "k");
            else
                run_init_messages(&runs[i], round);
            run_submit(&runs[i], source);
        }
        source_close(source);
        for (unsigned i = 0; i < RUNS; i++) {
            assert_true(run_is_done(&runs[i]));
            enum status_code code = run_wait(&runs[i]);
            assert_true(code == STATUS_OK || code == STATUS_UNAVAILABLE);
            saved += i % 3 == 0 && code == STATUS_OK;
            run_end(&runs[i]);
        }
        char sql[100];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM chat_messages WHERE chat_id = %d", round);
        assert_int_equal(file_integer(path.text, sql), saved);
    }
}

static void closing_does_not_wait_for_a_source_that_is_down(void **state)
{
    (void)state;
    struct path path = folder_file("nowhere/bot.db");
    struct source_config config = config_of("down", path.text);
    for (int round = 0; round < 20; round++) {
        struct source *source = source_open(fixture_pool(), &config);
        if (round % 2)
            source_wait_opened(source, INT64_MAX);
        source_close(source);
    }
}

/* Far more sources than threads that open them; the last one is asked first. */
static void calls_that_come_before_the_opening_wait_for_it(void **state)
{
    (void)state;
    enum { SOURCES = 40 };
    struct source *sources[SOURCES];
    struct run saves[SOURCES], gets[SOURCES];
    for (unsigned i = 0; i < SOURCES; i++) {
        char name[32];
        snprintf(name, sizeof name, i == 0 ? "nowhere/%u.db" : "%u.db", i);
        struct path path = folder_file(name);
        struct source_config config = config_of("early", path.text);
        sources[i] = source_open(fixture_pool(), &config);
        assert_non_null(sources[i]);
    }
    for (unsigned i = SOURCES; i-- > 0;) {
        run_init_save(&saves[i], 1, i);
        run_init_get(&gets[i], "k");
        run_submit(&saves[i], sources[i]);
        run_submit(&gets[i], sources[i]);
    }
    for (unsigned i = 0; i < SOURCES; i++) {
        assert_int_equal(run_wait(&saves[i]), i == 0 ? STATUS_UNAVAILABLE : STATUS_OK);
        assert_int_equal(run_wait(&gets[i]), i == 0 ? STATUS_UNAVAILABLE : STATUS_OK);
        run_end(&saves[i]);
        run_end(&gets[i]);
        source_close(sources[i]);
    }
}

static void closing_before_the_opening_refuses_those_that_wait(void **state)
{
    (void)state;
    enum { SOURCES = 12 };
    for (int round = 0; round < 20; round++) {
        struct source *sources[SOURCES];
        struct run runs[SOURCES];
        struct path path = folder_file("bot.db");
        struct source_config config = config_of("early", path.text);
        config.readonly = round % 2;
        for (unsigned i = 0; i < SOURCES; i++) {
            sources[i] = source_open(fixture_pool(), &config);
            run_init_get(&runs[i], "k");
            run_submit(&runs[i], sources[i]);
        }
        for (unsigned i = SOURCES; i-- > 0;) {
            source_close(sources[i]);
            assert_true(run_is_done(&runs[i]));
            enum status_code code = run_wait(&runs[i]);
            assert_true(code == STATUS_OK || code == STATUS_UNAVAILABLE);
            run_end(&runs[i]);
        }
    }
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, pool_setup, pool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_missing_file_is_made_and_used),
        POOL_TEST(a_new_file_has_the_rights_that_the_umask_leaves),
        POOL_TEST(a_path_is_taken_as_it_is_written),
        POOL_TEST(a_folder_that_is_missing_is_waited_for),
        POOL_TEST(a_file_that_vanished_is_not_made_again),
        POOL_TEST(a_write_notices_that_the_file_is_gone),
        POOL_TEST(a_readonly_file_is_never_made),
        POOL_TEST(a_readonly_file_is_served_as_it_is),
        POOL_TEST(real_files_are_served),
        POOL_TEST(a_folder_without_rights_is_unavailable_until_they_are_back),
        POOL_TEST(a_file_without_the_right_to_write_says_so),
        POOL_TEST(a_readonly_wal_file_in_a_folder_without_rights_says_what_to_do),
        POOL_TEST(the_journal_mode_is_the_configured_one),
        POOL_TEST(a_file_in_utf16_is_served_as_any_other),
        POOL_TEST(a_source_in_memory_is_read_and_written),
        POOL_TEST(closing_answers_everything_that_is_under_way),
        POOL_TEST(closing_does_not_wait_for_a_source_that_is_down),
        POOL_TEST(calls_that_come_before_the_opening_wait_for_it),
        POOL_TEST(closing_before_the_opening_refuses_those_that_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
