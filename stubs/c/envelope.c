#include "envelope.h"

#include <string.h>

/* Field tags of envelope.proto: number * 8 + wire type. */
enum {
    TAG_REQUEST_TOKEN = 1 * 8 + 2,
    TAG_REQUEST_CALLS = 2 * 8 + 2,
    TAG_CALL_METHOD = 1 * 8 + 2,
    TAG_CALL_PAYLOAD = 2 * 8 + 2,
    TAG_CALL_TIMEOUT_MS = 3 * 8 + 0,
    TAG_CALL_REQUEST_ID = 4 * 8 + 2
};

static size_t varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7)
        bytes++;
    return bytes;
}

static uint8_t *write_varint(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

static size_t field_bytes(size_t bytes)
{
    return 1 + varint_bytes(bytes) + bytes;
}

static uint8_t *write_head(uint8_t *to, unsigned tag, size_t bytes)
{
    *to++ = (uint8_t)tag;
    return write_varint(to, bytes);
}

static uint8_t *write_field(uint8_t *to, unsigned tag, const void *data, size_t bytes)
{
    to = write_head(to, tag, bytes);
    if (bytes > 0)
        memcpy(to, data, bytes);
    return to + bytes;
}

size_t envelope_call_bytes(const struct envelope_call *call)
{
    size_t bytes = field_bytes(strlen(call->method)) + field_bytes(call->payload_bytes);

    if (call->request_id != NULL)
        bytes += field_bytes(strlen(call->request_id));
    return bytes;
}

void envelope_write_call(const struct envelope_call *call, uint8_t *to)
{
    to = write_field(to, TAG_CALL_METHOD, call->method, strlen(call->method));
    if (call->request_id != NULL)
        to = write_field(to, TAG_CALL_REQUEST_ID, call->request_id, strlen(call->request_id));
    if (call->message == NULL) {
        write_field(to, TAG_CALL_PAYLOAD, call->payload, call->payload_bytes);
        return;
    }
    to = write_head(to, TAG_CALL_PAYLOAD, call->payload_bytes);
    protobuf_c_message_pack(call->message, to);
}

size_t envelope_token_bytes(const char *token)
{
    return token == NULL ? 0 : field_bytes(strlen(token));
}

uint8_t *envelope_write_token(const char *token, uint8_t *to)
{
    return token == NULL ? to : write_field(to, TAG_REQUEST_TOKEN, token, strlen(token));
}

size_t envelope_entry_bytes(size_t call_bytes, uint32_t timeout_ms)
{
    return field_bytes(call_bytes + 1 + varint_bytes(timeout_ms));
}

uint8_t *envelope_write_entry(const uint8_t *call, size_t call_bytes, uint32_t timeout_ms,
                              uint8_t *to)
{
    to = write_head(to, TAG_REQUEST_CALLS, call_bytes + 1 + varint_bytes(timeout_ms));
    memcpy(to, call, call_bytes);
    to += call_bytes;
    *to++ = TAG_CALL_TIMEOUT_MS;
    return write_varint(to, timeout_ms);
}

static bool read_failures(const Chatstore__V1__Result *result, struct client_arena *arena,
                          struct chatstore_outcome *outcome)
{
    struct chatstore_source_failure *failures;

    if (result->n_failed_sources == 0)
        return true;
    failures = client_arena_alloc(arena, result->n_failed_sources * sizeof *failures);
    if (failures == NULL)
        return false;
    for (size_t i = 0; i < result->n_failed_sources; i++) {
        failures[i].source = result->failed_sources[i]->source;
        failures[i].code = (enum chatstore_status)result->failed_sources[i]->code;
        failures[i].message = result->failed_sources[i]->message;
    }
    outcome->failed_sources = failures;
    outcome->failed_source_count = result->n_failed_sources;
    return true;
}

bool envelope_read_outcome(const Chatstore__V1__Result *result, struct client_arena *arena,
                           struct chatstore_outcome *outcome_out)
{
    chatstore_outcome_init(outcome_out);
    if (result->status != NULL) {
        outcome_out->status = (enum chatstore_status)result->status->code;
        outcome_out->message = result->status->message;
    }
    outcome_out->source = result->source;
    outcome_out->merged_sources = (const char *const *)result->merged_sources;
    outcome_out->merged_source_count = result->n_merged_sources;
    return read_failures(result, arena, outcome_out);
}
