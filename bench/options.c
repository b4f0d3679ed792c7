#include "options.h"

#include "loads.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum {
    OPTION_SECONDS = 's',
    OPTION_IN_FLIGHT = 'n',
    OPTION_URL = 'u',
    OPTION_RATE = 'r',
    OPTION_WARM_UP = 0x100,
    OPTION_NO_JOIN,
    OPTION_FRAMES,
    OPTION_CALLS,
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_SERVER_PID,
    OPTION_BESIDE,
    OPTION_IDLE,
    OPTION_SCAN_CHAT,
    OPTION_TOUCH,
    OPTION_METADATA,
    OPTION_ONE_BY_ONE,
    OPTION_SERVER,
    OPTION_CHATS,
    OPTION_USERS,
    OPTION_MESSAGES,
    OPTION_SEED,
    OPTION_SOURCES,
    OPTION_MAPPED,
    OPTION_DATA_SOURCE,
    OPTION_CHAT,
    OPTION_LIMIT,
    OPTION_DIR,
    OPTION_READONLY_COPY
};

const char *argp_program_version = "chatstore-bench " CHATSTORE_VERSION;

static const struct argp_option option_table[] = {
    {NULL, 0, NULL, 0, "Measuring", 1},
    {"url", OPTION_URL, "URL", 0, "The server, or embedded:FILE; default: as the stubs'", 1},
    {"in-flight", OPTION_IN_FLIGHT, "N", 0, "Calls under way at a time (64; embedded: 1)", 1},
    {"seconds", OPTION_SECONDS, "S", 0, "How long to measure (5)", 1},
    {"warm-up", OPTION_WARM_UP, "S", 0, "How long to run before (1)", 1},
    {"rate", OPTION_RATE, "R", 0,
     "Open loop: R calls a second, whatever the answers take; what comes late is charged to the "
     "answer. --in-flight (here 1024) bounds the calls under way",
     1},
    {"no-join", OPTION_NO_JOIN, NULL, 0, "One call per frame", 1},
    {"frames-in-flight", OPTION_FRAMES, "N", 0, "Client: more calls than this are joined", 1},
    {"calls-per-frame", OPTION_CALLS, "N", 0, "Client: at most so many share a frame", 1},
    {"server-pid", OPTION_SERVER_PID, "PID", 0,
     "Whose CPU and memory to report; known by itself on ipc://", 1},
    {"json", OPTION_JSON, NULL, 0, "Print one JSON object", 1},
    {"quiet", OPTION_QUIET, NULL, 0, "No progress on a terminal", 1},
    {NULL, 0, NULL, 0, "What to ask (as the data was made with)", 2},
    {"chats", OPTION_CHATS, "N", 0, "Chats in use, of each source for data (100)", 2},
    {"users", OPTION_USERS, "N", 0, "Users of each chat (100)", 2},
    {"seed", OPTION_SEED, "N", 0, "Of all that is random (1)", 2},
    {"chat", OPTION_CHAT, "N", 0, "Number of the chat that list and scan read (0)", 2},
    {"limit", OPTION_LIMIT, "N", 0, "Messages of an answer: list 100, scan all", 2},
    {"data-source", OPTION_DATA_SOURCE, "NAME", 0, "Read this source", 2},
    {"metadata-bytes", OPTION_METADATA, "N", 0,
     "point: store one user with so much metadata, and ask for that one", 2},
    {"one-by-one", OPTION_ONE_BY_ONE, NULL, 0,
     "merge: ask one of --sources sources at a time, in turn", 2},
    {NULL, 0, NULL, 0, "Meanwhile, by other connections", 3},
    {"beside-scans", OPTION_BESIDE, "N", 0, "N full scans of chat --scan-chat without pause", 3},
    {"scan-chat", OPTION_SCAN_CHAT, "N", 0, "Number of the chat (0)", 3},
    {"idle-connections", OPTION_IDLE, "N", 0, "N connections that do nothing", 3},
    {"touch-ms", OPTION_TOUCH, "N", 0, "Change the title of chat 0 every N ms", 3},
    {NULL, 0, NULL, 0, "startup, memory: start servers of their own", 4},
    {"server", OPTION_SERVER, "FILE", 0, "chatstored; default: the one beside this program", 4},
    {NULL, 0, NULL, 0, "data: make files and a chatstore.toml", 5},
    {"dir", OPTION_DIR, "DIR", 0, "Where to", 5},
    {"messages", OPTION_MESSAGES, "N", 0,
     "Messages of a source's first chat; the next has a tenth, and so on down to 100 (1000)", 5},
    {"sources", OPTION_SOURCES, "N", 0, "Files, each with chats of its own (1)", 5},
    {"mapped", OPTION_MAPPED, "N", 0, "Map so many chats more that are nowhere (0)", 5},
    {"readonly-copy", OPTION_READONLY_COPY, NULL, 0,
     "A source \"readonly\": the first without the index that the service adds", 5},
    {0},
};

static uint64_t parse_count(const char *text, uint64_t min, uint64_t max, const char *name,
                            struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end || text[0] == '-' || value < min || value > max)
        argp_error(state, "--%s %s: it is a number from %llu to %llu", name, text,
                   (unsigned long long)min, (unsigned long long)max);
    return value;
}

static double parse_number(const char *text, double min, const char *name, struct argp_state *state)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < min)
        argp_error(state, "--%s %s: it is a number from %g on", name, text, min);
    return value;
}

