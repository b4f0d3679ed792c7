#include "peer.h"

#include "report.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum {
    OPTION_URL = 'u',
    OPTION_IN_FLIGHT = 'n',
    OPTION_SECONDS = 's',
    OPTION_WARM_UP = 0x100,
    OPTION_JSON,
    OPTION_DB,
    OPTION_SERVER_PID,
    OPTION_CHATS,
    OPTION_USERS,
    OPTION_MESSAGES,
    OPTION_SEED,
    OPTION_REQUEST_BYTES,
    OPTION_REPLY_BYTES
};

static const struct argp_option option_table[] = {
    {"url", OPTION_URL, "URL", 0, "Where the peer's server is, or shall be", 0},
    {"db", OPTION_DB, "FILE", 0, "The SQLite file", 0},
    {"in-flight", OPTION_IN_FLIGHT, "N", 0, "Calls under way at a time (64)", 0},
    {"seconds", OPTION_SECONDS, "S", 0, "How long to measure (5)", 0},
    {"warm-up", OPTION_WARM_UP, "S", 0, "How long to run before (1)", 0},
    {"json", OPTION_JSON, NULL, 0, "Print one JSON object", 0},
    {"server-pid", OPTION_SERVER_PID, "PID", 0, "Whose CPU and memory to report", 0},
    {"chats", OPTION_CHATS, "N", 0, "Chats in use (100)", 0},
    {"users", OPTION_USERS, "N", 0, "Users of each chat (100)", 0},
    {"messages", OPTION_MESSAGES, "N", 0, "Messages of the first chat (1000)", 0},
    {"seed", OPTION_SEED, "N", 0, "Of all that is random (1)", 0},
    {"request-bytes", OPTION_REQUEST_BYTES, "N", 0, "Size of a request (64)", 0},
    {"reply-bytes", OPTION_REPLY_BYTES, "N", 0, "Size of a reply, or of a value (64)", 0},
    {0},
};

/* What parse_option() works on. */
struct parsing {
    struct peer_options *options;
    const char *modes;
};

void peer_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EX_SOFTWARE);
}

static uint64_t whole(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end || text[0] == '-')
        argp_error(state, "\"%s\" is no whole number", text);
    return value;
}

static double number(const char *text, struct argp_state *state)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0))
        argp_error(state, "\"%s\" is no number from 0 on", text);
    return value;
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at++) {
        if ((at == words || at[-1] == ' ') && (at[length] == 0 || at[length] == ' '))
            return length > 0;
    }
    return false;
}

static error_t parse_number(int key, const char *arg, struct argp_state *state)
{
    struct peer_options *options = ((struct parsing *)state->input)->options;
    switch (key) {
    case OPTION_IN_FLIGHT:
        options->in_flight = (unsigned)whole(arg, state);
        return options->in_flight > 0 ? 0 : EINVAL;
    case OPTION_SERVER_PID:
        options->server_pid = (pid_t)whole(arg, state);
        return 0;
    case OPTION_CHATS:
        options->chats = whole(arg, state);
        return options->chats > 0 ? 0 : EINVAL;
    case OPTION_USERS:
        options->users = whole(arg, state);
        return options->users > 0 ? 0 : EINVAL;
    case OPTION_MESSAGES:
        options->messages = whole(arg, state);
        return 0;
    case OPTION_SEED:
        options->seed = whole(arg, state);
        return 0;
    case OPTION_REQUEST_BYTES:
        options->request_bytes = whole(arg, state);
        return 0;
    case OPTION_REPLY_BYTES:
        options->reply_bytes = whole(arg, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    struct peer_options *options = parsing->options;
    switch (key) {
    case OPTION_URL:
        options->url = arg;
        break;
    case OPTION_DB:
        options->db = arg;
        break;
    case OPTION_SECONDS:
        options->seconds = number(arg, state);
        break;
    case OPTION_WARM_UP:
        options->warm_up_s = number(arg, state);
        break;
    case OPTION_JSON:
        options->json = true;
        break;
    case ARGP_KEY_ARG:
        if (options->mode || !has_word(parsing->modes, arg))
            argp_error(state, "\"%s\": one of %s, once", arg, parsing->modes);
        options->mode = arg;
        break;
    case ARGP_KEY_END:
        if (!options->mode)
            argp_error(state, "which? One of %s", parsing->modes);
        break;
    default:
        return parse_number(key, arg, state);
    }
    return 0;
}

void peer_parse(int argc, char **argv, const char *name, const char *modes,
                struct peer_options *options)
{
    struct argp argp = {option_table, parse_option, modes, NULL, NULL, NULL, NULL};
    struct parsing parsing = {options, modes};
    *options = (struct peer_options){.name = name,
                                     .url = "",
                                     .in_flight = 64,
                                     .seconds = 5,
                                     .warm_up_s = 1,
                                     .chats = 100,
                                     .users = 100,
                                     .messages = 1000,
                                     .seed = 1,
                                     .request_bytes = 64,
                                     .reply_bytes = 64};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &parsing);
}

bool peer_is(const struct peer_options *options, const char *mode)
{
    return strcmp(options->mode, mode) == 0;
}

int peer_measure(const struct peer_options *options, bool inline_calls,
                 void (*start)(struct slot *slot, void *arg), void *arg)
{
    static struct driver_result result; /* large */
    struct driver_options driver = {.in_flight = options->in_flight,
                                    .warm_up_s = options->warm_up_s,
                                    .seconds = options->seconds,
                                    .starter_per_slot = inline_calls,
                                    .server_pid = options->server_pid,
                                    .seed = options->seed,
                                    .start = start,
                                    .arg = arg};
    if (!driver_run(&driver, &result))
        peer_die("%s: %s", options->name, result.error);
    char load[64];
    snprintf(load, sizeof load, "%s-%s", options->name, options->mode);
    struct report_title title = {load, options->url, options->in_flight, 0, ""};
    report_print(stdout, &title, &result, options->json);
    return result.calls > 0 ? EX_OK : EX_UNAVAILABLE;
}

static void set_of_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
}

void peer_hold_signals(void)
{
    sigset_t signals;
    set_of_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

void peer_wait_for_signal(void)
{
    sigset_t signals;
    int got;
    set_of_signals(&signals);
    while (sigwait(&signals, &got) != 0)
        continue;
}
