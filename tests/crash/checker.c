#include "checker.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

enum { COLUMNS_MAX = 9, EXAMPLES_MAX = 3 };

struct checker {
    sqlite3 *db; /* in memory: the journal; the source as "f" */
    FILE *report;
    long long violations;
    bool failed;
};

static const char tables[] =
    "CREATE TABLE intents (op, kind, source, chat_id, user_id, day, bytes, request_id);"
    "CREATE TABLE acks (op, rows);"
    "CREATE TABLE refusals (op, status);"
    "CREATE TABLE repeats (op, status, rows);"
    "CREATE TABLE missing (op);";

/* How the lines of the journal are stored; their columns are ?1 and so on. */
static const struct {
    const char *word, *sql;
    int columns;
} lines[] = {
    {"intent", "INSERT INTO intents VALUES (?1,?2,?3,?4+0,?5+0,?6+0,?7+0,?8)", 8},
    {"ack", "INSERT INTO acks VALUES (?1,?2+0)", 2},
    {"refused", "INSERT INTO refusals VALUES (?1,?2)", 2},
    {"repeat", "INSERT INTO repeats VALUES (?1,?2,?3+0)", 3},
    {"missing", "INSERT INTO missing VALUES (?1)", 1},
};

/* What was asked for, and what became of it. `writer` and `number` are the parts of the op. */
static const char views[] =
    "CREATE TABLE ops AS SELECT i.*, substr(i.op, 1, instr(i.op, '-') - 1) AS writer, "
    "substr(i.op, instr(i.op, '-') + 1) + 0 AS number, "
    "iif(a.op IS NOT NULL, 'acked', iif(r.op IS NOT NULL, 'refused', 'unknown')) AS state, a.rows "
    "FROM intents i LEFT JOIN acks a ON a.op = i.op LEFT JOIN refusals r ON r.op = i.op;"
    "CREATE INDEX ops_op ON ops (op);";

static const char indexes[] = "CREATE INDEX acks_op ON acks (op);"
                              "CREATE INDEX refusals_op ON refusals (op);";

struct rule {
    const char *name;
    const char *sql; /* a row for each violation, its first column an example */
};

/* Of the journal alone. */
static const struct rule journal_rules[] = {
    {"meant twice", "SELECT op FROM intents GROUP BY op HAVING count(*) > 1"},
    {"answered without being meant",
     "SELECT op FROM (SELECT op FROM acks UNION ALL SELECT op FROM refusals UNION ALL SELECT op "
     "FROM repeats) WHERE op NOT IN (SELECT op FROM intents)"},
    {"answered twice",
     "SELECT op FROM (SELECT op FROM acks UNION ALL SELECT op FROM refusals) GROUP BY op "
     "HAVING count(*) > 1"},
    {"acknowledged, but not found by a read behind that", "SELECT op FROM missing"},
    {"refused", "SELECT op || ' ' || status FROM refusals"},
    {"acknowledged with another number of rows than it changes",
     "SELECT op || ': ' || rows FROM ops WHERE state = 'acked' "
     "AND rows <> CASE kind WHEN 'save' THEN 4 WHEN 'tokens' THEN 2 ELSE 1 END"},
    {"repeated with another answer",
     "SELECT r.op || ': ' || r.status || ' ' || r.rows FROM repeats r JOIN ops o ON o.op = r.op "
     "WHERE o.state <> 'acked' OR r.status <> 'OK' OR r.rows <> o.rows"},
};

#define TEXT_OF(alias) alias ".op || ':' || replace(hex(zeroblob(" alias ".bytes)), '00', 'x')"
#define DAY_OF(alias) "printf('2024-01-%02d', " alias ".day)"

