#include "suggest.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MAX = 64 };

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static bool is_same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Insertions, deletions and replacements that make one of the other, without regard to case. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t a_length = strlen(a), b_length = strlen(b);
    size_t row[NAME_BYTES_MAX + 1];

    if (a_length > NAME_BYTES_MAX || b_length > NAME_BYTES_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (is_same(a[i - 1], b[j - 1]) ? 0 : 1);
            diagonal = row[j];
            row[j] = smallest(replaced, row[j] + 1, row[j - 1] + 1);
        }
    }
    return row[b_length];
}

void suggest_start(struct suggestion *suggestion, const char *given)
{
    *suggestion = (struct suggestion){.given = given, .best_distance = 1 + strlen(given) / 3};
}

void suggest_offer(struct suggestion *suggestion, const char *name)
{
    size_t distance = edit_distance(suggestion->given, name);

    if (distance > suggestion->best_distance ||
        (distance == suggestion->best_distance && suggestion->best != NULL))
        return;
    suggestion->best = name;
    suggestion->best_distance = distance;
}

const char *suggest_text(const struct suggestion *suggestion, char *text, size_t text_bytes)
{
    text[0] = '\0';
    if (suggestion->best != NULL)
        snprintf(text, text_bytes, "; did you mean %s?", suggestion->best);
    return text;
}
