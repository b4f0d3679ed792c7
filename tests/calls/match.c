#include "match.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATH_BYTES = 256, NAME_BYTES = 64, NOW_TOLERANCE_S = 60 };

struct match {
    char path[PATH_BYTES];
    char *difference;
    size_t difference_bytes;
};

static bool matches(struct match *match, const json_t *expected, const json_t *actual);

static bool differs(struct match *match, const char *what, const json_t *expected,
                    const json_t *actual)
{
    char *want = expected ? json_dumps(expected, JSON_ENCODE_ANY) : NULL;
    char *got = actual ? json_dumps(actual, JSON_ENCODE_ANY) : NULL;
    snprintf(match->difference, match->difference_bytes, "at %s: %s; expected %.300s, got %.300s",
             match->path[0] ? match->path : "the top", what, want ? want : "nothing",
             got ? got : "nothing");
    free(want);
    free(got);
    return false;
}

static void camel_case(const char *name, char *camel)
{
    size_t at = 0;
    for (; *name != '\0' && at < NAME_BYTES - 1; name++) {
        if (*name == '_' && name[1] != '\0')
            camel[at++] = (char)toupper((unsigned char)*++name);
        else
            camel[at++] = *name;
    }
    camel[at] = '\0';
}

static bool is_now(const char *text)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    return end != NULL && *end == 'Z' &&
           llabs((long long)(timegm(&parts) - time(NULL))) <= NOW_TOLERANCE_S;
}

static bool matches_text(struct match *match, const json_t *expected, const json_t *actual)
{
    const char *want = json_string_value(expected), *got = json_string_value(actual);
    if (strcmp(want, "*") == 0)
        return true;
    if (strcmp(want, "<now>") == 0)
        return (got != NULL && is_now(got)) ||
               differs(match, "no time of just now", expected, actual);
    return (got != NULL && strcmp(want, got) == 0) || differs(match, "differs", expected, actual);
}

static bool matches_integer(struct match *match, const json_t *expected, const json_t *actual)
{
    long long want = json_integer_value(expected);
    char *end = NULL;
    if (json_is_integer(actual) && json_integer_value(actual) == want)
        return true;
    if (json_is_real(actual) && json_real_value(actual) == (double)want)
        return true;
    if (json_is_string(actual) && strtoll(json_string_value(actual), &end, 10) == want &&
        *end == '\0')
        return true;
    return differs(match, "differs", expected, actual);
}

static bool matches_array(struct match *match, const json_t *expected, const json_t *actual)
{
    size_t length = strlen(match->path);
    if (!json_is_array(actual) || json_array_size(expected) != json_array_size(actual))
        return differs(match, "another number of elements", expected, actual);
    for (size_t i = 0; i < json_array_size(expected); i++) {
        snprintf(match->path + length, PATH_BYTES - length, "[%zu]", i);
        if (!matches(match, json_array_get(expected, i), json_array_get(actual, i)))
            return false;
    }
    match->path[length] = '\0';
    return true;
}

static bool matches_object(struct match *match, const json_t *expected, const json_t *actual)
{
    size_t length = strlen(match->path), found = 0;
    const char *key;
    json_t *value;
    if (!json_is_object(actual))
        return differs(match, "no object", expected, actual);
    json_object_foreach((json_t *)expected, key, value)
    {
        char camel[NAME_BYTES];
        if (strcmp(key, "...") == 0)
            continue;
        camel_case(key, camel);
        const json_t *member = json_object_get(actual, camel);
        snprintf(match->path + length, PATH_BYTES - length, ".%s", key);
        if (member == NULL)
            return differs(match, "absent", value, NULL);
        if (!matches(match, value, member))
            return false;
        found++;
    }
    match->path[length] = '\0';
    const char *token = json_string_value(json_object_get(actual, "nextPageToken"));
    if (token != NULL && token[0] == '\0' && json_object_get(expected, "next_page_token") == NULL)
        found++; /* every list says so when no page was asked for */
    if (json_object_get(expected, "...") == NULL && json_object_size(actual) != found)
        return differs(match, "more than expected", expected, actual);
    return true;
}

static bool matches(struct match *match, const json_t *expected, const json_t *actual)
{
    switch (json_typeof(expected)) {
    case JSON_OBJECT:
        return matches_object(match, expected, actual);
    case JSON_ARRAY:
        return matches_array(match, expected, actual);
    case JSON_STRING:
        return matches_text(match, expected, actual);
    case JSON_INTEGER:
        return matches_integer(match, expected, actual);
    default:
        return json_equal(expected, actual) || differs(match, "differs", expected, actual);
    }
}

bool json_matches(const json_t *expected, const json_t *actual, char *difference,
                  size_t difference_bytes)
{
    struct match match = {.difference = difference, .difference_bytes = difference_bytes};
    return matches(&match, expected, actual);
}
