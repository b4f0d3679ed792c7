/* Inside of config*.c: what a file says (the form), before it is checked as a whole and becomes a
 * struct config; the report under construction; memory. One thread at a time for each load. */
#ifndef CHATSTORE_SERVICE_CONFIG_FORM_H
#define CHATSTORE_SERVICE_CONFIG_FORM_H

#include "service/config.h"
#include "service/config_schema.h"
#include "service/toml.h"

/* More findings of one severity than this are counted but not listed. */
enum {
    CONFIG_FINDINGS_MAX = 100,
    CONFIG_KEY_BYTES_MAX = 512,
    CONFIG_NAME_BYTES_MAX = 128,
    CONFIG_TEXT_BYTES_MAX = 4096,
    CONFIG_LISTEN_MAX = 64,
    CONFIG_SOURCES_MAX = 4096,
    CONFIG_CLIENTS_MAX = 4096,
    CONFIG_POOL_SIZE_DEFAULT = 5,
    CONFIG_TIMEOUT_MS_DEFAULT = 30000
};

/* Memory that is freed as a whole. */
struct config_arena {
    struct config_block *blocks;
    bool failed; /* an allocation failed, now or before */
};

/* Zeroed; NULL if there is no memory. */
void *config_alloc(struct config_arena *arena, size_t count, size_t item_bytes);
const char *config_copy(struct config_arena *arena, const char *text, size_t bytes);
void config_arena_free(struct config_arena *arena);

/* The public structs with the memory that they live in. */
struct config_owner {
    struct config config; /* first, so that config_free() finds the rest */
    struct config_arena arena;
};

struct report_owner {
    struct config_report report; /* first, likewise */
    struct config_arena arena;
};

struct form_text {
    const char *text; /* NULL = not given */
    struct toml_place place;
};

struct form_source {
    struct form_text name;
    const char *key; /* "database.sources.NAME", for messages */
    uint32_t given;
    uint32_t kind;
    struct form_text path;
    bool readonly;
    bool immutable;
    uint32_t pool_size;
    uint32_t timeout_ms;
    uint32_t journal_mode;
    uint32_t synchronous;
};

struct form_mapping {
    int64_t chat_id;
    struct form_text source;
    const char *key;
};

struct form_list {
    struct form_text *texts;
    size_t count;
};

struct form_client {
    const char *key; /* "service.clients.2", for messages */
    struct toml_place place;
    uint32_t given;
    struct form_text name;
    struct form_text token_hash;
    struct form_list read;
    struct form_list write;
    bool admin;
    int64_t *chats; /* NULL: not given */
    size_t chat_count;
    uint32_t calls_in_flight_max;
};

struct form_tls {
    uint32_t given;
    struct form_text certificate;
    struct form_text key;
    struct form_text client_ca;
    uint32_t client_certificates;
};

struct form_audit {
    uint32_t given;
    struct form_text path;
    bool required;
};

struct config_form {
    uint32_t top_given;
    uint32_t database_given;
    uint32_t service_given;
    struct toml_place database_place;
    bool database_broken;      /* is no table, which is reported */
    struct form_source legacy; /* [database] path */
    struct form_source *sources;
    size_t source_count;
    struct form_text default_source;
    struct form_mapping *mappings;
    size_t mapping_count;
    struct form_text *listen;
    size_t listen_count;
    bool insecure_listen;
    struct form_tls tls;
    struct form_client *clients;
    size_t client_count;
    struct form_audit audit;
    struct config_limits limits;
    uint32_t limits_given;
};

/* What reading and checking share. */
struct config_reader {
    struct config_arena *arena;  /* of the configuration */
    struct config_arena scratch; /* freed when it has been resolved */
    struct report_owner *report;
    struct config_form *form;
    const char *base_dir;
    bool check_files;
    const struct stat *file; /* that the configuration stands in; NULL: it came another way */
    char key[CONFIG_KEY_BYTES_MAX]; /* of the table being read */
    size_t key_bytes;
};

void form_init(struct config_form *form);
void form_source_init(struct form_source *source);

/* Fill the form from the parsed file; what is wrong goes to the report. */
void config_read(struct config_reader *reader, const struct toml_node *root);

/* Check the form as a whole and fill the configuration. */
void config_resolve(struct config_reader *reader, struct config *config);

/* The absolute path; relative ones start at base_dir. NULL if there is no memory. */
const char *config_absolute_path(struct config_arena *arena, const char *base_dir,
                                 const char *path);

/* Report sources that share a file, and (if check_files) files that cannot be opened now. */
void config_check_paths(struct config_reader *reader, const struct config_source *sources);

/* Report what is wrong with the URLs and fill config->listen. */
void config_resolve_listen(struct config_reader *reader, struct config *config);

/* Check who may call, with which certificates, and what is noted of it; fills the configuration,
 * whose sources and their names are known. */
void config_resolve_access(struct config_reader *reader, struct config *config);

/* Append to the key of the table being read; returns its length before, for config_key_pop(). */
size_t config_key_push(struct config_reader *reader, const struct toml_node *node);
void config_key_pop(struct config_reader *reader, size_t bytes);

struct config_where {
    enum config_severity severity;
    struct toml_place place;
    const char *key;
    const char *nearest; /* or NULL */
};

struct report_owner *report_new(const char *origin);
void report_add(struct report_owner *report, struct config_where where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Put the findings into the order of the file. */
void report_sort(struct report_owner *report);

/* The name that resembles `wanted` most; try all candidates, then read `name` (NULL: none is near).
 * Case, '-' and '_' do not count. */
struct nearest {
    const char *wanted;
    const char *name;
    size_t distance;
};
struct nearest nearest_init(const char *wanted);
void nearest_try(struct nearest *nearest, const char *candidate);

/* Copy with control characters written as \xNN. */
void config_escape(char *to, size_t to_bytes, const char *from);

/* True if the text holds a control character (ASCII or C1). */
bool config_has_control(const char *text, size_t bytes);

#endif
