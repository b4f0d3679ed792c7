#include "world.h"

#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char config_text[] = "[service.limits]\n"
                                  "merge_ms = 20000\n"
                                  "[database]\n"
                                  "default = \"main\"\n"
                                  "[database.sources]\n"
                                  "main = { path = \"main.db\", synchronous = \"normal\" }\n"
                                  "second = { path = \"second.db\", synchronous = \"normal\" }\n"
                                  "archive = { path = \"archive.db\", readonly = true }\n"
                                  "old3 = { path = \"old3.db\", readonly = true }\n"
                                  "old1 = { path = \"old1.db\", readonly = true }\n"
                                  "broken = { path = \"broken.db\", readonly = true }\n"
                                  "[database.chatMapping]\n"
                                  "-2000 = \"second\"\n"
                                  "-3000 = \"archive\"\n"
                                  "-4003 = \"old3\"\n"
                                  "-4001 = \"old1\"\n"
                                  "-5000 = \"broken\"\n"
                                  "-6000 = \"nowhere\"\n";

static const char *const names[] = {"main", "second", "archive", "old3", "old1"};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

static struct sandbox templates;

char *source_path(const char *name, char path[4 * SANDBOX_PATH_BYTES])
{
    const char *folder = getenv("CHATSTORE_SOURCE_DIR");
    if (folder == NULL)
        fail_msg("CHATSTORE_SOURCE_DIR is not set: run the tests through ctest");
    snprintf(path, 4 * SANDBOX_PATH_BYTES, "%s/%s", folder, name);
    return path;
}

/* A file of the current schema, and in it what the group of this name says. */
static void make_template(const struct case_file *fixture, const char *name)
{
    char config[256], file_name[32];
    struct door door;
    snprintf(file_name, sizeof file_name, "%s.db", name);
    snprintf(config, sizeof config,
             "[database.sources.%s]\npath = \"%s\"\njournal-mode = \"truncate\"\n"
             "synchronous = \"normal\"\n",
             name, file_name);
    sandbox_write(&templates, WORLD_CONFIG, config);
    door_open(&door, DOOR_EMBEDDED, &templates, WORLD_CONFIG);
    for (size_t i = 0; i < fixture->group_count; i++)
        if (strcmp(fixture->groups[i].name, name) == 0)
            assert_int_equal(group_run(fixture, &fixture->groups[i], &door, &templates), 0);
    door_close(&door);
}

int world_prepare(void **state)
{
    (void)state;
    char path[4 * SANDBOX_PATH_BYTES];
    struct case_file fixture;
    sandbox_open(&templates);
    case_file_read(&fixture, source_path("tests/calls/sources.fixture", path));
    for (size_t i = 0; i < NAME_COUNT; i++)
        make_template(&fixture, names[i]);
    case_file_free(&fixture);
    return 0;
}

int world_forget(void **state)
{
    (void)state;
    sandbox_close(&templates);
    return 0;
}

void world_open(struct sandbox *sandbox)
{
    sandbox_open(sandbox);
    sandbox_write(sandbox, WORLD_CONFIG, config_text);
    for (size_t i = 0; i < NAME_COUNT; i++) {
        char file_name[32], path[SANDBOX_PATH_BYTES];
        snprintf(file_name, sizeof file_name, "%s.db", names[i]);
        sandbox_copy(sandbox, sandbox_path(&templates, file_name, path), file_name);
    }
}
