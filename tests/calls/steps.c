#include "steps.h"

#include "match.h"

#include "json.h"
#include "proto/call.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PROBLEM_BYTES = 2048 };

struct problem {
    char text[PROBLEM_BYTES];
};

__attribute__((format(printf, 2, 3))) static bool say(struct problem *problem, const char *format,
                                                      ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    return false;
}

json_t *case_json(const char *text, const char **end_out, char *error, size_t error_bytes)
{
    static const char dots[] = "...}", member[] = "\"...\":0}";
    char *plain = malloc(3 * strlen(text) + 1), *to = plain;
    json_error_t where;
    assert_non_null(plain);
    for (const char *from = text; *from != '\0';) {
        bool is_dots = strncmp(from, dots, sizeof dots - 1) == 0;
        size_t bytes = is_dots ? sizeof member - 1 : 1;
        memcpy(to, is_dots ? member : from, bytes);
        from += is_dots ? sizeof dots - 1 : 1;
        to += bytes;
    }
    *to = '\0';
    json_t *value = json_loads(plain, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &where);
    if (value == NULL)
        snprintf(error, error_bytes, "%s in %.300s", where.text, plain);
    else if (end_out != NULL) /* as many bytes from the end as in the text */
        *end_out = text + strlen(text) - strlen(plain + where.position);
    free(plain);
    return value;
}

/* ---- The request ---- */

static bool hex_bytes(const char *hex, uint8_t **bytes_out, size_t *count_out)
{
    size_t count = strlen(hex) / 2;
    *bytes_out = malloc(count + 1);
    assert_non_null(*bytes_out);
    for (size_t i = 0; i < count; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'}, *end;
        (*bytes_out)[i] = (uint8_t)strtoul(digits, &end, 16);
        if (*end != '\0')
            return false;
    }
    *count_out = count;
    return strlen(hex) % 2 == 0;
}

static bool encode_request(const struct call *call, const char *text, uint8_t **bytes_out,
                           size_t *count_out, struct problem *problem)
{
    char error[512];
    *bytes_out = NULL;
    if (strncmp(text, "hex:", 4) == 0)
        return hex_bytes(text + 4, bytes_out, count_out) || say(problem, "no hex digits: %s", text);
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (object == NULL)
        return say(problem, "the request is no JSON: %.300s", text);
    bool encoded =
        message_from_json(call->request, object, bytes_out, count_out, error, sizeof error);
    json_decref(object);
    return encoded || say(problem, "the request: %.500s", error);
}

/* ---- The answer ---- */

struct answer {
    enum chatstore_status status;
    struct chatstore_outcome outcome;
    uint8_t *reply;
    size_t reply_bytes;
};

/* "STATUS part of the text" */
static bool check_failure(const char *expect, const struct answer *answer, struct problem *problem)
{
    const char *name = chatstore_status_name(answer->status);
    size_t length = strcspn(expect, " ");
    const char *part = expect + length + strspn(expect + length, " ");
    if (strlen(name) != length || strncmp(expect, name, length) != 0)
        return say(problem, "expected %s, got %s: %.500s", expect, name, answer->outcome.message);
    if (strstr(answer->outcome.message, part) == NULL)
        return say(problem, "expected \"%s\" in its text, got: %.500s", part,
                   answer->outcome.message);
    return true;
}

static bool failed_as(const struct answer *answer, const char *source, const char *status)
{
    for (size_t i = 0; i < answer->outcome.failed_source_count; i++) {
        const struct chatstore_source_failure *failure = &answer->outcome.failed_sources[i];
        if (strcmp(failure->source, source) == 0)
            return strcmp(chatstore_status_name(failure->code), status) == 0;
    }
    return false;
}

