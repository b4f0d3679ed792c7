#include "listener_tls.h"

#include "pool/log.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, SUM_BYTES = 32, SOON_DAYS = 21 };

struct listener_tls {
    nng_tls_config *config;
    uint8_t sum[SUM_BYTES]; /* of all files and settings */
};

/* The three files as text, ended by NUL; client_ca is NULL if there is none. */
struct pem {
    char *certificate;
    char *key;
    char *client_ca;
};

static void pem_clear(struct pem *pem)
{
    if (pem->key)
        explicit_bzero(pem->key, strlen(pem->key));
    free(pem->certificate);
    free(pem->key);
    free(pem->client_ca);
}

/* ---- Reading ---- */

static char *read_descriptor(int file)
{
    char *text = malloc(FILE_BYTES_MAX + 1);
    size_t used = 0;
    while (text && used <= FILE_BYTES_MAX) {
        ssize_t count = read(file, text + used, FILE_BYTES_MAX + 1 - used);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            if (count < 0)
                break;
            text[used] = '\0';
            char *fitting = realloc(text, used + 1);
            return fitting ? fitting : text;
        }
        used += (size_t)count;
    }
    if (used > FILE_BYTES_MAX)
        errno = EFBIG;
    free(text);
    return NULL;
}

static char *read_file(const char *path, const char *key, struct status *why)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    char *text = file >= 0 ? read_descriptor(file) : NULL;
    if (!text)
        status_set(why, STATUS_FAILED_PRECONDITION, "[service.tls] %s: %s cannot be read: %s", key,
                   path, strerror(errno));
    if (file >= 0)
        close(file);
    return text;
}

/* Others on this machine could call themselves this server. */
static void warn_of_open_key(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && info.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))
        log_line(LOG_WARN, "[service.tls] key: %s can be read or written by others: chmod 600",
                 path);
}

static bool pem_read(const struct config_tls *config, struct pem *pem, struct status *why)
{
    *pem = (struct pem){NULL, NULL, NULL};
    pem->certificate = read_file(config->certificate, "certificate", why);
    if (pem->certificate)
        pem->key = read_file(config->key, "key", why);
    if (pem->key && config->client_ca)
        pem->client_ca = read_file(config->client_ca, "client-ca", why);
    if (!pem->key || (config->client_ca && !pem->client_ca))
        return false;
    warn_of_open_key(config->key);
    return true;
}

/* ---- Checking: nng would take a key of another certificate, and fail each handshake ---- */

static bool fail(struct status *why, const char *key, const char *path, int error)
{
    char text[128];
    mbedtls_strerror(error, text, sizeof text);
    status_set(why, STATUS_FAILED_PRECONDITION, "[service.tls] %s: %s: %s", key, path, text);
    return false;
}

static int64_t days_left(const mbedtls_x509_time *end)
{
    struct tm date = {.tm_year = end->year - 1900,
                      .tm_mon = end->mon - 1,
                      .tm_mday = end->day,
                      .tm_hour = end->hour,
                      .tm_min = end->min,
                      .tm_sec = end->sec};
    return ((int64_t)timegm(&date) - (int64_t)time(NULL)) / 86400;
}

static void warn_of_end(const mbedtls_x509_crt *certificate, const char *path)
{
    int64_t days = days_left(&certificate->valid_to);
    if (mbedtls_x509_time_is_past(&certificate->valid_to))
        log_line(LOG_WARN, "[service.tls] certificate: %s has expired: clients will refuse it",
                 path);
    else if (days < SOON_DAYS)
        log_line(LOG_WARN, "[service.tls] certificate: %s expires in %lld days", path,
                 (long long)days);
}

static int make_random(mbedtls_entropy_context *entropy, mbedtls_ctr_drbg_context *random)
{
    mbedtls_entropy_init(entropy);
    mbedtls_ctr_drbg_init(random);
    return mbedtls_ctr_drbg_seed(random, mbedtls_entropy_func, entropy, NULL, 0);
}

static bool check_pair(const struct config_tls *config, const struct pem *pem,
                       mbedtls_x509_crt *certificate, mbedtls_pk_context *key, struct status *why)
{
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    int error = make_random(&entropy, &random);
    bool sound = error == 0;
    if (sound) {
        error = mbedtls_pk_parse_key(key, (const unsigned char *)pem->key, strlen(pem->key) + 1,
                                     NULL, 0, mbedtls_ctr_drbg_random, &random);
        sound = error == 0;
    }
    if (!sound) {
        fail(why, "key", config->key, error);
    } else if (mbedtls_pk_check_pair(&certificate->pk, key, mbedtls_ctr_drbg_random, &random) !=
               0) {
        status_set(why, STATUS_FAILED_PRECONDITION,
                   "[service.tls] key: %s is not the key of the certificate %s", config->key,
                   config->certificate);
        sound = false;
    }
    mbedtls_ctr_drbg_free(&random);
    mbedtls_entropy_free(&entropy);
    return sound;
}

