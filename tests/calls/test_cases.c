/* The case scripts, each group a test, through a server and without one; and that no call of the
 * table is without its cases. */
#include "steps.h"
#include "world.h"

#include "proto/call.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FILES_MAX = 64, TESTS_MAX = 400, NAME_BYTES = 96 };

/* Run again through the doors that differ in nothing but the way. */
static const char smoke_group[] = "GetChatUser";

static const char *const kinds[] = {"works", "absent or empty", "bad argument"};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static struct case_file files[FILES_MAX];
static size_t file_count;

/* One cmocka test: a group through a door. */
struct group_test {
    const struct case_file *file;
    const struct case_group *group;
    enum door_kind door;
    char name[NAME_BYTES];
};

static struct group_test group_tests[TESTS_MAX];
static struct CMUnitTest tests[TESTS_MAX];
static size_t test_count;

static void group_holds(void **state)
{
    const struct group_test *test = *state;
    struct sandbox sandbox;
    struct door door;
    world_open(&sandbox);
    door_open(&door, test->door, &sandbox, WORLD_CONFIG);
    size_t failed = group_run(test->file, test->group, &door, &sandbox);
    door_close(&door);
    sandbox_close(&sandbox);
    assert_int_equal(failed, 0);
}

static void add_group(const struct case_file *file, const struct case_group *group,
                      enum door_kind door)
{
    assert_true(test_count < TESTS_MAX);
    struct group_test *test = &group_tests[test_count];
    *test = (struct group_test){.file = file, .group = group, .door = door};
    snprintf(test->name, sizeof test->name, "%s (%s)", group->name, door_name(door));
    tests[test_count++] = (struct CMUnitTest){test->name, group_holds, NULL, NULL, test};
}

static void add_groups(const struct case_file *file)
{
    for (size_t i = 0; i < file->group_count; i++) {
        const struct case_group *group = &file->groups[i];
        add_group(file, group, DOOR_IPC);
        add_group(file, group, DOOR_EMBEDDED);
        if (strcmp(group->name, smoke_group) == 0) {
            add_group(file, group, DOOR_TCP);
            add_group(file, group, DOOR_WS);
            add_group(file, group, DOOR_INPROC);
        }
    }
}

/* ---- The scripts as a whole ---- */

/* Names what is missing; returns how much. */
static size_t count_missing(const struct case_file *in, size_t count, FILE *report)
{
    size_t missing = 0;
    for (size_t i = 0; i < call_table_count; i++) {
        for (size_t k = 0; k < KIND_COUNT; k++) {
            if (cases_have(in, count, call_table[i].name, kinds[k]))
                continue;
            fprintf(report, "%s has no case \"%s\" in tests/calls/*.cases\n", call_table[i].name,
                    kinds[k]);
            missing++;
        }
    }
    return missing;
}

static void every_call_has_cases(void **state)
{
    (void)state;
    assert_int_equal(count_missing(files, file_count, stderr), 0);
}

/* What every_call_has_cases would say of scripts that lack something. */
static void a_call_without_cases_is_noticed(void **state)
{
    static const char script[] = "== Ping\n"
                                 "works: answers\n"
                                 "    Ping {} -> {...}\n"
                                 "absent or empty: makes another call\n"
                                 "    GetChatUser {} -> {}\n"
                                 "bad argument: has no steps at all\n"
                                 "== GetChatUser\n"
                                 "bad argument: in the group of another call\n"
                                 "    Ping hex:ff -> INVALID_ARGUMENT\n";
    struct case_file file;
    char *said = NULL;
    size_t bytes;
    (void)state;
    FILE *report = open_memstream(&said, &bytes);
    case_file_parse(&file, "script", script);
    assert_int_equal(count_missing(&file, 1, report), KIND_COUNT * call_table_count - 1);
    fclose(report);
    assert_null(strstr(said, "Ping has no case \"works\""));
    assert_non_null(strstr(said, "Ping has no case \"absent or empty\""));
    assert_non_null(strstr(said, "Ping has no case \"bad argument\""));
    assert_non_null(strstr(said, "GetChatUser has no case \"works\""));
    case_file_free(&file);
    free(said);
}

static void every_group_is_a_call(void **state)
{
    (void)state;
    for (size_t f = 0; f < file_count; f++)
        for (size_t g = 0; g < files[f].group_count; g++)
            if (call_find_by_name(files[f].groups[g].name) == NULL)
                fail_msg("%s: there is no call %s", files[f].path, files[f].groups[g].name);
}

static int is_script(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".cases") == 0;
}

static void read_scripts(void)
{
    struct dirent **entries;
    char folder[4 * SANDBOX_PATH_BYTES], path[8 * SANDBOX_PATH_BYTES];
    int count = scandir(source_path("tests/calls", folder), &entries, is_script, alphasort);
    assert_true(count > 0 && count <= FILES_MAX);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        case_file_read(&files[file_count++], path);
        free(entries[i]);
    }
    free(entries);
}

int main(void)
{
    static const struct CMUnitTest whole[] = {
        cmocka_unit_test(every_call_has_cases),
        cmocka_unit_test(a_call_without_cases_is_noticed),
        cmocka_unit_test(every_group_is_a_call),
    };
    door_setup(LOG_INFO);
    read_scripts();
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        tests[test_count++] = whole[i];
    for (size_t i = 0; i < file_count; i++)
        add_groups(&files[i]);
    int failed = _cmocka_run_group_tests("calls", tests, test_count, world_prepare, world_forget);
    for (size_t i = 0; i < file_count; i++)
        case_file_free(&files[i]);
    return failed;
}
