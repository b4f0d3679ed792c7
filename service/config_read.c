/* From the parsed file to the form: each table is read by its rows in config_schema.c. */
#include "service/config_read.h"

#include "service/config_form.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_bare_key(const char *key, size_t bytes)
{
    return bytes > 0 && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789_-") == bytes;
}

size_t config_key_push(struct config_reader *reader, const struct toml_node *node)
{
    size_t before = reader->key_bytes;
    const char *dot = before > 0 ? "." : "";
    const char *quote = is_bare_key(node->key, node->key_bytes) ? "" : "\"";
    snprintf(reader->key + before, sizeof reader->key - before, "%s%s%s%s", dot, quote, node->key,
             quote);
    reader->key_bytes += strlen(reader->key + before);
    return before;
}

void config_key_pop(struct config_reader *reader, size_t bytes)
{
    reader->key[bytes] = '\0';
    reader->key_bytes = bytes;
}

static struct config_where error_at(const struct config_reader *reader, struct toml_place place)
{
    return (struct config_where){CONFIG_ERROR, place, reader->key, NULL};
}

bool config_expect(struct config_reader *reader, const struct toml_node *node, enum toml_type type,
                   const char *wanted)
{
    if (node->type == type)
        return true;
    report_add(reader->report, error_at(reader, node->place), "must be %s, not %s", wanted,
               toml_type_name(node->type));
    return false;
}

/* A non-empty string without control characters; NULL, and reported, if it is none. */
static const char *read_text(struct config_reader *reader, const struct toml_node *node)
{
    if (!config_expect(reader, node, TOML_STRING, "a string"))
        return NULL;
    const char *problem = NULL;
    if (node->string_bytes == 0)
        problem = "is empty";
    else if (config_has_control(node->string, node->string_bytes))
        problem = "holds a control character";
    else if (node->string_bytes >= CONFIG_TEXT_BYTES_MAX)
        problem = "is longer than 4095 bytes";
    if (problem) {
        report_add(reader->report, error_at(reader, node->place), "%s", problem);
        return NULL;
    }
    return config_copy(reader->arena, node->string, node->string_bytes);
}

static void read_integer(struct config_reader *reader, const struct config_key *key,
                         const struct toml_node *node, uint32_t *value)
{
    if (!config_expect(reader, node, TOML_INTEGER, "an integer"))
        return;
    if (node->integer < key->min || node->integer > key->max) {
        report_add(reader->report, error_at(reader, node->place),
                   "%lld is out of range; allowed is %u to %u", (long long)node->integer, key->min,
                   key->max);
        return;
    }
    *value = (uint32_t)node->integer;
}

static void read_seconds(struct config_reader *reader, const struct config_key *key,
                         const struct toml_node *node, uint32_t *value_ms)
{
    if (node->type != TOML_INTEGER &&
        !config_expect(reader, node, TOML_FLOAT, "a number of seconds"))
        return;
    double seconds = node->type == TOML_INTEGER ? (double)node->integer : node->number;
    /* Written so that NaN fails too. */
    if (!(seconds > 0 && seconds <= key->max / 1000.0)) {
        report_add(reader->report, error_at(reader, node->place),
                   "%g seconds is out of range; allowed is more than 0, up to %u", seconds,
                   key->max / 1000);
        return;
    }
    uint32_t value = (uint32_t)ceil(seconds * 1000.0);
    *value_ms = value < key->min ? key->min : value;
}

static void read_choice(struct config_reader *reader, const struct config_key *key,
                        const struct toml_node *node, uint32_t *value)
{
    if (!config_expect(reader, node, TOML_STRING, key->type_text))
        return;
    struct nearest nearest = nearest_init(node->string);
    for (uint32_t i = 0; key->choices[i]; i++) {
        if (strlen(key->choices[i]) == node->string_bytes &&
            memcmp(key->choices[i], node->string, node->string_bytes) == 0) {
            *value = i;
            return;
        }
        nearest_try(&nearest, key->choices[i]);
    }
    struct config_where where = error_at(reader, node->place);
    where.nearest = nearest.name;
    report_add(reader->report, where, "\"%s\" is not known; allowed is %s", node->string,
               key->type_text);
}

