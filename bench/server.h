/* A chatstored of one's own, for what cannot be asked of one that runs. */
#ifndef CHATSTORE_BENCH_SERVER_H
#define CHATSTORE_BENCH_SERVER_H

#include <chatstore/chatstore.h>
#include <stdbool.h>
#include <sys/types.h>

struct server {
    pid_t pid;
    char url[160];
    struct chatstore_client *client;
};

/* Start PROGRAM (NULL: the one that was built or installed with this program) on DIR/chatstore.toml
 * and wait until it accepts connections. Its log goes to DIR/chatstored.log. False with the reason
 * on standard error. */
bool server_start(const char *program, const char *dir, struct server *server);
void server_stop(struct server *server);

/* Ask for the user 0 of a chat. False with the reason on standard error. */
bool server_ask(struct server *server, uint64_t chat);

/* A folder for data: `dir`, or a new one if that is NULL, which scratch_remove() removes with the
 * files in it. */
struct scratch {
    char dir[128];
    bool is_ours;
};
bool scratch_make(const char *dir, struct scratch *scratch);
void scratch_remove(const struct scratch *scratch);

#endif
