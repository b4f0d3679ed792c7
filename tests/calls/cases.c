#include "cases.h"

#include "sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { CONTINUED_INDENT = 8, STEP_INDENT = 4 };

static void *grow(void *list, size_t count, size_t element_bytes)
{
    /* Rounded up to powers of two, so that a list is not copied for each element. */
    if ((count & (count - 1)) != 0)
        return list;
    list = realloc(list, (count == 0 ? 1 : 2 * count) * element_bytes);
    assert_non_null(list);
    return list;
}

static char *copy(const char *text, size_t length)
{
    while (length > 0 && text[length - 1] == ' ')
        length--;
    char *copied = strndup(text, length);
    assert_non_null(copied);
    return copied;
}

/* "SQL -> ROWS", "REQUEST -> EXPECTED": both parts go to the step. */
static void split_step(struct case_step *step, const char *text)
{
    const char *arrow = strstr(text, " -> ");
    step->input = copy(text, arrow ? (size_t)(arrow - text) : strlen(text));
    step->expect = arrow ? copy(arrow + 4, strlen(arrow + 4)) : NULL;
}

static void add_step(struct case_file *file, struct call_case *owner, unsigned line,
                     const char *text)
{
    owner->steps = grow(owner->steps, owner->step_count, sizeof *owner->steps);
    struct case_step *step = &owner->steps[owner->step_count++];
    *step = (struct case_step){.line = line, .is_sql = strncmp(text, "sql ", 4) == 0};
    const char *name = step->is_sql ? text + 4 : text;
    size_t length = strcspn(name, step->is_sql ? ":" : " ");
    step->name = copy(name, length);
    const char *rest = name + length;
    rest += strspn(rest, ": ");
    split_step(step, rest);
    if (!step->is_sql && step->expect == NULL)
        fail_msg("%s:%u: a call needs \"-> EXPECTED\"", file->path, line);
}

static void add_group(struct case_file *file, const char *text)
{
    file->groups = grow(file->groups, file->group_count, sizeof *file->groups);
    file->groups[file->group_count++] = (struct case_group){.name = copy(text, strlen(text))};
}

static void add_case(struct case_file *file, unsigned line, const char *text)
{
    const char *colon = strstr(text, ": ");
    if (file->group_count == 0 || colon == NULL)
        fail_msg("%s:%u: neither \"== CALL\" nor \"KIND: CLAIM\" in a group", file->path, line);
    struct case_group *group = &file->groups[file->group_count - 1];
    group->cases = grow(group->cases, group->case_count, sizeof *group->cases);
    group->cases[group->case_count++] = (struct call_case){
        .line = line,
        .kind = copy(text, (size_t)(colon - text)),
        .claim = copy(colon + 2, strlen(colon + 2)),
    };
}

static void add_line(struct case_file *file, unsigned line, const char *text)
{
    if (strncmp(text, "== ", 3) == 0) {
        add_group(file, text + 3);
        return;
    }
    if (text[0] != ' ') {
        add_case(file, line, text);
        return;
    }
    struct case_group *group = file->group_count ? &file->groups[file->group_count - 1] : NULL;
    if (group == NULL || group->case_count == 0)
        fail_msg("%s:%u: a step without a case", file->path, line);
    add_step(file, &group->cases[group->case_count - 1], line, text + STEP_INDENT);
}

void case_file_parse(struct case_file *file, const char *path, const char *text)
{
    unsigned number = 0, first = 0;
    char *line = NULL; /* with its continuations */
    *file = (struct case_file){.path = copy(path, strlen(path))};
    while (*text != '\0') {
        size_t length = strcspn(text, "\n"), indent = strspn(text, " ");
        number++;
        bool continues = line != NULL && indent >= CONTINUED_INDENT && indent < length;
        if (continues) {
            char *longer = NULL;
            size_t rest = length - indent;
            assert_true(asprintf(&longer, "%s %.*s", line, (int)rest, text + indent) > 0);
            free(line);
            line = longer;
        } else if (indent < length && text[indent] != '#') {
            if (line != NULL)
                add_line(file, first, line);
            free(line);
            line = copy(text, length);
            first = number;
        }
        text += length + (text[length] == '\n');
    }
    if (line != NULL)
        add_line(file, first, line);
    free(line);
}

void case_file_read(struct case_file *file, const char *path)
{
    char *text = file_read(path, NULL);
    case_file_parse(file, path, text);
    free(text);
}

static void case_free(struct call_case *owner)
{
    for (size_t i = 0; i < owner->step_count; i++) {
        free(owner->steps[i].name);
        free(owner->steps[i].input);
        free(owner->steps[i].expect);
    }
    free(owner->steps);
    free(owner->kind);
    free(owner->claim);
}

void case_file_free(struct case_file *file)
{
    for (size_t i = 0; i < file->group_count; i++) {
        struct case_group *group = &file->groups[i];
        for (size_t n = 0; n < group->case_count; n++)
            case_free(&group->cases[n]);
        free(group->cases);
        free(group->name);
    }
    free(file->groups);
    free(file->path);
}

static bool case_makes(const struct call_case *owner, const char *call)
{
    for (size_t i = 0; i < owner->step_count; i++)
        if (!owner->steps[i].is_sql && strcmp(owner->steps[i].name, call) == 0)
            return true;
    return false;
}

bool cases_have(const struct case_file *files, size_t file_count, const char *call,
                const char *kind)
{
    for (size_t f = 0; f < file_count; f++) {
        for (size_t g = 0; g < files[f].group_count; g++) {
            const struct case_group *group = &files[f].groups[g];
            if (strcmp(group->name, call) != 0)
                continue;
            for (size_t i = 0; i < group->case_count; i++)
                if (strcmp(group->cases[i].kind, kind) == 0 && case_makes(&group->cases[i], call))
                    return true;
        }
    }
    return false;
}
