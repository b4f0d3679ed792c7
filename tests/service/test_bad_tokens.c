/* Addresses that try tokens: who is refused, from when, until when, and that memory has a bound. */
#include "service/bad_tokens.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 3 };

static uint64_t address_of(const char *text)
{
    struct sockaddr_storage address = {.ss_family = AF_INET6};
    struct sockaddr_in *in = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1) {
        address.ss_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, text, &in->sin_addr), 1);
    }
    return bad_tokens_address(&address);
}

static void a_machine_is_its_address_or_its_network(void **state)
{
    (void)state;
    struct sockaddr_storage local = {.ss_family = AF_UNIX};
    assert_int_equal(bad_tokens_address(&local), 0);
    assert_int_equal(address_of("10.0.0.5"), address_of("::ffff:10.0.0.5"));
    assert_int_not_equal(address_of("10.0.0.5"), address_of("10.0.0.6"));
    assert_int_not_equal(address_of("::ffff:10.0.0.5"), address_of("::ffff:10.0.0.6"));
    assert_int_equal(address_of("2001:db8:1:2::1"), address_of("2001:db8:1:2:ffff::9"));
    assert_int_not_equal(address_of("2001:db8:1:2::1"), address_of("2001:db8:1:3::1"));
    assert_int_not_equal(address_of("::1"), 0);
    assert_int_not_equal(address_of("0.0.0.0"), 0);
}

static void an_address_is_refused_for_a_minute(void **state)
{
    (void)state;
    struct bad_tokens *tokens = bad_tokens_new(MAX);
    uint64_t bad = address_of("10.0.0.5"), other = address_of("10.0.0.6");
    bool reached;
    assert_non_null(tokens);
    assert_false(bad_tokens_note(tokens, bad, 1000, &reached));
    assert_false(bad_tokens_note(tokens, bad, 2000, &reached));
    assert_false(reached);
    assert_false(bad_tokens_refuses(tokens, bad, 2000));
    assert_true(bad_tokens_note(tokens, bad, 50000, &reached));
    assert_true(reached);
    assert_true(bad_tokens_refuses(tokens, bad, 50001));
    assert_false(bad_tokens_refuses(tokens, other, 50001));
    /* What still comes over open connections is not told again, and makes it no longer. */
    assert_true(bad_tokens_note(tokens, bad, 100000, &reached));
    assert_false(reached);
    assert_true(bad_tokens_refuses(tokens, bad, 50000 + BAD_TOKENS_WINDOW_MS - 1));
    assert_false(bad_tokens_refuses(tokens, bad, 50000 + BAD_TOKENS_WINDOW_MS));
    assert_false(bad_tokens_note(tokens, bad, 50000 + BAD_TOKENS_WINDOW_MS, &reached));
    bad_tokens_free(tokens);
}

static void a_few_a_minute_are_nobodys_business(void **state)
{
    (void)state;
    struct bad_tokens *tokens = bad_tokens_new(MAX);
    uint64_t slow = address_of("2001:db8::1");
    bool reached;
    for (int64_t i = 0; i < 100; i++) {
        assert_false(bad_tokens_note(tokens, slow, i * BAD_TOKENS_WINDOW_MS / 2, &reached));
        assert_false(bad_tokens_refuses(tokens, slow, i * BAD_TOKENS_WINDOW_MS / 2));
    }
    bad_tokens_free(tokens);
}

static void without_a_limit_nobody_is_refused(void **state)
{
    (void)state;
    struct bad_tokens *tokens = bad_tokens_new(0), *strict = bad_tokens_new(1);
    bool reached;
    for (int i = 0; i < 100; i++) {
        assert_false(bad_tokens_note(tokens, address_of("10.0.0.5"), 1, &reached));
        assert_false(bad_tokens_note(strict, 0, 1, &reached)); /* a unix socket */
    }
    assert_false(bad_tokens_refuses(tokens, address_of("10.0.0.5"), 1));
    assert_false(bad_tokens_refuses(strict, 0, 1));
    bad_tokens_free(strict);
    bad_tokens_free(tokens);
}

/* Far more addresses than there is room for: one that goes on is not forgotten for them, and the
 * last ones are known. */
static void the_oldest_make_room(void **state)
{
    enum { MANY = 20 * BAD_TOKENS_ADDRESSES_MAX };
    (void)state;
    struct bad_tokens *tokens = bad_tokens_new(1);
    uint64_t steady = address_of("192.0.2.1");
    size_t known = 0;
    bool reached;
    for (uint64_t i = 1; i <= MANY; i++) {
        bad_tokens_note(tokens, steady, (int64_t)i, &reached);
        bad_tokens_note(tokens, 0x0a00000000000000U + i, (int64_t)i, &reached);
    }
    assert_true(bad_tokens_refuses(tokens, steady, MANY));
    for (uint64_t i = 1; i <= MANY; i++)
        known += bad_tokens_refuses(tokens, 0x0a00000000000000U + i, MANY);
    assert_in_range(known, BAD_TOKENS_ADDRESSES_MAX / 2, BAD_TOKENS_ADDRESSES_MAX);
    assert_true(bad_tokens_refuses(tokens, 0x0a00000000000000U + MANY, MANY));
    bad_tokens_free(tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_is_its_address_or_its_network),
        cmocka_unit_test(an_address_is_refused_for_a_minute),
        cmocka_unit_test(a_few_a_minute_are_nobodys_business),
        cmocka_unit_test(without_a_limit_nobody_is_refused),
        cmocka_unit_test(the_oldest_make_room),
    };
    return cmocka_run_group_tests_name("service_bad_tokens", tests, NULL, NULL);
}
