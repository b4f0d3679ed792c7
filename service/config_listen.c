/* The URLs that the server listens on. */
#include "service/config_form.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum scheme_kind { SCHEME_IPC, SCHEME_TCP, SCHEME_WS };

struct scheme {
    const char *prefix;
    enum scheme_kind kind;
    bool tls;
};

static const struct scheme schemes[] = {{"ipc://", SCHEME_IPC, false},
                                        {"tcp://", SCHEME_TCP, false},
                                        {"ws://", SCHEME_WS, false},
                                        {"tls+tcp://", SCHEME_TCP, true},
                                        {"wss://", SCHEME_WS, true}};

static const struct scheme *find_scheme(const char *url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return &schemes[i];
    return NULL;
}

/* HOST:PORT with an IPv6 host in brackets, up to `end`. */
struct address {
    const char *host;
    size_t host_bytes;
    const char *port;
    size_t port_bytes;
};

static bool split_address(const char *text, size_t bytes, struct address *address)
{
    const char *colon = NULL;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == ':')
            colon = text + i;
    if (!colon)
        return false;
    *address = (struct address){text, (size_t)(colon - text), colon + 1,
                                bytes - (size_t)(colon - text) - 1};
    bool bracketed = address->host_bytes >= 2 && text[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        address->host++;
        address->host_bytes -= 2;
        return true;
    }
    return memchr(text, ':', address->host_bytes) == NULL &&
           memchr(text, '[', address->host_bytes) == NULL;
}

static size_t address_bytes(const struct scheme *scheme, const char *rest)
{
    return scheme->kind == SCHEME_WS ? strcspn(rest, "/") : strlen(rest);
}

static const char *address_problem(const struct scheme *scheme, const char *rest)
{
    struct address address;
    if (!split_address(rest, address_bytes(scheme, rest), &address))
        return "needs HOST:PORT, with an IPv6 address in brackets";
    if (memchr(address.host, ' ', address.host_bytes))
        return "has a space in its host";
    if (address.port_bytes == 0 || address.port_bytes > 5 ||
        strspn(address.port, "0123456789") < address.port_bytes ||
        strtol(address.port, NULL, 10) > 65535)
        return "needs a port from 0 (any free one) to 65535";
    return NULL;
}

const char *config_listen_problem(const char *url)
{
    const struct scheme *scheme = find_scheme(url);
    if (!scheme)
        return "has no known scheme: ipc://, tcp://, ws://, tls+tcp:// or wss://";
    const char *rest = url + strlen(scheme->prefix);
    if (*rest == '\0')
        return "names nothing to listen on";
    if (scheme->kind != SCHEME_IPC)
        return address_problem(scheme, rest);
    if (rest[strlen(rest) - 1] == '/')
        return "names a folder, not a socket";
    if (strlen(rest) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return "is too long for a unix socket: its path may have 107 bytes";
    return NULL;
}

static bool is_loopback(const struct address *address)
{
    char host[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    if (address->host_bytes >= sizeof host)
        return false;
    memcpy(host, address->host, address->host_bytes);
    host[address->host_bytes] = '\0';
    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool config_listen_is_open(const char *url)
{
    const struct scheme *scheme = find_scheme(url);
    struct address address;
    if (!scheme || scheme->kind == SCHEME_IPC)
        return false;
    const char *rest = url + strlen(scheme->prefix);
    return split_address(rest, address_bytes(scheme, rest), &address) && !is_loopback(&address);
}

bool config_listen_is_tls(const char *url)
{
    const struct scheme *scheme = find_scheme(url);
    return scheme && scheme->tls;
}

bool config_listen_is_websocket(const char *url)
{
    const struct scheme *scheme = find_scheme(url);
    return scheme && scheme->kind == SCHEME_WS;
}

const char *config_listen_refusal(const struct config *config, const char *url, bool insecure)
{
    bool tls = config_listen_is_tls(url);
    if (tls && !config->tls.certificate)
        return "needs a certificate: give [service.tls] certificate and key (chatstore cert new "
               "makes them)";
    if (insecure || !config_listen_is_open(url) || (tls && config->client_count > 0))
        return NULL;
    if (tls)
        return "is reached by other machines and would let everybody in: give [[service.clients]] "
               "with tokens (chatstore token new makes one), or set insecure-listen";
    return "is reached by other machines, and without TLS all that passes can be read there: use "
           "tls+tcp:// with [service.tls] and [[service.clients]] (chatstore cert new and "
           "chatstore "
           "token new make what they need), or set insecure-listen";
}

/* Relative sockets start at the folder of the file, as the paths of sources do. */
static const char *absolute_url(struct config_reader *reader, const char *url)
{
    const size_t prefix_bytes = strlen("ipc://");
    if (strncmp(url, "ipc://", prefix_bytes) != 0 || url[prefix_bytes] == '\0')
        return url;
    const char *path = config_absolute_path(reader->arena, reader->base_dir, url + prefix_bytes);
    char *absolute = path ? config_alloc(reader->arena, prefix_bytes + strlen(path) + 1, 1) : NULL;
    if (!absolute)
        return url;
    memcpy(absolute, url, prefix_bytes);
    memcpy(absolute + prefix_bytes, path, strlen(path) + 1);
    return absolute;
}

static void check_url(struct config_reader *reader, const struct config *config, const char *url,
                      const char *const *before, size_t before_count, struct toml_place place)
{
    static const char key[] = "service.listen";
    struct config_where error = {CONFIG_ERROR, place, key, NULL};
    struct config_where warning = {CONFIG_WARNING, place, key, NULL};
    const char *problem = config_listen_problem(url);
    if (problem) {
        report_add(reader->report, error, "\"%s\" %s", url, problem);
        return;
    }
    for (size_t i = 0; i < before_count; i++)
        if (strcmp(before[i], url) == 0)
            report_add(reader->report, error, "\"%s\" is given twice", url);
    const char *refusal = config_listen_refusal(config, url, config->insecure_listen);
    if (refusal)
        report_add(reader->report, error, "\"%s\" %s", url, refusal);
    else if (config_listen_refusal(config, url, false))
        report_add(reader->report, warning,
                   "\"%s\" is open (insecure-listen): whoever is on the network can read what "
                   "passes%s",
                   url, config->client_count > 0 ? "" : ", and can read and write every source");
}

void config_resolve_listen(struct config_reader *reader, struct config *config)
{
    const struct config_form *form = reader->form;
    const char **urls = config_alloc(reader->arena, form->listen_count + 1, sizeof *urls);
    if (!urls)
        return;
    for (size_t i = 0; i < form->listen_count; i++) {
        urls[i] = absolute_url(reader, form->listen[i].text);
        check_url(reader, config, urls[i], urls, i, form->listen[i].place);
    }
    config->listen = urls;
    config->listen_count = form->listen_count;
}
