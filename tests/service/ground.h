/* A server as a process over a configuration in a sandbox, for tests that change the one while the
 * other runs. */
#ifndef CHATSTORE_TESTS_GROUND_H
#define CHATSTORE_TESTS_GROUND_H

#include <chatstore/chatstore.h>

#include "program.h"
#include "sandbox.h"

struct ground {
    struct sandbox sandbox;
    char config[SANDBOX_PATH_BYTES], socket[SANDBOX_PATH_BYTES];
    struct program program;
};

/* Setup and teardown of cmocka; the server is started by ground_serve, and must have ended. */
int ground_open(void **state);
int ground_close(void **state);

/* Write the configuration: what is given, and where to listen. */
void ground_configure(struct ground *ground, const char *toml);

/* Start it and wait until it is ready. */
void ground_serve(struct ground *ground);

/* End it by a signal, and see that it ends well and leaves no files of its own. */
void ground_stop(struct ground *ground);

/* A connection; a call on it; its answer's status, with a part of its text. As JSON the response,
 * to be freed with free(), if it is OK. */
int ground_connect(const struct ground *ground);
void ground_send(int client, const char *method, const char *json);
char *ground_receive(int client, const char *method, enum chatstore_status status,
                     const char *part);

/* All of it in one. */
void ground_call(const struct ground *ground, const char *method, const char *json,
                 enum chatstore_status status, const char *part);

/* AdminService/Reload: succeeds with this in its answer; fails. */
void ground_reload(const struct ground *ground, const char *part);
void ground_reload_fails(const struct ground *ground, enum chatstore_status status,
                         const char *part);

/* Of the server's process. */
unsigned ground_count_fds(const struct ground *ground);
unsigned ground_count_threads(const struct ground *ground);

#endif
