/* The keys that a configuration file may have, as tables: one row a key. Reading, unknown-key
 * messages, defaults and the check of docs/configuration.md all go by these rows; to add a key or a
 * section, add a row. */
#ifndef CHATSTORE_SERVICE_CONFIG_SCHEMA_H
#define CHATSTORE_SERVICE_CONFIG_SCHEMA_H

#include "service/config.h"
#include "service/toml.h"

struct config_reader;

enum config_type {
    CONFIG_TYPE_TEXT,    /* into struct form_text */
    CONFIG_TYPE_BOOLEAN, /* into bool */
    CONFIG_TYPE_INTEGER, /* into uint32_t, within min..max */
    CONFIG_TYPE_SECONDS, /* into uint32_t milliseconds, within min..max milliseconds */
    CONFIG_TYPE_CHOICE,  /* into uint32_t: the place in `choices` */
    CONFIG_TYPE_SECTION, /* a table with the keys of `section`, at `offset` of the same struct */
    CONFIG_TYPE_CUSTOM   /* by `read` */
};

struct config_section;

struct config_key {
    const char *name;
    enum config_type type;
    unsigned slot;        /* the setting: keys of one table that are the same setting share it */
    const char *synonyms; /* the keys that share the slot, for messages; NULL = only this one */
    size_t offset;
    uint32_t min;
    uint32_t max;
    const char *const *choices; /* NULL-terminated */
    const struct config_section *section;
    void (*read)(struct config_reader *reader, const struct toml_node *node, void *base);
    /* For the documentation. */
    const char *type_text;
    const char *default_text;
    bool restart; /* a change needs a restart; else a reload is enough */
    const char *meaning;
};

struct config_section {
    const char *path; /* "database.sources.NAME"; "" = the top of the file */
    const struct config_key *keys;
    size_t key_count;
    size_t given_offset; /* of a uint32_t in the struct, whose bits are the slots that are set */
};

/* All sections, the top of the file first. */
extern const struct config_section *const config_sections[];
extern const size_t config_section_count;

extern const struct config_section config_top_section;
extern const struct config_section config_source_section;
extern const struct config_section config_client_section;
extern const struct config_section config_tls_section;
extern const struct config_section config_audit_section;

/* Slots of a source: bits of config_source.given. */
enum config_source_slot {
    CONFIG_SOURCE_TYPE,
    CONFIG_SOURCE_PATH,
    CONFIG_SOURCE_READONLY,
    CONFIG_SOURCE_POOL_SIZE,
    CONFIG_SOURCE_TIMEOUT,
    CONFIG_SOURCE_JOURNAL_MODE,
    CONFIG_SOURCE_SYNCHRONOUS,
    CONFIG_SOURCE_IMMUTABLE,
    CONFIG_SOURCE_OPTIONS
};

/* Slots of [service.tls] and of a client. */
enum config_tls_slot {
    CONFIG_TLS_CERTIFICATE,
    CONFIG_TLS_KEY,
    CONFIG_TLS_CLIENT_CA,
    CONFIG_TLS_CLIENT_CERTIFICATES
};
enum config_client_slot {
    CONFIG_CLIENT_NAME,
    CONFIG_CLIENT_TOKEN_HASH,
    CONFIG_CLIENT_READ,
    CONFIG_CLIENT_WRITE,
    CONFIG_CLIENT_ADMIN,
    CONFIG_CLIENT_CHATS,
    CONFIG_CLIENT_CALLS_IN_FLIGHT_MAX
};

/* Slots of [database]: bits of config_form.database_given. */
enum config_database_slot {
    CONFIG_DATABASE_PATH,
    CONFIG_DATABASE_MAX_CONNECTIONS,
    CONFIG_DATABASE_TIMEOUT,
    CONFIG_DATABASE_SOURCES,
    CONFIG_DATABASE_DEFAULT,
    CONFIG_DATABASE_MAPPING
};

struct config_limit {
    const char *key;
    uint32_t initial;
    size_t offset; /* in struct config_limits */
    const char *meaning;
};

/* CONFIG_LIMITS as data. */
extern const struct config_limit config_limit_table[];
extern const size_t config_limit_count;

extern const char *const config_kind_choices[];
extern const char *const config_journal_choices[];
extern const char *const config_synchronous_choices[];
extern const char *const config_client_certificates_choices[];

#endif
