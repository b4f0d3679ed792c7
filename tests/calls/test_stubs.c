/* Every generated stub, blocking and with a callback, calls its own method with its own request,
 * and hands out its own response. Over a transport that keeps what it is given. */
#include "fill.h"
#include "stub_list.h"

#include <chatstore/calls.h>

#include "stubs/c/transport.h"

#include "call_ids.h"
#include "chatstore/v1/envelope.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The last call, and the response that it is answered with. One thread. */
static struct {
    char method[128];
    uint8_t *payload;
    size_t payload_bytes;
    uint8_t *response;
    size_t response_bytes;
    unsigned count;
} record;

static enum chatstore_status record_open(const char *url,
                                         const struct chatstore_transport_options *options,
                                         void **transport_out, char *error, size_t error_bytes)
{
    (void)url;
    (void)options;
    (void)error;
    (void)error_bytes;
    *transport_out = &record;
    return CHATSTORE_OK;
}

static void keep_call(const struct chatstore_frame *frame)
{
    Chatstore__V1__Request *request =
        chatstore__v1__request__unpack(NULL, frame->byte_count, frame->bytes);
    assert_non_null(request);
    assert_int_equal(request->n_calls, 1);
    const Chatstore__V1__Call *call = request->calls[0];
    snprintf(record.method, sizeof record.method, "%s", call->method);
    free(record.payload);
    record.payload_bytes = call->payload.len;
    record.payload = malloc(record.payload_bytes + 1);
    if (record.payload_bytes > 0)
        memcpy(record.payload, call->payload.data, record.payload_bytes);
    record.count++;
    chatstore__v1__request__free_unpacked(request, NULL);
}

static void record_submit(void *transport, struct chatstore_frame *frame)
{
    Chatstore__V1__Result result = CHATSTORE__V1__RESULT__INIT, *results[] = {&result};
    Chatstore__V1__Reply reply = CHATSTORE__V1__REPLY__INIT;
    (void)transport;
    keep_call(frame);
    result.payload = (ProtobufCBinaryData){record.response_bytes, record.response};
    reply.results = results;
    reply.n_results = 1;
    struct chatstore_frame_result done = {.status = CHATSTORE_OK, .message = ""};
    uint8_t *bytes = message_bytes(&reply.base, &done.reply_bytes);
    done.reply = bytes;
    atomic_store(&frame->sent, true);
    frame->done(frame, &done);
    free(bytes);
}

static void record_close(void *transport)
{
    (void)transport;
}

static const struct chatstore_transport_ops record_transport = {
    .version = CHATSTORE_TRANSPORT_VERSION,
    .open = record_open,
    .submit = record_submit,
    .close = record_close,
};

/* What a stub may be used as: of which types it is, the list says. */
struct stub_call {
    struct chatstore_client *client;
    const void *request;
    enum chatstore_status status; /* out: of the blocking stub */
    void *response;               /* out */
    unsigned ended;
};

#define STUB_FUNCTIONS(id, stem, request_type, response_type)                                      \
    static void block_##stem(struct stub_call *call)                                               \
    {                                                                                              \
        response_type *response = NULL;                                                            \
        const request_type *request = call->request;                                               \
        call->status = chatstore_##stem(call->client, request, NULL, &response);                   \
        call->response = response;                                                                 \
    }                                                                                              \
    static void done_##stem(enum chatstore_status status, response_type *response,                 \
                            const struct chatstore_outcome *outcome, void *arg)                    \
    {                                                                                              \
        struct stub_call *call = arg;                                                              \
        assert_int_equal(status, CHATSTORE_OK);                                                    \
        assert_int_equal(outcome->status, CHATSTORE_OK);                                           \
        call->response = response;                                                                 \
        call->ended++;                                                                             \
    }                                                                                              \
    static void start_##stem(struct stub_call *call)                                               \
    {                                                                                              \
        const request_type *request = call->request;                                               \
        chatstore_##stem##_async(call->client, request, NULL, done_##stem, call);                  \
    }

STUB_LIST(STUB_FUNCTIONS)

static const struct stub {
    enum call_id id;
    void (*block)(struct stub_call *call);
    void (*start)(struct stub_call *call);
} stubs[] = {
#define STUB_ROW(id, stem, request_type, response_type) {id, block_##stem, start_##stem},
    STUB_LIST(STUB_ROW)};

enum { STUB_COUNT = sizeof stubs / sizeof stubs[0] };

static void expect_recorded(const struct call *row, const ProtobufCMessage *request,
                            ProtobufCMessage *response)
{
    size_t bytes;
    uint8_t *packed = message_bytes(request, &bytes);
    assert_string_equal(record.method, row->method);
    assert_int_equal(record.payload_bytes, bytes);
    assert_memory_equal(record.payload, packed, bytes);
    free(packed);
    assert_non_null(response);
    assert_ptr_equal(response->descriptor, row->response);
    packed = message_bytes(response, &bytes);
    assert_int_equal(record.response_bytes, bytes);
    assert_memory_equal(record.response, packed, bytes);
    free(packed);
    protobuf_c_message_free_unpacked(response, NULL);
}

static void every_stub_calls_its_own_method(void **state)
{
    struct stub_call call = {.client = *state};
    for (size_t i = 0; i < STUB_COUNT; i++) {
        const struct call *row = &call_table[stubs[i].id];
        ProtobufCMessage *request = message_fill(row->request, row, 2);
        ProtobufCMessage *response = message_fill(row->response, NULL, (unsigned)i);
        free(record.response);
        record.response = message_bytes(response, &record.response_bytes);
        call.request = request;
        stubs[i].block(&call);
        assert_int_equal(call.status, CHATSTORE_OK);
        expect_recorded(row, request, call.response);
        call.response = NULL;
        stubs[i].start(&call);
        assert_int_equal(call.ended, i + 1);
        expect_recorded(row, request, call.response);
        protobuf_c_message_free_unpacked(request, NULL);
        protobuf_c_message_free_unpacked(response, NULL);
    }
    assert_int_equal(record.count, 2 * STUB_COUNT);
}

static void every_call_has_a_stub(void **state)
{
    (void)state;
    assert_int_equal(STUB_COUNT, call_table_count);
    assert_int_equal(STUB_COUNT, CALL_COUNT);
}

static int setup(void **state)
{
    const struct chatstore_client_options options = {.no_join = true};
    chatstore_transport_register("record", &record_transport);
    return (int)chatstore_client_open("record:", &options, (struct chatstore_client **)state);
}

static int teardown(void **state)
{
    chatstore_client_close(*state);
    free(record.payload);
    free(record.response);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stub_calls_its_own_method),
        cmocka_unit_test(every_call_has_a_stub),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
