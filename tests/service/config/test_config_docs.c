/* docs/configuration.md against the tables of keys: every key has its row, and every row has its
 * key. A section starts with a heading "### `[path]`", a row is
 * | `key` | type | default | reload or restart | meaning | */
#include "service/config_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINE_BYTES_MAX = 1024 };

static FILE *open_document(void)
{
    char path[4096];
    const char *root = getenv("CHATSTORE_SOURCE_DIR");
    assert_non_null(root);
    snprintf(path, sizeof path, "%s/docs/configuration.md", root);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    return file;
}

static void format_heading(const struct config_section *section, char *line)
{
    if (section->path[0] == '\0')
        snprintf(line, LINE_BYTES_MAX, "### Top of the file");
    else
        snprintf(line, LINE_BYTES_MAX, "### `[%s]`", section->path);
}

static void format_row(const struct config_key *key, char *line)
{
    snprintf(line, LINE_BYTES_MAX, "| `%s` | %s | %s | %s | %s |", key->name, key->type_text,
             key->default_text, key->restart ? "restart" : "reload", key->meaning);
}

static const struct config_section *find_section(const char *heading)
{
    char line[LINE_BYTES_MAX];
    for (size_t i = 0; i < config_section_count; i++) {
        format_heading(config_sections[i], line);
        if (strcmp(line, heading) == 0)
            return config_sections[i];
    }
    return NULL;
}

static size_t key_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < config_section_count; i++)
        count += config_sections[i]->key_count;
    return count;
}

static bool has_row(const struct config_section *section, const char *row)
{
    char line[LINE_BYTES_MAX];
    for (size_t i = 0; section && i < section->key_count; i++) {
        format_row(&section->keys[i], line);
        if (strcmp(line, row) == 0)
            return true;
    }
    return false;
}

static void print_rows(void)
{
    char line[LINE_BYTES_MAX];
    for (size_t i = 0; i < config_section_count; i++) {
        format_heading(config_sections[i], line);
        print_message("%s\n\n| key | type | default | change | meaning |\n|---|---|---|---|---|\n",
                      line);
        for (size_t j = 0; j < config_sections[i]->key_count; j++) {
            format_row(&config_sections[i]->keys[j], line);
            print_message("%s\n", line);
        }
        print_message("\n");
    }
}

static void the_document_has_exactly_the_keys(void **state)
{
    (void)state;
    char line[LINE_BYTES_MAX];
    const struct config_section *section = NULL;
    size_t rows = 0;
    FILE *file = open_document();
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "### ", 4) == 0) {
            section = find_section(line);
            if (!section)
                fail_msg("no such section: %s", line);
        } else if (strncmp(line, "| `", 3) == 0) {
            rows++;
            if (!has_row(section, line)) {
                print_rows();
                fail_msg("no key has this row (above are all that should be): %s", line);
            }
        }
    }
    fclose(file);
    if (rows != key_count()) {
        print_rows();
        fail_msg("%zu rows for %zu keys; above are all that should be", rows, key_count());
    }
}

static void units_end_the_names_of_limits(void **state)
{
    (void)state;
    static const char *const units[] = {"_bytes", "_ms", "_max"};
    for (size_t i = 0; i < config_limit_count; i++) {
        const char *key = config_limit_table[i].key;
        bool has_unit = false;
        for (size_t j = 0; j < 3; j++) {
            size_t bytes = strlen(units[j]);
            has_unit |= strlen(key) > bytes && strcmp(key + strlen(key) - bytes, units[j]) == 0;
        }
        if (!has_unit)
            fail_msg("%s does not end in a unit", key);
    }
}

static void the_tables_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_section_count; i++) {
        for (size_t j = 0; j < config_sections[i]->key_count; j++) {
            const struct config_key *key = &config_sections[i]->keys[j];
            assert_true(key->slot < 32);
            assert_non_null(key->meaning);
            assert_true(key->type != CONFIG_TYPE_SECTION || key->section);
            assert_true(key->type != CONFIG_TYPE_CUSTOM || key->read);
            assert_true(key->type != CONFIG_TYPE_CHOICE || key->choices);
            assert_true(key->type != CONFIG_TYPE_INTEGER || key->max > key->min);
        }
    }
    for (size_t i = 0; i < config_limit_count; i++)
        assert_non_null(config_limit_table[i].meaning);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_has_exactly_the_keys),
        cmocka_unit_test(units_end_the_names_of_limits),
        cmocka_unit_test(the_tables_are_sound),
    };
    return cmocka_run_group_tests_name("config_docs", tests, NULL, NULL);
}
