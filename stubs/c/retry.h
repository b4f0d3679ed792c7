/* When a call that has failed is sent again. No clock, no locks. */
#ifndef CHATSTORE_STUBS_RETRY_H
#define CHATSTORE_STUBS_RETRY_H

#include <stdint.h>

enum retry_reason {
    RETRY_NEVER,  /* another try would end as this one did */
    RETRY_LOST,   /* the connection was lost: whether the call was carried out is not known */
    RETRY_SERVER, /* the server said UNAVAILABLE: it starts or stops */
    RETRY_SOURCE  /* a source is UNAVAILABLE */
};

/* What a call has gone through; zeroed at its start. */
struct retry_state {
    uint32_t count;           /* how often it was to be sent again */
    uint32_t lost_count;      /* of these: RETRY_LOST */
    int64_t source_failed_ms; /* when its source failed first; 0: never */
};

struct retry_now {
    enum retry_reason reason;
    int64_t now_ms; /* > 0 */
    int64_t deadline_ms;
    uint32_t source_retry_ms;
};

/* How long to wait before the next try, noted in state; 0: there is none. */
uint32_t retry_delay_ms(struct retry_state *state, const struct retry_now *now);

#endif
