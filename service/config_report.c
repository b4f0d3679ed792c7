#include "service/config_form.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1024, NEAREST_BYTES_MAX = 64 };

struct report_owner *report_new(const char *origin)
{
    struct report_owner *owner = calloc(1, sizeof *owner);
    if (!owner)
        return NULL;
    char name[TEXT_BYTES_MAX];
    config_escape(name, sizeof name, origin);
    owner->report.origin = config_copy(&owner->arena, name, strlen(name));
    owner->report.findings = config_alloc(&owner->arena, (size_t)CONFIG_FINDINGS_MAX * CONFIG_ERROR,
                                          sizeof *owner->report.findings);
    if (owner->arena.failed) {
        config_report_free(&owner->report);
        return NULL;
    }
    return owner;
}

void config_report_free(struct config_report *report)
{
    struct report_owner *owner = (struct report_owner *)report;
    if (!owner)
        return;
    config_arena_free(&owner->arena);
    free(owner);
}

static bool is_control(const unsigned char *at, size_t bytes)
{
    return at[0] < 0x20 || at[0] == 0x7f ||
           (bytes > 1 && at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f);
}

bool config_has_control(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (is_control((const unsigned char *)text + i, bytes - i))
            return true;
    return false;
}

void config_escape(char *to, size_t to_bytes, const char *from)
{
    size_t from_bytes = strlen(from);
    size_t used = 0;
    for (size_t i = 0; i < from_bytes && used + sizeof "\\xNN" < to_bytes; i++) {
        const unsigned char *at = (const unsigned char *)from + i;
        if (is_control(at, from_bytes - i))
            used += (size_t)snprintf(to + used, to_bytes - used, "\\x%02x", (unsigned)*at);
        else
            to[used++] = from[i];
    }
    to[used] = '\0';
}

static const char *copy_escaped(struct config_arena *arena, const char *text)
{
    char escaped[TEXT_BYTES_MAX];
    config_escape(escaped, sizeof escaped, text);
    return config_copy(arena, escaped, strlen(escaped));
}

void report_add(struct report_owner *owner, struct config_where where, const char *format, ...)
{
    struct config_report *report = &owner->report;
    if (report->total[where.severity]++ >= CONFIG_FINDINGS_MAX)
        return;
    char text[TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report->findings[report->count++] = (struct config_finding){
        .severity = where.severity,
        .line = where.place.line,
        .column = where.place.column,
        .key = copy_escaped(&owner->arena, where.key ? where.key : ""),
        .text = copy_escaped(&owner->arena, text),
        .nearest = where.nearest ? copy_escaped(&owner->arena, where.nearest) : NULL};
}

static bool comes_after(const struct config_finding *a, const struct config_finding *b)
{
    return a->line != b->line ? a->line > b->line : a->column > b->column;
}

/* Stable; there are few. */
void report_sort(struct report_owner *owner)
{
    struct config_finding *findings = owner->report.findings;
    for (size_t i = 1; i < owner->report.count; i++) {
        struct config_finding moved = findings[i];
        size_t place = i;
        for (; place > 0 && comes_after(&findings[place - 1], &moved); place--)
            findings[place] = findings[place - 1];
        findings[place] = moved;
    }
}

const char *config_severity_name(enum config_severity severity)
{
    switch (severity) {
    case CONFIG_WARNING:
        return "warning";
    case CONFIG_UNAVAILABLE:
        return "unavailable";
    case CONFIG_ERROR:
        return "error";
    }
    return "unknown";
}

const char *config_finding_text(const struct config_report *report,
                                const struct config_finding *finding, char *buffer, size_t bytes)
{
    char place[32] = "";
    if (finding->line > 0)
        snprintf(place, sizeof place, ":%u:%u", finding->line, finding->column);
    snprintf(buffer, bytes, "%s%s: %s: %s%s%s%s%s%s", report->origin, place,
             config_severity_name(finding->severity), finding->key,
             finding->key[0] != '\0' ? ": " : "", finding->text,
             finding->nearest ? " (did you mean \"" : "", finding->nearest ? finding->nearest : "",
             finding->nearest ? "\"?)" : "");
    return buffer;
}

void config_report_print(const struct config_report *report, FILE *file)
{
    char line[4 * TEXT_BYTES_MAX];
    size_t total = 0;
    for (size_t i = 0; i < report->count; i++)
        fprintf(file, "%s\n", config_finding_text(report, &report->findings[i], line, sizeof line));
    for (size_t severity = CONFIG_WARNING; severity <= CONFIG_ERROR; severity++)
        total += report->total[severity];
    if (total > report->count)
        fprintf(file, "%s: and %zu more of the same kinds\n", report->origin,
                total - report->count);
}

/* Lower case, without '-' and '_'. */
static size_t fold(char *to, const char *from)
{
    size_t bytes = 0;
    for (; *from != '\0' && bytes < NEAREST_BYTES_MAX; from++) {
        if (*from == '-' || *from == '_')
            continue;
        to[bytes++] = *from >= 'A' && *from <= 'Z' ? (char)(*from - 'A' + 'a') : *from;
    }
    return bytes;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, remove, replace, swap neighbours) that turn one name into the other. */
static size_t edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t rows[3][NEAREST_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_bytes; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            row[j] =
                smaller(smaller(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

struct nearest nearest_init(const char *wanted)
{
    return (struct nearest){.wanted = wanted, .distance = SIZE_MAX};
}

void nearest_try(struct nearest *nearest, const char *candidate)
{
    char a[NEAREST_BYTES_MAX] = "";
    char b[NEAREST_BYTES_MAX] = "";
    size_t a_bytes = fold(a, nearest->wanted);
    size_t b_bytes = fold(b, candidate);
    size_t longer = a_bytes > b_bytes ? a_bytes : b_bytes;
    size_t distance = edit_distance(a, a_bytes, b, b_bytes);
    if (distance < longer && distance <= 1 + longer / 4 && distance < nearest->distance) {
        nearest->distance = distance;
        nearest->name = candidate;
    }
}
