#include "service/config_schema.h"

#include "service/config_form.h"
#include "service/config_read.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

_Static_assert(sizeof(enum config_kind) == sizeof(uint32_t) &&
                   sizeof(enum config_journal) == sizeof(uint32_t),
               "choices are kept as uint32_t");

const char *const config_kind_choices[] = {"sqlite", NULL};
const char *const config_journal_choices[] = {"wal", "truncate", "keep", NULL};
const char *const config_synchronous_choices[] = {"full", "normal", NULL};

static const char pool_size_synonyms[] = "pool-size and options.maxConnections";
static const char timeout_synonyms[] = "timeout and options.timeout";
static const char default_synonyms[] = "default and defaultSource";
static const char mapping_synonyms[] = "chatMapping and chat_mapping";

static const char pool_size_type[] = "integer, 1 to 1000";
static const char timeout_type[] = "seconds, 0.001 to 86400";
enum { POOL_SIZE_MAX = 1000, TIMEOUT_MS_MAX = 86400000 };

static const struct config_key option_keys[] = {
    {.name = "timeout",
     .type = CONFIG_TYPE_SECONDS,
     .slot = CONFIG_SOURCE_TIMEOUT,
     .synonyms = timeout_synonyms,
     .offset = offsetof(struct form_source, timeout_ms),
     .min = 1,
     .max = TIMEOUT_MS_MAX,
     .type_text = timeout_type,
     .default_text = "30",
     .meaning = "The same as the source's `timeout`."},
    {.name = "maxConnections",
     .type = CONFIG_TYPE_INTEGER,
     .slot = CONFIG_SOURCE_POOL_SIZE,
     .synonyms = pool_size_synonyms,
     .offset = offsetof(struct form_source, pool_size),
     .min = 1,
     .max = POOL_SIZE_MAX,
     .type_text = pool_size_type,
     .default_text = "5",
     .meaning = "The same as the source's `pool-size`."},
};

static const struct config_section option_section = {"database.sources.NAME.options", option_keys,
                                                     COUNT_OF(option_keys),
                                                     offsetof(struct form_source, given)};

static const struct config_key source_keys[] = {
    {.name = "type",
     .type = CONFIG_TYPE_CHOICE,
     .slot = CONFIG_SOURCE_TYPE,
     .offset = offsetof(struct form_source, kind),
     .choices = config_kind_choices,
     .type_text = "`\"sqlite\"`",
     .default_text = "`\"sqlite\"`",
     .meaning = "The kind of the source."},
    {.name = "path",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_SOURCE_PATH,
     .offset = offsetof(struct form_source, path),
     .type_text = "path",
     .default_text = "required",
     .meaning = "The database file, relative to this file's folder, or `:memory:`."},
    {.name = "readonly",
     .type = CONFIG_TYPE_BOOLEAN,
     .slot = CONFIG_SOURCE_READONLY,
     .offset = offsetof(struct form_source, readonly),
     .type_text = "boolean",
     .default_text = "false",
     .meaning = "Never written, migrated or created; writes that are routed to it are refused."},
    {.name = "pool-size",
     .type = CONFIG_TYPE_INTEGER,
     .slot = CONFIG_SOURCE_POOL_SIZE,
     .synonyms = pool_size_synonyms,
     .offset = offsetof(struct form_source, pool_size),
     .min = 1,
     .max = POOL_SIZE_MAX,
     .type_text = pool_size_type,
     .default_text = "5",
     .meaning = "Connections that read the file at the same time."},
    {.name = "timeout",
     .type = CONFIG_TYPE_SECONDS,
     .slot = CONFIG_SOURCE_TIMEOUT,
     .synonyms = timeout_synonyms,
     .offset = offsetof(struct form_source, timeout_ms),
     .min = 1,
     .max = TIMEOUT_MS_MAX,
     .type_text = timeout_type,
     .default_text = "30",
     .meaning = "How long a call waits for a lock that another process holds on the file."},
    {.name = "journal-mode",
     .type = CONFIG_TYPE_CHOICE,
     .slot = CONFIG_SOURCE_JOURNAL_MODE,
     .offset = offsetof(struct form_source, journal_mode),
     .choices = config_journal_choices,
     .type_text = "`\"wal\"`, `\"truncate\"` or `\"keep\"`",
     .default_text = "`\"wal\"`",
     .meaning = "SQLite's journal; `keep` leaves the file as it is, `truncate` is for files that "
                "other programs write too."},
    {.name = "synchronous",
     .type = CONFIG_TYPE_CHOICE,
     .slot = CONFIG_SOURCE_SYNCHRONOUS,
     .offset = offsetof(struct form_source, synchronous),
     .choices = config_synchronous_choices,
     .type_text = "`\"full\"` or `\"normal\"`",
     .default_text = "`\"full\"`",
     .meaning = "`full`: an acknowledged write survives a power cut; `normal`: the last ones may "
                "be lost, the file stays whole."},
    {.name = "immutable",
     .type = CONFIG_TYPE_BOOLEAN,
     .slot = CONFIG_SOURCE_IMMUTABLE,
     .offset = offsetof(struct form_source, immutable),
     .type_text = "boolean",
     .default_text = "false",
     .meaning = "Only with `readonly`: nobody writes the file, so it is read without locks (files "
                "on read-only media). If somebody does, reads are wrong."},
    {.name = "options",
     .type = CONFIG_TYPE_SECTION,
     .slot = CONFIG_SOURCE_OPTIONS,
     .section = &option_section,
     .type_text = "table",
     .default_text = "none",
     .meaning = "An older form of `timeout` and `pool-size`."},
};

