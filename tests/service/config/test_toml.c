/* The TOML reader: what the configuration relies on beyond plain TOML 1.0, places, bounds. */
#include "service/toml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct toml_document *parse(const char *text)
{
    struct toml_error error;
    struct toml_document *document = toml_parse(text, strlen(text), &error);
    if (!document)
        fail_msg("%u:%u: %s", error.place.line, error.place.column, error.text);
    return document;
}

static const struct toml_node *child(const struct toml_node *node, const char *key)
{
    for (size_t i = 0; i < node->child_count; i++)
        if (strcmp(node->children[i].key, key) == 0)
            return &node->children[i];
    fail_msg("no key %s", key);
    return NULL;
}

static void an_inline_table_may_span_lines(void **state)
{
    (void)state;
    struct toml_document *document = parse("sources = {\n"
                                           "    # the bot's own\n"
                                           "    primary = { path = \"bot.db\", },\n"
                                           "    archive = {  # old chats\n"
                                           "        path = \"archive.db\",\n"
                                           "    },\n"
                                           "}\n");
    const struct toml_node *sources = child(toml_root(document), "sources");
    assert_int_equal(sources->child_count, 2);
    assert_string_equal(sources->children[0].key, "primary");
    assert_string_equal(child(&sources->children[1], "path")->string, "archive.db");
    toml_free(document);
}

static void children_keep_the_order_of_the_text(void **state)
{
    (void)state;
    static const char *const order[] = {"zeta", "mid", "alpha", "beta"};
    struct toml_document *document = parse("[s.zeta.options]\nx = 1\n[s]\nmid = {}\n[s.alpha]\n"
                                           "[s.zeta]\ny = 2\n[s.beta]\n");
    const struct toml_node *sources = child(toml_root(document), "s");
    assert_int_equal(sources->child_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(sources->children[i].key, order[i]);
    toml_free(document);
}

static void every_type_has_its_value_and_place(void **state)
{
    (void)state;
    struct toml_document *document = parse("text = \"\xc3\xa9\\u0000\"\nnumber = -7\nfloat = 2.5\n"
                                           "  yes = true\nday = 1979-05-27\nlist = [1, \"b\"]\n"
                                           "at = 07:32:00\nboth = 1979-05-27T07:32:00Z\n");
    const struct toml_node *root = toml_root(document);
    assert_int_equal(child(root, "text")->type, TOML_STRING);
    assert_int_equal(child(root, "text")->string_bytes, 3);
    assert_int_equal(child(root, "number")->integer, -7);
    assert_true(child(root, "float")->number == 2.5);
    assert_true(child(root, "yes")->boolean);
    assert_int_equal(child(root, "yes")->key_place.line, 4);
    assert_int_equal(child(root, "yes")->key_place.column, 3);
    assert_int_equal(child(root, "yes")->place.column, 9);
    assert_int_equal(child(root, "day")->type, TOML_TIME);
    assert_int_equal(child(root, "at")->type, TOML_TIME);
    assert_int_equal(child(root, "both")->type, TOML_TIME);
    assert_int_equal(child(root, "list")->child_count, 2);
    assert_null(child(root, "list")->children[1].key);
    assert_int_equal(child(root, "list")->children[1].key_place.column, 12);
    toml_free(document);
}

static void type_names_are_for_messages(void **state)
{
    (void)state;
    static const char *const names[] = {"a table", "an array",  "a string",       "an integer",
                                        "a float", "a boolean", "a date or time", "nothing"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(toml_type_name((enum toml_type)i), names[i]);
}

static void assert_refused(const char *text, size_t bytes, uint32_t line, const char *fragment)
{
    struct toml_error error;
    assert_null(toml_parse(text, bytes, &error));
    assert_int_equal(error.place.line, line);
    if (!strstr(error.text, fragment))
        fail_msg("\"%s\" lacks \"%s\"", error.text, fragment);
}

static void errors_have_a_place(void **state)
{
    (void)state;
    static const char wrong[] = "a = 1\nb = = 2\n";
    static const char header[] = "[,";
    assert_refused(wrong, sizeof wrong - 1, 2, "");
    assert_refused(header, sizeof header - 1, 1, "bare key");
    assert_refused("a = 1\na = 2", 11, 2, "");
    assert_refused("a = \"\xff\"", 7, 1, "");
}

static void the_empty_text_is_an_empty_table(void **state)
{
    (void)state;
    struct toml_error error;
    struct toml_document *document = toml_parse(NULL, 0, &error);
    assert_non_null(document);
    assert_int_equal(toml_root(document)->child_count, 0);
    toml_free(document);
    toml_free(NULL);
}

static void a_large_text_is_refused(void **state)
{
    (void)state;
    size_t bytes = TOML_TEXT_BYTES_MAX;
    char *text = malloc(bytes + 1);
    struct toml_error error;
    memset(text, '#', bytes + 1);
    struct toml_document *document = toml_parse(text, bytes, &error);
    assert_non_null(document);
    toml_free(document);
    assert_refused(text, bytes + 1, 1, "larger than 64 MiB");
    free(text);
}

/* `begin`, then `part` many times, then `end`. */
static char *repeat(const char *begin, const char *part, size_t count, const char *end)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    fputs(begin, file);
    for (size_t i = 0; i < count; i++)
        fputs(part, file);
    fputs(end, file);
    fclose(file);
    return text;
}

static void deep_texts_are_refused_before_they_exhaust_the_stack(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *part, *end;
    } deep[] = {{"# line\n", "a.", "a = 1"},
                {"[", "a . ", "a]"},
                {"", "\"=\".", "a = 1"},
                {"", "'#'.", "a = 1"},
                {"x = \"\"\"\\\"\"\"\"\"\n", "a.", "a = 1"},
                {"y = '''a\n''''\n", "\"\\\"\".", "a = 1"},
                {"x = {", "a.", "a = 1}"},
                {"", "\".\".", "a = 1"}};
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        struct toml_error error;
        char *text = repeat(deep[i].begin, deep[i].part, 100000, deep[i].end);
        assert_null(toml_parse(text, strlen(text), &error));
        assert_string_equal(error.text, "a key has more than 32 parts");
        free(text);
    }
    struct toml_error error;
    char *nested = repeat("x = ", "[", 100000, "");
    assert_null(toml_parse(nested, strlen(nested), &error));
    free(nested);
}

static void dots_elsewhere_are_no_keys(void **state)
{
    (void)state;
    char *ruler = repeat("# ", ".", 500, "\nx = \"");
    char *text = repeat(ruler, "a.", 500, "\"\ny = 'a.b'\nz = \"\"\"\n.\n\"\"\"\n");
    toml_free(parse(text));
    free(text);
    free(ruler);
    struct toml_error error;
    assert_null(toml_parse("x = \"\\", 6, &error));
    assert_null(toml_parse("x = \"\"\"a", 8, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_inline_table_may_span_lines),
        cmocka_unit_test(children_keep_the_order_of_the_text),
        cmocka_unit_test(every_type_has_its_value_and_place),
        cmocka_unit_test(type_names_are_for_messages),
        cmocka_unit_test(errors_have_a_place),
        cmocka_unit_test(the_empty_text_is_an_empty_table),
        cmocka_unit_test(a_large_text_is_refused),
        cmocka_unit_test(deep_texts_are_refused_before_they_exhaust_the_stack),
        cmocka_unit_test(dots_elsewhere_are_no_keys),
    };
    return cmocka_run_group_tests_name("toml", tests, NULL, NULL);
}
