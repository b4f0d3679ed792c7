/* Lists in pages, through both doors: the pages of every list are its whole, whatever their size;
 * what comes or goes between two of them moves no other row; a token is taken for nothing but what
 * it was given for; a page keeps within its bounds. */
#include "steps.h"
#include "world.h"

#include "json.h"
#include "proto/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { REPLY_BYTES = 4096, PAGE_ROWS_MAX = 10000, TOKEN_BYTES = 512 };

struct stage {
    struct sandbox sandbox;
    struct door door;
};

/* ---- The rows ---- */

/* Ties, NULLs and numbers where texts are expected, in all that rows are ordered by. */
static const char of_one_chat[] =
    "CREATE TEMP TABLE n AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
    "LIMIT 40) SELECT n FROM c;"
    "INSERT OR IGNORE INTO chat_users (chat_id, user_id, username, full_name, updated_at) "
    "SELECT -100, n, 'u' || n, '', iif(n % 5 = 0, NULL, '2024-01-01 00:00:' || (10 + n % 7)) "
    "FROM n;"
    "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text, "
    "root_message_id, thread_id) SELECT -100, 'm' || n, '2024-01-01 00:00:' || (10 + n / 4), "
    "7 + n % 2, 'text', '1', n % 3 FROM n;"
    "INSERT INTO chat_settings (chat_id, key, value) SELECT -100, 'k' || n, n FROM n;"
    "INSERT INTO settings (key, value) SELECT 'k' || n, n FROM n;"
    "INSERT INTO settings (key, value) VALUES (NULL, 'nameless');"
    "INSERT INTO chat_topics (chat_id, topic_id, name) SELECT -100, n - 20, n FROM n;"
    "INSERT INTO delayed_tasks (id, delayed_ts, function, kwargs) SELECT n, n % 6 - 3, 'f', '{}' "
    "FROM n;"
    "INSERT INTO user_data (user_id, chat_id, key, data) SELECT 7, -100, 'k' || n, n FROM n;"
    "INSERT INTO bayes_tokens (token, chat_id, spam_count, ham_count, total_count) "
    "SELECT 't' || (n % 30), NULL, n % 4, n % 3, n % 4 + n % 3 FROM n;"
    "INSERT INTO spam_messages (chat_id, user_id, message_id, text, reason, score) "
    "SELECT -100, n % 7, n % 20, 'buy', 'auto', 0.5 FROM n;"
    "INSERT INTO chat_info (chat_id, type) SELECT -n, 'group' FROM n;"
    "INSERT INTO chat_users (chat_id, user_id, username, full_name) SELECT -n, 7, '', '' FROM n;"
    "INSERT INTO cache_storage (namespace, key, value, updated_at) SELECT 'n' || (n % 3), 'k' || "
    "n, "
    "'main', iif(n % 8 = 0, NULL, '2024-01-01 00:00:' || (10 + n % 9)) FROM n;";

/* Most of what the merged calls find here is in main as well, some at another place. */
static const char of_second[] =
    "CREATE TEMP TABLE n AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
    "LIMIT 50) SELECT n FROM c;"
    "INSERT INTO spam_messages (chat_id, user_id, message_id, text, reason, score) "
    "SELECT -100 - n % 3 / 2, n % 7, n % 25, 'buy', 'user', 0.5 FROM n;"
    "INSERT INTO chat_info (chat_id, type) SELECT -n, 'supergroup' FROM n;"
    "INSERT INTO chat_users (chat_id, user_id, username, full_name) SELECT -n, 7, '', '' FROM n;"
    "INSERT INTO cache_storage (namespace, key, value, updated_at) SELECT 'n' || (n % 3), 'k' || "
    "n, "
    "'second', iif(n % 7 = 0, NULL, '2024-01-01 00:00:' || (10 + n % 11)) FROM n;";

static const char empty_request[] = "{\"chat_id\": -1}";

