/* From the form to the configuration: the rules that concern more than one key. */
#include "service/config_form.h"

#include <stdlib.h>
#include <string.h>

/* The sources in the order of their names. */
struct names {
    const struct config *config;
    const struct config_source **by_name;
};

static struct config_where where_of(enum config_severity severity, const struct form_text *text,
                                    const char *key)
{
    return (struct config_where){severity, text->place, key, NULL};
}

static bool is_given(uint32_t given, unsigned slot)
{
    return given >> slot & 1U;
}

/* After this, all sources are in form->sources, whichever way the file gives them. */
static void join_forms(struct config_reader *reader)
{
    struct config_form *form = reader->form;
    bool has_path = is_given(form->database_given, CONFIG_DATABASE_PATH);
    bool has_sources = is_given(form->database_given, CONFIG_DATABASE_SOURCES);
    struct config_where where = {CONFIG_ERROR, form->database_place, "database", NULL};
    if (has_path && has_sources) {
        where.place = form->legacy.path.place;
        where.key = "database.path";
        report_add(reader->report, where,
                   "path and sources exclude each other: make the file of path a source too");
    } else if (has_path) {
        form->sources = &form->legacy;
        form->source_count = 1;
    } else if (!has_sources && !form->database_broken) {
        report_add(reader->report, where,
                   "no source: give [database.sources.NAME] with path = \"FILE\", or path in "
                   "[database]");
    } else if (has_sources && (is_given(form->database_given, CONFIG_DATABASE_MAX_CONNECTIONS) ||
                               is_given(form->database_given, CONFIG_DATABASE_TIMEOUT))) {
        where.severity = CONFIG_WARNING;
        report_add(reader->report, where,
                   "max_connections and timeout belong to path and have no effect beside sources: "
                   "give each source pool-size and timeout");
    }
}

static void check_source(struct config_reader *reader, const struct form_source *form)
{
    struct config_where error = where_of(CONFIG_ERROR, &form->path, form->key);
    struct config_where error_at_name = where_of(CONFIG_ERROR, &form->name, form->key);
    if (form->path.text && strncmp(form->path.text, "file:", 5) == 0)
        report_add(reader->report, error,
                   "path is a URI; give a plain path (\"./%s\" if the file is really named so)",
                   form->path.text);
    if (form->path.text && strncmp(form->path.text, "~/", 2) == 0)
        report_add(reader->report, error, "\"~\" is not expanded in paths; write the folder out");
    if (form->path.text && form->path.text[strlen(form->path.text) - 1] == '/')
        report_add(reader->report, error, "path names a folder, not a file");
    if (form->readonly && form->path.text && strcmp(form->path.text, ":memory:") == 0)
        report_add(reader->report, error, "a readonly \":memory:\" source would always be empty");
    if (form->immutable && !form->readonly)
        report_add(reader->report, error_at_name, "immutable = true needs readonly = true");
    if (form->readonly && (is_given(form->given, CONFIG_SOURCE_JOURNAL_MODE) ||
                           is_given(form->given, CONFIG_SOURCE_SYNCHRONOUS)))
        report_add(reader->report, where_of(CONFIG_WARNING, &form->name, form->key),
                   "journal-mode and synchronous have no effect on a readonly source");
}

static void fill_sources(struct config_reader *reader, struct config *config)
{
    struct config_form *form = reader->form;
    struct config_source *sources =
        config_alloc(reader->arena, form->source_count + 1, sizeof *sources);
    if (!sources)
        return;
    for (size_t i = 0; i < form->source_count; i++) {
        const struct form_source *from = &form->sources[i];
        sources[i] = (struct config_source){
            .name = from->name.text,
            .kind = (enum config_kind)from->kind,
            .memory = from->path.text && strcmp(from->path.text, ":memory:") == 0,
            .readonly = from->readonly,
            .immutable = from->immutable,
            .pool_size = from->pool_size,
            .timeout_ms = from->timeout_ms,
            .journal_mode = (enum config_journal)from->journal_mode,
            .synchronous = (enum config_synchronous)from->synchronous,
            .given = from->given};
        if (sources[i].memory)
            sources[i].path = ":memory:";
        else if (from->path.text)
            sources[i].path =
                config_absolute_path(reader->arena, reader->base_dir, from->path.text);
        check_source(reader, from);
    }
    config_check_paths(reader, sources);
    config->sources = sources;
    config->source_count = form->source_count;
}

