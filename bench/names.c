#include "names.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

void name_new_message(char *text, size_t bytes)
{
    static atomic_uint_fast64_t next;
    uint_fast64_t begin = 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    atomic_compare_exchange_strong(&next, &begin, now_us);
    snprintf(text, bytes, "%" PRIuFAST64, atomic_fetch_add(&next, 1));
}
