/* chatstored as a process that is killed and started again. */
#ifndef CHATSTORE_TESTS_CRASH_SERVER_H
#define CHATSTORE_TESTS_CRASH_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct server {
    const char *program, *config_path;
    int log; /* a descriptor: where its words go */
    pid_t pid;
};

/* False: it cannot be started; the reason is on stderr. */
bool server_start(struct server *server);
void server_signal(const struct server *server, int number);
/* Its exit status, or 128 + the signal that ended it. */
int server_wait(struct server *server);

#endif
