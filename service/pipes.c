#include "pipes.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 1024 };

/* There as long as it has connections. */
struct origin {
    struct origin *next; /* in the bucket */
    uint64_t address;
    size_t count;
};

struct open_pipe {
    struct open_pipe *next; /* in the bucket */
    int id;
    bool is_network;
    uint64_t peer;
    uint64_t address; /* 0: not counted with an origin */
    unsigned unknown_tokens;
    unsigned busy;   /* requests that are worked on or whose answers go out */
    unsigned unread; /* answers that go out */
    uint64_t frames, bytes;
    int64_t heard_ms;
};

struct pipes {
    pthread_mutex_t lock;
    size_t count, count_max, address_count_max;
    struct open_pipe *buckets[BUCKETS];
    struct origin *origins[BUCKETS];
};

static struct open_pipe **find(struct pipes *pipes, int id)
{
    struct open_pipe **at = &pipes->buckets[(unsigned)id % BUCKETS];
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

struct pipes *pipes_new(size_t count_max, size_t address_count_max)
{
    struct pipes *pipes = calloc(1, sizeof *pipes);
    if (!pipes)
        return NULL;
    pipes->count_max = count_max;
    pipes->address_count_max = address_count_max;
    pthread_mutex_init(&pipes->lock, NULL);
    return pipes;
}

void pipes_free(struct pipes *pipes)
{
    if (!pipes)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (pipes->buckets[i]) {
            struct open_pipe *next = pipes->buckets[i]->next;
            free(pipes->buckets[i]);
            pipes->buckets[i] = next;
        }
        while (pipes->origins[i]) {
            struct origin *next = pipes->origins[i]->next;
            free(pipes->origins[i]);
            pipes->origins[i] = next;
        }
    }
    pthread_mutex_destroy(&pipes->lock);
    free(pipes);
}

static struct origin **find_origin(struct pipes *pipes, uint64_t address)
{
    struct origin **at = &pipes->origins[(address ^ address >> 32) % BUCKETS];
    while (*at && (*at)->address != address)
        at = &(*at)->next;
    return at;
}

static enum pipes_outcome count_origin(struct pipes *pipes, uint64_t address)
{
    struct origin **at = find_origin(pipes, address);
    if (address == 0)
        return PIPES_ADDED;
    if (!*at && !(*at = calloc(1, sizeof **at)))
        return PIPES_NO_MEMORY;
    (*at)->address = address;
    if ((*at)->count >= pipes->address_count_max)
        return PIPES_ADDRESS_FULL;
    (*at)->count++;
    return PIPES_ADDED;
}

static void uncount_origin(struct pipes *pipes, uint64_t address)
{
    struct origin **at = find_origin(pipes, address), *origin = *at;
    if (address == 0 || --origin->count > 0)
        return;
    *at = origin->next;
    free(origin);
}

enum pipes_outcome pipes_add(struct pipes *pipes, int id, bool is_network, uint64_t peer,
                             uint64_t address, int64_t now_ms)
{
    struct open_pipe *pipe = malloc(sizeof *pipe);
    if (!pipe)
        return PIPES_NO_MEMORY;
    *pipe = (struct open_pipe){
        .id = id, .is_network = is_network, .peer = peer, .address = address, .heard_ms = now_ms};
    pthread_mutex_lock(&pipes->lock);
    enum pipes_outcome outcome =
        pipes->count < pipes->count_max ? count_origin(pipes, address) : PIPES_FULL;
    if (outcome == PIPES_ADDED) {
        struct open_pipe **end = find(pipes, id);
        *end = pipe;
        pipes->count++;
    }
    pthread_mutex_unlock(&pipes->lock);
    if (outcome != PIPES_ADDED)
        free(pipe);
    return outcome;
}

void pipes_remove(struct pipes *pipes, int id)
{
    pthread_mutex_lock(&pipes->lock);
    struct open_pipe **at = find(pipes, id);
    struct open_pipe *pipe = *at;
    if (pipe) {
        *at = pipe->next;
        pipes->count--;
        uncount_origin(pipes, pipe->address);
    }
    pthread_mutex_unlock(&pipes->lock);
    free(pipe);
}

