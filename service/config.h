/* The configuration: one immutable snapshot, read from a TOML file (docs/configuration.md), and the
 * report of all that is wrong with that file. Nothing here opens a database or a socket. */
#ifndef CHATSTORE_SERVICE_CONFIG_H
#define CHATSTORE_SERVICE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct router;

enum config_kind { CONFIG_KIND_SQLITE };
enum config_journal { CONFIG_JOURNAL_WAL, CONFIG_JOURNAL_TRUNCATE, CONFIG_JOURNAL_KEEP };
enum config_synchronous { CONFIG_SYNCHRONOUS_FULL, CONFIG_SYNCHRONOUS_NORMAL };

/* In config_mapping.source: the file maps this chat to a name that is no source. */
#define CONFIG_SOURCE_UNKNOWN UINT32_MAX

struct config_source {
    const char *name;
    enum config_kind kind;
    const char *path; /* absolute, or ":memory:" */
    bool memory;      /* path is ":memory:" */
    bool readonly;
    bool immutable; /* promised that nobody writes the file; only with readonly */
    uint32_t pool_size;
    uint32_t timeout_ms; /* wait for a lock of the file */
    enum config_journal journal_mode;
    enum config_synchronous synchronous;
    uint32_t given; /* bits of enum config_source_slot (config_schema.h): what the file sets */
};

/* A client: who may send calls, known by the hash of its token. */
enum { CONFIG_TOKEN_HASH_BYTES = 32, CONFIG_CLIENT_NAME_BYTES_MAX = 64 };
enum config_right { CONFIG_RIGHT_READ = 1, CONFIG_RIGHT_WRITE = 2 };
struct config_client {
    const char *name;
    uint8_t token_hash[CONFIG_TOKEN_HASH_BYTES]; /* SHA-256 */
    const uint8_t *rights; /* by source: bits of enum config_right that it has there */
    uint8_t rights_all;    /* those that the file gives for "*": sources that will come, too */
    bool admin;
    bool has_chats;       /* only those of the list */
    const int64_t *chats; /* ascending */
    size_t chat_count;
    uint32_t calls_in_flight_max; /* 0: no limit of its own */
};

enum config_client_certificates {
    CONFIG_CLIENT_CERTIFICATES_NONE,
    CONFIG_CLIENT_CERTIFICATES_OPTIONAL, /* one that is shown must be good */
    CONFIG_CLIENT_CERTIFICATES_REQUIRED
};

/* Absolute paths of PEM files; all NULL without [service.tls]. */
struct config_tls {
    const char *certificate; /* with the chain up to the CA, if there is one */
    const char *key;
    const char *client_ca; /* NULL: none */
    enum config_client_certificates client_certificates;
};

/* There may be a million: 16 bytes each. */
struct config_mapping {
    int64_t chat_id;
    uint32_t source;  /* number of a source, or CONFIG_SOURCE_UNKNOWN */
    uint32_t unknown; /* then: which of the configuration's unknown_names */
};

/* Every limit of the service, declared once: key, default, smallest, largest, meaning. The end of
 * the key is its unit. Read, printed, documented and checked from this list. */
