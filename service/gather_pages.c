/* One page of a list that is merged from several sources.
 *
 * Each source gives its rows behind the place of the page before, as many as a page has at most.
 * The first of them in the order of the whole are the candidates. Then the sources are asked which
 * candidates of later sources they have as well: of these the earlier source's row counts, on
 * whatever page it stands. So a page costs the same wherever it is, and no list is ever read whole.
 */
#include "gather.h"

#include <stdlib.h>
#include <string.h>

struct candidate {
    struct part *part;
    const struct answer_row *row;
};

struct page_part {
    struct page_read read;
    size_t next;         /* the first row that is no candidate yet */
    struct answer found; /* of the job that looks for keys; nothing of it is wanted */
};

struct gather_pages {
    size_t from;         /* the part of the place's row; part_count: there is no place */
    struct buffer place; /* the row's values; of its own, since answers are read anew */
    struct candidate *candidates;
    struct page_key *keys; /* of the candidates */
    size_t count, room;
    bool more; /* rows follow behind the candidates */
    size_t part_count;
    struct page_part parts[];
};

void gather_pages_free(struct gather_pages *pages)
{
    if (!pages)
        return;
    for (size_t i = 0; i < pages->part_count; i++)
        answer_fini(&pages->parts[i].found);
    buffer_fini(&pages->place);
    free(pages->candidates);
    free(pages->keys);
    free(pages);
}

static bool make_room(struct gather_pages *pages, size_t room)
{
    free(pages->candidates);
    free(pages->keys);
    pages->room = room;
    pages->candidates = calloc(room, sizeof *pages->candidates);
    pages->keys = calloc(room, sizeof *pages->keys);
    return pages->candidates && pages->keys;
}

static bool pages_new(struct gather *gather)
{
    const struct paging *paging = gather->run->paging;
    size_t bytes_max = gather->run->frame->engine->limits.reply_bytes;
    size_t count = gather->part_count;
    struct gather_pages *pages = calloc(1, sizeof *pages + count * sizeof *pages->parts);
    if (!pages)
        return false;
    gather->pages = pages;
    pages->part_count = count;
    for (size_t i = 0; i < count; i++)
        answer_init(&pages->parts[i].found, true, NULL, 0, bytes_max);
    buffer_init(&pages->place, NULL, 0, bytes_max);
    buffer_append(&pages->place, paging->after, paging->after_bytes);
    return make_room(pages, paging->rows_max) && pages->place.fault == BUFFER_OK;
}

static void fail(struct gather *gather, enum status_code code, const char *why)
{
    status_set(&gather->run->status, code, "%s: %s", gather->run->call->name, why);
    run_finish(gather->run);
}

static const char *part_name(const struct gather *gather, size_t i)
{
    return router_source_name(gather->run->frame->snapshot->router, gather->parts[i].number);
}

static bool is_ok(const struct part *part)
{
    return part->job.status.code == STATUS_OK;
}

/* ---- The candidates ---- */

static void choose_candidates(struct gather *gather);

/* What part i is to read: without an order of the whole, the sources come one after the other. */
static void set_read(struct gather *gather, size_t i)
{
    struct gather_pages *pages = gather->pages;
    struct part *part = &gather->parts[i];
    struct page_read *read = &pages->parts[i].read;
    const struct call_run *run = gather->run;
    size_t order_columns = 0;
    while (run->call->merge_order[order_columns])
        order_columns++;
    paging_set_read(run, read);
    read->after = pages->place.data;
    read->after_bytes = pages->place.bytes;
    part->idle = !is_ok(part);
    if (pages->from == gather->part_count) {
        read->after_columns = 0;
    } else if (i == pages->from) {
        read->after_columns = strlen(read->directions);
    } else {
        read->after_columns = order_columns;
        read->inclusive = i > pages->from;
        part->idle |= i < pages->from && order_columns == 0;
    }
    pages->parts[i].next = 0;
    answer_reset(&part->answer);
    answer_set_page(&part->answer, pages->room, paging_bytes_kept(run, gather->part_count));
    part->job.page = read;
    part->job.answer = &part->answer;
}

static void read_candidates(struct gather *gather)
{
    for (size_t i = 0; i < gather->part_count; i++)
        set_read(gather, i);
    gather_ask(gather, choose_candidates);
}

void gather_pages_start(struct gather *gather)
{
    const char *source = gather->run->paging->source;
    if (!pages_new(gather)) {
        fail(gather, STATUS_RESOURCE_EXHAUSTED, "no memory for a page");
        return;
    }
    size_t from = gather->part_count;
    for (size_t i = 0; i < gather->part_count; i++) {
        if (strcmp(part_name(gather, i), source) == 0)
            from = i;
    }
    gather->pages->from = from;
    if (source[0] != '\0' && from == gather->part_count)
        fail(gather, STATUS_INVALID_ARGUMENT,
             "the source at which its page_token goes on is not there any more; begin again "
             "without one");
    else
        read_candidates(gather);
}

