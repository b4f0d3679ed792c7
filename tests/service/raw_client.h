/* A client that speaks nng's protocol over a bare unix socket, so that it can misbehave. */
#ifndef CHATSTORE_TESTS_RAW_CLIENT_H
#define CHATSTORE_TESTS_RAW_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connect to a unix socket and shake hands as a REQ peer. Returns the socket. */
int raw_connect(const char *path);
/* Only connect. */
int raw_connect_silent(const char *path);

/* Send a frame as request number `id`. */
void raw_send(int client, uint32_t id, const void *frame, size_t bytes);
/* Send a frame's head that announces so many bytes, and nothing behind it. */
void raw_announce(int client, uint64_t bytes);
/* Send bytes as they are; false: the peer has closed. */
bool raw_send_bytes(int client, const void *bytes, size_t count);

/* Read the reply to request `id`; fails the test when none comes within 20 s. To be freed. */
uint8_t *raw_receive(int client, uint32_t id, size_t *bytes_out);

/* Wait until the peer closes the connection, reading nothing of what it still sends but the end;
 * fails the test when it does not within 20 s. */
void raw_expect_closed(int client);

#endif