static bool check(const struct config_tls *config, const struct pem *pem, struct status *why)
{
    mbedtls_x509_crt certificate, authority;
    mbedtls_pk_context key;
    mbedtls_x509_crt_init(&certificate);
    mbedtls_x509_crt_init(&authority);
    mbedtls_pk_init(&key);
    int error = mbedtls_x509_crt_parse(&certificate, (const unsigned char *)pem->certificate,
                                       strlen(pem->certificate) + 1);
    bool sound = error == 0 || fail(why, "certificate", config->certificate, error);
    if (sound && pem->client_ca) {
        error = mbedtls_x509_crt_parse(&authority, (const unsigned char *)pem->client_ca,
                                       strlen(pem->client_ca) + 1);
        sound = error == 0 || fail(why, "client-ca", config->client_ca, error);
    }
    sound = sound && check_pair(config, pem, &certificate, &key, why);
    if (sound)
        warn_of_end(&certificate, config->certificate);
    mbedtls_pk_free(&key);
    mbedtls_x509_crt_free(&authority);
    mbedtls_x509_crt_free(&certificate);
    return sound;
}

/* ---- For nng ---- */

static void make_sum(const struct config_tls *config, const struct pem *pem, uint8_t *sum)
{
    mbedtls_sha256_context context;
    const char *texts[] = {pem->certificate, pem->key, pem->client_ca ? pem->client_ca : ""};
    unsigned char mode = (unsigned char)config->client_certificates;
    mbedtls_sha256_init(&context);
    mbedtls_sha256_starts(&context, 0);
    for (size_t i = 0; i < 3; i++)
        mbedtls_sha256_update(&context, (const unsigned char *)texts[i], strlen(texts[i]) + 1);
    mbedtls_sha256_update(&context, &mode, 1);
    mbedtls_sha256_finish(&context, sum);
    mbedtls_sha256_free(&context);
}

/* Each setter's error is fatal: one that is passed over would leave less protection than was asked
 * for. */
static int configure(const struct config_tls *config, const struct pem *pem,
                     nng_tls_config *nng_config)
{
    static const nng_tls_auth_mode modes[] = {
        [CONFIG_CLIENT_CERTIFICATES_NONE] = NNG_TLS_AUTH_MODE_NONE,
        [CONFIG_CLIENT_CERTIFICATES_OPTIONAL] = NNG_TLS_AUTH_MODE_OPTIONAL,
        [CONFIG_CLIENT_CERTIFICATES_REQUIRED] = NNG_TLS_AUTH_MODE_REQUIRED};
    int error = nng_tls_config_version(nng_config, NNG_TLS_1_2, NNG_TLS_1_3);
    if (error == 0)
        error = nng_tls_config_own_cert(nng_config, pem->certificate, pem->key, NULL);
    if (error == 0 && pem->client_ca)
        error = nng_tls_config_ca_chain(nng_config, pem->client_ca, NULL);
    if (error == 0)
        error = nng_tls_config_auth_mode(nng_config, modes[config->client_certificates]);
    return error;
}

struct listener_tls *listener_tls_load(const struct config_tls *config, struct status *why)
{
    struct pem pem;
    struct listener_tls *tls = calloc(1, sizeof *tls);
    status_set(why, STATUS_RESOURCE_EXHAUSTED, "[service.tls]: out of memory");
    if (!tls)
        return NULL;
    bool sound = pem_read(config, &pem, why) && check(config, &pem, why);
    if (sound) {
        int error = nng_tls_config_alloc(&tls->config, NNG_TLS_MODE_SERVER);
        if (error == 0)
            error = configure(config, &pem, tls->config);
        if (error != 0)
            status_set(why, STATUS_FAILED_PRECONDITION, "[service.tls] certificate %s: %s",
                       config->certificate, nng_strerror(error));
        sound = error == 0;
        make_sum(config, &pem, tls->sum);
    }
    pem_clear(&pem);
    if (sound) {
        *why = (struct status){0};
        return tls;
    }
    listener_tls_free(tls);
    return NULL;
}

void listener_tls_free(struct listener_tls *tls)
{
    if (!tls)
        return;
    if (tls->config)
        nng_tls_config_free(tls->config);
    free(tls);
}

bool listener_tls_is_same(const struct listener_tls *a, const struct listener_tls *b)
{
    return memcmp(a->sum, b->sum, SUM_BYTES) == 0;
}

nng_tls_config *listener_tls_config(const struct listener_tls *tls)
{
    return tls->config;
}
