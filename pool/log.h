/* The log: one line an event to standard error, logfmt-like, with a level. Used by every room of
 * the server; lowest layer, includes nothing of ours. Any thread; a line is written by one
 * write(2), lines never mix. */
#ifndef CHATSTORE_POOL_LOG_H
#define CHATSTORE_POOL_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Level by name ("error", "warn", "info", "debug"); false and nothing set for any other word. */
bool log_level_parse(const char *name, enum log_level *level_out);

/* Lines above this level are dropped. Default: LOG_INFO. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Send lines to this function instead of standard error (NULL: back). The text has no newline and
 * is only valid during the call. For tests and for programs that embed the engine; set it while no
 * other thread logs. */
typedef void (*log_sink_fn)(void *arg, enum log_level level, const char *text);
void log_set_sink(log_sink_fn sink, void *arg);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* A rate limit: at most `burst` lines each second; the next line that passes says how many were
 * held back. One static object for each place that logs; zero-initialised but for the burst. */
struct log_limit {
    unsigned burst;
    _Atomic int64_t second;
    _Atomic unsigned used;
    _Atomic unsigned held;
};
__attribute__((format(printf, 3, 4))) void
log_limited(struct log_limit *limit, enum log_level level, const char *format, ...);

#endif