/* Every list, and every limit. */
static const struct {
    const char *call, *request;
} lists[] = {
    {"GetAllTokens", "{}"},
    {"GetTokenStats", "{\"tokens\": [\"t1\", \"t2\", \"t3\", \"t4\", \"t5\", \"t6\"]}"},
    {"GetTopSpamTokens", "{\"limit\": 25}"},
    {"GetTopSpamTokens", "{}"},
    {"GetTopHamTokens", "{\"limit\": 1000}"},
    {"GetCacheStorage", "{}"},
    {"GetCacheStorage", "{\"data_source\": \"second\"}"},
    {"GetChatSettings", "{\"chat_id\": -100}"},
    {"GetAllGroupChats", "{}"},
    {"GetAllGroupChats", "{\"data_source\": \"second\"}"},
    {"GetChatTopics", "{\"chat_id\": -100}"},
    {"GetChatMessagesSince", "{\"chat_id\": -100}"},
    {"GetChatMessagesSince", "{\"chat_id\": -100, \"limit\": 13}"},
    {"GetChatMessagesSince", "{\"chat_id\": -100, \"since\": \"2024-01-01T00:00:12Z\", "
                             "\"till\": \"2024-01-01T00:00:18Z\", \"thread_id\": 1}"},
    {"GetChatMessagesSince", empty_request},
    {"GetChatMessagesByRootId", "{\"chat_id\": -100, \"root_message_id\": \"1\"}"},
    {"GetChatMessagesByUser", "{\"chat_id\": -100, \"user_id\": 7}"},
    {"GetChatMessagesByUser", "{\"chat_id\": -100, \"user_id\": 7, \"limit\": 9}"},
    {"GetSettings", "{}"},
    {"GetSpamMessagesByText", "{\"text\": \"buy\"}"},
    {"GetSpamMessages", "{}"},
    {"GetSpamMessages", "{\"limit\": 50}"},
    {"GetSpamMessages", "{\"limit\": 3, \"data_source\": \"second\"}"},
    {"GetSpamMessagesByUserId", "{\"chat_id\": -100, \"user_id\": 3}"},
    {"GetPendingDelayedTasks", "{}"},
    {"GetUserData", "{\"user_id\": 7, \"chat_id\": -100}"},
    {"GetChatUsers", "{\"chat_id\": -100, \"limit\": 1000}"},
    {"GetChatUsers", "{\"chat_id\": -100}"},
    {"GetUserChats", "{\"user_id\": 7}"},
};
enum { LIST_COUNT = sizeof lists / sizeof lists[0] };

/* ---- Pages ---- */

struct page {
    enum chatstore_status status;
    char text[512]; /* why not */
    char token[TOKEN_BYTES];
    size_t rows;
    size_t reply_bytes;
    uint8_t *bytes; /* of the rows alone */
    size_t byte_count;
};

static void *member(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (char *)message + field->offset;
}

static void read_page(const struct call *call, const uint8_t *reply, struct page *page)
{
    ProtobufCMessage *response =
        protobuf_c_message_unpack(call->response, NULL, page->reply_bytes, reply);
    assert_non_null(response);
    char **token = member(response, call->next_page_token);
    assert_true(strlen(*token) < sizeof page->token);
    snprintf(page->token, sizeof page->token, "%s", *token);
    page->rows = *(size_t *)((char *)response + call->response->fields[0].quantifier_offset);
    if (**token != '\0')
        (*token)[0] = '\0'; /* then it is not encoded */
    page->bytes = malloc(protobuf_c_message_get_packed_size(response) + 1);
    assert_non_null(page->bytes);
    page->byte_count = protobuf_c_message_pack(response, page->bytes);
    protobuf_c_message_free_unpacked(response, NULL);
}

