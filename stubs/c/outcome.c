#include <chatstore/chatstore.h>

#include <stdlib.h>
#include <string.h>

const char *chatstore_status_name(enum chatstore_status status)
{
    switch (status) {
    case CHATSTORE_OK:
        return "OK";
    case CHATSTORE_INVALID_ARGUMENT:
        return "INVALID_ARGUMENT";
    case CHATSTORE_DEADLINE_EXCEEDED:
        return "DEADLINE_EXCEEDED";
    case CHATSTORE_NOT_FOUND:
        return "NOT_FOUND";
    case CHATSTORE_ALREADY_EXISTS:
        return "ALREADY_EXISTS";
    case CHATSTORE_PERMISSION_DENIED:
        return "PERMISSION_DENIED";
    case CHATSTORE_RESOURCE_EXHAUSTED:
        return "RESOURCE_EXHAUSTED";
    case CHATSTORE_FAILED_PRECONDITION:
        return "FAILED_PRECONDITION";
    case CHATSTORE_ABORTED:
        return "ABORTED";
    case CHATSTORE_UNIMPLEMENTED:
        return "UNIMPLEMENTED";
    case CHATSTORE_INTERNAL:
        return "INTERNAL";
    case CHATSTORE_UNAVAILABLE:
        return "UNAVAILABLE";
    case CHATSTORE_DATA_LOSS:
        return "DATA_LOSS";
    case CHATSTORE_UNAUTHENTICATED:
        return "UNAUTHENTICATED";
    }
    return "UNKNOWN";
}

void chatstore_outcome_init(struct chatstore_outcome *outcome)
{
    *outcome = (struct chatstore_outcome){.message = "", .source = ""};
}

void chatstore_outcome_clear(struct chatstore_outcome *outcome)
{
    free(outcome->memory);
    chatstore_outcome_init(outcome);
}

static size_t text_bytes(const struct chatstore_outcome *outcome)
{
    size_t bytes = strlen(outcome->message) + strlen(outcome->source) + 2;

    for (size_t i = 0; i < outcome->merged_source_count; i++)
        bytes += strlen(outcome->merged_sources[i]) + 1;
    for (size_t i = 0; i < outcome->failed_source_count; i++)
        bytes += strlen(outcome->failed_sources[i].source) +
                 strlen(outcome->failed_sources[i].message) + 2;
    return bytes;
}

static const char *copy_text(char **at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

void chatstore_outcome_copy(struct chatstore_outcome *to, const struct chatstore_outcome *from)
{
    size_t failed_bytes = from->failed_source_count * sizeof *from->failed_sources;
    size_t merged_bytes = from->merged_source_count * sizeof *from->merged_sources;

    chatstore_outcome_init(to);
    to->status = from->status;
    to->memory = malloc(failed_bytes + merged_bytes + text_bytes(from));
    if (to->memory == NULL)
        return;
    struct chatstore_source_failure *failed = to->memory;
    const char **merged = (const char **)(failed + from->failed_source_count);
    char *at = (char *)(merged + from->merged_source_count);

    to->message = copy_text(&at, from->message);
    to->source = copy_text(&at, from->source);
    for (size_t i = 0; i < from->merged_source_count; i++)
        merged[i] = copy_text(&at, from->merged_sources[i]);
    for (size_t i = 0; i < from->failed_source_count; i++) {
        failed[i].source = copy_text(&at, from->failed_sources[i].source);
        failed[i].code = from->failed_sources[i].code;
        failed[i].message = copy_text(&at, from->failed_sources[i].message);
    }
    to->merged_sources = merged;
    to->merged_source_count = from->merged_source_count;
    to->failed_sources = failed;
    to->failed_source_count = from->failed_source_count;
}
