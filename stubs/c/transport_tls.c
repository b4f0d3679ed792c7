#include "transport_tls.h"

#include <errno.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, NAME_BYTES = 256 };

/* The CAs that the system trusts: Debian and its kin, Red Hat and its kin. */
static const char *const system_ca_files[] = {"/etc/ssl/certs/ca-certificates.crt",
                                              "/etc/pki/tls/certs/ca-bundle.crt"};

bool transport_tls_is_used(const char *url)
{
    return strncmp(url, "tls+", 4) == 0 || strncmp(url, "wss:", 4) == 0;
}

const char *transport_hint(const char *url)
{
    if (strncmp(url, "ws:", 3) == 0)
        return " If so: its own URL must name the host as this one does, or be for every address";
    if (!transport_tls_is_used(url))
        return "";
    return strncmp(url, "wss:", 4) == 0
               ? " If so: its own URL must name the host as this one does, or be for every "
                 "address; "
                 "its certificate must be signed by the CA that was given, be for this host and "
                 "not have expired, and it may want a certificate of ours"
               : " If so: its certificate must be signed by the CA that was given, be for this "
                 "host and not have expired, and it may want a certificate of ours";
}

/* The file as text, to be freed; NULL: error says why. */
static char *read_file(const char *path, const char *what, char *error, size_t error_bytes)
{
    FILE *file = fopen(path, "re");
    char *text = file != NULL ? malloc(FILE_BYTES_MAX) : NULL;
    size_t bytes = text != NULL ? fread(text, 1, FILE_BYTES_MAX, file) : 0;
    bool ok = text != NULL && !ferror(file) && bytes > 0 && bytes < FILE_BYTES_MAX;

    if (ok)
        text[bytes] = '\0';
    else
        snprintf(error, error_bytes, "%s %s cannot be read: %s", what, path,
                 errno != 0 ? strerror(errno) : "it is empty or no PEM file");
    if (file != NULL)
        fclose(file);
    if (!ok) {
        free(text);
        text = NULL;
    }
    return text;
}

static bool explain(int failure, const char *what, const char *path, char *error,
                    size_t error_bytes)
{
    if (failure != 0)
        snprintf(error, error_bytes, "%s %s cannot be used: %s", what, path, nng_strerror(failure));
    return failure == 0;
}

static const char *choose_ca(const struct chatstore_transport_options *options)
{
    if (options->tls_ca_file != NULL)
        return options->tls_ca_file;
    for (size_t i = 0; i < sizeof system_ca_files / sizeof system_ca_files[0]; i++) {
        FILE *file = fopen(system_ca_files[i], "re");
        if (file == NULL)
            continue;
        fclose(file);
        return system_ca_files[i];
    }
    return NULL;
}

static bool set_ca(nng_tls_config *config, const struct chatstore_transport_options *options,
                   char *error, size_t error_bytes)
{
    const char *path = choose_ca(options);
    if (path == NULL) {
        snprintf(error, error_bytes,
                 "the CA of the server's certificate is needed (option tls_ca_file, --ca)");
        return false;
    }
    errno = 0;
    char *text = read_file(path, "the CA file", error, error_bytes);
    if (text == NULL)
        return false;
    int failure = nng_tls_config_ca_chain(config, text, NULL);
    free(text);
    return explain(failure, "the CA file", path, error, error_bytes);
}

static bool set_own(nng_tls_config *config, const struct chatstore_transport_options *options,
                    char *error, size_t error_bytes)
{
    const char *cert_path = options->tls_cert_file, *key_path = options->tls_key_file;
    if (cert_path == NULL && key_path == NULL)
        return true;
    if (cert_path == NULL || key_path == NULL) {
        snprintf(error, error_bytes,
                 "a certificate and its key belong together (tls_cert_file and tls_key_file, "
                 "--cert and --key)");
        return false;
    }
    errno = 0;
    char *cert = read_file(cert_path, "the certificate", error, error_bytes);
    char *key = cert != NULL ? read_file(key_path, "the key", error, error_bytes) : NULL;
    bool ok = key != NULL && explain(nng_tls_config_own_cert(config, cert, key, NULL),
                                     "the certificate", cert_path, error, error_bytes);
    if (key != NULL)
        explicit_bzero(key, strlen(key));
    free(key);
    free(cert);
    return ok;
}

/* The host of the URL, without brackets. */
static void copy_host(const char *url, char *host, size_t host_bytes)
{
    const char *start = strstr(url, "://");
    start = start != NULL ? start + 3 : url;
    bool bracketed = start[0] == '[';
    start += bracketed;
    snprintf(host, host_bytes, "%.*s", (int)strcspn(start, bracketed ? "]" : ":/"), start);
}

bool transport_tls_set_up(nng_dialer dialer, const char *url,
                          const struct chatstore_transport_options *options, char *error,
                          size_t error_bytes)
{
    char name[NAME_BYTES];
    nng_tls_config *config;
    int failure = nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT);
    if (failure != 0)
        return explain(failure, "TLS to", url, error, error_bytes);
    copy_host(url, name, sizeof name);
    if (options->tls_server_name != NULL)
        snprintf(name, sizeof name, "%s", options->tls_server_name);
    (void)((failure = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_3)) ||
           (failure = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED)) ||
           (failure = nng_tls_config_server_name(config, name)));
    bool ok = explain(failure, "TLS to", url, error, error_bytes) &&
              set_ca(config, options, error, error_bytes) &&
              set_own(config, options, error, error_bytes);
    if (ok)
        ok = explain(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config), "TLS to", url, error,
                     error_bytes);
    nng_tls_config_free(config);
    return ok;
}
