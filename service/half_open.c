#include "half_open.h"

#include "pool/clock.h"
#include "pool/log.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* How much may come that is no frame: a TLS handshake, and around each frame what TLS, WebSocket
 * and SP put there. A client that sends tiny records needs more of it, for all bytes that it sends.
 */
enum {
    LOOK_MS_MAX = 1000,
    SLACK_BYTES = 32 << 10,
    AROUND_FRAME_BYTES = 256,
    AROUND_BYTES_SHARE = 16,
};

/* By descriptor: the peer that it was connected to when it was first seen to be no pipe, or to be
 * in a frame. */
struct suspect {
    uint64_t peer;
    int64_t since_ms; /* 0: a pipe that is in no frame */
    bool is_pipe;
    uint64_t frames, bytes; /* that the pipe had delivered at the last look */
    uint64_t around_bytes;  /* that had come by then and were in no frame, as far as is believed */
};

struct half_open {
    struct pipes *pipes;
    uint16_t *ports; /* in network order */
    size_t port_count;
    unsigned handshake_ms, frame_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool stopping;
    struct suspect *suspects;
    size_t suspect_count;
};

static uint64_t mix(uint64_t sum, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ at[i]) * 1099511628211U;
    return sum;
}

uint64_t half_open_peer(const struct sockaddr_storage *address)
{
    uint64_t sum = 14695981039346656037U;
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        sum = mix(mix(sum, &in6->sin6_addr, sizeof in6->sin6_addr), &in6->sin6_port, 2);
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        sum = mix(mix(sum, &in->sin_addr, sizeof in->sin_addr), &in->sin_port, 2);
    }
    return sum != 0 ? sum : 1;
}

/* ---- Looking ---- */

static bool is_ours(const struct half_open *half_open, const struct sockaddr_storage *address)
{
    in_port_t port;
    if (address->ss_family == AF_INET)
        port = ((const struct sockaddr_in *)address)->sin_port;
    else if (address->ss_family == AF_INET6)
        port = ((const struct sockaddr_in6 *)address)->sin6_port;
    else
        return false;
    for (size_t i = 0; i < half_open->port_count; i++) {
        if (half_open->ports[i] == port)
            return true;
    }
    return false;
}

/* Whom a socket that came to one of our ports is connected to; 0: it is none. */
static uint64_t peer_of(const struct half_open *half_open, int file)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    if (getsockname(file, (struct sockaddr *)&address, &bytes) != 0 ||
        !is_ours(half_open, &address))
        return 0;
    bytes = sizeof address;
    if (getpeername(file, (struct sockaddr *)&address, &bytes) != 0)
        return 0;
    return half_open_peer(&address);
}

static bool make_room(struct half_open *half_open, size_t file)
{
    size_t count = half_open->suspect_count;
    if (file < count)
        return true;
    struct suspect *larger = realloc(half_open->suspects, (file + 64) * sizeof *larger);
    if (!larger)
        return false;
    memset(larger + count, 0, (file + 64 - count) * sizeof *larger);
    half_open->suspects = larger;
    half_open->suspect_count = file + 64;
    return true;
}

static int compare_peers(const void *a, const void *b)
{
    uint64_t left = ((const struct pipe_peer *)a)->peer,
             right = ((const struct pipe_peer *)b)->peer;
    return (left > right) - (left < right);
}

/* A peer may come to two of our ports from one of its own. */
static bool is_only_one(const struct pipe_peers *known, const struct pipe_peer *pipe)
{
    const struct pipe_peer *end = known->peers + known->count;
    return (pipe == known->peers || pipe[-1].peer != pipe->peer) &&
           (pipe + 1 == end || pipe[1].peer != pipe->peer);
}

