/* The command `cert new`: a CA of one's own, a certificate for the server and one for clients. */
#include "cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PEM_BYTES = 8192,
    PATH_BYTES = 1024,
    SERIAL_BYTES = 16,
    COMMON_NAME_BYTES_MAX = 64,
    CA_DAYS = 3650,
    CLOCK_SKEW_S = 3600, /* valid from a little ago: clocks differ */
};

/* What is made, and with what. */
struct maker {
    const struct cli_options *options;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_pk_context ca_key;
    mbedtls_x509_crt ca;
};

enum kind { KIND_CA, KIND_SERVER, KIND_CLIENT };

static bool fail(const char *what, int error)
{
    char text[128];

    mbedtls_strerror(error, text, sizeof text);
    fprintf(stderr, "chatstore: cert new: %s: %s\n", what, text);
    return false;
}

/* ---- Files ---- */

static void path_of(const struct maker *maker, const char *name, char *path)
{
    snprintf(path, PATH_BYTES, "%s/%s", maker->options->dir, name);
}

static bool exists(const struct maker *maker, const char *name)
{
    char path[PATH_BYTES];

    path_of(maker, name, path);
    return access(path, F_OK) == 0;
}

static bool write_file(const struct maker *maker, const char *name, mode_t mode, const char *text)
{
    char path[PATH_BYTES];

    path_of(maker, name, path);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok =
        file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && fsync(file) == 0;
    if (!ok)
        fprintf(stderr, "chatstore: cert new: %s cannot be written: %s\n", path, strerror(errno));
    if (file >= 0)
        close(file);
    return ok;
}

/* ---- One certificate ---- */

static bool make_key(struct maker *maker, mbedtls_pk_context *key)
{
    int error = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (error == 0)
        error = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key),
                                    mbedtls_ctr_drbg_random, &maker->random);
    return error == 0 || fail("making a key", error);
}

static int set_times(mbedtls_x509write_cert *cert, uint32_t days)
{
    char from[32], to[32];
    struct tm utc;
    time_t start = time(NULL) - CLOCK_SKEW_S, end = start + (time_t)days * 86400;

    gmtime_r(&start, &utc);
    strftime(from, sizeof from, "%Y%m%d%H%M%S", &utc);
    gmtime_r(&end, &utc);
    strftime(to, sizeof to, "%Y%m%d%H%M%S", &utc);
    return mbedtls_x509write_crt_set_validity(cert, from, to);
}

static int set_serial(struct maker *maker, mbedtls_x509write_cert *cert)
{
    unsigned char serial[SERIAL_BYTES];
    int error = mbedtls_ctr_drbg_random(&maker->random, serial, sizeof serial);

    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive, of full length */
    return error != 0 ? error : mbedtls_x509write_crt_set_serial_raw(cert, serial, sizeof serial);
}

