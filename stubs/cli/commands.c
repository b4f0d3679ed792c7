/* The commands that talk to a server. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "call_ids.h"

enum { CONNECT_TIMEOUT_MS = 5000, TOKEN_BYTES_MAX = 4096 };

/* The first line of the file; false: it cannot be read, and standard error says why. */
static bool read_token(const char *path, char *token, size_t token_bytes)
{
    FILE *file = fopen(path, "r");
    bool ok = file != NULL && fgets(token, (int)token_bytes, file) != NULL;

    if (ok)
        token[strcspn(token, "\r\n")] = '\0';
    else
        fprintf(stderr, "chatstore: no token can be read from %s\n", path);
    if (file != NULL)
        fclose(file);
    return ok;
}

struct chatstore_client *cli_open(const struct cli_options *options, int *exit_out)
{
    char token[TOKEN_BYTES_MAX];
    struct chatstore_client_options client_options = {
        .timeout_ms = options->timeout_ms,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .token = getenv("CHATSTORE_TOKEN"),
        .tls_ca_file = options->ca,
        .tls_cert_file = options->cert,
        .tls_key_file = options->key,
        .tls_server_name = options->server_name,
    };
    struct chatstore_client *client;

    if (options->token_file != NULL) {
        if (!read_token(options->token_file, token, sizeof token)) {
            *exit_out = CLI_EXIT_NO_INPUT;
            return NULL;
        }
        client_options.token = token;
    }
    enum chatstore_status status = chatstore_client_open(options->url, &client_options, &client);
    if (status != CHATSTORE_OK) {
        fprintf(stderr, "chatstore: %s\n", chatstore_client_error(NULL));
        *exit_out = cli_exit_of(status);
    }
    return client;
}

static void warn_failed_sources(const struct chatstore_outcome *outcome)
{
    for (size_t i = 0; i < outcome->failed_source_count; i++)
        fprintf(stderr, "chatstore: warning: without source %s (%s): %s\n",
                outcome->failed_sources[i].source,
                chatstore_status_name(outcome->failed_sources[i].code),
                outcome->failed_sources[i].message);
}

/* As lines for people: what changed, and the warnings of the file. */
static void print_reload(const char *response)
{
    json_t *root = json_loads(response, 0, NULL);
    json_t *changes = json_object_get(root, "changes");
    json_t *warnings = json_object_get(root, "warnings");
    json_t *each;
    size_t i;

    puts(json_array_size(changes) > 0 ? "reloaded:" : "reloaded: nothing has changed");
    json_array_foreach(changes, i, each)
        printf("  %s: %s\n", json_string_value(json_object_get(each, "what")),
               json_string_value(json_object_get(each, "detail")));
    json_array_foreach(warnings, i, each)
        fprintf(stderr, "chatstore: %s\n", json_string_value(each));
    json_decref(root);
}

static int print_result(const struct cli_options *options, const struct call *call,
                        const struct cli_result *result)
{
    if (result->status != CHATSTORE_OK) {
        fprintf(stderr, "chatstore: %s: %s\n", chatstore_status_name(result->status),
                result->message);
        return cli_exit_of(result->status);
    }
    warn_failed_sources(&result->outcome);
    if (cli_wants_table(options) && call->id == CALL_RELOAD)
        print_reload(result->response);
    else if (cli_wants_table(options))
        cli_print_table(stdout, call->response, result->response);
    else
        puts(result->response);
    return CLI_EXIT_OK;
}

/* One call and its answer on standard output. elapsed_us_out: NULL, or how long it took. */
static int call_and_print(const struct cli_options *options, const struct call *call,
                          json_t *request, double *elapsed_us_out)
{
    int exit_status;
    struct chatstore_client *client = cli_open(options, &exit_status);
    struct chatstore_call_options call_options = {.timeout_ms = options->timeout_ms,
                                                  .request_id = options->request_id};
    struct timespec start, end;
    struct cli_result result;

    if (client == NULL)
        return exit_status;
    clock_gettime(CLOCK_MONOTONIC, &start);
    cli_call(client, call, request, &call_options, false, &result);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (elapsed_us_out != NULL)
        *elapsed_us_out =
            (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3;
    exit_status = print_result(options, call, &result);
    cli_result_clear(&result);
    chatstore_client_close(client);
    return exit_status;
}

int cli_run_call(const struct cli_options *options, char **words, int count)
{
    char error[768];

    if (count == 0) {
        fprintf(stderr, "chatstore: call what? chatstore call METHOD [FIELD=VALUE...]; "
                        "`chatstore list` shows the methods\n");
        return CLI_EXIT_USAGE;
    }
    const struct call *call = cli_find_call(words[0], error, sizeof error);
    json_t *request =
        call == NULL ? NULL : cli_read_request(call, words + 1, count - 1, error, sizeof error);
    if (request == NULL) {
        fprintf(stderr, "chatstore: %s\n", error);
        return CLI_EXIT_USAGE;
    }
    int exit_status = call_and_print(options, call, request, NULL);
    json_decref(request);
    return exit_status;
}

static int call_without_fields(const struct cli_options *options, enum call_id id,
                               double *elapsed_us_out)
{
    json_t *request = json_object();
    int exit_status = call_and_print(options, &call_table[id], request, elapsed_us_out);

    json_decref(request);
    return exit_status;
}

int cli_run_ping(const struct cli_options *options)
{
    double elapsed_us = 0;
    int exit_status = call_without_fields(options, CALL_PING, &elapsed_us);

    if (exit_status == CLI_EXIT_OK && cli_wants_table(options))
        printf("%-*s  %.0f us, connecting included\n", (int)strlen("schema_version"), "answered_in",
               elapsed_us);
    return exit_status;
}

int cli_run_sources(const struct cli_options *options)
{
    return call_without_fields(options, CALL_LIST_SOURCES, NULL);
}

int cli_run_reload(const struct cli_options *options)
{
    return call_without_fields(options, CALL_RELOAD, NULL);
}
