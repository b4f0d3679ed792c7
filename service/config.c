/* Loading: file or text -> tree (toml.cc) -> form (config_read.c) -> configuration
 * (config_resolve.c). */
#include "service/config.h"

#include "router/router.h"
#include "service/config_form.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct config_block {
    struct config_block *next;
    max_align_t memory[];
};

void *config_alloc(struct config_arena *arena, size_t count, size_t item_bytes)
{
    struct config_block *block = NULL;
    if (item_bytes == 0 || count <= (SIZE_MAX - sizeof *block) / item_bytes)
        block = calloc(1, sizeof *block + count * item_bytes);
    if (!block) {
        arena->failed = true;
        return NULL;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    return block->memory;
}

const char *config_copy(struct config_arena *arena, const char *text, size_t bytes)
{
    char *copy = config_alloc(arena, bytes + 1, 1);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

void config_arena_free(struct config_arena *arena)
{
    while (arena->blocks) {
        struct config_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

void config_free(struct config *config)
{
    struct config_owner *owner = (struct config_owner *)config;
    if (!owner)
        return;
    config_arena_free(&owner->arena);
    free(owner);
}

/* Everything that one load works with; freed or handed out by load_end(). */
struct load {
    struct config_owner *owner;
    struct report_owner *report;
    struct config_form form;
    struct config_reader reader;
};

static bool load_begin(struct load *load, const char *origin, const char *base_dir)
{
    load->owner = calloc(1, sizeof *load->owner);
    load->report = report_new(origin);
    if (!load->owner || !load->report) {
        free(load->owner);
        if (load->report)
            config_report_free(&load->report->report);
        return false;
    }
    load->owner->config.origin = config_copy(&load->owner->arena, origin, strlen(origin));
    form_init(&load->form);
    load->reader = (struct config_reader){.arena = &load->owner->arena,
                                          .report = load->report,
                                          .form = &load->form,
                                          .base_dir = base_dir,
                                          .check_files = true};
    return true;
}

static enum config_status load_end(struct load *load, enum config_status status,
                                   struct config **config_out, struct config_report **report_out)
{
    if (status == CONFIG_OK && load->report->report.total[CONFIG_ERROR] > 0)
        status = CONFIG_INVALID;
    if (load->owner->arena.failed || load->report->arena.failed || load->reader.scratch.failed)
        status = CONFIG_NO_MEMORY;
    config_arena_free(&load->reader.scratch);
    malloc_trim(0); /* the text and its tree were many times what is kept */
    report_sort(load->report);
    if (status == CONFIG_OK)
        *config_out = &load->owner->config;
    else
        config_free(&load->owner->config);
    if (status != CONFIG_NO_MEMORY)
        *report_out = &load->report->report;
    else
        config_report_free(&load->report->report);
    return status;
}

const char *config_mapping_name(const struct config *config, const struct config_mapping *mapping)
{
    return mapping->source == CONFIG_SOURCE_UNKNOWN ? config->unknown_names[mapping->unknown]
                                                    : config->sources[mapping->source].name;
}

static enum config_status parse(const struct config_input *input, const struct stat *file,
                                struct config **config_out, struct config_report **report_out)
{
    struct load load;
    struct toml_error error;
    *config_out = NULL;
    *report_out = NULL;
    if (!load_begin(&load, input->origin, input->base_dir))
        return CONFIG_NO_MEMORY;
    load.reader.check_files = input->check_files;
    load.reader.file = file;
    struct toml_document *document = toml_parse(input->text, input->bytes, &error);
    if (document) {
        config_read(&load.reader, toml_root(document));
        config_resolve(&load.reader, &load.owner->config);
        toml_free(document);
    } else {
        struct config_where where = {CONFIG_ERROR, error.place, "", NULL};
        report_add(load.report, where, "%s", error.text);
    }
    return load_end(&load, CONFIG_OK, config_out, report_out);
}

enum config_status config_parse(const struct config_input *input, struct config **config_out,
                                struct config_report **report_out)
{
    return parse(input, NULL, config_out, report_out);
}

static enum config_status fail_input(const char *origin, const char *what, int error,
                                     struct config **config_out, struct config_report **report_out)
{
    struct load load;
    if (!load_begin(&load, origin, "/"))
        return CONFIG_NO_MEMORY;
    struct config_where where = {CONFIG_ERROR, {0, 0}, "", NULL};
    report_add(load.report, where, "%s: %s", what, strerror(error));
    return load_end(&load, CONFIG_NO_INPUT, config_out, report_out);
}

/* At most one byte more than may be parsed, so that a file that is too large is noticed there.
 * Returns 0 or an errno. */
static int read_all(const char *path, char **text_out, size_t *bytes_out, struct stat *status_out)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (!file)
        return errno;
    int error = fstat(fileno(file), status_out) == 0 ? 0 : errno;
    char *text = malloc(TOML_TEXT_BYTES_MAX + 1);
    if (!text) {
        error = ENOMEM;
    } else if (error == 0) {
        *bytes_out = fread(text, 1, TOML_TEXT_BYTES_MAX + 1, file);
        if (ferror(file))
            error = errno != 0 ? errno : EIO;
    }
    if (!is_stdin)
        fclose(file);
    if (error != 0)
        free(text);
    else
        *text_out = text;
    return error;
}

/* The absolute folder of a file, as real path: symbolic links to the file itself are not followed,
 * those in its folder are. Returns 0 or an errno. */
static int folder_of_file(const char *path, char folder[PATH_MAX])
{
    char written[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t bytes = slash ? (size_t)(slash - path) : 0;
    if (bytes >= sizeof written)
        return ENAMETOOLONG;
    if (!slash)
        snprintf(written, sizeof written, ".");
    else
        snprintf(written, sizeof written, "%.*s", bytes > 0 ? (int)bytes : 1, path);
    return realpath(written, folder) ? 0 : errno;
}

enum config_status config_load(const char *path, struct config **config_out,
                               struct config_report **report_out)
{
    char folder[PATH_MAX];
    char *text = NULL;
    size_t bytes = 0;
    struct stat status;
    *config_out = NULL;
    *report_out = NULL;
    const char *origin = strcmp(path, "-") == 0 ? "standard input" : path;
    int error = folder_of_file(path, folder);
    if (error == 0)
        error = read_all(path, &text, &bytes, &status);
    if (error == ENOMEM)
        return CONFIG_NO_MEMORY;
    if (error != 0)
        return fail_input(origin, "cannot read the configuration", error, config_out, report_out);
    struct config_input input = {text, bytes, origin, folder, true};
    enum config_status result = parse(&input, &status, config_out, report_out);
    free(text);
    return result;
}

enum config_status config_single(const char *db_path, bool readonly, struct config **config_out,
                                 struct config_report **report_out)
{
    struct load load;
    char folder[PATH_MAX];
    *config_out = NULL;
    *report_out = NULL;
    if (!getcwd(folder, sizeof folder))
        return fail_input("--db", "cannot find the working directory", errno, config_out,
                          report_out);
    if (!load_begin(&load, "--db", folder))
        return CONFIG_NO_MEMORY;
    struct config_where where = {CONFIG_ERROR, {0, 0}, "", NULL};
    load.form.legacy.key = "";
    load.form.legacy.readonly = readonly;
    if (db_path[0] == '\0')
        report_add(load.report, where, "the path is empty");
    else if (config_has_control(db_path, strlen(db_path)))
        report_add(load.report, where, "the path holds a control character");
    else
        load.form.legacy.path.text = config_copy(&load.owner->arena, db_path, strlen(db_path));
    load.form.database_given = 1U << CONFIG_DATABASE_PATH;
    config_resolve(&load.reader, &load.owner->config);
    return load_end(&load, CONFIG_OK, config_out, report_out);
}

int config_new_router(const struct config *config, struct router **router_out)
{
    *router_out = NULL;
    struct router_source *sources = calloc(config->source_count + 1, sizeof *sources);
    struct router_mapping *mappings = calloc(config->mapping_count + 1, sizeof *mappings);
    int error = ENOMEM;
    if (sources && mappings) {
        for (size_t i = 0; i < config->source_count; i++)
            sources[i] =
                (struct router_source){config->sources[i].name, config->sources[i].readonly};
        for (size_t i = 0; i < config->mapping_count; i++)
            mappings[i] =
                (struct router_mapping){config->mappings[i].chat_id, config->mappings[i].source};
        struct router_spec spec = {sources, config->source_count, config->default_source, mappings,
                                   config->mapping_count};
        error = router_new(&spec, router_out);
    }
    free(sources);
    free(mappings);
    return error;
}
_Static_assert(CONFIG_SOURCE_UNKNOWN == ROUTER_SOURCE_UNKNOWN, "copied as it is");
