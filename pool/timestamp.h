/* Timestamps: the files' text and the wire's seconds and nanoseconds since 1970, UTC. Pure
 * functions, any thread. */
#ifndef CHATSTORE_POOL_TIMESTAMP_H
#define CHATSTORE_POOL_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range of google.protobuf.Timestamp. */
#define TIMESTAMP_SECONDS_MIN (-62135596800LL)
#define TIMESTAMP_SECONDS_MAX 253402300799LL

#define TIMESTAMP_TEXT_BYTES 20 /* "YYYY-MM-DD HH:MM:SS" and its NUL */

/* Reads every form that bots have written: "YYYY-MM-DD", then optionally ' ' or 'T' and
 * "HH:MM[:SS[.fraction]]", then optionally "Z", "+HH:MM", "-HHMM" or "+HH". No offset means UTC.
 * False, and nothing set, for any other text. */
bool timestamp_parse(const char *text, size_t bytes, int64_t *seconds_out, int32_t *nanos_out);

/* Writes "YYYY-MM-DD HH:MM:SS". seconds must lie in the range above. */
void timestamp_format(int64_t seconds, char text_out[TIMESTAMP_TEXT_BYTES]);

#endif
