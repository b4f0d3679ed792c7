/* Timestamps between the files' text and seconds since 1970. */
#include "pool/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct form {
    const char *text;
    int64_t seconds;
    int32_t nanos;
};

static void every_form_of_the_files_is_read(void **state)
{
    (void)state;
    static const struct form forms[] = {
        {"1970-01-01", 0, 0},
        {"1970-01-01 00:00", 0, 0},
        {"1970-01-01 00:00:00", 0, 0},
        {"1970-01-01T00:00:01", 1, 0},
        {"2024-05-06 07:08:09", 1714979289, 0},
        {"2024-05-06T07:08:09", 1714979289, 0},
        {"2024-05-06 07:08:09.5", 1714979289, 500000000},
        {"2024-05-06 07:08:09.123", 1714979289, 123000000},
        {"2024-05-06T07:08:09.123456", 1714979289, 123456000},
        {"2024-05-06 07:08:09.123456789", 1714979289, 123456789},
        {"2024-05-06 07:08:09.1234567899999", 1714979289, 123456789},
        {"2024-05-06 07:08:09Z", 1714979289, 0},
        {"2024-05-06T07:08:09.25Z", 1714979289, 250000000},
        {"2024-05-06 10:08:09+03:00", 1714979289, 0},
        {"2024-05-06 10:08:09+0300", 1714979289, 0},
        {"2024-05-06 10:08:09+03", 1714979289, 0},
        {"2024-05-06T10:08:09.123+03:00", 1714979289, 123000000},
        {"2024-05-06 03:38:09-03:30", 1714979289, 0},
        {"2024-05-06 03:38:09-0330", 1714979289, 0},
        {"2024-05-06 10:08+03:00", 1714979280, 0},
        {"2024-01-01 01:00:00+03:00", 1704060000, 0}, /* the day before, in UTC */
        {"1969-12-31 23:59:59.75", -1, 750000000},
        {"2000-02-29 00:00:00", 951782400, 0},
        {"0001-01-01 00:00:00", TIMESTAMP_SECONDS_MIN, 0},
        {"9999-12-31 23:59:59.999999999", TIMESTAMP_SECONDS_MAX, 999999999},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        int64_t seconds = -7;
        int32_t nanos = -7;
        if (!timestamp_parse(forms[i].text, strlen(forms[i].text), &seconds, &nanos))
            fail_msg("\"%s\" is not read", forms[i].text);
        if (seconds != forms[i].seconds || nanos != forms[i].nanos)
            fail_msg("\"%s\" is %lld.%09d", forms[i].text, (long long)seconds, nanos);
    }
}

static void anything_else_is_refused_and_sets_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "now",
        "2024",
        "2024-05",
        "2024-05-",
        "2024-05-6",
        "2024-5-06",
        "24-05-06",
        "2024/05/06",
        "20240506",
        " 2024-05-06",
        "2024-05-06 ",
        "2024-05-06T",
        "2024-05-06x07:08:09",
        "2024-05-06 7:08:09",
        "2024-05-06 07",
        "2024-05-06 07:",
        "2024-05-06 07:08:",
        "2024-05-06 07:08:9",
        "2024-05-06 07:08:09.",
        "2024-05-06 07:08:09.x",
        "2024-05-06 07:08:09 +03:00",
        "2024-05-06 07:08:09+",
        "2024-05-06 07:08:09+3",
        "2024-05-06 07:08:09+03:",
        "2024-05-06 07:08:09+03:0",
        "2024-05-06 07:08:09+03:60",
        "2024-05-06 07:08:09+24:00",
        "2024-05-06 07:08:09+03:00Z",
        "2024-05-06 07:08:09ZZ",
        "2024-05-06 07:08:09 ",
        "2024-05-06Z",
        "2024-05-06 24:00:00",
        "2024-05-06 23:60:00",
        "2024-05-06 23:59:60",
        "2024-00-06",
        "2024-13-06",
        "2024-05-00",
        "2024-05-32",
        "2024-04-31",
        "2023-02-29", /* no leap year */
        "1900-02-29",
        "2024-02-30",
        "0000-01-01",
        "-024-05-06",
        "+024-05-06",
        "0001-01-01 00:00:00+00:01", /* before the first second */
        "9999-12-31 23:59:59-00:01", /* behind the last */
        "2024-05-06 07:08:09\xd9\xa0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t seconds = 77;
        int32_t nanos = 78;
        if (timestamp_parse(texts[i], strlen(texts[i]), &seconds, &nanos))
            fail_msg("\"%s\" is read as %lld", texts[i], (long long)seconds);
        assert_int_equal(seconds, 77);
        assert_int_equal(nanos, 78);
    }
    int64_t seconds;
    int32_t nanos;
    assert_false(timestamp_parse("2024-05-06\0", 11, &seconds, &nanos));
}

static void the_given_length_ends_the_text(void **state)
{
    (void)state;
    int64_t seconds;
    int32_t nanos;
    assert_true(timestamp_parse("2024-05-06 07:08:09garbage", 19, &seconds, &nanos));
    assert_int_equal(seconds, 1714979289);
    static const char whole[] = "2024-05-06 07:08:09.123+03:00";
    for (size_t bytes = 0; bytes < sizeof whole - 1; bytes++) {
        char *copy = malloc(bytes + 1); /* so that a read behind the end is seen */
        assert_non_null(copy);
        memcpy(copy, whole, bytes);
        timestamp_parse(copy, bytes, &seconds, &nanos);
        free(copy);
    }
}

static void check_round_trip(int64_t seconds)
{
    char text[TIMESTAMP_TEXT_BYTES];
    int64_t back;
    int32_t nanos;
    timestamp_format(seconds, text);
    if (!timestamp_parse(text, strlen(text), &back, &nanos) || back != seconds || nanos != 0)
        fail_msg("%lld became \"%s\"", (long long)seconds, text);
    /* Against the C library's own calendar. */
    time_t when = (time_t)seconds;
    struct tm parts;
    char expected[96];
    assert_non_null(gmtime_r(&when, &parts));
    snprintf(expected, sizeof expected, "%04d-%02d-%02d %02d:%02d:%02d", parts.tm_year + 1900,
             parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    assert_string_equal(text, expected);
}

static void every_second_comes_back_from_its_text(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    const uint64_t range = (uint64_t)(TIMESTAMP_SECONDS_MAX - TIMESTAMP_SECONDS_MIN) + 1;
    for (int i = 0; i < 200000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        check_round_trip(TIMESTAMP_SECONDS_MIN + (int64_t)(random % range));
    }
    check_round_trip(TIMESTAMP_SECONDS_MIN);
    check_round_trip(TIMESTAMP_SECONDS_MAX);
    for (int64_t seconds = -100; seconds <= 100; seconds++)
        check_round_trip(seconds);
    for (int64_t day = -719162; day < 2932897; day += 1)
        if (day % 365 < 2 || day % 1461 < 2)
            check_round_trip(day * 86400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_the_files_is_read),
        cmocka_unit_test(anything_else_is_refused_and_sets_nothing),
        cmocka_unit_test(the_given_length_ends_the_text),
        cmocka_unit_test(every_second_comes_back_from_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
