/* The effective configuration, as TOML. */
#include "service/config_schema.h"

#include <inttypes.h>
#include <string.h>

/* A basic string; control characters were refused when the file was read. */
static void print_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static const char *default_mark(uint32_t given, unsigned slot)
{
    return given >> slot & 1U ? "" : "  # default";
}

static void print_seconds(FILE *file, uint32_t value_ms)
{
    fprintf(file, "%" PRIu32, value_ms / 1000);
    if (value_ms % 1000 != 0)
        fprintf(file, ".%03" PRIu32, value_ms % 1000);
}

static void print_source(const struct config_source *source, FILE *file)
{
    uint32_t given = source->given;
    fprintf(file, "\n[database.sources.");
    print_text(file, source->name);
    fprintf(file, "]\ntype = \"%s\"%s\npath = ", config_kind_choices[source->kind],
            default_mark(given, CONFIG_SOURCE_TYPE));
    print_text(file, source->path);
    fprintf(file, "\nreadonly = %s%s\n", source->readonly ? "true" : "false",
            default_mark(given, CONFIG_SOURCE_READONLY));
    fprintf(file, "pool-size = %" PRIu32 "%s\ntimeout = ", source->pool_size,
            default_mark(given, CONFIG_SOURCE_POOL_SIZE));
    print_seconds(file, source->timeout_ms);
    fprintf(file, "%s\n", default_mark(given, CONFIG_SOURCE_TIMEOUT));
    if (source->readonly) {
        fprintf(file, "immutable = %s%s\n", source->immutable ? "true" : "false",
                default_mark(given, CONFIG_SOURCE_IMMUTABLE));
        return;
    }
    fprintf(file, "journal-mode = \"%s\"%s\n", config_journal_name(source->journal_mode),
            default_mark(given, CONFIG_SOURCE_JOURNAL_MODE));
    fprintf(file, "synchronous = \"%s\"%s\n", config_synchronous_name(source->synchronous),
            default_mark(given, CONFIG_SOURCE_SYNCHRONOUS));
}

static void print_mappings(const struct config *config, FILE *file)
{
    if (config->mapping_count == 0)
        return;
    fprintf(file, "\n[database.chatMapping]\n");
    for (size_t i = 0; i < config->mapping_count; i++) {
        const struct config_mapping *mapping = &config->mappings[i];
        fprintf(file, "%" PRId64 " = ", mapping->chat_id);
        print_text(file, config_mapping_name(config, mapping));
        if (mapping->source == CONFIG_SOURCE_UNKNOWN)
            fprintf(file, "  # no such source: uses the default source");
        else if (config->sources[mapping->source].readonly)
            fprintf(file, "  # readonly: its writes are refused");
        fputc('\n', file);
    }
}

static void print_routing(const struct config *config, FILE *file)
{
    const struct config_source *fallback = &config->sources[config->default_source];
    fprintf(file, "# How calls are routed (the first line that fits):\n"
                  "#   data_source given        -> the source of that name; if there is none, ");
    print_text(file, fallback->name);
    fprintf(file, "\n#   calls over all sources   -> merged, in this order:");
    for (size_t i = 0; i < config->source_count; i++) {
        fputc(' ', file);
        print_text(file, config->sources[i].name);
    }
    fprintf(file, "\n#   chats of chatMapping     -> their source (%zu mapped)\n",
            config->mapping_count);
    fprintf(file, "#   all else                 -> ");
    print_text(file, fallback->name);
    fprintf(file, "%s\n\n", fallback->readonly ? " (readonly: writes are refused)" : "");
}

static void print_names(const struct config *config, const struct config_client *client,
                        const char *key, uint8_t right, FILE *file)
{
    const char *comma = "";
    fprintf(file, "%s = [", key);
    if (client->rights_all & right)
        fprintf(file, "\"*\"");
    for (size_t i = 0; i < config->source_count && !(client->rights_all & right); i++) {
        if (!(client->rights[i] & right))
            continue;
        fprintf(file, "%s", comma);
        print_text(file, config->sources[i].name);
        comma = ", ";
    }
    fprintf(file, "]\n");
}

