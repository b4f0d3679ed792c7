#include "log.h"

#include "clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static _Atomic int level_max = LOG_INFO;
static log_sink_fn sink_fn;
static void *sink_arg;

bool log_level_parse(const char *name, enum log_level *level_out)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level_out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_level(enum log_level level)
{
    level_max = (int)level;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= level_max;
}

void log_set_sink(log_sink_fn sink, void *arg)
{
    sink_fn = sink;
    sink_arg = arg;
}

/* Control characters would let a text from outside forge lines or drive a terminal. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
    }
}

static void log_text(enum log_level level, char *text)
{
    make_printable(text);
    if (sink_fn) {
        sink_fn(sink_arg, level, text);
        return;
    }
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    char line[1400];
    size_t bytes = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
    bytes += (size_t)snprintf(line + bytes, sizeof line - bytes, ".%03ldZ %s: %s\n",
                              now.tv_nsec / 1000000, level_names[level], text);
    if (write(STDERR_FILENO, line, bytes) < 0) {
        /* There is nobody left to tell. */
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char text[1280];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_text(level, text);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    int64_t second = clock_now_ms() / 1000;
    if (limit->second != second) {
        limit->second = second;
        limit->used = 0;
    }
    if (limit->used++ >= limit->burst) {
        limit->held++;
        return;
    }
    char text[1280];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    unsigned held = atomic_exchange_explicit(&limit->held, 0, memory_order_relaxed);
    if (held > 0 && bytes > 0 && (size_t)bytes < sizeof text - 40)
        snprintf(text + bytes, sizeof text - (size_t)bytes, " (%u like it not shown)", held);
    log_text(level, text);
}