/* What becomes different about a pipe. */
struct change {
    int busier, more_unread;
    uint64_t more_frames, more_bytes;
    unsigned more_unknown;
    int64_t heard_ms;
};

static unsigned changed(unsigned count, int by)
{
    return by < 0 && count == 0 ? 0 : count + (unsigned)by;
}

/* The pipe as it is now; all 0: it is gone. */
static struct open_pipe note(struct pipes *pipes, int id, struct change change)
{
    struct open_pipe now = {0};
    pthread_mutex_lock(&pipes->lock);
    struct open_pipe *pipe = *find(pipes, id);
    if (pipe) {
        if (change.heard_ms > pipe->heard_ms)
            pipe->heard_ms = change.heard_ms;
        pipe->busy = changed(pipe->busy, change.busier);
        pipe->unread = changed(pipe->unread, change.more_unread);
        pipe->frames += change.more_frames;
        pipe->bytes += change.more_bytes;
        pipe->unknown_tokens += change.more_unknown;
        now = *pipe;
    }
    pthread_mutex_unlock(&pipes->lock);
    return now;
}

unsigned pipes_begin(struct pipes *pipes, int id, size_t bytes, int64_t now_ms)
{
    struct change change = {.busier = 1, .more_frames = 1, .more_bytes = bytes, .heard_ms = now_ms};
    return note(pipes, id, change).unknown_tokens;
}

unsigned pipes_answer(struct pipes *pipes, int id)
{
    return note(pipes, id, (struct change){.more_unread = 1}).unread;
}

void pipes_answered(struct pipes *pipes, int id, int64_t now_ms)
{
    note(pipes, id, (struct change){.busier = -1, .more_unread = -1, .heard_ms = now_ms});
}

void pipes_drop(struct pipes *pipes, int id, int64_t now_ms)
{
    note(pipes, id, (struct change){.busier = -1, .heard_ms = now_ms});
}

void pipes_note_unknown(struct pipes *pipes, int id, unsigned count)
{
    note(pipes, id, (struct change){.more_unknown = count});
}

size_t pipes_list_silent(struct pipes *pipes, int64_t since_ms, int *ids, size_t id_count)
{
    size_t found = 0;
    pthread_mutex_lock(&pipes->lock);
    for (size_t i = 0; i < BUCKETS && found < id_count; i++) {
        for (struct open_pipe *pipe = pipes->buckets[i]; pipe && found < id_count;
             pipe = pipe->next) {
            if (pipe->is_network && pipe->busy == 0 && pipe->heard_ms < since_ms)
                ids[found++] = pipe->id;
        }
    }
    pthread_mutex_unlock(&pipes->lock);
    return found;
}

bool pipes_list_peers(struct pipes *pipes, struct pipe_peers *peers_out)
{
    pthread_mutex_lock(&pipes->lock);
    bool known = true;
    *peers_out = (struct pipe_peers){calloc(pipes->count + 1, sizeof(struct pipe_peer)), 0};
    for (size_t i = 0; i < BUCKETS && peers_out->peers; i++) {
        for (struct open_pipe *pipe = pipes->buckets[i]; pipe; pipe = pipe->next) {
            if (pipe->is_network)
                peers_out->peers[peers_out->count++] =
                    (struct pipe_peer){pipe->peer, pipe->frames, pipe->bytes};
            known = known && (!pipe->is_network || pipe->peer != 0);
        }
    }
    pthread_mutex_unlock(&pipes->lock);
    if (known && peers_out->peers)
        return true;
    free(peers_out->peers);
    return false;
}

size_t pipes_count(struct pipes *pipes)
{
    pthread_mutex_lock(&pipes->lock);
    size_t count = pipes->count;
    pthread_mutex_unlock(&pipes->lock);
    return count;
}