static void read_value(struct config_reader *reader, const struct config_key *key,
                       const struct toml_node *node, void *base)
{
    void *value = (char *)base + key->offset;
    switch (key->type) {
    case CONFIG_TYPE_TEXT:
        *(struct form_text *)value = (struct form_text){read_text(reader, node), node->place};
        break;
    case CONFIG_TYPE_BOOLEAN:
        if (config_expect(reader, node, TOML_BOOLEAN, "true or false"))
            *(bool *)value = node->boolean;
        break;
    case CONFIG_TYPE_INTEGER:
        read_integer(reader, key, node, value);
        break;
    case CONFIG_TYPE_SECONDS:
        read_seconds(reader, key, node, value);
        break;
    case CONFIG_TYPE_CHOICE:
        read_choice(reader, key, node, value);
        break;
    case CONFIG_TYPE_SECTION:
        if (config_expect(reader, node, TOML_TABLE, "a table"))
            config_read_section(reader, key->section, node, value);
        break;
    case CONFIG_TYPE_CUSTOM:
        key->read(reader, node, base);
        break;
    }
}

static const struct config_key *find_key(const struct config_section *section,
                                         const struct toml_node *node)
{
    for (size_t i = 0; i < section->key_count; i++)
        if (strlen(section->keys[i].name) == node->key_bytes &&
            memcmp(section->keys[i].name, node->key, node->key_bytes) == 0)
            return &section->keys[i];
    return NULL;
}

static void report_unknown_key(struct config_reader *reader, const struct config_section *section,
                               const struct toml_node *node)
{
    struct nearest nearest = nearest_init(node->key);
    for (size_t i = 0; i < section->key_count; i++)
        nearest_try(&nearest, section->keys[i].name);
    struct config_where where = error_at(reader, node->key_place);
    where.nearest = nearest.name;
    if (!nearest.name) {
        for (size_t i = 0; i < config_section_count; i++) {
            if (!find_key(config_sections[i], node))
                continue;
            report_add(reader->report, where, "unknown key here; it belongs %s%s%s",
                       config_sections[i]->path[0] != '\0' ? "into [" : "to the top of the file",
                       config_sections[i]->path, config_sections[i]->path[0] != '\0' ? "]" : "");
            return;
        }
    }
    report_add(reader->report, where, "unknown key");
}

void config_read_section(struct config_reader *reader, const struct config_section *section,
                         const struct toml_node *table, void *base)
{
    uint32_t *given = (uint32_t *)(void *)((char *)base + section->given_offset);
    for (size_t i = 0; i < table->child_count; i++) {
        const struct toml_node *node = &table->children[i];
        const struct config_key *key = find_key(section, node);
        size_t before = config_key_push(reader, node);
        if (!key) {
            report_unknown_key(reader, section, node);
        } else if (*given & 1U << key->slot) {
            report_add(reader->report, error_at(reader, node->key_place),
                       "given twice: %s are the same setting", key->synonyms);
        } else {
            *given |= 1U << key->slot;
            read_value(reader, key, node, base);
        }
        config_key_pop(reader, before);
    }
}

/* Why this cannot be the name of a source, or NULL. */
static const char *name_problem(const struct toml_node *node)
{
    if (node->key_bytes == 0)
        return "a source needs a name; this one is empty";
    if (config_has_control(node->key, node->key_bytes))
        return "the name of a source may not hold control characters";
    if (memchr(node->key, ',', node->key_bytes))
        return "the name of a source may not hold a comma";
    if (node->key[0] == ' ' || node->key[node->key_bytes - 1] == ' ')
        return "the name of a source may not begin or end with a space";
    if (node->key_bytes > CONFIG_NAME_BYTES_MAX)
        return "the name of a source may not be longer than 128 bytes";
    return NULL;
}

static void read_source(struct config_reader *reader, const struct toml_node *node,
                        struct form_source *source)
{
    form_source_init(source);
    source->name.text = config_copy(reader->arena, node->key, node->key_bytes);
    source->name.place = node->key_place;
    source->key = config_copy(reader->arena, reader->key, reader->key_bytes);
    const char *problem = name_problem(node);
    if (problem)
        report_add(reader->report, error_at(reader, node->key_place), "%s", problem);
    if (node->type != TOML_TABLE) {
        report_add(reader->report, error_at(reader, node->place),
                   "must be a table such as { path = \"bot.db\" }, not %s",
                   toml_type_name(node->type));
        return;
    }
    config_read_section(reader, &config_source_section, node, source);
    if (!(source->given & 1U << CONFIG_SOURCE_PATH))
        report_add(reader->report, error_at(reader, node->key_place),
                   "has no path: every source needs path = \"FILE\"");
}

void config_read_sources(struct config_reader *reader, const struct toml_node *node, void *base)
{
    struct config_form *form = base;
    if (!config_expect(reader, node, TOML_TABLE, "a table of sources"))
        return;
    if (node->child_count == 0 || node->child_count > CONFIG_SOURCES_MAX) {
        report_add(reader->report, error_at(reader, node->key_place), "%s",
                   node->child_count == 0 ? "is empty: name at least one source"
                                          : "has more than 4096 sources");
        return;
    }
    form->sources = config_alloc(reader->arena, node->child_count, sizeof *form->sources);
    if (!form->sources)
        return;
    form->source_count = node->child_count;
    for (size_t i = 0; i < node->child_count; i++) {
        size_t before = config_key_push(reader, &node->children[i]);
        read_source(reader, &node->children[i], &form->sources[i]);
        config_key_pop(reader, before);
    }
}