/* All bytes that have come on a connection; 0: the kernel (before 4.1) does not tell. */
static uint64_t received_on(int file)
{
    struct tcp_info info;
    socklen_t bytes = sizeof info;
    memset(&info, 0, sizeof info);
    return getsockopt(file, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 ? info.tcpi_bytes_received
                                                                       : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whether more has come on a pipe than belongs to the frames that it delivered, and it delivered
 * none since the last look. */
static bool is_in_frame(struct suspect *suspect, const struct pipe_peer *pipe, uint64_t received)
{
    uint64_t outside = received > pipe->bytes ? received - pipe->bytes : 0;
    bool delivered = pipe->frames != suspect->frames;
    uint64_t around = (pipe->frames - suspect->frames) * AROUND_FRAME_BYTES +
                      (pipe->bytes - suspect->bytes) / AROUND_BYTES_SHARE;
    suspect->frames = pipe->frames;
    suspect->bytes = pipe->bytes;
    suspect->around_bytes = smaller(outside, suspect->around_bytes + around);
    return !delivered && outside - suspect->around_bytes >= SLACK_BYTES;
}

static bool is_stuck(const struct half_open *half_open, struct suspect *suspect, uint64_t peer,
                     const struct pipe_peer *pipe, int file)
{
    int64_t now_ms = clock_now_ms();
    if (suspect->peer != peer || suspect->is_pipe != (pipe != NULL))
        *suspect = (struct suspect){peer, pipe ? 0 : now_ms, pipe != NULL, 0, 0, 0};
    if (pipe && !is_in_frame(suspect, pipe, received_on(file)))
        suspect->since_ms = 0;
    else if (suspect->since_ms == 0)
        suspect->since_ms = now_ms;
    unsigned wait_ms = pipe ? half_open->frame_ms : half_open->handshake_ms;
    return suspect->since_ms != 0 && now_ms - suspect->since_ms >= wait_ms;
}

/* Shut down and not closed: the descriptor is nng's, who then sees the end of the connection. */
static bool look_at(struct half_open *half_open, int file, const struct pipe_peers *known)
{
    struct pipe_peer key = {.peer = peer_of(half_open, file)};
    if (!make_room(half_open, (size_t)file))
        return false;
    struct suspect *suspect = &half_open->suspects[file];
    const struct pipe_peer *pipe =
        bsearch(&key, known->peers, known->count, sizeof key, compare_peers);
    bool can_be_judged = key.peer != 0 && (!pipe || is_only_one(known, pipe));
    if (can_be_judged && !is_stuck(half_open, suspect, key.peer, pipe, file))
        return false;
    suspect->peer = 0;
    return can_be_judged && shutdown(file, SHUT_RDWR) == 0;
}

static void look(struct half_open *half_open)
{
    static struct log_limit limit = {.burst = 1};
    size_t closed = 0;
    struct pipe_peers known;
    DIR *files = opendir("/proc/self/fd");
    /* A pipe whose peer is not known might be any of them. */
    if (files && pipes_list_peers(half_open->pipes, &known)) {
        qsort(known.peers, known.count, sizeof *known.peers, compare_peers);
        for (struct dirent *entry = readdir(files); entry; entry = readdir(files)) {
            if (entry->d_name[0] != '.')
                closed += look_at(half_open, (int)strtol(entry->d_name, NULL, 10), &known);
        }
        free(known.peers);
    }
    if (files)
        closedir(files);
    if (closed > 0)
        log_limited(&limit, LOG_INFO,
                    "%zu connections did not end their handshake (handshake_ms) or a frame "
                    "(frame_ms) in time: closed",
                    closed);
}

static void *half_open_main(void *arg)
{
    struct half_open *half_open = arg;
    unsigned step_ms =
        (unsigned)smaller(LOOK_MS_MAX, smaller(half_open->handshake_ms, half_open->frame_ms) / 4);
    pthread_setname_np(pthread_self(), "half-open");
    pthread_mutex_lock(&half_open->lock);
    while (!half_open->stopping) {
        clock_wait(&half_open->told, &half_open->lock, clock_now_ms() + step_ms + 1);
        pthread_mutex_unlock(&half_open->lock);
        look(half_open);
        pthread_mutex_lock(&half_open->lock);
    }
    pthread_mutex_unlock(&half_open->lock);
    return NULL;
}

/* ---- Its life ---- */

static void half_open_free(struct half_open *half_open)
{
    pthread_cond_destroy(&half_open->told);
    pthread_mutex_destroy(&half_open->lock);
    free(half_open->suspects);
    free(half_open->ports);
    free(half_open);
}

int half_open_start(struct pipes *pipes, const uint16_t *ports, size_t port_count,
                    unsigned handshake_ms, unsigned frame_ms, struct half_open **half_open_out)
{
    struct half_open *half_open = calloc(1, sizeof *half_open);
    if (!half_open)
        return ENOMEM;
    pthread_mutex_init(&half_open->lock, NULL);
    pthread_cond_init(&half_open->told, NULL);
    half_open->pipes = pipes;
    half_open->handshake_ms = handshake_ms;
    half_open->frame_ms = frame_ms;
    half_open->port_count = port_count;
    half_open->ports = calloc(port_count + 1, sizeof *half_open->ports);
    if (half_open->ports)
        memcpy(half_open->ports, ports, port_count * sizeof *ports);
    int error = half_open->ports
                    ? pthread_create(&half_open->thread, NULL, half_open_main, half_open)
                    : ENOMEM;
    if (error != 0)
        half_open_free(half_open);
    else
        *half_open_out = half_open;
    return error;
}

void half_open_stop(struct half_open *half_open)
{
    if (!half_open)
        return;
    pthread_mutex_lock(&half_open->lock);
    half_open->stopping = true;
    pthread_cond_signal(&half_open->told);
    pthread_mutex_unlock(&half_open->lock);
    pthread_join(half_open->thread, NULL);
    half_open_free(half_open);
}
