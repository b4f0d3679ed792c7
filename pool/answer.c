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
}
