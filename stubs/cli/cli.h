/* The command line tool `chatstore`: what its parts share. One thread. */
#ifndef CHATSTORE_STUBS_CLI_H
#define CHATSTORE_STUBS_CLI_H

#include <chatstore/chatstore.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "call.h"

enum cli_format { CLI_FORMAT_AUTO, CLI_FORMAT_TABLE, CLI_FORMAT_JSON };

/* Exit statuses that are not of a call (sysexits.h has them). */
enum {
    CLI_EXIT_OK = 0,
    CLI_EXIT_USAGE = 64,
    CLI_EXIT_NO_INPUT = 66,
    CLI_EXIT_BUG = 70,
    CLI_EXIT_IO = 74
};

enum { CLI_HOSTS_MAX = 64 };

struct cli_options {
    const char *url; /* NULL: CHATSTORE_URL or the default */
    const char *token_file;
    const char *request_id;
    enum cli_format format;
    uint32_t timeout_ms;                       /* 0: default */
    const char *ca, *cert, *key, *server_name; /* of TLS */
    const char *read, *write;                  /* of token new: "a,b" */
    bool admin;
    const char *dir; /* of cert new */
    const char *hosts[CLI_HOSTS_MAX];
    size_t host_count;
    uint32_t days;
    bool from_stdin;
    bool help, version;
};

/* Read the options, which may stand anywhere; the words that are left are argv[*first_out..argc).
 * False: wrong, and standard error says how. */
bool cli_read_options(int argc, char **argv, struct cli_options *options, int *first_out);

void cli_print_help(FILE *to);

/* Open a client as the options say; NULL: it did not, and standard error says why; the exit status
 * goes to *exit_out. */
struct chatstore_client *cli_open(const struct cli_options *options, int *exit_out);

/* The exit status that stands for the status of a call. */
int cli_exit_of(enum chatstore_status status);

/* Whether tables are wanted on standard output. */
bool cli_wants_table(const struct cli_options *options);

/* The call of this name; NULL: unknown, with a text in error that may name a near one. */
const struct call *cli_find_call(const char *name, char *error, size_t error_bytes);

/* The request in words "field=value ..." or one word '{JSON}'; a new reference, or NULL with the
 * reason in error. */
json_t *cli_read_request(const struct call *call, char **words, int count, char *error,
                         size_t error_bytes);

/* A call from JSON to JSON. */
struct cli_result {
    enum chatstore_status status;
    char message[1024];               /* unless OK */
    char *response;                   /* JSON text when OK; to be freed with free() */
    struct chatstore_outcome outcome; /* to be cleared */
};
void cli_call(struct chatstore_client *client, const struct call *call, json_t *request,
              const struct chatstore_call_options *options, bool indented,
              struct cli_result *result);
void cli_result_clear(struct cli_result *result);

/* The commands; argv without the command's own name. They return the exit status. */
int cli_run_call(const struct cli_options *options, char **words, int count);
int cli_run_stdin(const struct cli_options *options);
int cli_run_list(const struct cli_options *options);
int cli_run_describe(const struct cli_options *options, char **words, int count);
int cli_run_token(const struct cli_options *options, char **words, int count);
int cli_run_cert(const struct cli_options *options, char **words, int count);
int cli_run_ping(const struct cli_options *options);
int cli_run_reload(const struct cli_options *options);
int cli_run_sources(const struct cli_options *options);

/* Print a response: what is in its field 1 as a table, or as lines "name  value" if it is one row.
 */
void cli_print_table(FILE *to, const ProtobufCMessageDescriptor *type, const char *response);

/* The answer to one line of --stdin, with no newline; to be freed with free(). NULL: out of
 * memory. */
char *cli_answer_line(struct chatstore_client *client, const struct cli_options *options,
                      const char *line, size_t bytes);

#endif