static void print_client(const struct config *config, const struct config_client *client,
                         FILE *file)
{
    fprintf(file, "\n[[service.clients]]\nname = ");
    print_text(file, client->name);
    fprintf(file, "\ntoken-hash = \"sha256:");
    for (size_t i = 0; i < sizeof client->token_hash; i++)
        fprintf(file, "%02x", client->token_hash[i]);
    fprintf(file, "\"\n");
    print_names(config, client, "read", CONFIG_RIGHT_READ, file);
    print_names(config, client, "write", CONFIG_RIGHT_WRITE, file);
    fprintf(file, "admin = %s\n", client->admin ? "true" : "false");
    if (client->calls_in_flight_max > 0)
        fprintf(file, "calls_in_flight_max = %" PRIu32 "\n", client->calls_in_flight_max);
    if (!client->has_chats)
        return;
    fprintf(file, "chats = [");
    for (size_t i = 0; i < client->chat_count; i++)
        fprintf(file, "%s%" PRId64, i > 0 ? ", " : "", client->chats[i]);
    fprintf(file, "]\n");
}

static void print_path(const char *key, const char *path, FILE *file)
{
    if (!path)
        return;
    fprintf(file, "%s = ", key);
    print_text(file, path);
    fputc('\n', file);
}

static void print_access(const struct config *config, FILE *file)
{
    const struct config_tls *tls = &config->tls;
    if (tls->certificate) {
        fprintf(file, "\n[service.tls]\n");
        print_path("certificate", tls->certificate, file);
        print_path("key", tls->key, file);
        print_path("client-ca", tls->client_ca, file);
        fprintf(file, "client-certificates = \"%s\"\n",
                config_client_certificates_name(tls->client_certificates));
    }
    for (size_t i = 0; i < config->client_count; i++)
        print_client(config, &config->clients[i], file);
    if (config->audit_path) {
        fprintf(file, "\n[service.audit]\n");
        print_path("path", config->audit_path, file);
        fprintf(file, "required = %s\n", config->audit_required ? "true" : "false");
    }
}

static void print_service(const struct config *config, FILE *file)
{
    fprintf(file, "\n[service]\n");
    if (config->listen_count == 0)
        fprintf(file, "# listen: the default unix socket\n");
    else
        fprintf(file, "listen = [\n");
    for (size_t i = 0; i < config->listen_count; i++) {
        fprintf(file, "    ");
        print_text(file, config->listen[i]);
        fprintf(file, "%s\n", i + 1 < config->listen_count ? "," : "\n]");
    }
    if (config->insecure_listen)
        fprintf(file, "insecure-listen = true\n");
    print_access(config, file);
    fprintf(file, "\n[service.limits]\n");
    for (size_t i = 0; i < config_limit_count; i++) {
        uint32_t value;
        memcpy(&value, (const char *)&config->limits + config_limit_table[i].offset, sizeof value);
        fprintf(file, "%s = %" PRIu32 "%s\n", config_limit_table[i].key, value,
                default_mark(config->limits_given, (unsigned)i));
    }
}

void config_print(const struct config *config, FILE *file)
{
    fprintf(file, "# The effective configuration.\n");
    print_routing(config, file);
    fprintf(file, "[database]\ndefault = ");
    print_text(file, config->sources[config->default_source].name);
    fputc('\n', file);
    for (size_t i = 0; i < config->source_count; i++)
        print_source(&config->sources[i], file);
    print_mappings(config, file);
    print_service(config, file);
}

const char *config_journal_name(enum config_journal journal)
{
    return config_journal_choices[journal];
}

const char *config_synchronous_name(enum config_synchronous synchronous)
{
    return config_synchronous_choices[synchronous];
}

const char *config_client_certificates_name(enum config_client_certificates certificates)
{
    return config_client_certificates_choices[certificates];
}