const struct config_section config_source_section = {"database.sources.NAME", source_keys,
                                                     COUNT_OF(source_keys),
                                                     offsetof(struct form_source, given)};

static const char default_meaning[] =
    "The source of all that is not routed elsewhere. Without it: the source named `default`, else "
    "the only one, else the first, with a warning.";
static const char mapping_meaning[] =
    "Chat id to name of its source; ids bare or quoted. A chat whose source is unknown uses the "
    "default source, with a warning.";

static const struct config_key database_keys[] = {
    {.name = "path",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_DATABASE_PATH,
     .offset = offsetof(struct config_form, legacy.path),
     .type_text = "path",
     .default_text = "none",
     .meaning = "The only database, as a source named `default`. Not together with `sources`."},
    {.name = "max_connections",
     .type = CONFIG_TYPE_INTEGER,
     .slot = CONFIG_DATABASE_MAX_CONNECTIONS,
     .offset = offsetof(struct config_form, legacy.pool_size),
     .min = 1,
     .max = POOL_SIZE_MAX,
     .type_text = pool_size_type,
     .default_text = "5",
     .meaning = "With `path`: its `pool-size`."},
    {.name = "timeout",
     .type = CONFIG_TYPE_SECONDS,
     .slot = CONFIG_DATABASE_TIMEOUT,
     .offset = offsetof(struct config_form, legacy.timeout_ms),
     .min = 1,
     .max = TIMEOUT_MS_MAX,
     .type_text = timeout_type,
     .default_text = "30",
     .meaning = "With `path`: how long a call waits for a lock."},
    {.name = "sources",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = CONFIG_DATABASE_SOURCES,
     .read = config_read_sources,
     .type_text = "table of sources",
     .default_text = "none",
     .meaning = "The sources by name; their order decides how answers are merged."},
    {.name = "default",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_DATABASE_DEFAULT,
     .synonyms = default_synonyms,
     .offset = offsetof(struct config_form, default_source),
     .type_text = "name of a source",
     .default_text = "see right",
     .meaning = default_meaning},
    {.name = "defaultSource",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_DATABASE_DEFAULT,
     .synonyms = default_synonyms,
     .offset = offsetof(struct config_form, default_source),
     .type_text = "name of a source",
     .default_text = "none",
     .meaning = "The same as `default`."},
    {.name = "chatMapping",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = CONFIG_DATABASE_MAPPING,
     .synonyms = mapping_synonyms,
     .read = config_read_mapping,
     .type_text = "table of names",
     .default_text = "none",
     .meaning = mapping_meaning},
    {.name = "chat_mapping",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = CONFIG_DATABASE_MAPPING,
     .synonyms = mapping_synonyms,
     .read = config_read_mapping,
     .type_text = "table of names",
     .default_text = "none",
     .meaning = "The same as `chatMapping`."},
};

static const struct config_section database_section = {
    "database", database_keys, COUNT_OF(database_keys),
    offsetof(struct config_form, database_given)};

#define LIMIT_SLOT(limit, initial, min, max, meaning) LIMIT_##limit,
enum limit_slot { CONFIG_LIMITS(LIMIT_SLOT) LIMIT_COUNT };
_Static_assert(LIMIT_COUNT <= 32, "limits_given has a bit for each limit");

