/* What the tests of the client share: a server that knows one user, clients, and callbacks that
 * count. */
#ifndef CHATSTORE_TESTS_CLIENT_FIXTURE_H
#define CHATSTORE_TESTS_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <chatstore/calls.h>
#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "fake_server.h"

/* GetChatUser answers with the chat_id and user_id of the request; user_id < 0 with NOT_FOUND;
 * writes with one changed row; everything else with UNIMPLEMENTED. arg is not used. */
void fixture_answer(void *arg, const Chatstore__V1__Call *call, Chatstore__V1__Result *result);

struct chatstore_client *fixture_open(const char *url,
                                      const struct chatstore_client_options *options);

/* GetChatUser of user_id, blocking; the user_id of the answer goes to *user_id_out if not NULL. */
enum chatstore_status fixture_get_user(struct chatstore_client *client, int64_t user_id,
                                       const struct chatstore_call_options *options,
                                       int64_t *user_id_out);

/* Counts what callbacks say; any thread. */
struct fixture_tally {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned ended, ok;
    enum chatstore_status status; /* of the last */
    char message[512];            /* of the last */
    int64_t user_id_sum;
};

void fixture_tally_init(struct fixture_tally *tally);
/* Wait for the end of so many calls; fails the test after 10 s. */
void fixture_tally_wait(struct fixture_tally *tally, unsigned ended);
/* GetChatUser of user_id with a callback that counts. */
void fixture_start_user(struct chatstore_client *client, int64_t user_id, uint32_t timeout_ms,
                        struct fixture_tally *tally);
/* GetChatUsers, which is a scan, likewise. */
void fixture_start_scan(struct chatstore_client *client, struct fixture_tally *tally);

int64_t fixture_now_ms(void);

#endif
