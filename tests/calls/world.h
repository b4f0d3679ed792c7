/* The sources that the case scripts are about.
 *
 *     main      writable, the default
 *     second    writable; chat -2000 is mapped to it
 *     archive   readonly, with rows (sources.fixture); chat -3000 is mapped to it
 *     old3      readonly, schema 3: no cache_storage; chat -4003
 *     old1      readonly, schema 1: no is_spammer, no metadata either; chat -4001
 *     broken    readonly, its file is missing; chat -5000
 *
 * Chat -6000 is mapped to a source that does not exist. */
#ifndef CHATSTORE_TESTS_WORLD_H
#define CHATSTORE_TESTS_WORLD_H

#include "sandbox.h"

#define WORLD_CONFIG "chatstore.toml"

/* cmocka's setup and teardown of a group: the files that every world starts with; once for a
 * program. */
int world_prepare(void **state);
int world_forget(void **state);

/* A folder with fresh copies of them and the configuration. */
void world_open(struct sandbox *sandbox);

/* The path of a file of the tests' own folder, from the environment. */
char *source_path(const char *name, char path[4 * SANDBOX_PATH_BYTES]);

#endif
