/* The keys of who may call: [[service.clients]], [service.tls], [service.audit]. */
#include "service/config_schema.h"

#include "service/config_form.h"
#include "service/config_read.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

_Static_assert(sizeof(enum config_client_certificates) == sizeof(uint32_t),
               "choices are kept as uint32_t");

const char *const config_client_certificates_choices[] = {"none", "optional", "required", NULL};

static const struct config_key client_keys[] = {
    {.name = "name",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_CLIENT_NAME,
     .offset = offsetof(struct form_client, name),
     .type_text = "text, up to 64 bytes",
     .default_text = "required",
     .meaning = "What the client is called in messages, logs and the audit log."},
    {.name = "token-hash",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_CLIENT_TOKEN_HASH,
     .offset = offsetof(struct form_client, token_hash),
     .type_text = "`\"sha256:HEX\"`",
     .default_text = "required",
     .meaning = "The hash of its token; `chatstore token new` makes both."},
    {.name = "read",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = CONFIG_CLIENT_READ,
     .read = config_read_client_read,
     .type_text = "array of source names, or `[\"*\"]`",
     .default_text = "none",
     .meaning = "The sources that it may read."},
    {.name = "write",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = CONFIG_CLIENT_WRITE,
     .read = config_read_client_write,
     .type_text = "array of source names, or `[\"*\"]`",
     .default_text = "none",
     .meaning = "The sources that it may write; gives no right to read them."},
    {.name = "admin",
     .type = CONFIG_TYPE_BOOLEAN,
     .slot = CONFIG_CLIENT_ADMIN,
     .offset = offsetof(struct form_client, admin),
     .type_text = "boolean",
     .default_text = "false",
     .meaning = "Whether it may administer the server: reload, and see the state of every source."},
    {.name = "chats",
     .type = CONFIG_TYPE_CUSTOM,
     .slot = CONFIG_CLIENT_CHATS,
     .read = config_read_client_chats,
     .type_text = "array of chat ids",
     .default_text = "all",
     .meaning = "The only chats that it may name; calls that are not about one chat are refused "
                "then."},
    {.name = "calls_in_flight_max",
     .type = CONFIG_TYPE_INTEGER,
     .slot = CONFIG_CLIENT_CALLS_IN_FLIGHT_MAX,
     .offset = offsetof(struct form_client, calls_in_flight_max),
     .min = 1,
     .max = 65536,
     .type_text = "integer, 1 to 65536",
     .default_text = "none",
     .meaning = "Calls of this client that are worked on at the same time, within the server's own "
                "limit; more are answered RESOURCE_EXHAUSTED."},
};

const struct config_section config_client_section = {
    "[service.clients]", client_keys, COUNT_OF(client_keys), offsetof(struct form_client, given)};

static const struct config_key tls_keys[] = {
    {.name = "certificate",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_TLS_CERTIFICATE,
     .offset = offsetof(struct form_tls, certificate),
     .type_text = "path",
     .default_text = "required",
     .meaning = "PEM file of the server's certificate, with those between it and its CA after it."},
    {.name = "key",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_TLS_KEY,
     .offset = offsetof(struct form_tls, key),
     .type_text = "path",
     .default_text = "required",
     .meaning = "PEM file of its private key, without a password."},
    {.name = "client-ca",
     .type = CONFIG_TYPE_TEXT,
     .slot = CONFIG_TLS_CLIENT_CA,
     .offset = offsetof(struct form_tls, client_ca),
     .type_text = "path",
     .default_text = "none",
     .meaning = "PEM file of the CA that signs the certificates of clients."},
    {.name = "client-certificates",
     .type = CONFIG_TYPE_CHOICE,
     .slot = CONFIG_TLS_CLIENT_CERTIFICATES,
     .offset = offsetof(struct form_tls, client_certificates),
     .choices = config_client_certificates_choices,
     .type_text = "`\"none\"`, `\"optional\"` or `\"required\"`",
     .default_text = "see right",
     .meaning = "Whether clients must show a certificate of `client-ca`; `required` where "
                "`client-ca` is given, else `none`. The token says who the client is, either way."},
};

const struct config_section config_tls_section = {"service.tls", tls_keys, COUNT_OF(tls_keys),
                                                  offsetof(struct form_tls, given)};

static const struct config_key audit_keys[] = {
    {.name = "path",
     .type = CONFIG_TYPE_TEXT,
     .slot = 0,
     .offset = offsetof(struct form_audit, path),
     .type_text = "path",
     .default_text = "required",
     .meaning = "A line of JSON for every call that was refused to its client, every write to a "
                "readonly source and every administrative call is appended to this file; a reload "
                "opens it anew."},
    {.name = "required",
     .type = CONFIG_TYPE_BOOLEAN,
     .slot = 1,
     .offset = offsetof(struct form_audit, required),
     .type_text = "boolean",
     .default_text = "false",
     .meaning = "While a line cannot be written to the audit log, refuse writes and administrative "
                "calls (UNAVAILABLE)."},
};

const struct config_section config_audit_section = {
    "service.audit", audit_keys, COUNT_OF(audit_keys), offsetof(struct form_audit, given)};
