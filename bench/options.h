/* The command line of chatstore-bench. */
#ifndef CHATSTORE_BENCH_OPTIONS_H
#define CHATSTORE_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct options {
    const char *load;
    const char *url;
    unsigned in_flight;
    double seconds, warm_up_s;
    double rate_per_s; /* 0: closed loop */
    bool no_join;
    unsigned frames_in_flight, calls_per_frame; /* 0: the stubs' own */
    bool json, quiet;
    pid_t server_pid;
    /* The data: what is there, and for `data` what to make. */
    uint64_t chats, users, messages, seed;
    uint64_t sources, mapped;
    const char *data_source; /* ask this one; NULL: as routed */
    uint64_t chat;           /* whose messages list and scan read */
    unsigned limit;          /* messages of list; 0: 100 */
    unsigned beside_scans, idle_connections;
    uint64_t scan_chat;      /* of --beside-scans */
    unsigned touch_ms;       /* change a chat every so often meanwhile; 0: never */
    unsigned metadata_bytes; /* point: one user with so much metadata; 0: any user */
    bool one_by_one;         /* merge: ask one source after the other instead */
    const char *dir;
    const char *server; /* program; NULL: found beside this one */
    bool readonly_copy;
};

/* Parse, or say what is wrong and exit. */
void options_parse(int argc, char **argv, struct options *options);

#endif
