/* Runs the SQL of its standard input, a line at a time, on the file of its argument, and answers
 * each line with "ok" or the error. A line "times N SQL" is run N times. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argument_count, char **arguments)
{
    sqlite3 *db;
    char line[4000];
    if (argument_count != 2 || sqlite3_open(arguments[1], &db) != SQLITE_OK)
        return 1;
    sqlite3_busy_timeout(db, 30000);
    puts("ok");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        char *sql = line;
        long times = 1;
        if (strncmp(line, "times ", 6) == 0)
            times = strtol(line + 6, &sql, 10);
        int error = SQLITE_OK;
        for (; times > 0 && error == SQLITE_OK; times--)
            error = sqlite3_exec(db, sql, NULL, NULL, NULL);
        puts(error == SQLITE_OK ? "ok" : sqlite3_errmsg(db));
        fflush(stdout);
    }
    sqlite3_close(db);
    return 0;
}
