/* A server of a few lines for tests of the client: it answers as the test says, can hold its
 * answers back, and keeps what it got. */
#ifndef CHATSTORE_TESTS_FAKE_SERVER_H
#define CHATSTORE_TESTS_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chatstore/v1/envelope.pb-c.h"

struct fake_server;

/* Fills the result of a call, which is empty so far. What it points to must outlive the answer.
 * Several threads at once. */
typedef void fake_answer(void *arg, const Chatstore__V1__Call *call, Chatstore__V1__Result *result);

/* A fresh ipc:// URL of this process; stays until the next but 15. */
const char *fake_url(void);

struct fake_server *fake_server_start(const char *url, fake_answer *answer, void *arg);
void fake_server_stop(struct fake_server *server);

/* From now on requests are taken, but answered only after fake_server_release(). */
void fake_server_hold(struct fake_server *server);
void fake_server_release(struct fake_server *server);

/* From now on each frame is answered by these bytes (NULL: as usual again). */
void fake_server_answer_raw(struct fake_server *server, const void *bytes, size_t size);

/* Wait until so many frames in all have come; fails the test after 5 s. */
void fake_server_wait_frames(struct fake_server *server, size_t count);

/* Calls in the frame that came as the i-th, 0 the first. */
size_t fake_server_frame_calls(struct fake_server *server, size_t i);
size_t fake_server_frame_count(struct fake_server *server);

#endif
