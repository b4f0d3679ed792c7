/* A call's statements run on a connection of the test's own, with SQL of the test's own. */
#ifndef CHATSTORE_TESTS_POOL_RUN_SQL_H
#define CHATSTORE_TESTS_POOL_RUN_SQL_H

#include "fixture.h"

#include "pool/statement.h"

#include <sqlite3.h>

/* The one connection, in memory, for the tests of a program. */
int memory_setup(void **state);
int memory_teardown(void **state);
sqlite3 *memory_db(void);

/* Returns SQLite's result; the answer is initialised by the caller. */
int run_sql(enum call_id id, const char *sql, const void *request, struct answer *answer);
/* The same, which must work; the answer decoded, freed by protobuf_c_message_free_unpacked(). */
void *run_decoded(enum call_id id, const char *sql, const void *request);

#endif
