#include "special.h"

#include "clock.h"
#include "data.h"
#include "server.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

enum { ROUNDS = 9 };

/* Milliseconds of each round. */
struct rounds {
    double server[ROUNDS], page[ROUNDS], schema[ROUNDS];
};

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static double since_ms(int64_t begin_ns)
{
    return (double)(bench_now_ns() - begin_ns) / 1e6;
}

static bool read_one(const char *path, const char *sql)
{
    sqlite3 *db;
    bool read = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    if (!read)
        fprintf(stderr, "chatstore-bench startup: %s: %s\n", path, sqlite3_errmsg(db));
    sqlite3_close(db);
    return read;
}

static bool read_all(const char *dir, uint64_t sources, const char *sql, double *ms_out)
{
    int64_t begin_ns = bench_now_ns();
    for (uint64_t i = 0; i < sources; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/source-%04" PRIu64 ".db", dir, i);
        if (!read_one(path, sql))
            return false;
    }
    *ms_out = since_ms(begin_ns);
    return true;
}

/* To the first answer, from a source that is not the first. */
static bool start_once(const struct options *options, const char *dir, double *ms_out)
{
    struct server server;
    int64_t begin_ns = bench_now_ns();
    if (!server_start(options->server, dir, &server))
        return false;
    bool answered = server_ask(&server, options->sources / 2 * options->chats);
    *ms_out = since_ms(begin_ns);
    server_stop(&server);
    return answered;
}

static bool measure(const struct options *options, const char *dir, struct rounds *rounds)
{
    double first;
    if (!start_once(options, dir, &first)) /* sets the journal mode of new files */
        return false;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (!start_once(options, dir, &rounds->server[i]) ||
            !read_all(dir, options->sources, "PRAGMA schema_version", &rounds->page[i]) ||
            !read_all(dir, options->sources, "SELECT count(*) FROM settings", &rounds->schema[i]))
            return false;
    }
    return true;
}

static void print(const struct options *options, struct rounds *rounds)
{
    double server = median(rounds->server), page = median(rounds->page),
           schema = median(rounds->schema);
    if (options->json)
        printf("{\"load\": \"startup\", \"sources\": %" PRIu64 ", \"rounds\": %d, "
               "\"server_ms\": %.2f, \"one_page_ms\": %.2f, \"first_query_ms\": %.2f, "
               "\"ratio\": %.3f}\n",
               options->sources, ROUNDS, server, page, schema, server / page);
    else
        printf("startup with %" PRIu64 " sources, medians of %d\n"
               "  chatstored, to the first answer      %8.2f ms\n"
               "  SQLite, one page of each file        %8.2f ms  (chatstored takes %.2f x)\n"
               "  SQLite, one small query of each file %8.2f ms  (%.2f x)\n",
               options->sources, ROUNDS, server, page, server / page, schema, server / schema);
}

int startup_run(const struct options *options)
{
    struct scratch scratch;
    struct rounds rounds;
    if (!scratch_make(options->dir, &scratch))
        return EX_CANTCREAT;
    struct data_spec spec = {.dir = scratch.dir,
                             .sources = options->sources,
                             .chats = options->chats,
                             .users = options->users,
                             .messages = options->messages,
                             .mapped = options->mapped,
                             .seed = options->seed};
    bool measured = data_make(&spec) && measure(options, scratch.dir, &rounds);
    if (measured)
        print(options, &rounds);
    scratch_remove(&scratch);
    return measured ? EX_OK : EX_SOFTWARE;
}