/* A chat id has one spelling, so that equal ids are equal keys and TOML finds the duplicate. */
static bool parse_chat_id(const char *text, size_t bytes, int64_t *chat_id)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    size_t digit_count = strspn(digits, "0123456789");
    if (digit_count == 0 || (size_t)(digits - text) + digit_count != bytes)
        return false;
    if (digits[0] == '0' && bytes > 1)
        return false;
    errno = 0;
    *chat_id = strtoll(text, NULL, 10);
    return errno == 0;
}

static void read_mappings(struct config_reader *reader, const struct toml_node *node,
                          struct config_form *form)
{
    form->mappings = config_alloc(reader->arena, node->child_count, sizeof *form->mappings);
    if (!form->mappings)
        return;
    for (size_t i = 0; i < node->child_count; i++) {
        const struct toml_node *child = &node->children[i];
        struct form_mapping *mapping = &form->mappings[form->mapping_count];
        size_t before = config_key_push(reader, child);
        if (!parse_chat_id(child->key, child->key_bytes, &mapping->chat_id)) {
            report_add(reader->report, error_at(reader, child->key_place),
                       "\"%s\" is not a chat id: an integer of 64 bits, such as -1001234567890",
                       child->key);
        } else {
            mapping->source = (struct form_text){read_text(reader, child), child->place};
            mapping->key = config_copy(reader->arena, reader->key, reader->key_bytes);
            form->mapping_count += mapping->source.text != NULL;
        }
        config_key_pop(reader, before);
    }
}

void config_read_mapping(struct config_reader *reader, const struct toml_node *node, void *base)
{
    if (!config_expect(reader, node, TOML_TABLE, "a table such as { 12345 = \"archive\" }"))
        return;
    struct config_arena *lasting = reader->arena;
    reader->arena = &reader->scratch; /* a million chats are mapped to a few names */
    read_mappings(reader, node, base);
    reader->arena = lasting;
}

void config_read_list(struct config_reader *reader, const struct toml_node *node, const char *what,
                      struct form_list *list)
{
    if (node->type != TOML_ARRAY) {
        report_add(reader->report, error_at(reader, node->place), "must be an array of %s, not %s",
                   what, toml_type_name(node->type));
        return;
    }
    list->texts = config_alloc(reader->arena, node->child_count, sizeof *list->texts);
    for (size_t i = 0; list->texts && i < node->child_count; i++) {
        const char *text = read_text(reader, &node->children[i]);
        if (text)
            list->texts[list->count++] = (struct form_text){text, node->children[i].place};
    }
}

void config_read_listen(struct config_reader *reader, const struct toml_node *node, void *base)
{
    struct config_form *form = base;
    if (!config_expect(reader, node, TOML_ARRAY,
                       "an array of URLs, such as [\"tcp://127.0.0.1:7000\"]"))
        return;
    if (node->child_count == 0 || node->child_count > CONFIG_LISTEN_MAX) {
        report_add(reader->report, error_at(reader, node->place), "%s",
                   node->child_count == 0 ? "is empty: leave it out to listen on the default socket"
                                          : "has more than 64 URLs");
        return;
    }
    struct form_list list = {NULL, 0};
    config_read_list(reader, node, "URLs", &list);
    form->listen = list.texts;
    form->listen_count = list.count;
}

void form_source_init(struct form_source *source)
{
    *source = (struct form_source){.pool_size = CONFIG_POOL_SIZE_DEFAULT,
                                   .timeout_ms = CONFIG_TIMEOUT_MS_DEFAULT};
}

void form_init(struct config_form *form)
{
    *form = (struct config_form){.database_place = {1, 1}};
    form_source_init(&form->legacy);
    form->legacy.name.text = "default";
    form->legacy.key = "database";
    for (size_t i = 0; i < config_limit_count; i++)
        memcpy((char *)&form->limits + config_limit_table[i].offset, &config_limit_table[i].initial,
               sizeof(uint32_t));
}

void config_read(struct config_reader *reader, const struct toml_node *root)
{
    for (size_t i = 0; i < root->child_count; i++) {
        const struct toml_node *node = &root->children[i];
        if (strcmp(node->key, "database") == 0) {
            reader->form->database_place = node->key_place;
            reader->form->database_broken = node->type != TOML_TABLE;
        }
    }
    config_read_section(reader, &config_top_section, root, reader->form);
}
