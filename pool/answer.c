#include "answer.h"

#include <stdlib.h>

void answer_init(struct answer *answer, bool mark_rows, void *start, size_t start_bytes,
                 size_t bytes_max)
{
    *answer = (struct answer){.mark_rows = mark_rows};
    buffer_init(&answer->payload, start, start_bytes, bytes_max);
    buffer_init(&answer->keys, NULL, 0, bytes_max);
}

void answer_fini(struct answer *answer)
{
    buffer_fini(&answer->payload);
    buffer_fini(&answer->keys);
    free(answer->rows);
    answer->rows = NULL;
    answer->row_count = answer->rows_room = 0;
}

void answer_reset(struct answer *answer)
{
    answer->payload.bytes = answer->keys.bytes = 0;
    answer->payload.fault = answer->keys.fault = BUFFER_OK;
    answer->row_count = 0;
    answer->more = false;
}

void answer_set_page(struct answer *answer, size_t rows_max, size_t bytes_kept)
{
    answer->mark_rows = true;
    answer->rows_max = rows_max;
    answer->bytes_kept = bytes_kept;
}

bool answer_drop_excess(struct answer *answer)
{
    if (answer->row_count < 2 || answer->payload.fault == BUFFER_NO_MEMORY ||
        answer->keys.fault == BUFFER_NO_MEMORY)
        return false;
    const struct answer_row *last = &answer->rows[answer->row_count - 1];
    size_t bytes = answer->payload.bytes + PAGE_TOKEN_BYTES(last->page_bytes) + answer->bytes_kept;
    if (answer->payload.fault == BUFFER_OK && answer->keys.fault == BUFFER_OK &&
        bytes <= answer->payload.bytes_max)
        return false;
    answer->payload.bytes = last->row_at;
    answer->keys.bytes = last->key_at;
    answer->payload.fault = answer->keys.fault = BUFFER_OK;
    answer->row_count--;
    answer->more = true;
    return true;
}
