#include "router/merge.h"

#include "router/siphash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t hash;
    const struct merge_row *row; /* NULL: free */
    size_t source;
};

/* An open addressing hash set of the keys seen, at most half full. */
struct key_set {
    struct slot *slots;
    size_t slot_count; /* a power of two, or 0 when no row has a key */
};

static uint8_t secret[SIPHASH_KEY_BYTES];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void secret_init(void)
{
    siphash_make_key(secret);
}

static void *merge_alloc(ProtobufCAllocator *allocator, size_t count, size_t item_bytes)
{
    if (count > SIZE_MAX / 2 / item_bytes)
        return NULL;
    if (!allocator)
        return malloc(count * item_bytes);
    return allocator->alloc(allocator->allocator_data, count * item_bytes);
}

static void merge_free(ProtobufCAllocator *allocator, void *memory)
{
    if (!memory)
        return;
    if (!allocator)
        free(memory);
    else
        allocator->free(allocator->allocator_data, memory);
}

static bool key_set_init(struct key_set *set, size_t key_count, ProtobufCAllocator *allocator)
{
    *set = (struct key_set){0};
    if (key_count == 0)
        return true;
    size_t slot_count = 4;
    while (slot_count < 2 * key_count)
        slot_count *= 2;
    set->slots = merge_alloc(allocator, slot_count, sizeof *set->slots);
    if (!set->slots)
        return false;
    memset(set->slots, 0, slot_count * sizeof *set->slots);
    set->slot_count = slot_count;
    return true;
}

/* True if no row with this key was added before by another source. */
static bool key_set_add(struct key_set *set, const struct merge_row *row, size_t source)
{
    uint64_t hash = siphash(secret, row->key, row->key_bytes);
    size_t mask = set->slot_count - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        struct slot *slot = &set->slots[i];
        if (!slot->row) {
            *slot = (struct slot){.hash = hash, .row = row, .source = source};
            return true;
        }
        if (slot->hash == hash && slot->row->key_bytes == row->key_bytes &&
            memcmp(slot->row->key, row->key, row->key_bytes) == 0)
            return slot->source == source;
    }
}

int merge_compare_order(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    size_t bytes = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = bytes > 0 ? memcmp(a, b, bytes) : 0;
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_order(const struct merge_row *a, const struct merge_row *b)
{
    return merge_compare_order(a->order, a->order_bytes, b->order, b->order_bytes);
}

/* Merge the sorted runs from[low, middle) and from[middle, high) into `to`, at the same place. */
static void merge_runs(const struct merge_row **from, const struct merge_row **to, size_t low,
                       size_t middle, size_t high)
{
    size_t left = low;
    size_t right = middle;
    /* Sources answer in order already, so whole runs often need no comparing. */
    if (middle >= high || compare_order(from[middle - 1], from[middle]) <= 0) {
        memcpy(to + low, from + low, (high - low) * sizeof *to);
        return;
    }
    for (size_t i = low; i < high; i++) {
        bool take_left =
            left < middle && (right >= high || compare_order(from[left], from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

/* Stable, bottom up. The result is in *rows; `scratch` has the same room and may be swapped in. */
static void sort_rows(const struct merge_row ***rows, const struct merge_row ***scratch,
                      size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t middle = low + width < count ? low + width : count;
            size_t high = low + 2 * width < count ? low + 2 * width : count;
            merge_runs(*rows, *scratch, low, middle, high);
        }
        const struct merge_row **swap = *rows;
        *rows = *scratch;
        *scratch = swap;
    }
}

struct counts {
    size_t rows;
    size_t keys;
    bool ordered;
};

/* The sources [first, *end) take part. */
static struct counts count_rows(const struct merge_input *input, size_t *first, size_t *end)
{
    struct counts counts = {0};
    *first = 0;
    *end = input->source_count;
    for (size_t s = 0; s < input->source_count; s++) {
        const struct merge_source *source = &input->sources[s];
        counts.rows += source->row_count;
        for (size_t i = 0; i < source->row_count; i++) {
            counts.keys += source->rows[i].key_bytes > 0;
            counts.ordered |= source->rows[i].order_bytes > 0;
        }
        if (input->first_source_only && counts.rows > 0) {
            *first = s;
            *end = s + 1;
            break;
        }
    }
    return counts;
}

static size_t collect_rows(const struct merge_input *input, size_t first, size_t end,
                           struct key_set *seen, size_t count_max, const struct merge_row **rows)
{
    size_t count = 0;
    for (size_t s = first; s < end; s++) {
        const struct merge_source *source = &input->sources[s];
        for (size_t i = 0; i < source->row_count && count < count_max; i++) {
            const struct merge_row *row = &source->rows[i];
            if (row->key_bytes == 0 || key_set_add(seen, row, s))
                rows[count++] = row;
        }
    }
    return count;
}

bool merge_rows(const struct merge_input *input, ProtobufCAllocator *allocator,
                struct merge_output *out)
{
    *out = (struct merge_output){0};
    size_t first;
    size_t end;
    struct counts counts = count_rows(input, &first, &end);
    size_t cut = counts.rows;
    if (input->row_count_max >= 0 && (uint64_t)input->row_count_max < cut)
        cut = (size_t)input->row_count_max;
    if (cut == 0)
        return true;
    pthread_once(&secret_once, secret_init);

    /* Without a sort the first `cut` rows are the answer, and the rest need not be looked at. */
    size_t collect_max = counts.ordered ? counts.rows : cut;
    struct key_set seen;
    bool done = false;
    const struct merge_row **rows = merge_alloc(allocator, collect_max, sizeof *rows);
    const struct merge_row **scratch =
        counts.ordered ? merge_alloc(allocator, collect_max, sizeof *scratch) : NULL;
    bool have_set = key_set_init(&seen, counts.keys, allocator);
    if (rows && have_set && (scratch || !counts.ordered)) {
        size_t count = collect_rows(input, first, end, &seen, collect_max, rows);
        if (counts.ordered)
            sort_rows(&rows, &scratch, count);
        out->rows = rows;
        out->row_count = count < cut ? count : cut;
        rows = NULL;
        done = true;
    }
    merge_free(allocator, seen.slots);
    merge_free(allocator, scratch);
    merge_free(allocator, rows);
    return done;
}

void merge_output_free(struct merge_output *out, ProtobufCAllocator *allocator)
{
    merge_free(allocator, out->rows);
    *out = (struct merge_output){0};
}
