#include "raw_client.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { WAIT_MS_MAX = 20000, HEAD_BYTES = 9, ID_BYTES = 4 };

static const uint32_t last_hop =
    0x80000000; /* of the ids before the frame, nng's mark of the end */

int raw_connect_silent(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    return client;
}

bool raw_send_bytes(int client, const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count > 0) {
        ssize_t sent = send(client, at, count, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        at += sent;
        count -= (size_t)sent;
    }
    return true;
}

static void receive_bytes(int client, void *bytes, size_t count)
{
    char *at = bytes;
    while (count > 0) {
        struct pollfd wait = {.fd = client, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS_MAX), 1);
        ssize_t received = recv(client, at, count, 0);
        if (received <= 0)
            fail_msg("the server closed the connection");
        at += received;
        count -= (size_t)received;
    }
}

int raw_connect(const char *path)
{
    static const uint8_t request_peer[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const uint8_t reply_peer[] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    uint8_t answer[sizeof reply_peer];
    int client = raw_connect_silent(path);
    assert_true(raw_send_bytes(client, request_peer, sizeof request_peer));
    receive_bytes(client, answer, sizeof answer);
    assert_memory_equal(answer, reply_peer, sizeof reply_peer);
    return client;
}

void raw_announce(int client, uint64_t bytes)
{
    uint8_t head[HEAD_BYTES] = {1};
    bytes = htobe64(bytes);
    memcpy(head + 1, &bytes, sizeof bytes);
    assert_true(raw_send_bytes(client, head, sizeof head));
}

void raw_send(int client, uint32_t id, const void *frame, size_t bytes)
{
    uint32_t marked = htobe32(id | last_hop);
    raw_announce(client, bytes + ID_BYTES);
    assert_true(raw_send_bytes(client, &marked, sizeof marked));
    assert_true(raw_send_bytes(client, frame, bytes));
}

uint8_t *raw_receive(int client, uint32_t id, size_t *bytes_out)
{
    uint8_t head[HEAD_BYTES];
    uint64_t bytes;
    uint32_t marked;
    receive_bytes(client, head, sizeof head);
    memcpy(&bytes, head + 1, sizeof bytes);
    bytes = be64toh(bytes);
    assert_true(head[0] == 1 && bytes >= ID_BYTES);
    receive_bytes(client, &marked, sizeof marked);
    assert_int_equal(be32toh(marked), id | last_hop);
    *bytes_out = (size_t)bytes - ID_BYTES;
    uint8_t *frame = malloc(*bytes_out + 1);
    assert_non_null(frame);
    receive_bytes(client, frame, *bytes_out);
    return frame;
}

void raw_expect_closed(int client)
{
    struct pollfd wait = {.fd = client, .events = POLLRDHUP};
    if (poll(&wait, 1, WAIT_MS_MAX) != 1)
        fail_msg("the server keeps the connection open");
    assert_true(wait.revents & (POLLRDHUP | POLLHUP | POLLERR));
}