#define CONFIG_LIMITS(X)                                                                           \
    X(frame_bytes, 4194304, 4096, 1073741824, "Largest request frame; a larger one is refused.")   \
    X(reply_bytes, 16777216, 4096, 1073741824,                                                     \
      "Largest reply frame; a result that does not fit any more fails with RESOURCE_EXHAUSTED.")   \
    X(replies_bytes, 268435456, 1048576, 4294967295,                                               \
      "Large answers together, from when they are made until they are handed to their "            \
      "connections; one more (of over 64 KiB) fails with RESOURCE_EXHAUSTED.")                     \
    X(requests_bytes, 268435456, 1048576, 4294967295,                                              \
      "What is made of large requests, together: about twice their bytes, until they are "         \
      "answered; one more (of over 32 KiB) fails with RESOURCE_EXHAUSTED.")                        \
    X(calls_per_frame_max, 1024, 1, 65536, "Calls in one frame.")                                  \
    X(calls_in_flight_max, 2048, 1, 4096,                                                          \
      "Calls that are worked on at the same time; more are answered RESOURCE_EXHAUSTED.")          \
    X(write_queue_max, 4096, 1, 1000000, "Writes that wait for one source.")                       \
    X(read_queue_max, 4096, 1, 1000000, "Reads that wait for one source.")                         \
    X(requests_keep_ms, 86400000, 60000, 2592000000,                                               \
      "How long the answer to a write is kept for a repeat with the same request_id, counted "     \
      "while its source is open.")                                                                 \
    X(requests_max, 1000000, 1000, 1000000000, "Answers to writes that one source keeps.")         \
    X(timeout_ms, 30000, 1, 3600000, "Deadline of a call that brings no timeout of its own.")      \
    X(timeout_max_ms, 600000, 1, 86400000,                                                         \
      "Longest deadline; a call that brings a longer one gets this one, or timeout_ms if that is " \
      "longer.")                                                                                   \
    X(reply_send_ms, 2000, 1, 600000,                                                              \
      "How long a reply waits for a client that does not read; at most 250 ms once hardly a "      \
      "place is left for the requests of others.")                                                 \
    X(connection_replies_max, 1280, 64, 65536,                                                     \
      "Replies to one connection that wait until it reads; one more closes it. More than a "       \
      "client has under way on one connection (the stubs: 1024).")                                 \
    X(merge_ms, 5000, 1, 600000,                                                                   \
      "How long a merged call waits for its slowest source; then it goes on without it.")          \
    X(merge_cache_bytes, 16777216, 0, 1073741824,                                                  \
      "Merged answers that are kept until one of their sources changes; 0 keeps none.")            \
    X(connections_max, 4096, 1, 1000000,                                                           \
      "Connections at the same time, over all addresses; one more is closed at once.")             \
    X(connections_per_address_max, 1024, 1, 1000000,                                               \
      "Connections at the same time from one address of the network (of IPv6, its first 64 "       \
      "bits), this machine's own included; one more is closed at once.")                           \
    X(handshake_ms, 10000, 100, 600000,                                                            \
      "A connection of the network that has not ended its handshakes (TLS, HTTP) in this time is " \
      "closed.")                                                                                   \
    X(frame_ms, 30000, 100, 600000,                                                                \
      "A connection of the network on which a frame has begun that is not complete in this time "  \
      "is closed, once 32 KiB or more of it have come.")                                           \
    X(idle_ms, 600000, 1000, 86400000,                                                             \
      "A connection of the network that has sent nothing for so long is closed; clients connect "  \
      "again when they need it.")                                                                  \
    X(bad_tokens_per_minute_max, 20, 0, 1000000,                                                   \
      "Tokens that nobody has from one address of the network (of IPv6, its first 64 bits); then " \
      "its new connections are closed at once for a minute. 0: any number.")                       \
    X(network_cpus_max, 1, 0, 1024,                                                                \
      "CPUs that the threads share which talk to clients and run point reads; 0 means all. More "  \
      "of them are slower, as long as one keeps up. Longer reads and writes use all CPUs.")

#define CONFIG_LIMIT_FIELD(key, initial, min, max, meaning) uint32_t key;
struct config_limits {
    CONFIG_LIMITS(CONFIG_LIMIT_FIELD)
};
#undef CONFIG_LIMIT_FIELD

struct config {
    const char *origin; /* the file's name, or what stands for it */
    const struct config_source *sources;
    size_t source_count; /* at least one */
    uint32_t default_source;
    const struct config_mapping *mappings; /* in file order; at most one for a chat */
    size_t mapping_count;
    const char *const
        *unknown_names;        /* to which chats are mapped although no source is called so */
    const char *const *listen; /* URLs; none = the server's default socket */
    size_t listen_count;
    bool insecure_listen; /* may listen where others reach it without TLS or tokens */
    struct config_tls tls;
    const struct config_client *clients; /* in file order; none: no call needs a token */
    size_t client_count;
    const char *audit_path; /* absolute; NULL: no audit log */
    bool audit_required;    /* without it nothing is written or administered */
    struct config_limits limits;
    uint32_t limits_given; /* bit i: the i-th limit of CONFIG_LIMITS is set in the file */
};

