/* The byte buffer, the wire format's writers, UTF-8. */
#include "pool/answer.h"
#include "pool/buffer.h"
#include "pool/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t random_next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static uint64_t read_varint(const uint8_t **at)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
}

static void varints_of_every_length_come_back(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (int nudge = -1; nudge <= 1; nudge++) {
            uint64_t power = bits == 64 ? 0 : UINT64_C(1) << bits;
            uint64_t value = nudge < 0 ? power - 1 : power + (unsigned)nudge;
            struct buffer buffer;
            buffer_init(&buffer, NULL, 0, 10);
            buffer_varint(&buffer, value);
            assert_int_equal(buffer.fault, BUFFER_OK);
            assert_int_equal(buffer.bytes, wire_varint_bytes(value));
            const uint8_t *at = buffer.data;
            assert_true(read_varint(&at) == value);
            assert_ptr_equal(at, buffer.data + buffer.bytes);
            buffer_fini(&buffer);
        }
    }
}

static void fixed64_is_little_endian(void **state)
{
    (void)state;
    static const uint8_t expected[] = {8, 7, 6, 5, 4, 3, 2, 1};
    struct buffer buffer;
    buffer_init(&buffer, NULL, 0, 8);
    buffer_fixed64(&buffer, 0x0102030405060708);
    assert_int_equal(buffer.bytes, 8);
    assert_memory_equal(buffer.data, expected, 8);
    buffer_fini(&buffer);
}

static void a_buffer_moves_from_the_given_memory_to_the_heap(void **state)
{
    (void)state;
    uint8_t start[16];
    struct buffer buffer;
    buffer_init(&buffer, start, sizeof start, 1000000);
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t byte = (uint8_t)(i * 7);
        buffer_append(&buffer, &byte, 1);
        assert_true(buffer.on_heap == (i >= sizeof start));
    }
    assert_int_equal(buffer.bytes, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buffer.data[i], (uint8_t)(i * 7));
    buffer_fini(&buffer);
    assert_null(buffer.data);
}

/* A length that is known only afterwards, around the sizes at which it grows by a byte. */
static void lengths_are_written_back_for_every_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1,     126,   127,   128,     129,
                                   16382, 16383, 16384, 16385, 2097151, 2097152};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *content = malloc(sizes[i] + 1);
        assert_non_null(content);
        for (size_t k = 0; k < sizes[i]; k++)
            content[k] = (uint8_t)(k * 31 + i);
        uint8_t start[140];
        struct buffer patched, direct;
        buffer_init(&patched, start, sizeof start, 3 << 20);
        buffer_init(&direct, NULL, 0, 3 << 20);
        buffer_append(&patched, "<", 1);
        size_t mark = buffer_open_length(&patched);
        buffer_append(&patched, content, sizes[i]);
        buffer_close_length(&patched, mark);
        buffer_append(&patched, ">", 1);
        buffer_append(&direct, "<", 1);
        buffer_string(&direct, content, sizes[i]);
        buffer_append(&direct, ">", 1);
        assert_int_equal(patched.fault, BUFFER_OK);
        assert_int_equal(patched.bytes, direct.bytes);
        assert_memory_equal(patched.data, direct.data, direct.bytes);
        buffer_fini(&patched);
        buffer_fini(&direct);
        free(content);
    }
}

static void lengths_nest(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, NULL, 0, 1 << 20);
    size_t outer = buffer_open_length(&buffer);
    size_t inner = buffer_open_length(&buffer);
    for (int i = 0; i < 200; i++)
        buffer_append(&buffer, "x", 1);
    buffer_close_length(&buffer, inner);
    buffer_close_length(&buffer, outer);
    const uint8_t *at = buffer.data;
    assert_int_equal(read_varint(&at), 202);
    assert_int_equal(read_varint(&at), 200);
    assert_int_equal(buffer.data + buffer.bytes - at, 200);
    buffer_fini(&buffer);
}

/* Whatever the start, exactly bytes_max bytes fit. */
static void the_limit_is_exact_wherever_the_buffer_started(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 1, 100, 1023, 1024, 1025, 1500, 3000};
    uint8_t start[2048];
    for (size_t room = 0; room <= sizeof start; room += 512) {
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            struct buffer buffer;
            buffer_init(&buffer, room ? start : NULL, room, limits[i]);
            for (size_t k = 0; k < limits[i]; k++)
                buffer_append(&buffer, "x", 1);
            assert_int_equal(buffer.fault, BUFFER_OK);
            buffer_append(&buffer, "x", 1);
            assert_int_equal(buffer.fault, BUFFER_FULL);
            assert_int_equal(buffer.bytes, limits[i]);
            buffer_fini(&buffer);
        }
    }
}

static void a_fault_sticks_whatever_follows(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, NULL, 0, 10);
    buffer_append(&buffer, "12345678", 8);
    size_t mark = buffer_open_length(&buffer);
    buffer_append(&buffer, "abc", 3);
    assert_int_equal(buffer.fault, BUFFER_FULL);
    size_t bytes = buffer.bytes;
    buffer_append(&buffer, "d", 1); /* would fit */
    buffer_varint(&buffer, 1);
    buffer_fixed64(&buffer, 1);
    buffer_string(&buffer, "", 0);
    buffer_append(&buffer, "", 0);
    buffer_open_length(&buffer);
    buffer_close_length(&buffer, mark);
    assert_null(buffer_reserve(&buffer, 1));
    assert_int_equal(buffer.bytes, bytes);
    assert_int_equal(buffer.fault, BUFFER_FULL);
    buffer_fini(&buffer);
}