/* Of each source, whose name is ?1. */
static const struct rule source_rules[] = {
    {"lost: acknowledged messages that are not there",
     "SELECT op FROM ops WHERE kind = 'save' AND state = 'acked' AND source = ?1 AND NOT EXISTS "
     "(SELECT 1 FROM f.chat_messages m WHERE m.chat_id = ops.chat_id AND m.message_id = op)"},
    {"messages that nobody sent, or here",
     "SELECT m.message_id FROM f.chat_messages m LEFT JOIN ops o ON o.op = m.message_id "
     "AND o.kind = 'save' AND o.source = ?1 AND o.chat_id = m.chat_id AND o.state <> 'refused' "
     "WHERE o.op IS NULL"},
    {"messages with another content",
     "SELECT o.op FROM ops o JOIN f.chat_messages m ON m.message_id = o.op "
     "WHERE o.kind = 'save' AND o.source = ?1 AND (m.message_text IS NOT " TEXT_OF(
         "o") " OR m.user_id IS NOT o.user_id OR substr(m.date, 1, 10) IS NOT " DAY_OF("o") ")"},
    {"messages_count of users that is not the number of their messages",
     "SELECT u.chat_id || '/' || u.user_id || ': ' || u.messages_count FROM f.chat_users u "
     "WHERE u.messages_count <> (SELECT count(*) FROM f.chat_messages m "
     "WHERE m.chat_id = u.chat_id AND m.user_id = u.user_id)"},
    {"chat_stats that are not the numbers of the messages",
     "WITH counted AS (SELECT chat_id, substr(date, 1, 10) || ' 00:00:00' AS day, count(*) AS n "
     "FROM f.chat_messages GROUP BY 1, 2), "
     "stated AS (SELECT chat_id, date AS day, messages_count AS n FROM f.chat_stats) "
     "SELECT chat_id || ' ' || day || ': ' || n FROM "
     "(SELECT * FROM (SELECT * FROM counted EXCEPT SELECT * FROM stated) UNION "
     "SELECT * FROM (SELECT * FROM stated EXCEPT SELECT * FROM counted))"},
    {"chat_user_stats that are not the numbers of the messages",
     "WITH counted AS (SELECT chat_id, user_id, substr(date, 1, 10) || ' 00:00:00' AS day, "
     "count(*) AS n FROM f.chat_messages GROUP BY 1, 2, 3), "
     "stated AS (SELECT chat_id, user_id, date AS day, messages_count AS n FROM f.chat_user_stats) "
     "SELECT chat_id || '/' || user_id || ' ' || day || ': ' || n FROM "
     "(SELECT * FROM (SELECT * FROM counted EXCEPT SELECT * FROM stated) UNION "
     "SELECT * FROM (SELECT * FROM stated EXCEPT SELECT * FROM counted))"},
    {"lost: acknowledged tokens that are not there",
     "SELECT op FROM ops WHERE kind = 'tokens' AND state = 'acked' AND source = ?1 AND op NOT IN "
     "(SELECT token FROM f.bayes_tokens)"},
    {"doubled: tokens that were counted once and are there more often",
     "SELECT token || ': ' || total_count FROM f.bayes_tokens "
     "WHERE token <> 'all' AND (total_count <> 1 OR spam_count + ham_count <> 1)"},
    {"tokens that nobody sent, or here",
     "SELECT token FROM f.bayes_tokens WHERE token <> 'all' AND token NOT IN "
     "(SELECT op FROM ops WHERE kind = 'tokens' AND source = ?1 AND state <> 'refused')"},
    {"doubled or torn: the common token is not the sum of the others",
     "SELECT total FROM (SELECT coalesce(sum(total_count) FILTER (WHERE token = 'all'), 0) AS "
     "total, coalesce(sum(total_count) FILTER (WHERE token <> 'all'), 0) AS sum "
     "FROM f.bayes_tokens) WHERE total <> sum"},
    {"settings that are not the last ones",
     "WITH last AS (SELECT writer, max(number) AS number FROM ops "
     "WHERE kind = 'setting' AND state = 'acked' AND source = ?1 GROUP BY writer) "
     "SELECT l.writer || '-' || l.number FROM last l WHERE NOT EXISTS (SELECT 1 FROM f.settings s "
     "JOIN ops o ON o.op = s.value AND o.kind = 'setting' AND o.state <> 'refused' "
     "WHERE s.key = l.writer AND o.writer = l.writer AND o.number >= l.number)"},
    {"acknowledged writes whose request_id is not known any more",
     "SELECT op FROM ops WHERE state = 'acked' AND source = ?1 AND request_id <> '' AND NOT EXISTS "
     "(SELECT 1 FROM f.chatstore_requests r WHERE r.request_id = ops.request_id AND r.code = 0)"},
    {"the file is damaged",
     "SELECT integrity_check FROM pragma_integrity_check WHERE schema = 'f' AND "
     "integrity_check <> 'ok'"},
    {"a foreign key is broken",
     "SELECT \"table\" FROM pragma_foreign_key_check WHERE schema = 'f'"},
};

static void cannot(struct checker *checker, const char *what)
{
    fprintf(checker->report, "cannot check: %s: %s\n", what, sqlite3_errmsg(checker->db));
    checker->failed = true;
}