static bool is_address(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Or "*.bots.example", for all in a domain. */
static bool is_dns_name(const char *host)
{
    size_t length = strlen(host);
    return length > 0 && length <= 253 &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*") ==
               length;
}

/* DNS names and IP addresses, as the hosts are written. */
static int set_hosts(const struct cli_options *options, mbedtls_x509write_cert *cert)
{
    mbedtls_x509_san_list list[CLI_HOSTS_MAX];
    unsigned char addresses[CLI_HOSTS_MAX][16];

    memset(list, 0, sizeof list);
    for (size_t i = 0; i < options->host_count; i++) {
        const char *host = options->hosts[i];
        mbedtls_x509_buf *name = &list[i].node.san.unstructured_name;
        bool v4 = inet_pton(AF_INET, host, addresses[i]) == 1;
        bool ip = v4 || inet_pton(AF_INET6, host, addresses[i]) == 1;
        list[i].node.type = ip ? MBEDTLS_X509_SAN_IP_ADDRESS : MBEDTLS_X509_SAN_DNS_NAME;
        name->p = ip ? addresses[i] : (unsigned char *)(uintptr_t)host;
        name->len = v4 ? 4 : ip ? 16 : strlen(host);
        list[i].next = i + 1 < options->host_count ? &list[i + 1] : NULL;
    }
    return mbedtls_x509write_crt_set_subject_alternative_name(cert, list);
}

static int set_purpose(mbedtls_x509write_cert *cert, bool is_server)
{
    const char *oid = is_server ? MBEDTLS_OID_SERVER_AUTH : MBEDTLS_OID_CLIENT_AUTH;
    mbedtls_asn1_sequence purpose = {
        .buf = {.tag = MBEDTLS_ASN1_OID, .len = strlen(oid), .p = (unsigned char *)(uintptr_t)oid}};
    int error = mbedtls_x509write_crt_set_basic_constraints(cert, 0, -1);

    if (error == 0)
        error = mbedtls_x509write_crt_set_key_usage(cert, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    return error != 0 ? error : mbedtls_x509write_crt_set_ext_key_usage(cert, &purpose);
}

static int set_as_ca(mbedtls_x509write_cert *cert)
{
    int error = mbedtls_x509write_crt_set_basic_constraints(cert, 1, 0);

    if (error == 0)
        error = mbedtls_x509write_crt_set_key_usage(cert, MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                              MBEDTLS_X509_KU_CRL_SIGN);
    return error != 0 ? error : mbedtls_x509write_crt_set_subject_key_identifier(cert);
}

static int fill(struct maker *maker, mbedtls_x509write_cert *cert, enum kind kind,
                mbedtls_pk_context *key, const char *subject)
{
    mbedtls_pk_context *signer = kind == KIND_CA ? key : &maker->ca_key;
    char issuer[256];
    int error = 0;

    mbedtls_x509write_crt_set_version(cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(cert, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(cert, key);
    mbedtls_x509write_crt_set_issuer_key(cert, signer);
    if (kind == KIND_CA)
        snprintf(issuer, sizeof issuer, "%s", subject);
    else
        error = mbedtls_x509_dn_gets(issuer, sizeof issuer, &maker->ca.subject) > 0 ? 0 : -1;
    (void)(error || (error = mbedtls_x509write_crt_set_subject_name(cert, subject)) ||
           (error = mbedtls_x509write_crt_set_issuer_name(cert, issuer)) ||
           (error = set_serial(maker, cert)) ||
           (error = set_times(cert, kind == KIND_CA ? CA_DAYS : maker->options->days)) ||
           (error = kind == KIND_CA ? set_as_ca(cert) : set_purpose(cert, kind == KIND_SERVER)) ||
           (error = mbedtls_x509write_crt_set_authority_key_identifier(cert)) ||
           (error = kind == KIND_SERVER ? set_hosts(maker->options, cert) : 0));
    return error;
}

static bool make_pem(struct maker *maker, enum kind kind, mbedtls_pk_context *key,
                     const char *subject, char *pem)
{
    mbedtls_x509write_cert cert;

    mbedtls_x509write_crt_init(&cert);
    int error = fill(maker, &cert, kind, key, subject);
    if (error == 0)
        error = mbedtls_x509write_crt_pem(&cert, (unsigned char *)pem, PEM_BYTES,
                                          mbedtls_ctr_drbg_random, &maker->random);
    mbedtls_x509write_crt_free(&cert);
    return error == 0 || fail("making a certificate", error);
}

/* NAME.key and NAME.pem, unless they are there: what is in use is never written over. */
static bool make_pair(struct maker *maker, enum kind kind, const char *name, const char *subject)
{
    char key_name[64], cert_name[64], pem[PEM_BYTES];
    mbedtls_pk_context key;

    snprintf(key_name, sizeof key_name, "%s.key", name);
    snprintf(cert_name, sizeof cert_name, "%s.pem", name);
    if (exists(maker, key_name) || exists(maker, cert_name)) {
        fprintf(stderr,
                "chatstore: %s/%s is there and is kept; to renew it, move it and its key "
                "away\n",
                maker->options->dir, cert_name);
        return true;
    }
    mbedtls_pk_init(&key);
    bool ok = make_key(maker, &key) && make_pem(maker, kind, &key, subject, pem) &&
              write_file(maker, cert_name, 0644, pem);
    if (ok) {
        int error = mbedtls_pk_write_key_pem(&key, (unsigned char *)pem, sizeof pem);
        ok = error == 0 ? write_file(maker, key_name, 0600, pem) : fail("writing a key", error);
    }
    explicit_bzero(pem, sizeof pem);
    mbedtls_pk_free(&key);
    return ok;
}

static bool load_ca(struct maker *maker)
{
    char path[PATH_BYTES];

    path_of(maker, "ca.pem", path);
    int error = mbedtls_x509_crt_parse_file(&maker->ca, path);
    if (error != 0)
        return fail(path, error);
    path_of(maker, "ca.key", path);
    error = mbedtls_pk_parse_keyfile(&maker->ca_key, path, NULL, mbedtls_ctr_drbg_random,
                                     &maker->random);
    return error == 0 || fail(path, error);
}

/* ---- The command ---- */

static bool make_all(struct maker *maker)
{
    char subject[96];
    const char *host = maker->options->hosts[0];

    if (mkdir(maker->options->dir, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "chatstore: cert new: the folder %s cannot be made: %s\n",
                maker->options->dir, strerror(errno));
        return false;
    }
    snprintf(subject, sizeof subject, "CN=%s",
             strlen(host) <= COMMON_NAME_BYTES_MAX ? host : "chatstore server");
    return make_pair(maker, KIND_CA, "ca", "CN=chatstore CA") && load_ca(maker) &&
           make_pair(maker, KIND_SERVER, "server", subject) &&
           make_pair(maker, KIND_CLIENT, "client", "CN=chatstore client");
}

static void print_use(const struct cli_options *options)
{
    char *dir = realpath(options->dir, NULL);
    const char *shown = dir != NULL ? dir : options->dir;

    printf("# For the server's configuration file; listen is an example.\n"
           "[service]\nlisten = [\"tls+tcp://0.0.0.0:7447\"]\n\n"
           "[service.tls]\ncertificate = \"%s/server.pem\"\nkey = \"%s/server.key\"\n"
           "client-ca = \"%s/ca.pem\"\n\n",
           shown, shown, shown);
    printf("# For the bots' machines: copy ca.pem, client.pem and client.key there, then\n"
           "#   chatstore ping --url tls+tcp://%s:7447 --ca ca.pem --cert client.pem --key "
           "client.key --token-file FILE\n"
           "# or tls_ca_file, tls_cert_file and tls_key_file of the C client's options.\n"
           "# Keep ca.key to yourself: whoever has it can make certificates that all of them "
           "trust.\n",
           options->hosts[0]);
    free(dir);
}

int cli_run_cert(const struct cli_options *options, char **words, int count)
{
    if (count != 1 || strcmp(words[0], "new") != 0 || options->dir == NULL ||
        options->host_count == 0) {
        fprintf(stderr, "chatstore: it is: chatstore cert new --dir DIR --host NAME... [--days N]; "
                        "the hosts are the names and addresses by which bots reach the server\n");
        return CLI_EXIT_USAGE;
    }
    for (size_t i = 0; i < options->host_count; i++) {
        if (is_address(options->hosts[i]) || is_dns_name(options->hosts[i]))
            continue;
        fprintf(stderr,
                "chatstore: cert new: --host \"%s\" is neither a DNS name nor an address; a "
                "scheme or port does not belong to it\n",
                options->hosts[i]);
        return CLI_EXIT_USAGE;
    }
    struct maker maker = {.options = options};
    mbedtls_entropy_init(&maker.entropy);
    mbedtls_ctr_drbg_init(&maker.random);
    mbedtls_pk_init(&maker.ca_key);
    mbedtls_x509_crt_init(&maker.ca);
    int error = mbedtls_ctr_drbg_seed(&maker.random, mbedtls_entropy_func, &maker.entropy, NULL, 0);
    bool ok = error == 0 ? make_all(&maker) : fail("random numbers", error);
    if (ok)
        print_use(options);
    mbedtls_x509_crt_free(&maker.ca);
    mbedtls_pk_free(&maker.ca_key);
    mbedtls_ctr_drbg_free(&maker.random);
    mbedtls_entropy_free(&maker.entropy);
    return ok ? CLI_EXIT_OK : CLI_EXIT_IO;
}
