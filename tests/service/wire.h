/* Frames as a client would send them, from JSON. */
#ifndef CHATSTORE_TESTS_WIRE_H
#define CHATSTORE_TESTS_WIRE_H

#include <chatstore/chatstore.h>
#include <stddef.h>
#include <stdint.h>

#include "chatstore/v1/envelope.pb-c.h"

enum { WIRE_CALLS_MAX = 2048 };

/* Calls to be sent in one frame; zero-initialised. */
struct wire {
    Chatstore__V1__Call *calls[WIRE_CALLS_MAX];
    size_t count;
    const char *token; /* NULL: none */
};

/* Add a call by its bare name, or a method that no server has; the request as JSON. */
void wire_add(struct wire *wire, const char *method, const char *json, uint32_t timeout_ms);

/* The encoded frame, to be freed with free(); the calls are gone then. */
uint8_t *wire_take(struct wire *wire, size_t *bytes_out);

/* Fail the test unless the reply's result number `i` has this status and, unless it is OK, this
 * part of a text. */
void expect_result(const Chatstore__V1__Reply *reply, size_t i, enum chatstore_status status,
                   const char *part);

#endif
