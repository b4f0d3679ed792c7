/* Who may call: reading and checking of [[service.clients]], [service.tls] and [service.audit]. */
#include "service/config_form.h"
#include "service/config_read.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Reading ---- */

static const char source_names[] = "source names, such as [\"main\"] or [\"*\"]";

void config_read_client_read(struct config_reader *reader, const struct toml_node *node, void *base)
{
    config_read_list(reader, node, source_names, &((struct form_client *)base)->read);
}

void config_read_client_write(struct config_reader *reader, const struct toml_node *node,
                              void *base)
{
    config_read_list(reader, node, source_names, &((struct form_client *)base)->write);
}

static int compare_ids(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

void config_read_client_chats(struct config_reader *reader, const struct toml_node *node,
                              void *base)
{
    struct form_client *client = base;
    if (!config_expect(reader, node, TOML_ARRAY, "an array of chat ids, such as [-1001234567890]"))
        return;
    client->chats = config_alloc(reader->arena, node->child_count + 1, sizeof *client->chats);
    for (size_t i = 0; client->chats && i < node->child_count; i++) {
        if (config_expect(reader, &node->children[i], TOML_INTEGER, "a chat id"))
            client->chats[client->chat_count++] = node->children[i].integer;
    }
    if (client->chats)
        qsort(client->chats, client->chat_count, sizeof *client->chats, compare_ids);
}

static void read_client(struct config_reader *reader, const struct toml_node *node, size_t number,
                        struct form_client *client)
{
    char text[32];
    struct toml_node name = {.key = text};
    snprintf(text, sizeof text, "%zu", number + 1);
    name.key_bytes = strlen(text);
    size_t before = config_key_push(reader, &name);
    client->key = config_copy(reader->arena, reader->key, reader->key_bytes);
    client->place = node->place;
    if (config_expect(reader, node, TOML_TABLE, "a table: write [[service.clients]]"))
        config_read_section(reader, &config_client_section, node, client);
    config_key_pop(reader, before);
}

void config_read_clients(struct config_reader *reader, const struct toml_node *node, void *base)
{
    struct config_form *form = base;
    if (!config_expect(reader, node, TOML_ARRAY,
                       "an array of tables: write [[service.clients]], with two brackets"))
        return;
    if (node->child_count == 0 || node->child_count > CONFIG_CLIENTS_MAX) {
        struct config_where where = {CONFIG_ERROR, node->place, reader->key, NULL};
        report_add(reader->report, where, "%s",
                   node->child_count == 0 ? "is empty: leave it out if calls need no tokens"
                                          : "has more than 4096 clients");
        return;
    }
    form->clients = config_alloc(reader->arena, node->child_count, sizeof *form->clients);
    if (!form->clients)
        return;
    form->client_count = node->child_count;
    for (size_t i = 0; i < node->child_count; i++)
        read_client(reader, &node->children[i], i, &form->clients[i]);
}

/* ---- Clients ---- */

static int hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = digit != '\0' ? strchr(digits, digit) : NULL;
    return found ? (int)(found - digits) : -1;
}

