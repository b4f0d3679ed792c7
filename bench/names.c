#include "names.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void name_new_message(char *text, size_t bytes)
{
    static atomic_uint_fast64_t begin_s, count;
    uint_fast64_t unset = 0;
    atomic_compare_exchange_strong(&begin_s, &unset, (uint_fast64_t)time(NULL));
    snprintf(text, bytes, "%" PRIuFAST64 "%07d%09" PRIuFAST64, begin_s, (int)getpid(),
             atomic_fetch_add(&count, 1));
}
