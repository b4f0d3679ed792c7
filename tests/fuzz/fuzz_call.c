/* Any calls with arbitrary values in their fields, against real files: the bytes choose the calls,
 * which fields are there, and what is in them. */
#include "choose.h"
#include "host.h"

#include "call_ids.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chatstore/v1/envelope.pb-c.h"

enum { FRAMES_MAX = 4, CALLS_MAX = 4, INPUTS_PER_FILE = 2000 };

static const char config[] = "[database]\ndefault = \"one\"\n"
                             "[database.sources]\n"
                             "one = { path = \"one.db\", synchronous = \"normal\" }\n"
                             "two = { path = \"two.db\", journal-mode = \"truncate\","
                             " synchronous = \"normal\" }\n"
                             "[database.chatMapping]\n-2000 = \"two\"\n";

static const char *const names[] = {"one.db", "two.db"};

/* After so many calls nobody knows what should be in the files; but they are sound. */
static void check_file(const char *name)
{
    char path[400];
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    snprintf(path, sizeof path, "%s/%s", host_folder(), name);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW ||
        strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0) {
        fprintf(stderr, "%s is damaged: %s\n", path, sqlite3_errmsg(db));
        abort();
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static void begin_again(bool is_first)
{
    if (!is_first)
        host_close();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
        if (!is_first)
            check_file(names[i]);
        for (size_t end = 0; end < sizeof ends / sizeof *ends; end++) {
            char path[400];
            snprintf(path, sizeof path, "%s/%s%s", host_folder(), names[i], ends[end]);
            unlink(path);
        }
    }
    host_open(config, host_folder());
}

static Chatstore__V1__Call *choose_call(struct choose *choose, Chatstore__V1__Call *call)
{
    static const char *const ids[] = {"",
                                      "",
                                      "",
                                      "11111111-1111-7111-8111-111111111111",
                                      "22222222-2222-7222-8222-222222222222",
                                      "x",
                                      "\xc3\xa4"};
    const struct call *row = &call_table[choose_below(choose, CALL_COUNT)];

    *call = (Chatstore__V1__Call)CHATSTORE__V1__CALL__INIT;
    call->method = (char *)row->method;
    call->payload = choose_pack(choose, choose_request(choose, row));
    call->request_id = (char *)ids[choose_below(choose, sizeof ids / sizeof *ids)];
    call->timeout_ms = 0;
    return call;
}

static void run_frame(struct choose *choose)
{
    Chatstore__V1__Request request = CHATSTORE__V1__REQUEST__INIT;
    Chatstore__V1__Call calls[CALLS_MAX], *pointers[CALLS_MAX];

    request.calls = pointers;
    request.n_calls = 1 + choose_below(choose, CALLS_MAX);
    for (size_t i = 0; i < request.n_calls; i++)
        pointers[i] = choose_call(choose, &calls[i]);
    ProtobufCBinaryData bytes = choose_pack(choose, &request.base);
    host_run(bytes.data, bytes.len, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    struct choose choose;

    if (inputs++ % INPUTS_PER_FILE == 0)
        begin_again(inputs == 1);
    choose_begin(&choose, data, size);
    for (int i = 0; i < FRAMES_MAX && !choose_is_over(&choose); i++)
        run_frame(&choose);
    choose_end(&choose);
    return 0;
}
