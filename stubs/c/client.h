/* The inside of a client: calls under way, the queue in which point calls wait to share a frame,
 * the frames that are out, and the calls that rest until they are sent again.
 *
 * A call is in the list `live` from its start until it is taken out (client_take_out), by whoever
 * finishes it: the frame's reply, its own deadline, or the closing of the client. The one who took
 * it out completes it, so it is completed once; an answer that comes later finds its place in the
 * frame empty and is dropped. */
#ifndef CHATSTORE_STUBS_CLIENT_H
#define CHATSTORE_STUBS_CLIENT_H

#include <pthread.h>
#include <sys/types.h>

#include "arena.h"
#include "call.h"
#include "retry.h"
#include "run.h"
#include "transport.h"

/* A ring of links with a head of the same kind. */
struct client_link {
    struct client_link *previous, *next;
};

struct client_call;

/* Ends a call and owns its memory from then on. Outcome and payload are valid during it. Called
 * without a lock, on any thread; does not block. */
typedef void client_complete(struct client_call *call, const struct chatstore_outcome *outcome,
                             const ProtobufCBinaryData *payload);

/* What a kind of call (blocking, with a callback) keeps of its caller. */
struct client_caller {
    client_complete *complete;
    bool expires_itself; /* it waits for the deadline; else the transport's alarm does */
    void *waiter;
    chatstore_run_done *done;
    chatstore_any_function *callback;
    void *arg;
};

/* A call under way. Guarded by the client's lock until taken out. */
struct client_call {
    struct client_link live;    /* in client->live; first member */
    struct client_link waiting; /* while frame == NULL: in client->queue, or client->resting */
    struct client_frame *frame; /* NULL: it waits for one */
    size_t place;               /* in the frame */
    bool is_live;
    bool rests; /* until rest_until_ms; then it is sent again */
    int64_t rest_until_ms;
    struct retry_state retry;
    int64_t deadline_ms;
    uint32_t timeout_ms;    /* as asked for */
    const struct call *row; /* NULL: unknown to this library */
    const char *name;       /* for texts; stays as long as the call */
    struct client_caller caller;
    size_t body_bytes;
    uint8_t body[]; /* an encoded Call without its timeout */
};

/* A frame and its memory, used again and again. */
struct client_frame {
    struct chatstore_frame frame; /* first member */
    struct chatstore_client *client;
    struct client_frame *next; /* in client->spare, or in client->ready */
    bool is_joined;            /* counts in joined_out */
    size_t call_count;
    struct client_call **calls; /* calls_per_frame_max places; NULL: taken out */
    uint8_t *bytes;
    size_t room;
};

struct chatstore_client {
    const struct chatstore_transport_ops *ops;
    void *transport;
    char *url;
    pid_t pid;
    struct chatstore_client_options options; /* with no zeros; token is the client's own */

    pthread_mutex_t lock; /* guards all below; never held while a transport or a callback runs */
    pthread_cond_t left;  /* either count below has become zero */
    bool closing;
    struct client_link live;    /* of client_call.live */
    struct client_link queue;   /* of client_call.waiting, in order of arrival */
    struct client_link resting; /* of client_call.waiting */
    size_t live_count;
    size_t joined_out;          /* frames of joined calls with the transport */
    size_t inside_count;        /* threads that still touch the client */
    size_t submitting_count;    /* of these, those that may call ops->submit */
    int64_t alarm_ms;           /* for when the alarm is set; INT64_MAX: not at all */
    struct client_frame *ready; /* full, to be submitted by a thread that is in client_pump */
    struct client_frame *spare;

    pthread_mutex_t alarm_lock; /* held while the transport is told; before the lock */
};

int64_t client_now_ms(void);

/* Start a call: the client completes it, possibly before this returns, also when it refuses it. */
void client_start(struct chatstore_client *client, struct client_call *call);

/* Take a call out if it is live, and then say why it has to end now that its time is up; else
 * somebody else completes it: false. */
bool client_give_up(struct chatstore_client *client, struct client_call *call,
                    enum chatstore_status *status_out, char *error, size_t error_bytes);

/* Complete a call that is not live with a failure of ours. message goes behind the call's name. */
void client_fail(struct client_call *call, enum chatstore_status status, const char *message);

/* What frames.c and alarm.c share. The first five: the lock is held. */

/* False: it is not live, somebody else completes it. */
bool client_take_out(struct chatstore_client *client, struct client_call *call);
void client_put_in(struct chatstore_client *client, struct client_call *call);
/* Into the queue or a frame of its own, for client_pump to submit. False: out of memory. */
bool client_place(struct chatstore_client *client, struct client_call *call);
/* Why a live call ends when its time is up. */
enum chatstore_status client_explain_timeout(const struct chatstore_client *client,
                                             const struct client_call *call, char *error,
                                             size_t error_bytes);
void client_enter_submitting(struct chatstore_client *client);
void client_leave_submitting(struct chatstore_client *client);
/* Submit what is to be submitted; between the two above. */
void client_pump(struct chatstore_client *client);

/* alarm.c */

/* Whether the alarm has to ring earlier than it is set for: client_ring is to be called, then,
 * without the lock, which this wants held. */
bool client_set_alarm(struct chatstore_client *client, int64_t at_ms);
void client_ring(struct chatstore_client *client);

/* Have a call that is taken out sent again later. False: it is not to be, and still the caller's.
 */
bool client_rest(struct chatstore_client *client, struct client_call *call,
                 enum retry_reason reason);

/* Complete the calls that are late, send again those that have rested; what the transport's alarm
 * calls. arg is the client. */
void client_alarm(void *arg);

/* Complete what waits and what rests: the client is closing. */
void client_fail_waiting(struct chatstore_client *client);

/* While a thread is between these, chatstore_client_close() does not free the client. */
void client_enter(struct chatstore_client *client);
void client_leave(struct chatstore_client *client);

enum { CLIENT_ERROR_BYTES = 768 };

/* Set this thread's text for chatstore_client_error(). */
void client_set_error(const struct chatstore_client *client, const char *text);

static inline void link_init(struct client_link *head)
{
    head->previous = head->next = head;
}

static inline bool link_is_empty(const struct client_link *head)
{
    return head->next == head;
}

static inline void link_append(struct client_link *head, struct client_link *link)
{
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

static inline void link_remove(struct client_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
}

static inline struct client_call *client_call_of_waiting(struct client_link *link)
{
    return (struct client_call *)(void *)((char *)link - offsetof(struct client_call, waiting));
}

static inline struct client_call *client_call_of_live(struct client_link *link)
{
    return (struct client_call *)(void *)link;
}

#endif
