/* The ways to the calls: a server in this process behind each kind of URL, or no server at all.
 * What is claimed of a call must hold through each. */
#ifndef CHATSTORE_TESTS_DOOR_H
#define CHATSTORE_TESTS_DOOR_H

#include <chatstore/calls.h>

#include "sandbox.h"
#include "service/engine.h"
#include "service/listener.h"

enum door_kind { DOOR_IPC, DOOR_EMBEDDED, DOOR_TCP, DOOR_WS, DOOR_INPROC };

struct door {
    struct config *config; /* of a server; NULL: embedded */
    struct config_report *report;
    struct engine *engine;
    struct listener *listener;
    char url[SANDBOX_PATH_BYTES];
    struct chatstore_client *client;
};

const char *door_name(enum door_kind kind);

/* Once for a program, before everything else. */
void door_setup(enum log_level level);

/* Serve FOLDER/config_name, a TOML file, and open a client. Fails the test if that cannot be. */
void door_open(struct door *door, enum door_kind kind, const struct sandbox *sandbox,
               const char *config_name);
void door_close(struct door *door);

/* Call by name with an encoded request; the response's bytes are to be freed with free(). The
 * outcome is to be cleared. */
enum chatstore_status door_call(const struct door *door, const char *method, const void *payload,
                                size_t payload_bytes, struct chatstore_outcome *outcome,
                                uint8_t **reply_out, size_t *reply_bytes_out);

#endif