/* page->bytes are to be freed. */
static void get_page(const struct stage *stage, const char *name, const char *request,
                     int64_t page_size, const char *token, struct page *page)
{
    const struct call *call = call_find_by_name(name);
    struct chatstore_outcome outcome;
    uint8_t *payload, *reply = NULL;
    size_t bytes;
    json_t *object = json_loads(request, 0, NULL);
    assert_non_null(object);
    json_object_set_new(object, "page_size", json_integer(page_size));
    json_object_set_new(object, "page_token", json_string(token));
    *page = (struct page){0};
    if (!message_from_json(call->request, object, &payload, &bytes, page->text, sizeof page->text))
        fail_msg("%s", page->text);
    json_decref(object);
    page->status =
        door_call(&stage->door, call->method, payload, bytes, &outcome, &reply, &page->reply_bytes);
    snprintf(page->text, sizeof page->text, "%s", outcome.message ? outcome.message : "");
    if (page->status == CHATSTORE_OK)
        read_page(call, reply, page);
    chatstore_outcome_clear(&outcome);
    free(payload);
    free(reply);
}

/* As get_page; fails the test if there is no such page. */
static void get_good_page(const struct stage *stage, const char *name, const char *request,
                          int64_t page_size, const char *token, struct page *page)
{
    get_page(stage, name, request, page_size, token, page);
    if (page->status != CHATSTORE_OK)
        fail_msg("%s %s: %s", name, request, page->text);
}

/* All pages of a list as if they were one. */
static void get_pages(const struct stage *stage, const char *name, const char *request,
                      int64_t page_size, struct page *all, size_t *count_out)
{
    *all = (struct page){0};
    *count_out = 0;
    do {
        struct page page;
        get_good_page(stage, name, request, page_size, all->token, &page);
        if (page.rows > (size_t)page_size || (page.rows == 0 && page.token[0] != '\0'))
            fail_msg("%s %s: a page of %lld has %zu rows", name, request, (long long)page_size,
                     page.rows);
        all->bytes = realloc(all->bytes, all->byte_count + page.byte_count + 1);
        assert_non_null(all->bytes);
        memcpy(all->bytes + all->byte_count, page.bytes, page.byte_count);
        all->byte_count += page.byte_count;
        all->rows += page.rows;
        if (page.reply_bytes > all->reply_bytes) /* the longest */
            all->reply_bytes = page.reply_bytes;
        memcpy(all->token, page.token, sizeof all->token);
        free(page.bytes);
        ++*count_out;
    } while (all->token[0] != '\0');
}

static void expect_refused(const struct stage *stage, const char *name, const char *request,
                           const char *token, const char *part)
{
    struct page page;
    get_page(stage, name, request, 2, token, &page);
    if (page.status != CHATSTORE_INVALID_ARGUMENT || strstr(page.text, part) == NULL)
        fail_msg("%s %s with %s: %s, without \"%s\"", name, request, token, page.text, part);
    free(page.bytes);
}

/* ---- Claims ---- */

static void every_list_is_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_table_count; i++) {
        bool found = call_table[i].page_size == NULL;
        for (size_t n = 0; n < LIST_COUNT; n++)
            found = found || strcmp(lists[n].call, call_table[i].name) == 0;
        if (!found)
            fail_msg("%s is a list, but not in this test", call_table[i].name);
    }
}

static void the_pages_of_a_list_are_its_whole(void **state)
{
    const struct stage *stage = *state;
    static const int64_t sizes[] = {1, 2, 3, 7, 1000};
    for (size_t i = 0; i < LIST_COUNT; i++) {
        struct page whole;
        get_good_page(stage, lists[i].call, lists[i].request, 0, "", &whole);
        assert_string_equal(whole.token, "");
        assert_int_equal(whole.reply_bytes, whole.byte_count);
        if (whole.rows < 3 && lists[i].request != empty_request)
            fail_msg("%s %s has but %zu rows", lists[i].call, lists[i].request, whole.rows);
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            struct page all;
            size_t count;
            get_pages(stage, lists[i].call, lists[i].request, sizes[s], &all, &count);
            if (all.byte_count != whole.byte_count ||
                (whole.byte_count > 0 && memcmp(all.bytes, whole.bytes, whole.byte_count) != 0))
                fail_msg("%s %s: pages of %lld have %zu rows in all, the whole has %zu",
                         lists[i].call, lists[i].request, (long long)sizes[s], all.rows,
                         whole.rows);
            if (count > whole.rows + 1)
                fail_msg("%s: %zu pages for %zu rows", lists[i].call, count, whole.rows);
            free(all.bytes);
        }
        free(whole.bytes);
    }
}