static void run_sql(struct checker *checker, const char *sql)
{
    if (!checker->failed && sqlite3_exec(checker->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        cannot(checker, sql);
}

static void run_rule(struct checker *checker, const struct rule *rule, const char *source)
{
    sqlite3_stmt *stmt = NULL;
    long long found = 0;
    int error = sqlite3_prepare_v2(checker->db, rule->sql, -1, &stmt, NULL);
    if (error == SQLITE_OK && source)
        sqlite3_bind_text(stmt, 1, source, -1, SQLITE_STATIC);
    while (error == SQLITE_OK && (error = sqlite3_step(stmt)) == SQLITE_ROW) {
        error = SQLITE_OK;
        if (found++ < EXAMPLES_MAX)
            fprintf(checker->report, "%s%s%s: %s\n", source ? source : "", source ? ": " : "",
                    rule->name, (const char *)sqlite3_column_text(stmt, 0));
    }
    if (error != SQLITE_DONE)
        cannot(checker, rule->name);
    if (found > EXAMPLES_MAX)
        fprintf(checker->report, "%s%s%s: %lld in all\n", source ? source : "", source ? ": " : "",
                rule->name, found);
    checker->violations += found;
    sqlite3_finalize(stmt);
}

/* One line, without its line feed; a line that is none of ours is a violation. */
static void read_line(struct checker *checker, sqlite3_stmt *const *stmts, char *line)
{
    char *columns[COLUMNS_MAX] = {line};
    int count = 1;
    for (char *at = line; (at = strchr(at, '\t')) != NULL && count < COLUMNS_MAX;) {
        *at++ = '\0';
        columns[count++] = at;
    }
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (strcmp(columns[0], lines[i].word) != 0 || count != lines[i].columns + 1)
            continue;
        for (int column = 1; column < count; column++)
            sqlite3_bind_text(stmts[i], column, columns[column], -1, SQLITE_STATIC);
        sqlite3_step(stmts[i]);
        if (sqlite3_reset(stmts[i]) != SQLITE_OK)
            cannot(checker, lines[i].word);
        return;
    }
    fprintf(checker->report, "the journal has a line that cannot be read: %s\n", columns[0]);
    checker->violations++;
}

static void read_journal(struct checker *checker, FILE *journal)
{
    enum { KINDS = sizeof lines / sizeof *lines };
    sqlite3_stmt *stmts[KINDS] = {0};
    char line[1024];
    run_sql(checker, "BEGIN");
    for (int i = 0; i < KINDS && !checker->failed; i++)
        if (sqlite3_prepare_v2(checker->db, lines[i].sql, -1, &stmts[i], NULL) != SQLITE_OK)
            cannot(checker, lines[i].word);
    while (!checker->failed && fgets(line, sizeof line, journal)) {
        line[strcspn(line, "\n")] = '\0';
        read_line(checker, stmts, line);
    }
    for (int i = 0; i < KINDS; i++)
        sqlite3_finalize(stmts[i]);
    run_sql(checker, "COMMIT");
    run_sql(checker, indexes);
    run_sql(checker, views);
}

static void check_source(struct checker *checker, const struct checker_source *source)
{
    sqlite3_stmt *attach = NULL;
    if (sqlite3_prepare_v2(checker->db, "ATTACH ?1 AS f", -1, &attach, NULL) == SQLITE_OK) {
        sqlite3_bind_text(attach, 1, source->path, -1, SQLITE_STATIC);
        sqlite3_step(attach);
    }
    if (sqlite3_finalize(attach) != SQLITE_OK) {
        cannot(checker, source->path);
        return;
    }
    for (size_t i = 0; i < sizeof source_rules / sizeof *source_rules; i++)
        run_rule(checker, &source_rules[i], source->name);
    run_sql(checker, "DETACH f");
}

static long long count_of(struct checker *checker, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    long long count = 0;
    if (sqlite3_prepare_v2(checker->db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        count = sqlite3_column_int64(stmt, 0);
    else
        cannot(checker, sql);
    sqlite3_finalize(stmt);
    return count;
}

int checker_run(const char *journal_path, const struct checker_source *sources, size_t source_count,
                FILE *report, struct checker_figures *figures_out)
{
    struct checker checker = {.report = report};
    FILE *journal = fopen(journal_path, "r");
    if (!journal || sqlite3_open(":memory:", &checker.db) != SQLITE_OK) {
        fprintf(report, "cannot check: %s cannot be read\n", journal_path);
        checker.failed = true;
    } else {
        run_sql(&checker, tables);
        read_journal(&checker, journal);
    }
    for (size_t i = 0; i < sizeof journal_rules / sizeof *journal_rules && !checker.failed; i++)
        run_rule(&checker, &journal_rules[i], NULL);
    for (size_t i = 0; i < source_count && !checker.failed; i++)
        check_source(&checker, &sources[i]);
    *figures_out = (struct checker_figures){0};
    if (!checker.failed) {
        figures_out->acked = count_of(&checker, "SELECT count(*) FROM ops WHERE state = 'acked'");
        figures_out->refused =
            count_of(&checker, "SELECT count(*) FROM ops WHERE state = 'refused'");
        figures_out->unknown =
            count_of(&checker, "SELECT count(*) FROM ops WHERE state = 'unknown'");
        figures_out->repeats = count_of(&checker, "SELECT count(*) FROM repeats");
    }
    figures_out->violations = checker.violations;
    sqlite3_close(checker.db);
    if (journal)
        fclose(journal);
    return checker.failed ? -1 : 0;
}
