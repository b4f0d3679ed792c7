/* Responses as tables for people. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "json.h"

enum { CELL_CHARACTERS_MAX = 48, COLUMNS_MAX = 64 };

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += !is_continuation(*text);
    return count;
}

/* Cut to CELL_CHARACTERS_MAX characters, with control characters as blanks. */
static void tidy_cell(char *text)
{
    char *last = text; /* where the last character that may stay begins */
    size_t count = 0;

    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = ' ';
        count += !is_continuation(*c);
        if (count == CELL_CHARACTERS_MAX && !is_continuation(*c))
            last = c;
        if (count > CELL_CHARACTERS_MAX) {
            last[0] = '>';
            last[1] = '\0';
            return;
        }
    }
}

/* A value as a cell; to be freed with free(). Absent values are empty. */
static char *cell_of(json_t *value, bool whole)
{
    char *text;

    if (value == NULL || json_is_null(value))
        text = strdup("");
    else if (json_is_string(value))
        text = strdup(json_string_value(value));
    else
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text != NULL && !whole)
        tidy_cell(text);
    return text;
}

static json_t *member(json_t *row, const char *field_name)
{
    char name[96];
    json_field_name(field_name, name, sizeof name);
    return json_object_get(row, name);
}

struct column {
    const char *name;
    size_t width;
    bool is_number;
};

static bool is_number(const ProtobufCFieldDescriptor *field)
{
    return field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE &&
           field->type != PROTOBUF_C_TYPE_BOOL && field->type != PROTOBUF_C_TYPE_BYTES;
}

/* The columns that any row has, with the width of their widest cell. */
static size_t find_columns(const ProtobufCMessageDescriptor *type, json_t *rows,
                           struct column *columns)
{
    size_t count = 0;

    for (unsigned i = 0; i < type->n_fields && count < COLUMNS_MAX; i++) {
        const char *name = type->fields[i].name;
        bool is_used = false;
        size_t width = strlen(name), at;
        json_t *row;
        json_array_foreach(rows, at, row)
        {
            char *cell = cell_of(member(row, name), false);
            is_used = is_used || member(row, name) != NULL;
            if (cell != NULL && characters(cell) > width)
                width = characters(cell);
            free(cell);
        }
        if (is_used)
            columns[count++] = (struct column){name, width, is_number(&type->fields[i])};
    }
    return count;
}

static void print_cell(FILE *to, const char *text, const struct column *column, bool is_last)
{
    int blanks = (int)(column->width - characters(text));

    if (column->is_number)
        fprintf(to, "%*s%s", blanks, "", text);
    else
        fprintf(to, "%s%*s", text, is_last ? 0 : blanks, "");
    fputs(is_last ? "\n" : "  ", to);
}

/* Columns of the terminal that is written to; SIZE_MAX: it is none. */
static size_t width_of(FILE *to)
{
    struct winsize size;

    if (isatty(fileno(to)) != 1 || ioctl(fileno(to), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return SIZE_MAX;
    return size.ws_col;
}

static void print_members(FILE *to, const ProtobufCMessageDescriptor *type, json_t *row);

/* Rows that are too wide for a table: one below the other. */
static void print_blocks(FILE *to, const ProtobufCMessageDescriptor *type, json_t *rows)
{
    size_t at;
    json_t *row;

    json_array_foreach(rows, at, row)
    {
        if (at > 0)
            fputc('\n', to);
        print_members(to, type, row);
    }
}

static void print_rows(FILE *to, const ProtobufCMessageDescriptor *type, json_t *rows)
{
    struct column columns[COLUMNS_MAX];
    size_t count = find_columns(type, rows, columns);
    size_t width = 0, at;
    json_t *row;

    for (size_t i = 0; i < count; i++)
        width += columns[i].width + 2;
    if (width > width_of(to) + 2 && width_of(to) != SIZE_MAX) {
        print_blocks(to, type, rows);
        return;
    }
    for (size_t i = 0; i < count; i++)
        print_cell(to, columns[i].name, &columns[i], i + 1 == count);
    json_array_foreach(rows, at, row)
    {
        for (size_t i = 0; i < count; i++) {
            char *cell = cell_of(member(row, columns[i].name), false);
            print_cell(to, cell != NULL ? cell : "", &columns[i], i + 1 == count);
            free(cell);
        }
    }
    fprintf(to, "(%zu %s)\n", json_array_size(rows), json_array_size(rows) == 1 ? "row" : "rows");
}

static void print_members(FILE *to, const ProtobufCMessageDescriptor *type, json_t *row)
{
    size_t width = 0;

    for (unsigned i = 0; i < type->n_fields; i++)
        if (strlen(type->fields[i].name) > width)
            width = strlen(type->fields[i].name);
    for (unsigned i = 0; i < type->n_fields; i++) {
        json_t *value = member(row, type->fields[i].name);
        char *cell = cell_of(value, true);
        if (value != NULL && cell != NULL)
            fprintf(to, "%-*s  %s\n", (int)width, type->fields[i].name, cell);
        free(cell);
    }
}

/* Repeated plain values: one a line. */
static void print_values(FILE *to, json_t *values)
{
    size_t at;
    json_t *value;

    json_array_foreach(values, at, value)
    {
        char *cell = cell_of(value, true);
        fprintf(to, "%s\n", cell != NULL ? cell : "");
        free(cell);
    }
}

void cli_print_table(FILE *to, const ProtobufCMessageDescriptor *type, const char *response)
{
    json_t *object = json_loads(response, JSON_ALLOW_NUL, NULL);

    if (object == NULL || type->n_fields == 0) {
        fprintf(to, "%s\n", response);
        json_decref(object);
        return;
    }
    const ProtobufCFieldDescriptor *first = &type->fields[0];
    json_t *value = member(object, first->name);
    bool is_message = first->type == PROTOBUF_C_TYPE_MESSAGE;

    if (value == NULL)
        fputs("(none)\n", to);
    else if (json_is_array(value) && is_message)
        print_rows(to, first->descriptor, value);
    else if (json_is_array(value))
        print_values(to, value);
    else if (is_message && json_is_object(value))
        print_members(to, first->descriptor, value);
    else
        print_members(to, type, object);
    const char *token = json_string_value(member(object, "next_page_token"));
    if (token != NULL && token[0] != '\0')
        fprintf(to, "(more: page_token=%s)\n", token);
    json_decref(object);
}