/* The options that are whole numbers. */
static bool parse_counts(int key, const char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    const struct {
        int key;
        uint64_t min, max;
        uint64_t *large;
        unsigned *small;
    } counts[] = {
        {OPTION_IN_FLIGHT, 1, 65536, NULL, &options->in_flight},
        {OPTION_FRAMES, 1, 65536, NULL, &options->frames_in_flight},
        {OPTION_CALLS, 1, 65536, NULL, &options->calls_per_frame},
        {OPTION_BESIDE, 0, 1024, NULL, &options->beside_scans},
        {OPTION_IDLE, 0, 65536, NULL, &options->idle_connections},
        {OPTION_SCAN_CHAT, 0, UINT32_MAX, &options->scan_chat, NULL},
        {OPTION_TOUCH, 1, 3600000, NULL, &options->touch_ms},
        {OPTION_METADATA, 1, 1 << 24, NULL, &options->metadata_bytes},
        {OPTION_LIMIT, 0, INT32_MAX, NULL, &options->limit},
        {OPTION_CHATS, 1, UINT32_MAX, &options->chats, NULL},
        {OPTION_USERS, 1, UINT32_MAX, &options->users, NULL},
        {OPTION_MESSAGES, 0, UINT32_MAX, &options->messages, NULL},
        {OPTION_SEED, 0, UINT64_MAX, &options->seed, NULL},
        {OPTION_SOURCES, 1, 10000, &options->sources, NULL},
        {OPTION_MAPPED, 0, 100000000, &options->mapped, NULL},
        {OPTION_CHAT, 0, UINT32_MAX, &options->chat, NULL},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (counts[i].key != key)
            continue;
        const char *name = "";
        for (const struct argp_option *option = option_table; option->name || option->doc; option++)
            name = option->key == key ? option->name : name;
        uint64_t value = parse_count(arg, counts[i].min, counts[i].max, name, state);
        if (counts[i].large)
            *counts[i].large = value;
        else
            *counts[i].small = (unsigned)value;
        return true;
    }
    return false;
}

static void check(struct options *options, struct argp_state *state)
{
    if (!options->load)
        argp_error(state, "which load? --help lists them");
    if (!load_find(options->load))
        argp_error(state, "there is no load \"%s\"; --help lists them", options->load);
    if (strcmp(options->load, "data") == 0 && !options->dir)
        argp_error(state, "data: --dir DIR says where to");
    bool embedded = options->url && strncmp(options->url, "embedded:", 9) == 0;
    if (strcmp(options->load, "embedded") == 0 && !embedded)
        argp_error(state, "embedded: give --url embedded:FILE, a database or a chatstore.toml");
    if (options->in_flight == 0)
        options->in_flight =
            options->rate_per_s > 0 ? 1024 : (strcmp(options->load, "embedded") == 0 ? 1 : 64);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case OPTION_URL:
        options->url = arg;
        break;
    case OPTION_SECONDS:
        options->seconds = parse_number(arg, 0.01, "seconds", state);
        break;
    case OPTION_WARM_UP:
        options->warm_up_s = parse_number(arg, 0, "warm-up", state);
        break;
    case OPTION_RATE:
        options->rate_per_s = parse_number(arg, 0.01, "rate", state);
        break;
    case OPTION_NO_JOIN:
        options->no_join = true;
        break;
    case OPTION_JSON:
        options->json = true;
        break;
    case OPTION_QUIET:
        options->quiet = true;
        break;
    case OPTION_SERVER_PID:
        options->server_pid = (pid_t)parse_count(arg, 1, INT32_MAX, "server-pid", state);
        break;
    case OPTION_DATA_SOURCE:
        options->data_source = arg;
        break;
    case OPTION_DIR:
        options->dir = arg;
        break;
    case OPTION_SERVER:
        options->server = arg;
        break;
    case OPTION_ONE_BY_ONE:
        options->one_by_one = true;
        break;
    case OPTION_READONLY_COPY:
        options->readonly_copy = true;
        break;
    case ARGP_KEY_ARG:
        if (options->load)
            argp_error(state, "one load at a time: \"%s\" is a second one", arg);
        options->load = arg;
        break;
    case ARGP_KEY_END:
        check(options, state);
        break;
    default:
        return parse_counts(key, arg, state) ? 0 : ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The loads of --help, from their table. */
static char *add_loads(int key, const char *text, void *input)
{
    (void)input;
    char *help = NULL;
    size_t bytes;
    if (key != ARGP_KEY_HELP_PRE_DOC)
        return (char *)(uintptr_t)text;
    FILE *out = open_memstream(&help, &bytes);
    if (!out)
        return (char *)(uintptr_t)text;
    fprintf(out, "%s\n\nLoads:\n", text);
    for (const struct load *load = load_table; load->name; load++)
        fprintf(out, "  %-10s %s\n", load->name, load->what);
    fclose(out);
    return help;
}

void options_parse(int argc, char **argv, struct options *options)
{
    static const struct argp argp = {
        option_table,
        parse_option,
        "LOAD",
        "Measure calls to a chatstore server, or to files in this process.\v"
        "Example:\n"
        "  chatstore-bench data --dir /tmp/b --messages 1000000\n"
        "  chatstored --config /tmp/b/chatstore.toml --listen ipc:///tmp/b/socket &\n"
        "  chatstore-bench point --url ipc:///tmp/b/socket --in-flight 64 --seconds 5 --json\n",
        NULL,
        add_loads,
        NULL};
    *options = (struct options){.seconds = 5,
                                .warm_up_s = 1,
                                .chats = 100,
                                .users = 100,
                                .messages = 1000,
                                .seed = 1,
                                .sources = 1};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, options);
}