static int compare_rows(const struct answer *a, const struct answer_row *a_row,
                        const struct answer *b, const struct answer_row *b_row)
{
    return merge_compare_order(a->keys.data + a_row->order_at, a_row->order_bytes,
                               b->keys.data + b_row->order_at, b_row->order_bytes);
}

/* The part whose row comes next; NULL: none has one, or which it is depends on a row that was not
 * read. */
static struct part *next_part(struct gather *gather)
{
    struct part *best = NULL;
    const struct answer_row *best_row = NULL;
    for (size_t i = 0; i < gather->part_count; i++) {
        struct part *part = &gather->parts[i];
        size_t next = gather->pages->parts[i].next;
        if (part->idle || !is_ok(part))
            continue;
        if (next == part->answer.row_count) {
            if (!part->answer.more)
                continue;
            gather->pages->more = true;
            return NULL;
        }
        const struct answer_row *row = &part->answer.rows[next];
        if (!best || compare_rows(&part->answer, row, &best->answer, best_row) < 0) {
            best = part;
            best_row = row;
        }
    }
    return best;
}

static void take_candidates(struct gather *gather)
{
    struct gather_pages *pages = gather->pages;
    const struct call_run *run = gather->run;
    size_t room_bytes =
        run->frame->engine->limits.reply_bytes - paging_bytes_kept(run, gather->part_count);
    pages->count = 0;
    pages->more = false;
    for (struct part *part; (part = next_part(gather)) != NULL; pages->count++) {
        size_t i = (size_t)(part - gather->parts);
        const struct answer_row *row = &part->answer.rows[pages->parts[i].next];
        size_t bytes = row->row_bytes + PAGE_TOKEN_BYTES(row->page_bytes);
        if (pages->count == pages->room || (pages->count > 0 && bytes > room_bytes)) {
            pages->more = true;
            return;
        }
        room_bytes -= row->row_bytes < room_bytes ? row->row_bytes : room_bytes;
        pages->parts[i].next++;
        pages->candidates[pages->count] = (struct candidate){part, row};
        pages->keys[pages->count] =
            (struct page_key){.values = part->answer.keys.data + row->key_at,
                              .values_bytes = row->key_bytes,
                              .part = i};
    }
}

/* ---- The rows ---- */

static void end_page(struct gather *gather, size_t rows)
{
    const struct gather_pages *pages = gather->pages;
    struct call_run *run = gather->run;
    gather_note_sources(gather);
    if (run->status.code == STATUS_OK && run->answer.payload.fault != BUFFER_OK)
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for the page",
                   run->call->name);
    else if (run->status.code == STATUS_OK)
        paging_end(run, rows, pages->more,
                   pages->from < gather->part_count ? part_name(gather, pages->from) : "",
                   pages->place.data, pages->place.bytes);
    run_finish(run);
}

/* The sources that may have candidates of later ones have said which. */
static void put_rows(struct gather *gather)
{
    struct gather_pages *pages = gather->pages;
    struct call_run *run = gather->run;
    size_t rows = 0, used = 0;
    for (; used < pages->count && rows < run->paging->rows_max; used++) {
        const struct candidate *candidate = &pages->candidates[used];
        if (pages->keys[used].found)
            continue;
        buffer_append(&run->answer.payload,
                      candidate->part->answer.payload.data + candidate->row->row_at,
                      candidate->row->row_bytes);
        rows++;
    }
    pages->more |= used < pages->count;
    if (used > 0) {
        const struct candidate *last = &pages->candidates[used - 1];
        pages->from = (size_t)(last->part - gather->parts);
        pages->place.bytes = 0;
        buffer_append(&pages->place, last->part->answer.keys.data + last->row->page_at,
                      last->row->page_bytes);
    }
    /* All were other sources': the page shall have a row, and be found without many more turns. */
    bool again = rows == 0 && pages->more;
    if (pages->place.fault != BUFFER_OK || (again && !make_room(pages, PAGE_ROWS_MAX)))
        fail(gather, STATUS_RESOURCE_EXHAUSTED, "no memory for a page");
    else if (again)
        read_candidates(gather);
    else
        end_page(gather, rows);
}

static void choose_candidates(struct gather *gather)
{
    struct gather_pages *pages = gather->pages;
    take_candidates(gather);
    size_t last = 0; /* the last part that has a candidate */
    for (size_t i = 0; i < pages->count; i++)
        last = pages->keys[i].part > last ? pages->keys[i].part : last;
    for (size_t i = 0; i < gather->part_count; i++) {
        struct part *part = &gather->parts[i];
        struct page_part *page_part = &pages->parts[i];
        part->idle = !is_ok(part) || i >= last || !gather->run->call->merge_key[0];
        page_part->read.keys = pages->keys;
        page_part->read.key_count = pages->count;
        page_part->read.part = i;
        part->job.answer = &page_part->found;
    }
    gather_ask(gather, put_rows);
}