enum config_severity {
    CONFIG_WARNING = 1,
    /* A source cannot be opened now. --check-config counts it as an error; a server starts all the
     * same, with this source unavailable until its file is repaired. */
    CONFIG_UNAVAILABLE = 2,
    CONFIG_ERROR = 3
};

struct config_finding {
    enum config_severity severity;
    uint32_t line; /* from 1; 0 = not in the file */
    uint32_t column;
    const char *key; /* "database.sources.archive.pool-size"; "" = the whole file */
    const char *text;
    const char *nearest; /* the known name that the unknown one resembles, or NULL */
};

/* The texts hold no control characters; they can go to a terminal. */
struct config_report {
    const char *origin;
    struct config_finding *findings; /* by line and column */
    size_t count;
    size_t total[CONFIG_ERROR + 1]; /* by severity; may be more than are listed */
};

enum config_status {
    CONFIG_OK = 0,       /* loaded; the report may hold warnings and unavailable sources */
    CONFIG_INVALID = 1,  /* errors, all in the report; exit status 78 */
    CONFIG_NO_INPUT = 2, /* the file cannot be read, reason in the report; exit status 66 */
    CONFIG_NO_MEMORY = 3 /* no report */
};

struct config_input {
    const char *text; /* UTF-8 */
    size_t bytes;
    const char *origin;   /* names the text in messages */
    const char *base_dir; /* absolute; relative paths start here */
    bool check_files;     /* look whether the files of the sources are there (stat, never open) */
};

/* All three set *config_out only with CONFIG_OK, and *report_out except with CONFIG_NO_MEMORY; free
 * them with config_free() and config_report_free(). Any thread; blocks on the file system. */

/* Read a configuration file; "-" = standard input. Relative paths in it start at its folder, for
 * standard input at the working directory. */
enum config_status config_load(const char *path, struct config **config_out,
                               struct config_report **report_out);

/* The same from text. */
enum config_status config_parse(const struct config_input *input, struct config **config_out,
                                struct config_report **report_out);

/* One database file (or ":memory:") as the only source, named "default"; a relative path starts at
 * the working directory. */
enum config_status config_single(const char *db_path, bool readonly, struct config **config_out,
                                 struct config_report **report_out);

/* What the file maps the chat to: the name of a source, or one that is none. */
const char *config_mapping_name(const struct config *config, const struct config_mapping *mapping);

/* NULL is allowed. */
void config_free(struct config *config);
void config_report_free(struct config_report *report);

/* One line for each finding: "FILE:LINE:COLUMN: error: KEY: TEXT". */
void config_report_print(const struct config_report *report, FILE *file);

/* The text of one finding as config_report_print() shows it, cut to `bytes` with the final NUL; for
 * logs. Returns `buffer`. */
const char *config_finding_text(const struct config_report *report,
                                const struct config_finding *finding, char *buffer, size_t bytes);

/* The effective configuration as TOML that loads again, every default spelled out, and as comments
 * how calls are routed. */
void config_print(const struct config *config, FILE *file);

/* Why the server cannot listen on this URL, or NULL if it can. Schemes: ipc, tcp, ws, tls+tcp, wss.
 */
const char *config_listen_problem(const char *url);

/* True if other machines reach the URL's address. */
bool config_listen_is_open(const char *url);

bool config_listen_is_tls(const char *url);

/* Whether the URL is one of WebSocket, ws:// or wss://. */
bool config_listen_is_websocket(const char *url);

/* Why the server must not listen there, or NULL if it may: beyond this machine it needs TLS and
 * tokens, unless `insecure`; a TLS address needs a certificate. */
const char *config_listen_refusal(const struct config *config, const char *url, bool insecure);

/* The router of this configuration: sources have the same numbers. Returns 0, or ENOMEM. Free it
 * with router_free(). */
int config_new_router(const struct config *config, struct router **router_out);

const char *config_severity_name(enum config_severity severity);
const char *config_journal_name(enum config_journal journal);
const char *config_synchronous_name(enum config_synchronous synchronous);
const char *config_client_certificates_name(enum config_client_certificates certificates);

#endif
