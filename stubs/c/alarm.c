/* What happens to calls by the clock: they are late, or they have rested long enough to be sent
 * again. The transport has one alarm, which is set for the earliest of it all. */
#include "client.h"

enum { MEMORY_REST_MS = 100 };

/* The alarm */

bool client_set_alarm(struct chatstore_client *client, int64_t at_ms)
{
    if (client->ops->alarm == NULL || at_ms >= client->alarm_ms)
        return false;
    client->alarm_ms = at_ms;
    return true;
}

/* Of two threads that set the alarm, the one that comes to the transport last tells it the earlier
 * time in any case. */
void client_ring(struct chatstore_client *client)
{
    pthread_mutex_lock(&client->alarm_lock);
    pthread_mutex_lock(&client->lock);
    int64_t at_ms = client->alarm_ms;
    pthread_mutex_unlock(&client->lock);
    if (at_ms != INT64_MAX) {
        int64_t left_ms = at_ms - client_now_ms();
        left_ms = left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : left_ms;
        client->ops->alarm(client->transport, (uint32_t)left_ms);
    }
    pthread_mutex_unlock(&client->alarm_lock);
}

/* Resting */

static void rest_until(struct chatstore_client *client, struct client_call *call, int64_t until_ms)
{
    call->frame = NULL;
    call->rests = true;
    call->rest_until_ms = until_ms;
    link_append(&client->resting, &call->waiting);
}

bool client_rest(struct chatstore_client *client, struct client_call *call,
                 enum retry_reason reason)
{
    bool rings = false;

    if (reason == RETRY_NEVER || client->options.no_retry || client->ops->alarm == NULL)
        return false;
    pthread_mutex_lock(&client->lock);
    /* The clock is read under the lock: a waiter whose time is up either sees the call rest, or
     * this sees that its time is up. */
    struct retry_now now = {.reason = reason,
                            .now_ms = client_now_ms(),
                            .deadline_ms = call->deadline_ms,
                            .source_retry_ms = client->options.source_retry_ms};
    uint32_t delay_ms = client->closing ? 0 : retry_delay_ms(&call->retry, &now);
    if (delay_ms > 0) {
        client_put_in(client, call);
        rest_until(client, call, now.now_ms + delay_ms);
        rings = client_set_alarm(client, call->rest_until_ms);
    }
    pthread_mutex_unlock(&client->lock);
    if (rings)
        client_ring(client);
    return delay_ms > 0;
}

/* Place what has rested; the lock is held. */
static void place_rested(struct chatstore_client *client, int64_t now_ms)
{
    struct client_link *next;

    for (struct client_link *at = client->resting.next; at != &client->resting; at = next) {
        struct client_call *call = client_call_of_waiting(at);
        next = at->next;
        if (call->rest_until_ms > now_ms)
            continue;
        link_remove(&call->waiting);
        call->rests = false;
        if (!client_place(client, call)) /* out of memory */
            rest_until(client, call, now_ms + MEMORY_REST_MS);
    }
}

static void send_rested(struct chatstore_client *client)
{
    pthread_mutex_lock(&client->lock);
    bool submits = !client->closing;
    if (submits) {
        place_rested(client, client_now_ms());
        client_enter_submitting(client);
    }
    pthread_mutex_unlock(&client->lock);
    if (submits) {
        client_pump(client);
        client_leave_submitting(client);
    }
}

/* Ending by time, and at the end */

/* The first call that is late and does not look after itself; earliest_out: when the rest wants the
 * alarm. */
static struct client_call *find_late(struct chatstore_client *client, int64_t now_ms,
                                     int64_t *earliest_out)
{
    *earliest_out = INT64_MAX;
    for (struct client_link *at = client->live.next; at != &client->live; at = at->next) {
        struct client_call *call = client_call_of_live(at);
        if (call->rests && call->rest_until_ms < *earliest_out)
            *earliest_out = call->rest_until_ms;
        if (call->caller.expires_itself)
            continue;
        if (call->deadline_ms <= now_ms)
            return call;
        if (call->deadline_ms < *earliest_out)
            *earliest_out = call->deadline_ms;
    }
    return NULL;
}

/* Complete one late call; false: there is none, and the alarm is set for the next. */
static bool expire_one(struct chatstore_client *client)
{
    char error[CLIENT_ERROR_BYTES];
    enum chatstore_status status = CHATSTORE_OK;
    int64_t earliest_ms;
    bool rings = false;

    pthread_mutex_lock(&client->lock);
    struct client_call *call = find_late(client, client_now_ms(), &earliest_ms);
    if (call != NULL) {
        status = client_explain_timeout(client, call, error, sizeof error);
        client_take_out(client, call);
    } else {
        client->alarm_ms = INT64_MAX;
        rings = !client->closing && client_set_alarm(client, earliest_ms);
    }
    pthread_mutex_unlock(&client->lock);
    if (call != NULL)
        client_fail(call, status, error);
    if (rings)
        client_ring(client);
    return call != NULL;
}

void client_alarm(void *arg)
{
    send_rested(arg);
    while (expire_one(arg))
        ;
}

/* The next call that is in no frame, taken out; NULL: there is none. */
static struct client_call *take_waiting(struct chatstore_client *client)
{
    struct client_link *head = link_is_empty(&client->queue) ? &client->resting : &client->queue;

    if (link_is_empty(head))
        return NULL;
    struct client_call *call = client_call_of_waiting(head->next);
    client_take_out(client, call);
    return call;
}

void client_fail_waiting(struct chatstore_client *client)
{
    struct client_call *call;

    do {
        pthread_mutex_lock(&client->lock);
        call = take_waiting(client);
        pthread_mutex_unlock(&client->lock);
        if (call != NULL)
            client_fail(call, CHATSTORE_UNAVAILABLE, "the client was closed before it was sent");
    } while (call != NULL);
}
