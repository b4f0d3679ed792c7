/* Calls that write past their target or swallow errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    if (!(condition))                                                                              \
    return -1 /* tidy: macro-flow */

int copy_name(char *target, const char *name)
{
    strcpy(target, "strcpy(target, name)"); /* tidy: banned-call */
    strcat(target, name);                   /* tidy: banned-call */
    sprintf(target, "%s", name);            /* tidy: banned-call */
    gets(target);                           /* tidy: banned-call */
    CHECK(atoi(name) > 0);                  /* tidy: banned-call */
    pthread_cond_timedwait(&a, &b, &until); /* tidy: banned-call */
    return 0;                               /* FIXME: tidy: leftover */
}