static int compare_names(const void *a, const void *b)
{
    const struct config_source *const *left = a;
    const struct config_source *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static void index_names(struct names *names, struct config_arena *arena,
                        const struct config *config)
{
    names->config = config;
    names->by_name = config_alloc(arena, config->source_count, sizeof *names->by_name);
    if (!names->by_name)
        return;
    for (size_t i = 0; i < config->source_count; i++)
        names->by_name[i] = &config->sources[i];
    qsort(names->by_name, config->source_count, sizeof *names->by_name, compare_names);
}

static uint32_t find_source(const struct names *names, const char *name)
{
    struct config_source wanted = {.name = name};
    const struct config_source *key = &wanted;
    const struct config_source **found = bsearch(&key, names->by_name, names->config->source_count,
                                                 sizeof *names->by_name, compare_names);
    return found ? (uint32_t)(*found - names->config->sources) : CONFIG_SOURCE_UNKNOWN;
}

static const char *nearest_source(const struct config_reader *reader, const struct config *config,
                                  const char *name)
{
    struct nearest nearest = nearest_init(name);
    /* Costs time for each source, so not for findings that will not be listed. */
    if (reader->report->report.total[CONFIG_WARNING] >= CONFIG_FINDINGS_MAX)
        return NULL;
    for (size_t i = 0; i < config->source_count; i++)
        nearest_try(&nearest, config->sources[i].name);
    return nearest.name;
}

static void check_readonly_default(struct config_reader *reader, const struct config *config)
{
    const struct config_form *form = reader->form;
    bool writable = false;
    for (size_t i = 0; i < config->source_count; i++)
        writable |= !config->sources[i].readonly;
    if (!writable || !config->sources[config->default_source].readonly)
        return;
    struct config_where where = {CONFIG_WARNING, form->default_source.place, "database.default",
                                 NULL};
    if (!form->default_source.text)
        where.place = form->database_place;
    report_add(reader->report, where,
               "the default source \"%s\" is readonly: writes that are not mapped to another "
               "source will all be refused",
               config->sources[config->default_source].name);
}

static void choose_default(struct config_reader *reader, const struct names *names,
                           struct config *config)
{
    struct config_form *form = reader->form;
    const struct form_text *wanted = &form->default_source;
    const char *name = wanted->text ? wanted->text : "default";
    uint32_t found = find_source(names, name);
    bool is_set = is_given(form->database_given, CONFIG_DATABASE_DEFAULT);
    if (found == CONFIG_SOURCE_UNKNOWN && wanted->text) {
        struct config_where where = where_of(CONFIG_ERROR, wanted, "database.default");
        where.nearest = nearest_source(reader, config, name);
        report_add(reader->report, where, "\"%s\" is no source", name);
    } else if (found == CONFIG_SOURCE_UNKNOWN && config->source_count > 1 && !is_set) {
        struct config_where where = {CONFIG_WARNING, form->database_place, "database.default",
                                     NULL};
        report_add(reader->report, where,
                   "no default source is named: the first one, \"%s\", is taken; say so with "
                   "default = \"%s\"",
                   config->sources[0].name, config->sources[0].name);
    }
    config->default_source = found == CONFIG_SOURCE_UNKNOWN ? 0 : found;
    check_readonly_default(reader, config);
}

static size_t count_unknown(const struct config_form *form, const struct names *names)
{
    size_t count = 0;
    for (size_t i = 0; i < form->mapping_count; i++)
        count += find_source(names, form->mappings[i].source.text) == CONFIG_SOURCE_UNKNOWN;
    return count;
}

static void fill_mappings(struct config_reader *reader, const struct names *names,
                          struct config *config)
{
    const struct config_form *form = reader->form;
    struct config_mapping *mappings =
        config_alloc(reader->arena, form->mapping_count + 1, sizeof *mappings);
    size_t unknown_count = count_unknown(form, names);
    const char **unknown = config_alloc(reader->arena, unknown_count + 1, sizeof *unknown);
    if (!mappings || !unknown)
        return;
    unknown_count = 0;
    for (size_t i = 0; i < form->mapping_count; i++) {
        const struct form_mapping *from = &form->mappings[i];
        mappings[i] =
            (struct config_mapping){from->chat_id, find_source(names, from->source.text), 0};
        if (mappings[i].source != CONFIG_SOURCE_UNKNOWN)
            continue;
        mappings[i].unknown = (uint32_t)unknown_count;
        unknown[unknown_count++] =
            config_copy(reader->arena, from->source.text, strlen(from->source.text));
        struct config_where where = where_of(CONFIG_WARNING, &from->source, from->key);
        where.nearest = nearest_source(reader, config, from->source.text);
        report_add(reader->report, where,
                   "chat %lld is mapped to \"%s\", which is no source; it uses the default source "
                   "\"%s\"",
                   (long long)from->chat_id, from->source.text,
                   config->sources[config->default_source].name);
    }
    config->unknown_names = unknown;
    config->mappings = mappings;
    config->mapping_count = form->mapping_count;
}

void config_resolve(struct config_reader *reader, struct config *config)
{
    struct names names;
    join_forms(reader);
    /* Without memory there are names missing; nothing of this load will be used. */
    if (!reader->arena->failed)
        fill_sources(reader, config);
    if (!reader->arena->failed)
        index_names(&names, reader->arena, config);
    if (!reader->arena->failed && config->source_count > 0) {
        choose_default(reader, &names, config);
        fill_mappings(reader, &names, config);
    }
    if (!reader->arena->failed)
        config_resolve_access(reader, config);
    if (!reader->arena->failed)
        config_resolve_listen(reader, config);
    config->limits = reader->form->limits;
    config->limits_given = reader->form->limits_given;
}
