/* What gather.c (asking several sources) and gather_pages.c (a page of their rows) share. */
#ifndef CHATSTORE_SERVICE_GATHER_H
#define CHATSTORE_SERVICE_GATHER_H

#include "engine_internal.h"

#include "router/merge.h"

struct gather_pages;

/* One source's part. */
struct part {
    struct gather *gather;
    uint32_t number; /* of the source */
    bool idle;       /* is not asked this time */
    struct job job;
    struct answer answer;
};

struct gather {
    struct call_run *run;
    size_t part_count;
    _Atomic size_t unfinished;
    void (*answered)(struct gather *gather); /* all that were asked have answered */
    Chatstore__V1__SourceFailure *failures;
    Chatstore__V1__SourceFailure **failure_list;
    char **merged_names;
    uint64_t *versions; /* of the sources before they were asked; NULL: not all are known */
    const struct merge_answer *cached;
    struct gather_pages *pages;
    struct part parts[];
};

/* Ask all parts that are not idle, with the jobs as they are, and go on with `answered`. */
void gather_ask(struct gather *gather, void (*answered)(struct gather *gather));

/* Which sources failed and which took part, for the result; the first failure's status if all
 * failed. */
void gather_note_sources(struct gather *gather);

/* gather_pages.c: the page that run->paging asks for, instead of the whole. */
void gather_pages_start(struct gather *gather);
void gather_pages_free(struct gather_pages *pages);

#endif