static bool parse_hash(const char *text, uint8_t *hash)
{
    static const char prefix[] = "sha256:";
    size_t prefix_bytes = sizeof prefix - 1;
    if (strncmp(text, prefix, prefix_bytes) != 0 ||
        strlen(text) != prefix_bytes + 2 * (size_t)CONFIG_TOKEN_HASH_BYTES)
        return false;
    for (size_t i = 0; i < CONFIG_TOKEN_HASH_BYTES; i++) {
        int high = hex_digit(text[prefix_bytes + 2 * i]);
        int low = hex_digit(text[prefix_bytes + 2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static struct config_where client_error(const struct form_client *form, struct toml_place place)
{
    return (struct config_where){CONFIG_ERROR, place.line ? place : form->place, form->key, NULL};
}

/* The text may be a token, put there by mistake: no message repeats it. */
static void resolve_identity(struct config_reader *reader, const struct form_client *form,
                             struct config_client *client)
{
    client->name = form->name.text;
    if (!form->name.text)
        report_add(reader->report, client_error(form, form->name.place), "needs a name");
    else if (strlen(form->name.text) > CONFIG_CLIENT_NAME_BYTES_MAX)
        report_add(reader->report, client_error(form, form->name.place),
                   "the name of a client may not be longer than 64 bytes");
    if (!form->token_hash.text)
        report_add(
            reader->report, client_error(form, form->token_hash.place),
            "needs token-hash = \"sha256:...\"; `chatstore token new NAME` makes a token and "
            "its hash");
    else if (!parse_hash(form->token_hash.text, client->token_hash))
        report_add(reader->report, client_error(form, form->token_hash.place),
                   "token-hash is not \"sha256:\" and 64 digits of 0-9a-f. If it is a token: it is "
                   "burnt, as it stands in a file; make a new one with `chatstore token new NAME`");
}

static void add_rights(struct config_reader *reader, const struct config *config,
                       const struct form_client *form, const struct form_list *list, uint8_t right,
                       struct config_client *client, uint8_t *rights)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct form_text *name = &list->texts[i];
        bool all = strcmp(name->text, "*") == 0;
        bool found = all;
        for (size_t j = 0; j < config->source_count; j++) {
            if (!all && strcmp(config->sources[j].name, name->text) != 0)
                continue;
            rights[j] |= right;
            found = true;
        }
        if (all)
            client->rights_all |= right;
        if (found)
            continue;
        struct nearest nearest = nearest_init(name->text);
        for (size_t j = 0; j < config->source_count; j++)
            nearest_try(&nearest, config->sources[j].name);
        struct config_where where = client_error(form, name->place);
        where.nearest = nearest.name;
        report_add(reader->report, where, "\"%s\" is no source", name->text);
    }
}

static void check_usefulness(struct config_reader *reader, const struct form_client *form)
{
    struct config_where where = client_error(form, form->name.place);
    where.severity = CONFIG_WARNING;
    if (form->read.count + form->write.count == 0 && !form->admin)
        report_add(reader->report, where,
                   "may do nothing but Ping: give it read, write or admin = true");
}

static void check_twins(struct config_reader *reader, const struct config_client *clients, size_t i)
{
    const struct form_client *forms = reader->form->clients;
    for (size_t j = 0; j < i; j++) {
        if (clients[i].name && clients[j].name && strcmp(clients[i].name, clients[j].name) == 0)
            report_add(reader->report, client_error(&forms[i], forms[i].name.place),
                       "there are two clients with the name \"%s\"", clients[i].name);
        if (forms[i].token_hash.text && forms[j].token_hash.text &&
            memcmp(clients[i].token_hash, clients[j].token_hash, CONFIG_TOKEN_HASH_BYTES) == 0)
            report_add(reader->report, client_error(&forms[i], forms[i].token_hash.place),
                       "has the same token-hash as client %zu: one token is one client", j + 1);
    }
}

static void resolve_clients(struct config_reader *reader, struct config *config)
{
    const struct config_form *form = reader->form;
    struct config_client *clients =
        config_alloc(reader->arena, form->client_count + 1, sizeof *clients);
    if (!clients)
        return;
    for (size_t i = 0; i < form->client_count; i++) {
        const struct form_client *from = &form->clients[i];
        uint8_t *rights = config_alloc(reader->arena, config->source_count + 1, 1);
        if (!rights)
            return;
        resolve_identity(reader, from, &clients[i]);
        add_rights(reader, config, from, &from->read, CONFIG_RIGHT_READ, &clients[i], rights);
        add_rights(reader, config, from, &from->write, CONFIG_RIGHT_WRITE, &clients[i], rights);
        clients[i].rights = rights;
        clients[i].admin = from->admin;
        clients[i].has_chats = from->chats != NULL;
        clients[i].chats = from->chats;
        clients[i].chat_count = from->chat_count;
        clients[i].calls_in_flight_max = from->calls_in_flight_max;
        check_usefulness(reader, from);
        check_twins(reader, clients, i);
    }
    config->clients = clients;
    config->client_count = form->client_count;
}

/* ---- Certificates and the audit log ---- */

static const char *absolute(struct config_reader *reader, const struct form_text *path)
{
    return path->text ? config_absolute_path(reader->arena, reader->base_dir, path->text) : NULL;
}

static void resolve_tls(struct config_reader *reader, struct config_tls *tls)
{
    const struct form_tls *form = &reader->form->tls;
    struct config_where where = {CONFIG_ERROR, {0, 0}, "service.tls", NULL};
    if (form->given == 0)
        return;
    tls->certificate = absolute(reader, &form->certificate);
    tls->key = absolute(reader, &form->key);
    tls->client_ca = absolute(reader, &form->client_ca);
    tls->client_certificates = (enum config_client_certificates)form->client_certificates;
    if (!(form->given & 1U << CONFIG_TLS_CLIENT_CERTIFICATES) && tls->client_ca)
        tls->client_certificates = CONFIG_CLIENT_CERTIFICATES_REQUIRED;
    if (!form->certificate.text || !form->key.text) {
        where.place = form->certificate.text ? form->certificate.place : form->key.place;
        report_add(reader->report, where,
                   "needs certificate and key, the paths of two PEM files; `chatstore cert new` "
                   "makes them");
    }
    if (tls->client_certificates != CONFIG_CLIENT_CERTIFICATES_NONE && !form->client_ca.text) {
        where.place = form->certificate.place;
        report_add(reader->report, where,
                   "client-certificates need client-ca, the CA that signed them");
    }
}

/* ---- Files without which the server does not start ---- */

static void check_readable(struct config_reader *reader, const char *key, struct toml_place place,
                           const char *path)
{
    struct config_where where = {CONFIG_UNAVAILABLE, place, key, NULL};
    if (path && access(path, R_OK) != 0)
        report_add(reader->report, where, "%s: cannot be read: %s", path, strerror(errno));
}

static const char *folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return "/";
    snprintf(folder, PATH_MAX, "%.*s", (int)(slash - path), path);
    return folder;
}

/* It is made if it is missing, and never through a symbolic link. */
static void check_audit_file(struct config_reader *reader, const char *path)
{
    struct config_where where = {CONFIG_UNAVAILABLE, reader->form->audit.path.place,
                                 "service.audit.path", NULL};
    struct stat status;
    char folder[PATH_MAX];
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
        report_add(reader->report, where, "%s: is not a regular file", path);
    else if (access(path, W_OK) == 0)
        return;
    else if (errno != ENOENT)
        report_add(reader->report, where, "%s: cannot be written: %s", path, strerror(errno));
    else if (access(folder_of(path, folder), W_OK | X_OK) != 0)
        report_add(reader->report, where, "%s: cannot be created in %s: %s", path,
                   folder_of(path, folder), strerror(errno));
}

static void check_needed_files(struct config_reader *reader, const struct config *config)
{
    const struct form_tls *form = &reader->form->tls;
    check_readable(reader, "service.tls.certificate", form->certificate.place,
                   config->tls.certificate);
    check_readable(reader, "service.tls.key", form->key.place, config->tls.key);
    check_readable(reader, "service.tls.client-ca", form->client_ca.place, config->tls.client_ca);
    if (config->audit_path)
        check_audit_file(reader, config->audit_path);
}

/* ---- Who else may change or read the files ---- */

static void warn_of_file(struct config_reader *reader, const char *key, struct toml_place place,
                         const char *text, const char *path, const struct stat *status)
{
    struct config_where where = {CONFIG_WARNING, place, key, NULL};
    report_add(reader->report, where, "%s: %s (mode %04o, owner %u)", path, text,
               status->st_mode & 07777U, status->st_uid);
}

static bool is_foreign(const struct stat *status)
{
    return status->st_uid != 0 && status->st_uid != geteuid();
}

static bool others_may_write(const struct stat *status)
{
    return is_foreign(status) || (status->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* Who may write a folder may put another file in the place of one that is there; with the sticky
 * bit, only of his own. */
static bool others_may_replace(const struct stat *folder)
{
    return is_foreign(folder) || (others_may_write(folder) && (folder->st_mode & S_ISVTX) == 0);
}

/* Who writes the configuration writes who may call, and which key the server shows. */
static void check_files(struct config_reader *reader, const struct config *config)
{
    struct stat status;
    struct toml_place key_place = reader->form->tls.key.place;
    bool guards = config->client_count > 0 || config->tls.key;
    if (guards && reader->file && S_ISREG(reader->file->st_mode) && others_may_write(reader->file))
        warn_of_file(reader, "", (struct toml_place){0, 0},
                     "others than the server's user and root may write this file, and so let "
                     "themselves in; chmod go-w it, or chown it",
                     config->origin, reader->file);
    else if (guards && reader->file && S_ISREG(reader->file->st_mode) &&
             stat(reader->base_dir, &status) == 0 && others_may_replace(&status))
        warn_of_file(reader, "", (struct toml_place){0, 0},
                     "others than the server's user and root may write the folder of this "
                     "configuration, and so put another in its place; chmod go-w it, or chown it",
                     reader->base_dir, &status);
    if (!config->tls.key || stat(config->tls.key, &status) != 0)
        return; /* why is said already */
    if (others_may_write(&status))
        warn_of_file(reader, "service.tls.key", key_place,
                     "others than the server's user and root may write the private key; chmod "
                     "go-w it, or chown it",
                     config->tls.key, &status);
    else if (status.st_mode & S_IROTH)
        warn_of_file(reader, "service.tls.key", key_place,
                     "everybody on this machine may read the private key; chmod o-r it",
                     config->tls.key, &status);
}

void config_resolve_access(struct config_reader *reader, struct config *config)
{
    config->insecure_listen = reader->form->insecure_listen;
    resolve_clients(reader, config);
    resolve_tls(reader, &config->tls);
    config->audit_path = absolute(reader, &reader->form->audit.path);
    config->audit_required = reader->form->audit.required;
    if (!reader->check_files)
        return;
    check_needed_files(reader, config);
    check_files(reader, config);
}
