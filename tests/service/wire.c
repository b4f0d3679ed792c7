#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "json.h"
#include "proto/call.h"

void wire_add(struct wire *wire, const char *method, const char *json, uint32_t timeout_ms)
{
    const struct call *row = call_find_by_name(method);
    Chatstore__V1__Call *call = malloc(sizeof *call);
    char error[512];
    assert_non_null(call);
    assert_true(wire->count < WIRE_CALLS_MAX);
    chatstore__v1__call__init(call);
    call->method = strdup(row ? row->method : method);
    call->timeout_ms = timeout_ms;
    if (row != NULL) {
        json_t *object = json_loads(json, 0, NULL);
        assert_non_null(object);
        if (!message_from_json(row->request, object, &call->payload.data, &call->payload.len, error,
                               sizeof error))
            fail_msg("%s: %s", method, error);
        json_decref(object);
    }
    wire->calls[wire->count++] = call;
}

uint8_t *wire_take(struct wire *wire, size_t *bytes_out)
{
    Chatstore__V1__Request request = CHATSTORE__V1__REQUEST__INIT;
    request.token = (char *)(wire->token ? wire->token : "");
    request.calls = wire->calls;
    request.n_calls = wire->count;
    *bytes_out = chatstore__v1__request__get_packed_size(&request);
    uint8_t *bytes = malloc(*bytes_out + 1);
    assert_non_null(bytes);
    chatstore__v1__request__pack(&request, bytes);
    for (size_t i = 0; i < wire->count; i++)
        chatstore__v1__call__free_unpacked(wire->calls[i], NULL);
    wire->count = 0;
    return bytes;
}

void expect_result(const Chatstore__V1__Reply *reply, size_t i, enum chatstore_status status,
                   const char *part)
{
    assert_true(i < reply->n_results);
    const Chatstore__V1__Status *actual = reply->results[i]->status;
    enum chatstore_status code = actual ? (enum chatstore_status)actual->code : CHATSTORE_OK;
    const char *text = actual ? actual->message : "";
    if (code != status || (part != NULL && strstr(text, part) == NULL))
        fail_msg("result %zu: expected %s \"%s\", got %s: %s", i, chatstore_status_name(status),
                 part ? part : "", chatstore_status_name(code), text);
}
