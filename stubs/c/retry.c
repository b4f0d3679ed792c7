#include "retry.h"

#include <sys/random.h>

enum { DELAY_MS_MIN = 20, DELAY_MS_MAX = 1000, LEFT_MS_MIN = 100, LOST_MAX = 10 };

/* Between three quarters and five quarters of it: callers that failed together do not come back
 * together. */
static uint32_t jitter(uint32_t delay_ms)
{
    unsigned char noise = 0;

    if (getrandom(&noise, sizeof noise, GRND_NONBLOCK) < 0)
        noise = 128;
    return delay_ms * 3 / 4 + delay_ms * noise / 510;
}

static uint32_t backoff_ms(uint32_t count)
{
    uint32_t delay_ms = count < 16 ? (uint32_t)DELAY_MS_MIN << count : DELAY_MS_MAX;

    return jitter(delay_ms < DELAY_MS_MAX ? delay_ms : DELAY_MS_MAX);
}

uint32_t retry_delay_ms(struct retry_state *state, const struct retry_now *now)
{
    int64_t left_ms = now->deadline_ms - now->now_ms;

    if (now->reason == RETRY_NEVER)
        return 0;
    if (now->reason == RETRY_LOST && ++state->lost_count >= LOST_MAX)
        return 0;
    if (now->reason == RETRY_SOURCE) {
        if (state->source_failed_ms == 0)
            state->source_failed_ms = now->now_ms;
        int64_t source_left_ms = state->source_failed_ms + now->source_retry_ms - now->now_ms;
        left_ms = source_left_ms < left_ms ? source_left_ms : left_ms;
    }
    if (left_ms < LEFT_MS_MIN)
        return 0;
    uint32_t delay_ms = backoff_ms(state->count++);
    /* The last try shall have time for its answer. */
    return delay_ms < left_ms / 2 ? delay_ms : (uint32_t)(left_ms / 2);
}
