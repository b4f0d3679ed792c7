#include "nng_check.h"

#include <mbedtls/sha512.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS_MAX 10000

static int check_nng(const char *what, int result)
{
    if (result != 0)
        fprintf(stderr, "nng %s: %s: %s\n", nng_version(), what, nng_strerror(result));
    return result;
}

/* request -> reply, both ends in this thread: what is sent is received on the other side. */
static int echo(nng_socket client, nng_socket server)
{
    char question[] = "ping";
    char *received = NULL;
    size_t received_bytes = 0;
    int result = check_nng("send", nng_send(client, question, sizeof question, 0));
    if (result == 0)
        result = check_nng("receive",
                           nng_recv(server, (void *)&received, &received_bytes, NNG_FLAG_ALLOC));
    if (result == 0)
        result = check_nng("reply", nng_send(server, received, received_bytes, NNG_FLAG_ALLOC));
    if (result != 0)
        return 1;
    char answer[sizeof question] = "";
    size_t answer_bytes = sizeof answer;
    if (check_nng("receive the reply", nng_recv(client, answer, &answer_bytes, 0)) != 0)
        return 1;
    return answer_bytes == sizeof question && memcmp(answer, question, answer_bytes) == 0 ? 0 : 1;
}

static int connect_and_echo(nng_socket client, nng_socket server)
{
    char url[64];
    snprintf(url, sizeof url, "ipc:///tmp/chatstore-nng-check-%ld.sock", (long)getpid());
    const nng_socket sockets[] = {client, server};
    for (size_t i = 0; i < 2; i++) {
        if (check_nng("limit", nng_socket_set_size(sockets[i], NNG_OPT_RECVMAXSZ, 1024)) != 0 ||
            check_nng("wait", nng_socket_set_ms(sockets[i], NNG_OPT_RECVTIMEO, WAIT_MS_MAX)) != 0)
            return 1;
    }
    if (check_nng("listen", nng_listen(server, url, NULL, 0)) != 0 ||
        check_nng("dial", nng_dial(client, url, NULL, 0)) != 0)
        return 1;
    return echo(client, server);
}

static int check_echo(void)
{
    nng_socket client, server;
    if (check_nng("open", nng_req0_open(&client)) != 0)
        return 1;
    if (check_nng("open", nng_rep0_open(&server)) != 0) {
        nng_close(client);
        return 1;
    }
    int result = connect_and_echo(client, server);
    nng_close(client);
    nng_close(server);
    return result;
}

static int check_tls(void)
{
    nng_tls_config *config = NULL;
    if (check_nng("TLS", nng_tls_config_alloc(&config, NNG_TLS_MODE_SERVER)) != 0)
        return 1;
    int result = check_nng("TLS 1.3", nng_tls_config_version(config, NNG_TLS_1_3, NNG_TLS_1_3));
    nng_tls_config_free(config);
    return result == 0 ? 0 : 1;
}

static int check_sha512(void)
{
    static const unsigned char wanted[] = {0xdd, 0xaf, 0x35, 0xa1};
    unsigned char digest[64];
    if (mbedtls_sha512((const unsigned char *)"abc", 3, digest, 0) != 0 ||
        memcmp(digest, wanted, sizeof wanted) != 0) {
        fprintf(stderr, "mbedTLS: wrong SHA-512\n");
        return 1;
    }
    return 0;
}

int nng_check_run(void)
{
    int result = check_echo() || check_tls() || check_sha512() ? 1 : 0;
    nng_fini();
    return result;
}
