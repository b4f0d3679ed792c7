/* chatstore call --stdin: a call for each line. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "suggest.h"

static const char *const line_keys[] = {"method", "request", "request_id", "timeout_ms"};

/* What a line asks for; points into its JSON. */
struct line {
    const struct call *call;
    json_t *request;
    struct chatstore_call_options options;
};

static enum chatstore_status wrong(char *error, size_t error_bytes, const char *text)
{
    snprintf(error, error_bytes, "%s", text);
    return CHATSTORE_INVALID_ARGUMENT;
}

/* Keys of others' own are let pass, but not misspelt ones of ours. */
static enum chatstore_status check_keys(json_t *object, char *error, size_t error_bytes)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        struct suggestion suggestion;
        suggest_start(&suggestion, key);
        for (size_t i = 0; i < sizeof line_keys / sizeof line_keys[0]; i++)
            suggest_offer(&suggestion, line_keys[i]);
        if (suggestion.best != NULL && strcmp(suggestion.best, key) != 0) {
            snprintf(error, error_bytes, "unknown key \"%.64s\"; did you mean \"%s\"?", key,
                     suggestion.best);
            return CHATSTORE_INVALID_ARGUMENT;
        }
    }
    return CHATSTORE_OK;
}

static enum chatstore_status read_extras(json_t *object, struct line *line, char *error,
                                         size_t error_bytes)
{
    json_t *request_id = json_object_get(object, "request_id");
    json_t *timeout_ms = json_object_get(object, "timeout_ms");

    if (json_is_string(request_id))
        line->options.request_id = json_string_value(request_id);
    else if (request_id != NULL && !json_is_null(request_id))
        return wrong(error, error_bytes, "request_id is not text");
    if (timeout_ms == NULL)
        return CHATSTORE_OK;
    json_int_t value = json_integer_value(timeout_ms);
    if (value < 1 || value > INT32_MAX)
        return wrong(error, error_bytes, "timeout_ms is no number of milliseconds above 0");
    line->options.timeout_ms = (uint32_t)value;
    return CHATSTORE_OK;
}

/* OK, or the status that answers the line, with a text. */
static enum chatstore_status read_line(json_t *object, struct line *line, char *error,
                                       size_t error_bytes)
{
    if (!json_is_object(object))
        return wrong(error, error_bytes, "the line is not a JSON object");
    enum chatstore_status status = check_keys(object, error, error_bytes);
    if (status != CHATSTORE_OK)
        return status;
    const char *method = json_string_value(json_object_get(object, "method"));
    if (method == NULL)
        return wrong(error, error_bytes, "the line has no \"method\"");
    line->call = cli_find_call(method, error, error_bytes);
    if (line->call == NULL)
        return CHATSTORE_UNIMPLEMENTED;
    line->request = json_object_get(object, "request");
    if (line->request == NULL)
        json_object_set_new(object, "request", line->request = json_object());
    return read_extras(object, line, error, error_bytes);
}

/* An answer as it is written. */

static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);
    return value != NULL ? value : json_string("(text that is not UTF-8)");
}

static void add_sources(json_t *answer, const struct chatstore_outcome *outcome)
{
    json_t *merged = json_array(), *failed = json_array();

    if (outcome->source[0] != '\0')
        json_object_set_new(answer, "source", text_value(outcome->source));
    for (size_t i = 0; i < outcome->merged_source_count; i++)
        json_array_append_new(merged, text_value(outcome->merged_sources[i]));
    for (size_t i = 0; i < outcome->failed_source_count; i++) {
        const struct chatstore_source_failure *failure = &outcome->failed_sources[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "source", text_value(failure->source));
        json_object_set_new(entry, "code", json_string(chatstore_status_name(failure->code)));
        json_object_set_new(entry, "message", text_value(failure->message));
        json_array_append_new(failed, entry);
    }
    if (json_array_size(merged) > 0)
        json_object_set(answer, "merged_sources", merged);
    if (json_array_size(failed) > 0)
        json_object_set(answer, "failed_sources", failed);
    json_decref(merged);
    json_decref(failed);
}

/* The answer's text; response is JSON already and goes last. */
static char *write_answer(enum chatstore_status status, const char *message,
                          const struct chatstore_outcome *outcome, const char *response)
{
    static const char separator[] = ",\"response\":";
    json_t *answer = json_object();

    json_object_set_new(answer, "status", json_string(chatstore_status_name(status)));
    if (status != CHATSTORE_OK)
        json_object_set_new(answer, "message", text_value(message));
    if (outcome != NULL)
        add_sources(answer, outcome);
    char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    if (text == NULL || response == NULL)
        return text;
    size_t bytes = strlen(text) + sizeof separator + strlen(response) + 1;
    char *whole = malloc(bytes);
    if (whole != NULL)
        snprintf(whole, bytes, "%.*s%s%s}", (int)strlen(text) - 1, text, separator, response);
    free(text);
    return whole;
}

char *cli_answer_line(struct chatstore_client *client, const struct cli_options *options,
                      const char *text, size_t bytes)
{
    char error[768];
    json_error_t problem;
    struct line line = {.options = {.timeout_ms = options->timeout_ms}};
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &problem);

    if (object == NULL) {
        snprintf(error, sizeof error, "the line is no JSON: %s, at column %d", problem.text,
                 problem.column);
        return write_answer(CHATSTORE_INVALID_ARGUMENT, error, NULL, NULL);
    }
    enum chatstore_status status = read_line(object, &line, error, sizeof error);
    char *answer;
    if (status != CHATSTORE_OK) {
        answer = write_answer(status, error, NULL, NULL);
    } else {
        struct cli_result result;
        cli_call(client, line.call, line.request, &line.options, false, &result);
        answer = write_answer(result.status, result.message, &result.outcome, result.response);
        cli_result_clear(&result);
    }
    json_decref(object);
    return answer;
}

/* On a terminal that does not show the answers themselves: how far it is. */
static void show_progress(size_t lines, bool is_end)
{
    static time_t shown;
    time_t now = time(NULL);

    if (isatty(STDERR_FILENO) != 1 || isatty(STDOUT_FILENO) == 1)
        return;
    if (is_end && shown != 0)
        fprintf(stderr, "\r%zu calls\n", lines);
    else if (!is_end && now != shown)
        fprintf(stderr, "\r%zu calls", lines);
    shown = now;
}

static bool answer_line(struct chatstore_client *client, const struct cli_options *options,
                        const char *text, size_t bytes)
{
    char *answer = cli_answer_line(client, options, text, bytes);
    bool ok = answer != NULL && puts(answer) >= 0 && fflush(stdout) == 0;

    free(answer);
    return ok;
}

int cli_run_stdin(const struct cli_options *options)
{
    int exit_status = CLI_EXIT_OK;
    struct chatstore_client *client = cli_open(options, &exit_status);
    char *text = NULL;
    size_t room = 0, lines = 0;
    ssize_t length;

    if (client == NULL)
        return exit_status;
    while (exit_status == CLI_EXIT_OK && (length = getline(&text, &room, stdin)) >= 0) {
        if (!answer_line(client, options, text, (size_t)length))
            exit_status = CLI_EXIT_IO;
        show_progress(++lines, false);
    }
    show_progress(lines, true);
    if (ferror(stdin) != 0)
        exit_status = CLI_EXIT_IO;
    if (exit_status != CLI_EXIT_OK)
        perror("chatstore: standard input or output");
    free(text);
    chatstore_client_close(client);
    return exit_status;
}
