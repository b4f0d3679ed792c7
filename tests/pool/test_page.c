/* What a page costs: the effort of SQLite, which the pages' place in the list must not change. That
 * pages are right is claimed in tests/calls/test_pages.c. */
#include "file.h"
#include "fixture.h"

#include "pool/log.h"
#include "pool/page.h"
#include "pool/schema.h"

#include <sqlite3.h>
#include <stdio.h>

enum { ROWS = 20000, PAGE_ROWS = 100 };

static int count_steps(void *steps)
{
    ++*(uint64_t *)steps;
    return 0;
}

static sqlite3 *open_filled(void)
{
    struct path path = folder_file("page.db");
    struct status why = {0};
    sqlite3 *db;
    char sql[1024];
    remove(path.text);
    file_make(path.text, 6);
    assert_int_equal(sqlite3_open(path.text, &db), SQLITE_OK);
    assert_int_equal(schema_migrate(db, 6, &why), SQLITE_OK);
    sqlite3_snprintf(
        sizeof sql, sql,
        "CREATE TEMP TABLE n AS WITH RECURSIVE c(n) AS (SELECT 10001 UNION ALL SELECT n + 1 FROM c "
        "LIMIT %d) SELECT n FROM c;"
        "INSERT INTO chat_users (chat_id, user_id, username, full_name) VALUES (-100, 7, '', '');"
        "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) "
        "SELECT -100, n, '2024-01-01 ' || n, 7, '' FROM n;"
        "INSERT INTO chat_settings (chat_id, key) SELECT -100, n FROM n;",
        ROWS);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    return db;
}

/* The steps that a page takes; the place behind it, in `place`. */
static uint64_t steps_of_page(sqlite3 *db, enum call_id id, const char *request_hex,
                              size_t request_bytes, size_t rows, struct buffer *place)
{
    const struct call *call = &call_table[id];
    struct page_read page = {.sql = call_page_sql[id].sql,
                             .directions = call_page_sql[id].directions,
                             .after = place->data,
                             .after_bytes = place->bytes};
    ProtobufCMessage *request =
        protobuf_c_message_unpack(call->request, NULL, request_bytes, (const uint8_t *)request_hex);
    struct answer answer;
    struct status why = {0};
    uint64_t steps = 0;
    assert_non_null(request);
    page.after_columns = place->bytes > 0 ? strlen(page.directions) : 0;
    answer_init(&answer, true, NULL, 0, 64 << 20);
    answer_set_page(&answer, rows, 0);
    sqlite3_progress_handler(db, 1, count_steps, &steps);
    assert_int_equal(page_run(db, call, &page, request, &answer, &why), SQLITE_DONE);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    assert_int_equal(answer.row_count, rows);
    assert_true(answer.more);
    place->bytes = 0;
    buffer_append(place, answer.keys.data + answer.rows[rows - 1].page_at,
                  answer.rows[rows - 1].page_bytes);
    answer_fini(&answer);
    protobuf_c_message_free_unpacked(request, NULL);
    return steps;
}

/* In both directions, and with a bound of the request's own on the column that is paged by. */
static void a_page_costs_the_same_wherever_it_is(void **state)
{
    (void)state;
    static const struct {
        enum call_id id;
        const char *request; /* chat_id = -100; the second: till the year 2100 as well */
        size_t bytes;
    } cases[] = {
        {CALL_GET_CHAT_MESSAGES_SINCE, "\x08\x9c\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {CALL_GET_CHAT_MESSAGES_SINCE,
         "\x08\x9c\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x06\x08\x80\xac\x9d\xc2\x0f", 19},
        {CALL_GET_CHAT_SETTINGS, "\x08\x9c\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
    };
    sqlite3 *db = open_filled();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer place;
        buffer_init(&place, NULL, 0, 4096);
        uint64_t first =
            steps_of_page(db, cases[i].id, cases[i].request, cases[i].bytes, PAGE_ROWS, &place);
        steps_of_page(db, cases[i].id, cases[i].request, cases[i].bytes, ROWS - 3 * PAGE_ROWS,
                      &place);
        uint64_t late =
            steps_of_page(db, cases[i].id, cases[i].request, cases[i].bytes, PAGE_ROWS, &place);
        if (late > 3 * first)
            fail_msg("%s: %llu steps for the first page, %llu for a late one",
                     call_table[cases[i].id].name, (unsigned long long)first,
                     (unsigned long long)late);
        buffer_fini(&place);
    }
    sqlite3_close(db);
}

static void values_are_read_within_their_bytes(void **state)
{
    (void)state;
    static const uint8_t values[] = {SQLITE_INTEGER, 1, 2,   3,   4,          5, 6, 7, 8,
                                     SQLITE_TEXT,    2, 'a', 'b', SQLITE_NULL};
    assert_true(page_values_are_valid(values, sizeof values, 3));
    assert_true(page_values_are_valid(NULL, 0, 0));
    assert_false(page_values_are_valid(values, sizeof values, 2));
    assert_false(page_values_are_valid(values, sizeof values, 4));
    for (size_t bytes = 0; bytes < sizeof values; bytes++) {
        uint8_t *copy = malloc(bytes + 1);
        memcpy(copy, values, bytes);
        assert_false(page_values_are_valid(copy, bytes, 3));
        free(copy);
    }
    static const uint8_t endless[] = {SQLITE_TEXT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
                         strange[] = {9};
    assert_false(page_values_are_valid(endless, sizeof endless, 1));
    assert_false(page_values_are_valid(strange, sizeof strange, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_costs_the_same_wherever_it_is),
        cmocka_unit_test(values_are_read_within_their_bytes),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
