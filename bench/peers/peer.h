/* What the clients of all peers share: a command line, and measuring by the driver. */
#ifndef CHATSTORE_BENCH_PEER_H
#define CHATSTORE_BENCH_PEER_H

#include "driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct peer_options {
    const char *name; /* of the peer */
    const char *mode; /* "serve", "prepare", or what to measure */
    const char *url;  /* as the peer understands it */
    const char *db;
    unsigned in_flight;
    double seconds, warm_up_s;
    bool json;
    pid_t server_pid;
    uint64_t chats, users, messages, seed;
    size_t request_bytes, reply_bytes;
};

/* Parse, or say what is wrong and exit. modes: those that the peer has, separated by blanks. */
void peer_parse(int argc, char **argv, const char *name, const char *modes,
                struct peer_options *options);

/* Whether this mode was asked for. */
bool peer_is(const struct peer_options *options, const char *mode);

/* Measure and report. inline_calls: a call is over when start returns. Returns an exit status. */
int peer_measure(const struct peer_options *options, bool inline_calls,
                 void (*start)(struct slot *slot, void *arg), void *arg);

/* Say why, and end the program. */
__attribute__((noreturn, format(printf, 1, 2))) void peer_die(const char *format, ...);

/* Wait for SIGTERM or SIGINT, which peer_hold_signals() keeps from all threads started later. */
void peer_hold_signals(void);
void peer_wait_for_signal(void);

#ifdef __cplusplus
}
#endif

#endif
