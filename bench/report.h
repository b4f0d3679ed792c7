/* The result of a measurement, as JSON (one object, one line) or for people. */
#ifndef CHATSTORE_BENCH_REPORT_H
#define CHATSTORE_BENCH_REPORT_H

#include "driver.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was measured. */
struct report_title {
    const char *load;
    const char *url; /* or what else names the other side */
    unsigned in_flight;
    double rate_per_s; /* 0: closed loop */
    const char *extra; /* more JSON members, beginning with a comma; "" = none */
};

void report_print(FILE *out, const struct report_title *title, const struct driver_result *result,
                  bool json);

#ifdef __cplusplus
}
#endif

#endif