/* "without SOURCE STATUS, SOURCE STATUS", or nothing */
static bool check_failed_sources(const char *text, const struct answer *answer,
                                 struct problem *problem)
{
    char source[64], status[64];
    size_t count = 0;
    int used;
    text += strspn(text, " ");
    if (strncmp(text, "without ", 8) == 0)
        text += 8;
    while (sscanf(text, " %63s %63[A-Z_]%n", source, status, &used) == 2) {
        if (!failed_as(answer, source, status))
            return say(problem, "source %s did not fail with %s", source, status);
        count++;
        text += used;
        text += strspn(text, ", ");
    }
    if (*text != '\0')
        return say(problem, "cannot read \"%s\"", text);
    if (count != answer->outcome.failed_source_count)
        return say(problem, "%zu sources failed, among them %s: %.300s",
                   answer->outcome.failed_source_count, answer->outcome.failed_sources[0].source,
                   answer->outcome.failed_sources[0].message);
    return true;
}

/* "SOURCE {JSON} without ..." */
static bool check_success(const struct call *call, const char *expect, const struct answer *answer,
                          struct problem *problem)
{
    char source[64] = "", error[1024];
    const char *end;
    if (*expect != '{' && sscanf(expect, "%63s", source) == 1)
        expect += strlen(source);
    if (answer->status != CHATSTORE_OK)
        return say(problem, "expected%.500s, got %s: %.500s", expect,
                   chatstore_status_name(answer->status), answer->outcome.message);
    if (source[0] && strcmp(source, answer->outcome.source) != 0)
        return say(problem, "expected the answer of source %s, got that of \"%s\"", source,
                   answer->outcome.source);
    json_t *expected = case_json(expect, &end, error, sizeof error);
    if (expected == NULL)
        return say(problem, "the expected answer is no JSON: %.500s", error);
    char *text = message_to_json(call->response, answer->reply, answer->reply_bytes, false);
    json_t *actual = text ? json_loads(text, 0, NULL) : NULL;
    bool same = actual != NULL && json_matches(expected, actual, error, sizeof error);
    if (!same)
        say(problem, "%s", actual ? error : "the answer is no message of its type");
    json_decref(actual);
    json_decref(expected);
    free(text);
    return same && check_failed_sources(end, answer, problem);
}

/* ---- Steps ---- */

static bool run_call(const struct case_step *step, const struct door *door, struct problem *problem)
{
    const struct call *call = call_find_by_name(step->name);
    struct answer answer = {0};
    uint8_t *request;
    size_t request_bytes = 0;
    if (call == NULL)
        return say(problem, "there is no call %s", step->name);
    bool right = encode_request(call, step->input, &request, &request_bytes, problem);
    if (right) {
        answer.status = door_call(door, call->method, request, request_bytes, &answer.outcome,
                                  &answer.reply, &answer.reply_bytes);
        right = isupper((unsigned char)step->expect[0])
                    ? check_failure(step->expect, &answer, problem)
                    : check_success(call, step->expect, &answer, problem);
        chatstore_outcome_clear(&answer.outcome);
    }
    free(answer.reply);
    free(request);
    return right;
}

static bool run_sql(const struct case_step *step, const struct sandbox *sandbox, const char *where,
                    struct problem *problem)
{
    char name[64], error[1024];
    snprintf(name, sizeof name, "%s.db", step->name);
    json_t *rows = sandbox_sql(sandbox, name, step->input, where);
    json_t *expected =
        step->expect ? case_json(step->expect, NULL, error, sizeof error) : json_incref(rows);
    bool same = expected != NULL && json_matches(expected, rows, error, sizeof error);
    json_decref(expected);
    json_decref(rows);
    return same || say(problem, "%s", error);
}

size_t group_run(const struct case_file *file, const struct case_group *group,
                 const struct door *door, const struct sandbox *sandbox)
{
    size_t failed = 0;
    for (size_t i = 0; i < group->case_count; i++) {
        const struct call_case *owner = &group->cases[i];
        bool right = true;
        for (size_t n = 0; n < owner->step_count && right; n++) {
            const struct case_step *step = &owner->steps[n];
            struct problem problem;
            char where[512];
            snprintf(where, sizeof where, "%s:%u: %s: %s", file->path, step->line, owner->kind,
                     owner->claim);
            right = step->is_sql ? run_sql(step, sandbox, where, &problem)
                                 : run_call(step, door, &problem);
            if (!right)
                fprintf(stderr, "%s (%s):\n    %s\n", where, door->url, problem.text);
        }
        failed += !right;
    }
    return failed;
}