static void a_length_that_grows_over_the_limit_is_a_fault(void **state)
{
    (void)state;
    struct buffer buffer;
    char content[128] = {0};
    buffer_init(&buffer, NULL, 0, 1 + sizeof content);
    size_t mark = buffer_open_length(&buffer);
    buffer_append(&buffer, content, sizeof content);
    assert_int_equal(buffer.fault, BUFFER_OK);
    buffer_close_length(&buffer, mark);
    assert_int_equal(buffer.fault, BUFFER_FULL);
    buffer_fini(&buffer);
}

/* The sanitizers' allocators end the program instead, unless they are told. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void no_memory_is_a_fault(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, NULL, 0, SIZE_MAX);
    assert_null(buffer_reserve(&buffer, (size_t)1 << 62));
    assert_int_equal(buffer.fault, BUFFER_NO_MEMORY);
    buffer_fini(&buffer);
}

static void an_answer_can_be_used_again(void **state)
{
    (void)state;
    struct answer answer;
    answer_init(&answer, true, NULL, 0, 4);
    buffer_append(&answer.payload, "12345", 5);
    buffer_append(&answer.keys, "1234", 4);
    answer.row_count = 0;
    assert_int_equal(answer.payload.fault, BUFFER_FULL);
    answer_reset(&answer);
    assert_int_equal(answer.keys.bytes, 0);
    buffer_append(&answer.payload, "1234", 4);
    assert_int_equal(answer.payload.fault, BUFFER_OK);
    answer_fini(&answer);
}

/* ---- UTF-8 ---- */

static size_t utf8_of(const char *text)
{
    return utf8_valid_bytes(text, strlen(text));
}

static void utf8_is_what_protobuf_takes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } cases[] = {
        {"", 0},
        {"plain text that is longer than eight bytes", 42},
        {"\xc2\x80\xdf\xbf", 4},
        {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
        {"ab\x80", 2},           /* a continuation alone */
        {"\xc0\x80", 0},         /* overlong */
        {"\xc1\xbf", 0},         /* overlong */
        {"\xe0\x9f\xbf", 0},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 0}, /* overlong */
        {"a\xed\xa0\x80", 1},    /* the first surrogate */
        {"a\xed\xbf\xbf", 1},    /* the last */
        {"\xf4\x90\x80\x80", 0}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"a\xc3", 1}, /* cut off */
        {"a\xe2\x82", 1},
        {"a\xf0\x9f\x98", 1},
        {"\xe2\x28\xa1", 0},
        {"eight by\xc3\xa9tes eig\xffht", 17},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (utf8_of(cases[i].text) != cases[i].valid)
            fail_msg("case %zu: %zu bytes are valid", i, utf8_of(cases[i].text));
    }
    assert_int_equal(utf8_valid_bytes("a\0b", 3), 3);
}

/* By decoding each character and looking at its number. */
static size_t naive_valid_bytes(const uint8_t *text, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t at = 0;
    while (at < bytes) {
        size_t length = text[at] < 0x80             ? 1
                        : (text[at] & 0xe0) == 0xc0 ? 2
                        : (text[at] & 0xf0) == 0xe0 ? 3
                        : (text[at] & 0xf8) == 0xf0 ? 4
                                                    : 0;
        if (length == 0 || at + length > bytes)
            return at;
        uint32_t code = length == 1 ? text[at] : text[at] & (0x7fu >> length);
        for (size_t i = 1; i < length; i++) {
            if ((text[at + i] & 0xc0) != 0x80)
                return at;
            code = code << 6 | (text[at + i] & 0x3f);
        }
        if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return at;
        at += length;
    }
    return at;
}

static void utf8_agrees_with_a_naive_decoder(void **state)
{
    (void)state;
    static const uint8_t likely[] = {0x41, 0x80, 0xbf, 0xc2, 0xe0, 0xed,
                                     0xef, 0xf0, 0xf4, 0x9f, 0xa0};
    uint64_t random = 424242;
    for (int i = 0; i < 300000; i++) {
        size_t bytes = random_next(&random) % 24;
        uint8_t *text = malloc(bytes + 1);
        assert_non_null(text);
        for (size_t k = 0; k < bytes; k++) {
            uint64_t dice = random_next(&random);
            text[k] = dice % 4 == 0   ? (uint8_t)(dice >> 8)
                      : dice % 4 == 1 ? likely[(dice >> 8) % sizeof likely]
                                      : (uint8_t)(dice >> 8 & 0x7f);
        }
        assert_int_equal(utf8_valid_bytes(text, bytes), naive_valid_bytes(text, bytes));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_of_every_length_come_back),
        cmocka_unit_test(fixed64_is_little_endian),
        cmocka_unit_test(a_buffer_moves_from_the_given_memory_to_the_heap),
        cmocka_unit_test(lengths_are_written_back_for_every_size),
        cmocka_unit_test(lengths_nest),
        cmocka_unit_test(the_limit_is_exact_wherever_the_buffer_started),
        cmocka_unit_test(a_fault_sticks_whatever_follows),
        cmocka_unit_test(a_length_that_grows_over_the_limit_is_a_fault),
        cmocka_unit_test(no_memory_is_a_fault),
        cmocka_unit_test(an_answer_can_be_used_again),
        cmocka_unit_test(utf8_is_what_protobuf_takes),
        cmocka_unit_test(utf8_agrees_with_a_naive_decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