#define LIMIT_ROW(limit, initial, min, max, meaning)                                               \
    {#limit, initial, offsetof(struct config_limits, limit), meaning},
const struct config_limit config_limit_table[] = {CONFIG_LIMITS(LIMIT_ROW)};
const size_t config_limit_count = COUNT_OF(config_limit_table);

#define LIMIT_KEY(limit, initial, smallest, largest, text)                                         \
    {.name = #limit,                                                                               \
     .type = CONFIG_TYPE_INTEGER,                                                                  \
     .slot = LIMIT_##limit,                                                                        \
     .offset = offsetof(struct config_form, limits.limit),                                         \
     .min = smallest,                                                                              \
     .max = largest,                                                                               \
     .type_text = "integer, " #smallest " to " #largest,                                           \
     .default_text = #initial,                                                                     \
     .restart = true,                                                                              \
     .meaning = text},
static const struct config_key limit_keys[] = {CONFIG_LIMITS(LIMIT_KEY)};

static const struct config_section limit_section = {
    "service.limits", limit_keys, COUNT_OF(limit_keys), offsetof(struct config_form, limits_given)};

enum {
    SERVICE_LISTEN,
    SERVICE_LIMITS,
    SERVICE_INSECURE_LISTEN,
    SERVICE_TLS,
    SERVICE_CLIENTS,
    SERVICE_AUDIT
};
static const struct config_key service_keys[] = {
    {.name = "listen",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = SERVICE_LISTEN,
     .read = config_read_listen,
     .type_text = "array of URLs",
     .default_text = "one unix socket",
     .restart = true,
     .meaning = "Where the server listens: `ipc://`, `tcp://`, `ws://`, `tls+tcp://`, `wss://`."},
    {.name = "insecure-listen",
     .type = CONFIG_TYPE_BOOLEAN,
     .slot = SERVICE_INSECURE_LISTEN,
     .offset = offsetof(struct config_form, insecure_listen),
     .type_text = "boolean",
     .default_text = "false",
     .restart = true,
     .meaning =
         "Allows addresses that other machines reach without TLS or without tokens: whoever "
         "is on the network can read what passes, or call. Never needed for unix sockets and "
         "loopback."},
    {.name = "tls",
     .type = CONFIG_TYPE_SECTION,
     .slot = SERVICE_TLS,
     .offset = offsetof(struct config_form, tls),
     .section = &config_tls_section,
     .type_text = "table",
     .default_text = "none",
     .meaning = "The certificate of `tls+tcp://` and `wss://` addresses."},
    {.name = "clients",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = SERVICE_CLIENTS,
     .read = config_read_clients,
     .type_text = "array of tables",
     .default_text = "none",
     .meaning = "Who may call, and what. With one or more, every call needs a token, on every "
                "address."},
    {.name = "audit",
     .type = CONFIG_TYPE_SECTION,
     .slot = SERVICE_AUDIT,
     .offset = offsetof(struct config_form, audit),
     .section = &config_audit_section,
     .type_text = "table",
     .default_text = "none",
     .meaning = "The audit log."},
    {.name = "limits",
     .type = CONFIG_TYPE_SECTION,
     .slot = SERVICE_LIMITS,
     .section = &limit_section,
     .type_text = "table",
     .default_text = "see below",
     .restart = true,
     .meaning = "What bounds the service; the end of each key is its unit."},
};

static const struct config_section service_section = {
    "service", service_keys, COUNT_OF(service_keys), offsetof(struct config_form, service_given)};

enum { TOP_DATABASE, TOP_SERVICE };
static const struct config_key top_keys[] = {
    {.name = "database",
     .type = CONFIG_TYPE_SECTION,
     .slot = TOP_DATABASE,
     .section = &database_section,
     .type_text = "table",
     .default_text = "required",
     .meaning = "The databases and which chats are in which."},
    {.name = "service",
     .type = CONFIG_TYPE_SECTION,
     .slot = TOP_SERVICE,
     .section = &service_section,
     .type_text = "table",
     .default_text = "none",
     .meaning = "The server itself."},
};

const struct config_section config_top_section = {"", top_keys, COUNT_OF(top_keys),
                                                  offsetof(struct config_form, top_given)};

const struct config_section *const config_sections[] = {
    &config_top_section,    &database_section,     &config_source_section,
    &option_section,        &service_section,      &config_tls_section,
    &config_client_section, &config_audit_section, &limit_section};
const size_t config_section_count = COUNT_OF(config_sections);
