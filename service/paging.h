/* A list in pages: what the request asks for, and the token with which the next page goes on.
 *
 * A token holds the place of the last row (pool/page.h) and, of a merged list, its source; how many
 * rows have gone out, for the limit; and a hash of the call with its arguments. Nothing of it is
 * secret or trusted: it says where to go on in what the client may read anyway. Its checksum is
 * there for mistakes. The server keeps nothing of it, so a token outlives restarts. */
#ifndef CHATSTORE_SERVICE_PAGING_H
#define CHATSTORE_SERVICE_PAGING_H

#include "pool/page.h"

enum { PAGE_ROWS_MAX = 10000 };

struct call_run;

struct paging {
    size_t rows_max;      /* of this page */
    uint64_t rows_before; /* of the pages before */
    uint64_t arguments;   /* hash */
    int64_t limit;        /* of all pages; negative: none */
    const char *source;   /* of the last row, by name; "": none, or not merged */
    const uint8_t *after; /* values of the last row; NULL: the first page */
    size_t after_bytes;
};

/* Whether a decoded request asks for a page: then run->paging is set. False: the token is none of
 * this request; run->status says why. */
bool paging_begin(struct call_run *run);

/* The job that reads the page from one source. */
void paging_set_read(const struct call_run *run, struct page_read *read);

/* End the page: `rows` have been put into the run's answer, `source` (or "") and the values are of
 * the last, and `more` rows follow. Writes next_page_token unless the list is at its end. */
void paging_end(struct call_run *run, size_t rows, bool more, const char *source,
                const uint8_t *values, size_t values_bytes);

/* What has to stay free of a reply besides rows and token, when so many sources are named. */
size_t paging_bytes_kept(const struct call_run *run, size_t source_count);

#endif