static void rows_between_pages_move_no_others(void **state)
{
    const struct stage *stage = *state;
    static const char call[] = "GetChatMessagesSince", request[] = "{\"chat_id\": -100}";
    struct page whole, first, rest;
    get_good_page(stage, call, request, 0, "", &whole);
    get_good_page(stage, call, request, 10, "", &first);
    assert_int_equal(first.rows, 10);
    /* Newer ones, and the very row at which the page ended is gone. */
    json_decref(sandbox_sql(
        &stage->sandbox, "main.db",
        "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) VALUES "
        "(-100, 'new 1', '2030-01-01 00:00:00', 7, ''), "
        "(-100, 'new 2', '2030-01-01 00:00:01', 7, '');"
        "DELETE FROM chat_messages WHERE rowid = (SELECT m.rowid FROM chat_messages m "
        "WHERE m.chat_id = -100 AND m.message_id NOT LIKE 'new%' AND EXISTS (SELECT 1 FROM "
        "chat_users u WHERE u.chat_id = -100 AND u.user_id = m.user_id) "
        "ORDER BY m.date DESC, m.message_id LIMIT 1 OFFSET 9)",
        "between"));
    get_good_page(stage, call, request, 1000, first.token, &rest);
    assert_int_equal(first.rows + rest.rows, whole.rows);
    assert_int_equal(first.byte_count + rest.byte_count, whole.byte_count);
    assert_memory_equal(whole.bytes, first.bytes, first.byte_count);
    assert_memory_equal(whole.bytes + first.byte_count, rest.bytes, rest.byte_count);
    free(whole.bytes);
    free(first.bytes);
    free(rest.bytes);
}

static void a_token_is_taken_for_its_own_list_only(void **state)
{
    const struct stage *stage = *state;
    static const char users[] = "GetChatUsers", request[] = "{\"chat_id\": -100, \"limit\": 9}";
    static const char none[] = "none that this service gives", other[] = "other arguments";
    struct page page, next;
    get_good_page(stage, users, request, 2, "", &page);
    assert_true(page.token[0] != '\0');
    expect_refused(stage, users, "{\"chat_id\": -100, \"limit\": 8}", page.token, other);
    expect_refused(stage, users, "{\"chat_id\": -101, \"limit\": 9}", page.token, other);
    expect_refused(stage, "GetChatTopics", "{\"chat_id\": -100}", page.token, other);
    expect_refused(stage, users, request, "x", none);
    expect_refused(stage, users, request, "AAAA", none);
    expect_refused(stage, users, request, "Ünicode", none);
    for (size_t i = 0; page.token[i] != '\0'; i++) {
        char token[TOKEN_BYTES], kept = page.token[i];
        snprintf(token, sizeof token, "%s", page.token);
        token[i] = kept == 'Q' ? 'g' : 'Q';
        expect_refused(stage, users, request, token, "page_token");
        snprintf(token, i + 1, "%s", page.token);
        if (i > 0)
            expect_refused(stage, users, request, token, none);
    }
    /* The size may change, also to "as much as fits"; an unused page_token goes on as well. */
    get_good_page(stage, users, request, 0, page.token, &next);
    assert_int_equal(next.rows, 7);
    assert_string_equal(next.token, "");
    free(page.bytes);
    free(next.bytes);
}

static void a_page_has_a_largest_size(void **state)
{
    const struct stage *stage = *state;
    struct page page;
    json_decref(sandbox_sql(&stage->sandbox, "main.db",
                            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT "
                            "10100) INSERT INTO chat_settings (chat_id, key) SELECT -7, n FROM c",
                            "many"));
    get_good_page(stage, "GetChatSettings", "{\"chat_id\": -7}", UINT32_MAX, "", &page);
    assert_int_equal(page.rows, PAGE_ROWS_MAX);
    free(page.bytes);
    get_good_page(stage, "GetChatSettings", "{\"chat_id\": -7}", UINT32_MAX, page.token, &page);
    assert_int_equal(page.rows, 100);
    assert_string_equal(page.token, "");
    free(page.bytes);
}

