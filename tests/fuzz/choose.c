#include "choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "google/protobuf/timestamp.pb-c.h"

enum { REPEATED_MAX = 4, LONG_TEXT_BYTES = 5000 };

/* ---- Memory ---- */

struct piece {
    struct piece *next;
    max_align_t bytes[];
};

static void *take(struct choose *choose, size_t bytes)
{
    struct piece *piece = calloc(1, sizeof *piece + bytes);

    if (!piece)
        abort();
    piece->next = choose->memory;
    choose->memory = piece;
    return piece->bytes;
}

void choose_begin(struct choose *choose, const uint8_t *data, size_t size)
{
    *choose = (struct choose){.at = data, .end = data + size};
}

void choose_end(struct choose *choose)
{
    while (choose->memory) {
        struct piece *piece = choose->memory;
        choose->memory = piece->next;
        free(piece);
    }
}

/* ---- Decisions ---- */

bool choose_is_over(const struct choose *choose)
{
    return choose->at == choose->end;
}

static uint8_t next_byte(struct choose *choose)
{
    return choose_is_over(choose) ? 0 : *choose->at++;
}

unsigned choose_below(struct choose *choose, unsigned bound)
{
    return next_byte(choose) % bound;
}

static int64_t choose_integer(struct choose *choose)
{
    /* Few, so that calls meet on the same rows; and the ends of every range. */
    static const int64_t usual[] = {-100,
                                    -2000,
                                    7,
                                    8,
                                    1,
                                    2,
                                    0,
                                    -1,
                                    10,
                                    1000,
                                    86400,
                                    INT64_MAX,
                                    INT64_MIN,
                                    INT32_MAX,
                                    INT32_MIN,
                                    UINT32_MAX,
                                    253402300799,
                                    253402300800,
                                    -62135596800,
                                    -62135596801,
                                    INT64_C(1) << 53};
    uint64_t value = 0;

    if (choose_below(choose, 4) != 0)
        return usual[choose_below(choose, sizeof usual / sizeof *usual)];
    for (int i = 0; i < 8; i++)
        value = value << 8 | next_byte(choose);
    return (int64_t)value;
}

static double choose_double(struct choose *choose)
{
    static const double usual[] = {0, -0.0, 0.5, 1, -1, 1e308, -1e308, 5e-324, 1e19};

    return choose_below(choose, 2) != 0 ? usual[choose_below(choose, 9)]
                                        : (double)choose_integer(choose);
}

static char *make_text(struct choose *choose, size_t length)
{
    char *text = take(choose, length + 1);

    for (size_t i = 0; i < length; i++) {
        uint8_t byte = next_byte(choose);
        text[i] = byte == 0 ? 'z' : (char)(byte & 0x7f);
        if (text[i] == '\0')
            text[i] = '%';
    }
    return text;
}

char *choose_text(struct choose *choose)
{
    static const char *const usual[] = {
        "",
        "a",
        "b",
        "one",
        "two",
        "text",
        "user",
        "main",
        "7",
        "-1",
        "1e9",
        "null",
        "{}",
        "[]",
        "[1,2]",
        "{\"a\":1}",
        "{\"a\":{\"b\":[1,null]}}",
        "{",
        "\"",
        "'",
        "''",
        "%",
        "_",
        "\\",
        "*",
        "@ann",
        "ann",
        "2024-01-01 00:00:00",
        "2024-01-01T00:00:00.000Z",
        "; DROP TABLE settings",
        "db-migration-version",
        "\xc3\xa4\xf0\x9f\x98\x80",
        "\xe2\x80\xae",
        "\x7f",
        "\x01\x02",
        "a longer text, which is more than any short one has room for"};
    enum { USUAL = sizeof usual / sizeof *usual };
    unsigned which = choose_below(choose, 64);

    if (which < USUAL) {
        size_t bytes = strlen(usual[which]) + 1;
        return memcpy(take(choose, bytes), usual[which], bytes);
    }
    if (which < 62)
        return make_text(choose, choose_below(choose, 40));
    char *text = take(choose, LONG_TEXT_BYTES + 1);
    memset(text, 'a' + (int)choose_below(choose, 26), LONG_TEXT_BYTES);
    return text;
}

/* ---- Messages ---- */

static const struct call_field_rule *rule_of(const struct call *call,
                                             const ProtobufCFieldDescriptor *field)
{
    for (size_t i = 0; i < call->rule_count; i++)
        if (call->rules[i].field == field)
            return &call->rules[i];
    return NULL;
}

static char *choose_text_of(struct choose *choose, const struct call *call,
                            const ProtobufCFieldDescriptor *field)
{
    const struct call_field_rule *rule = rule_of(call, field);
    unsigned count = 0;

    if (!rule || !rule->in || choose_below(choose, 16) == 15)
        return choose_text(choose);
    while (rule->in[count])
        count++;
    return (char *)rule->in[choose_below(choose, count)];
}

static ProtobufCMessage *choose_message(struct choose *choose, const struct call *call,
                                        const ProtobufCMessageDescriptor *type);

/* A member of a struct of protobuf-c. */
static void set_value(struct choose *choose, const struct call *call,
                      const ProtobufCFieldDescriptor *field, void *member)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)member = (protobuf_c_boolean)choose_below(choose, 2);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
        *(uint32_t *)member = (uint32_t)choose_integer(choose);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(int64_t *)member = choose_integer(choose);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)member = choose_double(choose);
        break;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)member = choose_text_of(choose, call, field);
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        char *text = choose_text(choose);
        *(ProtobufCBinaryData *)member = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)member = choose_message(choose, call, field->descriptor);
        break;
    default:
        fprintf(stderr, "a field type that the fuzzer does not know: %d\n", (int)field->type);
        abort();
    }
}

/* The bytes of the largest member are enough for each. */
static size_t value_bytes(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return sizeof(uint64_t);
    }
}

static void set_repeated(struct choose *choose, const struct call *call,
                         const ProtobufCFieldDescriptor *field, char *base)
{
    size_t count = choose_below(choose, REPEATED_MAX), bytes = value_bytes(field);
    char *values = take(choose, (count + 1) * bytes);

    for (size_t i = 0; i < count; i++)
        set_value(choose, call, field, values + i * bytes);
    *(void **)(base + field->offset) = count > 0 ? values : NULL;
    *(size_t *)(base + field->quantifier_offset) = count;
}

static ProtobufCMessage *choose_message(struct choose *choose, const struct call *call,
                                        const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = take(choose, type->sizeof_message);
    char *base = (char *)message;

    protobuf_c_message_init(type, message);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (choose_below(choose, 8) == 7) /* absent */
            continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            set_repeated(choose, call, field, base);
            continue;
        }
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            *(uint32_t *)(base + field->quantifier_offset) = field->id;
        set_value(choose, call, field, base + field->offset);
    }
    /* Most times are times, or few would get further than the check. */
    if (type == &google__protobuf__timestamp__descriptor && choose_below(choose, 8) != 7) {
        Google__Protobuf__Timestamp *time = (Google__Protobuf__Timestamp *)message;
        time->seconds = 1704067200 + (int64_t)choose_below(choose, 256) * 3600;
        time->nanos = (int32_t)choose_below(choose, 2) * 999999999;
    }
    return message;
}

ProtobufCMessage *choose_request(struct choose *choose, const struct call *call)
{
    return choose_message(choose, call, call->request);
}

ProtobufCBinaryData choose_pack(struct choose *choose, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = take(choose, size + 1);

    protobuf_c_message_pack(message, bytes);
    return (ProtobufCBinaryData){size, bytes};
}
