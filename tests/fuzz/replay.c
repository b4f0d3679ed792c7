/* A fuzz target over files instead of a fuzzer: what it found once, and what it begins with. */
#include "host.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static unsigned replay(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rb");

    if (!file || fstat(fileno(file), &info) != 0)
        fail_msg("%s cannot be read", path);
    if (!S_ISREG(info.st_mode)) {
        fclose(file);
        return 0;
    }
    uint8_t *data = malloc((size_t)info.st_size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)info.st_size, file), info.st_size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)info.st_size);
    free(data);
    return 1;
}

static void replay_folder(const char *variable)
{
    const char *name = getenv(variable);
    unsigned count = 0;
    DIR *folder = name ? opendir(name) : NULL;

    if (!folder)
        fail_msg("%s names no folder: run the tests through ctest", variable);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[1000];
        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        count += replay(path);
    }
    closedir(folder);
    print_message("%u inputs of %s\n", count, name);
    assert_true(count > 0);
}

static void what_was_found_once_stays_good(void **state)
{
    (void)state;
    replay_folder("CHATSTORE_FUZZ_REGRESSIONS");
}

static void what_the_fuzzer_begins_with_is_good(void **state)
{
    (void)state;
    replay_folder("CHATSTORE_FUZZ_SEEDS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_found_once_stays_good),
        cmocka_unit_test(what_the_fuzzer_begins_with_is_good),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