/* A list that is larger than a reply may be, in pages that are not; of two sources too. */
static void a_page_ends_before_the_reply_is_full(void **state)
{
    const struct stage *stage = *state;
    static const struct {
        const char *call, *request, *sql;
    } cases[] = {
        {"GetChatSettings", "{\"chat_id\": -7}",
         "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 40) "
         "INSERT INTO chat_settings (chat_id, key, value) "
         "SELECT -7, n, hex(zeroblob(n * 20)) FROM c"},
        {"GetCacheStorage", "{}",
         "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 40) "
         "INSERT INTO cache_storage (namespace, key, value) "
         "SELECT 'big', n, hex(zeroblob(n * 20)) FROM c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct page page, all;
        size_t count, others;
        get_pages(stage, cases[i].call, cases[i].request, 1000, &all, &count);
        others = all.rows;
        free(all.bytes);
        json_decref(sandbox_sql(&stage->sandbox, "main.db", cases[i].sql, "big"));
        get_page(stage, cases[i].call, cases[i].request, 0, "", &page);
        /* A merged list goes on without the source whose rows are too many. */
        assert_true(page.status == CHATSTORE_RESOURCE_EXHAUSTED || page.rows == 50);
        free(page.bytes);
        get_pages(stage, cases[i].call, cases[i].request, 1000, &all, &count);
        assert_int_equal(all.rows, others + 40);
        assert_in_range(count, 40 * 41 / 2 * 40 / REPLY_BYTES, 30);
        assert_in_range(all.reply_bytes, REPLY_BYTES / 4, REPLY_BYTES);
        free(all.bytes);
    }
}

/* ---- Setup ---- */

static void stage_open(struct stage *stage, enum door_kind kind, const char *config)
{
    world_open(&stage->sandbox);
    if (config != NULL)
        sandbox_write(&stage->sandbox, WORLD_CONFIG, config);
    json_decref(sandbox_sql(&stage->sandbox, "main.db", of_one_chat, "of_one_chat"));
    json_decref(sandbox_sql(&stage->sandbox, "second.db", of_second, "of_second"));
    door_open(&stage->door, kind, &stage->sandbox, WORLD_CONFIG);
}

static struct stage stage;

static int stage_close(void **state)
{
    (void)state;
    door_close(&stage.door);
    sandbox_close(&stage.sandbox);
    return 0;
}

static int open_embedded(void **state)
{
    *state = &stage;
    stage_open(&stage, DOOR_EMBEDDED, NULL);
    return 0;
}

static int open_ipc(void **state)
{
    *state = &stage;
    stage_open(&stage, DOOR_IPC, NULL);
    return 0;
}

static int open_small(void **state)
{
    static const char config[] =
        "[service.limits]\nreply_bytes = 4096\n[database]\n"
        "default = \"main\"\n[database.sources]\n"
        "main = { path = \"main.db\" }\nsecond = { path = \"second.db\" }\n";
    *state = &stage;
    stage_open(&stage, DOOR_IPC, config);
    return 0;
}

#define THROUGH(door, test)                                                                        \
    {                                                                                              \
#test " (" #door ")", test, open_##door, stage_close, NULL                                 \
    }

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_list_is_here),
        THROUGH(embedded, the_pages_of_a_list_are_its_whole),
        THROUGH(ipc, the_pages_of_a_list_are_its_whole),
        THROUGH(embedded, rows_between_pages_move_no_others),
        THROUGH(ipc, rows_between_pages_move_no_others),
        THROUGH(ipc, a_token_is_taken_for_its_own_list_only),
        THROUGH(embedded, a_page_has_a_largest_size),
        THROUGH(small, a_page_ends_before_the_reply_is_full),
    };
    door_setup(LOG_INFO);
    return cmocka_run_group_tests(tests, world_prepare, world_forget);
}
