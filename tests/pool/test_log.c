/* The log: levels, sinks, rate limit, texts that come from outside. */
#include "pool/clock.h"
#include "pool/log.h"
#include "pool/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    unsigned count;
    enum log_level level;
    char text[1400];
} heard;

static void hear(void *arg, enum log_level level, const char *text)
{
    assert_ptr_equal(arg, &heard);
    heard.count++;
    heard.level = level;
    snprintf(heard.text, sizeof heard.text, "%s", text);
}

static int listen_to_log(void **state)
{
    (void)state;
    memset(&heard, 0, sizeof heard);
    log_set_sink(hear, &heard);
    log_set_level(LOG_INFO);
    return 0;
}

static void levels_are_known_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum log_level level = LOG_DEBUG;
    for (int i = 0; i < 4; i++) {
        assert_true(log_level_parse(names[i], &level));
        assert_int_equal(level, i);
    }
    assert_false(log_level_parse("loud", &level));
    assert_false(log_level_parse("INFO", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_DEBUG);
}

static void lines_above_the_level_are_dropped(void **state)
{
    (void)state;
    for (int wanted = LOG_ERROR; wanted <= LOG_DEBUG; wanted++) {
        log_set_level((enum log_level)wanted);
        for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
            heard.count = 0;
            log_line((enum log_level)level, "line of level %d", level);
            assert_int_equal(heard.count, level <= wanted);
            assert_int_equal(log_enabled((enum log_level)level), level <= wanted);
        }
    }
}

static void a_text_from_outside_can_not_forge_a_line(void **state)
{
    (void)state;
    log_line(LOG_WARN, "name \"%s\" end", "a\nb\r\tc\x1b[31md\x7f\x01 \xc3\xa9");
    assert_string_equal(heard.text, "name \"a b  c [31md   \xc3\xa9\" end");
    assert_int_equal(heard.level, LOG_WARN);
}

static void a_long_line_is_cut(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_line(LOG_ERROR, "%s", text);
    assert_int_equal(heard.count, 1);
    assert_in_range(strlen(heard.text), 1000, 1399);
}

/* Without a sink: one line on standard error, with its moment and level. */
static void a_line_goes_to_standard_error(void **state)
{
    (void)state;
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    log_set_sink(NULL, NULL);
    dup2(ends[1], STDERR_FILENO);
    log_line(LOG_ERROR, "what %s", "failed");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    char line[200] = {0};
    ssize_t bytes = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    assert_true(bytes > 0);
    int year, month, day, hour, minute, second, ms, length = 0;
    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &length),
                     7);
    assert_string_equal(line + length, "error: what failed\n");
}

static void wait_for_the_next_second(void)
{
    for (int64_t second = clock_now_ms() / 1000; clock_now_ms() / 1000 == second;)
        usleep(1000);
}

static void a_rate_limit_says_what_it_held_back(void **state)
{
    (void)state;
    struct log_limit limit = {.burst = 3};
    wait_for_the_next_second();
    for (int i = 0; i < 10; i++)
        log_limited(&limit, LOG_WARN, "event %d", i);
    assert_int_equal(heard.count, 3);
    assert_string_equal(heard.text, "event 2");
    wait_for_the_next_second();
    log_limited(&limit, LOG_WARN, "event %d", 10);
    assert_int_equal(heard.count, 4);
    assert_string_equal(heard.text, "event 10 (7 like it not shown)");
    log_limited(&limit, LOG_WARN, "event %d", 11);
    assert_string_equal(heard.text, "event 11");
    log_limited(&limit, LOG_DEBUG, "not at this level");
    assert_int_equal(heard.count, 5);
}

static void a_status_is_cut_to_its_room(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct status status;
    assert_int_equal(status_set(&status, STATUS_ABORTED, "%s", text), STATUS_ABORTED);
    assert_int_equal(status.code, STATUS_ABORTED);
    assert_int_equal(strlen(status.text), sizeof status.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(levels_are_known_by_name, listen_to_log),
        cmocka_unit_test_setup(lines_above_the_level_are_dropped, listen_to_log),
        cmocka_unit_test_setup(a_text_from_outside_can_not_forge_a_line, listen_to_log),
        cmocka_unit_test_setup(a_long_line_is_cut, listen_to_log),
        cmocka_unit_test_setup(a_line_goes_to_standard_error, listen_to_log),
        cmocka_unit_test_setup(a_rate_limit_says_what_it_held_back, listen_to_log),
        cmocka_unit_test_setup(a_status_is_cut_to_its_room, listen_to_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
