/* Redis: GET of a value of --reply-bytes bytes, one connection for each slot, one call at a time in
 * each, spoken by hand (RESP). prepare stores the values. */
#include "connect.h"
#include "events.h"
#include "names.h"
#include "peer.h"
#include "usage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES = 64 };

struct connection {
    int fd;
    struct slot *slot;
    char *buffer;
    size_t room, have;
};

struct client {
    const struct peer_options *options;
    struct events events;
    struct connection *connections;
};

static int key_of(char *key, size_t key_bytes, uint64_t chat, uint64_t user)
{
    return snprintf(key, key_bytes, "user:%" PRId64 ":%" PRId64, name_chat_id(chat),
                    name_user_id(user));
}

static void send_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0)
            peer_die("redis: send: %s", strerror(errno));
        bytes += sent;
        count -= (size_t)sent;
    }
}

/* Whether the answer "$LENGTH\r\n...\r\n" is whole; what is not one: *error_out. */
static bool is_whole(const struct connection *connection, const char **error_out)
{
    const char *end = memchr(connection->buffer, '\n', connection->have);
    *error_out = NULL;
    if (!end)
        return false;
    if (connection->buffer[0] != '$' || connection->buffer[1] == '-') {
        *error_out = "no such key: was prepare run with the same numbers?";
        return true;
    }
    size_t length = strtoul(connection->buffer + 1, NULL, 10);
    return connection->have == (size_t)(end + 1 - connection->buffer) + length + 2;
}

static void readable(void *arg)
{
    struct connection *connection = arg;
    ssize_t got = recv(connection->fd, connection->buffer + connection->have,
                       connection->room - connection->have, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return;
        peer_die("redis: the connection is lost");
    }
    connection->have += (size_t)got;
    const char *error;
    if (!is_whole(connection, &error))
        return;
    connection->have = 0;
    slot_done(connection->slot, error);
}

static void get(struct slot *slot, void *arg)
{
    struct client *client = arg;
    struct connection *connection = &client->connections[slot_index(slot)];
    char key[64], command[128];
    int length = key_of(key, sizeof key, slot_random(slot) % client->options->chats,
                        slot_random(slot) % client->options->users);
    int bytes = snprintf(command, sizeof command, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", length, key);
    events_lock(&client->events);
    connection->slot = slot;
    send_all(connection->fd, command, (size_t)bytes);
    events_unlock(&client->events);
}

static int open_connection(const struct peer_options *options)
{
    int fd = connect_url(options->url);
    if (fd < 0)
        peer_die("redis: %s: %s", options->url, strerror(errno));
    return fd;
}

static int prepare(const struct peer_options *options)
{
    int fd = open_connection(options);
    char *value = malloc(options->reply_bytes + 1), head[256], answer[16];
    if (!value)
        peer_die("redis: out of memory");
    memset(value, 'v', options->reply_bytes);
    for (uint64_t i = 0; i < options->chats * options->users; i++) {
        char key[64];
        int length = key_of(key, sizeof key, i / options->users, i % options->users);
        int bytes = snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%zu\r\n", length,
                             key, options->reply_bytes);
        send_all(fd, head, (size_t)bytes);
        send_all(fd, value, options->reply_bytes);
        send_all(fd, "\r\n", 2);
        if (recv(fd, answer, sizeof answer, 0) < 3 || memcmp(answer, "+OK", 3) != 0)
            peer_die("redis: SET was refused");
    }
    free(value);
    close(fd);
    return 0;
}

static int measure(struct peer_options *options)
{
    struct client client = {.options = options};
    client.connections = calloc(options->in_flight, sizeof *client.connections);
    if (!client.connections)
        peer_die("redis: out of memory");
    events_open(&client.events, readable);
    for (unsigned i = 0; i < options->in_flight; i++) {
        struct connection *connection = &client.connections[i];
        connection->room = options->reply_bytes + HEAD_BYTES;
        connection->buffer = malloc(connection->room);
        if (!connection->buffer)
            peer_die("redis: out of memory");
        connection->fd = open_connection(options);
        events_add(&client.events, connection->fd, connection);
    }
    if (options->server_pid == 0)
        options->server_pid = usage_listener(options->url);
    events_start(&client.events);
    int status = peer_measure(options, false, get, &client);
    events_stop(&client.events);
    for (unsigned i = 0; i < options->in_flight; i++) {
        close(client.connections[i].fd);
        free(client.connections[i].buffer);
    }
    free(client.connections);
    return status;
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_parse(argc, argv, "redis", "prepare point", &options);
    return peer_is(&options, "prepare") ? prepare(&options) : measure(&options);
}
