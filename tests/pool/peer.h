/* Another process that has the same file open, as an old bot has. */
#ifndef CHATSTORE_TESTS_POOL_PEER_H
#define CHATSTORE_TESTS_POOL_PEER_H

#include <stdio.h>
#include <sys/types.h>

struct peer {
    pid_t pid;
    FILE *in, *out;
    char answer[300];
};

void peer_start(struct peer *peer, const char *path);
/* Run one line of SQL there and wait for it; the answer is "ok", or SQLite's error, kept in
 * peer->answer. */
const char *peer_sql(struct peer *peer, const char *sql);
/* Only hand it over; peer_wait waits for the answer. */
void peer_send(struct peer *peer, const char *sql);
const char *peer_wait(struct peer *peer);
/* Ends it in order, or at once, as a crash does. */
void peer_stop(struct peer *peer);
void peer_kill(struct peer *peer);

#endif
