/* How many calls are worked on at a time: by the server, and for each client. A refusal has to cost
 * little, or the refusing would take the time of those that were admitted. */
#include "engine_internal.h"

/* A frame takes its places as a whole, so that those that get none are known at once; but one that
 * would take more than half of all places takes what it can get, or it might wait for ever. */
static uint32_t least_places(uint32_t count, uint32_t max)
{
    uint32_t half = (max + 1) / 2;
    return count < half ? count : half;
}

/* How many of count places are to be had: 0, or at least least_places(). */
static uint32_t places_for(uint32_t taken, uint32_t count, uint32_t max)
{
    uint32_t free = taken < max ? max - taken : 0;
    if (free < least_places(count, max))
        return 0;
    return count < free ? count : free;
}

static uint32_t take(_Atomic uint32_t *taken, uint32_t count, uint32_t max)
{
    uint32_t before = *taken, places;
    do {
        places = places_for(before, count, max);
    } while (places > 0 && !atomic_compare_exchange_weak(taken, &before, before + places));
    return places;
}

static void refuse_for_all(const struct engine *engine, struct status *why)
{
    status_set(
        why, STATUS_RESOURCE_EXHAUSTED,
        "the server works on as many calls as it may (calls_in_flight_max = %u); try again later",
        engine->limits.calls_in_flight_max);
}

bool admission_is_full(const struct engine *engine, size_t calls, struct status *why)
{
    const struct config_limits *limits = &engine->limits;
    if (calls == 0 || calls > limits->calls_per_frame_max ||
        places_for(engine->calls_in_flight, (uint32_t)calls, limits->calls_in_flight_max) > 0)
        return false;
    refuse_for_all(engine, why);
    return true;
}

uint32_t admission_take(struct frame *frame, uint32_t count, struct status *why)
{
    struct engine *engine = frame->engine;
    const struct config_client *client = frame->client;
    uint32_t own = count;
    if (client && client->calls_in_flight_max > 0) {
        _Atomic uint32_t *calls = access_calls(frame->snapshot->access, client);
        own = take(calls, count, client->calls_in_flight_max);
        frame->client_calls = own > 0 ? calls : NULL;
    }
    uint32_t admitted =
        own > 0 ? take(&engine->calls_in_flight, own, engine->limits.calls_in_flight_max) : 0;
    if (admitted < own)
        refuse_for_all(engine, why);
    else if (own < count)
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "client %s has as many calls under way as it may (calls_in_flight_max = %u of "
                   "its [[service.clients]]; this frame brings %u); try again later",
                   client->name, client->calls_in_flight_max, count);
    if (frame->client_calls)
        *frame->client_calls -= own - admitted;
    if (admitted == 0)
        frame->client_calls = NULL;
    return admitted;
}

void admission_give_back(struct frame *frame, uint32_t count)
{
    frame->engine->calls_in_flight -= count;
    admission_leave_client(frame, count);
}

void admission_leave_client(struct frame *frame, uint32_t count)
{
    if (frame->client_calls)
        *frame->client_calls -= count;
    frame->client_calls = NULL;
}
