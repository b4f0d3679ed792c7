/* Frames over nng: a REQ socket, one of its contexts for each frame that is out. With
 * transport_tls.c the only file of the client that knows nng. */
#include "transport.h"

#include "transport_tls.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { RECONNECT_MS_MIN = 100, RECONNECT_MS_MAX = 1000, SILENT_MS_MAX = 5000, TEXT_BYTES = 512 };

/* Not an error of nng: the text says what is wrong. */
enum { TLS_FAILED = -1 };

struct nng_transport;

/* A context, and the frame that is using it. Slots are made when needed, used again, and freed at
 * the end: nng's aios are best left alone while others work. */
struct nng_slot {
    struct nng_transport *transport;
    struct nng_slot *next;      /* in spare */
    struct nng_slot *next_made; /* in made */
    nng_ctx context;
    nng_aio *aio;
    struct chatstore_frame *frame;
    bool is_receiving; /* else it is sending */
    int64_t deadline_ms;
};

struct nng_transport {
    char *url;
    struct chatstore_transport_options options;
    nng_socket socket;
    atomic_int pipe_count;
    atomic_uint pipe_id;          /* the last one's */
    atomic_llong silent_since_ms; /* the first frame sent since the last reply; 0: none was */

    pthread_mutex_t lock; /* guards the slots' lists */
    struct nng_slot *spare;
    struct nng_slot *made;

    pthread_mutex_t alarm_lock;
    nng_aio *alarm_aio;
    bool alarm_sleeps;
    int64_t alarm_ms; /* for when it is set; INT64_MAX: not set */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static nng_duration until_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - now_ms();
    return left < 1 ? 1 : left > INT32_MAX ? INT32_MAX : (nng_duration)left;
}

/* Frames */

static void finish(struct nng_slot *slot, const struct chatstore_frame_result *result)
{
    struct nng_transport *transport = slot->transport;

    slot->frame->done(slot->frame, result);
    pthread_mutex_lock(&transport->lock);
    slot->next = transport->spare;
    transport->spare = slot;
    pthread_mutex_unlock(&transport->lock);
}

/* Why a frame was not sent. */
static enum chatstore_status explain_send(const struct nng_slot *slot, int error, char *text)
{
    struct nng_transport *transport = slot->transport;

    if (error != NNG_ETIMEDOUT)
        snprintf(text, TEXT_BYTES, "not sent to %s: %s", transport->url, nng_strerror(error));
    else if (atomic_load(&transport->pipe_count) == 0)
        snprintf(text, TEXT_BYTES,
                 "there is no connection to %s; is chatstored running, and listening there?%s",
                 transport->url, transport_hint(transport->url));
    else
        snprintf(text, TEXT_BYTES, "the server at %s takes no requests in; is it overloaded?",
                 transport->url);
    return error == NNG_ENOMEM ? CHATSTORE_RESOURCE_EXHAUSTED : CHATSTORE_UNAVAILABLE;
}

/* Why a frame that was sent has no reply. */
static enum chatstore_status explain_receive(const struct nng_slot *slot, int error, char *text)
{
    const char *url = slot->transport->url;

    if (error == NNG_ETIMEDOUT) {
        snprintf(text, TEXT_BYTES,
                 "no answer from %s within %u ms; whether the call was carried out is not known",
                 url, (unsigned)slot->frame->timeout_ms);
        return CHATSTORE_DEADLINE_EXCEEDED;
    }
    if (error == NNG_ECANCELED || error == NNG_ECLOSED)
        snprintf(text, TEXT_BYTES, "the client was closed before %s answered", url);
    else
        snprintf(text, TEXT_BYTES,
                 "the connection to %s was lost (%s) before the answer came; whether the call was "
                 "carried out is not known. The server may have gone, or the request or its "
                 "answer was over a limit of bytes",
                 url, nng_strerror(error));
    return CHATSTORE_UNAVAILABLE;
}

static void fail(struct nng_slot *slot, int error)
{
    char text[TEXT_BYTES];
    struct chatstore_frame_result result = {.message = text};

    if (slot->is_receiving)
        result.status = explain_receive(slot, error, text);
    else
        result.status = explain_send(slot, error, text);
    finish(slot, &result);
}

static void receive(struct nng_slot *slot)
{
    slot->is_receiving = true;
    nng_aio_set_timeout(slot->aio, until_ms(slot->deadline_ms));
    nng_ctx_recv(slot->context, slot->aio);
}

static void note_sent(struct nng_transport *transport)
{
    long long none = 0;
    atomic_compare_exchange_strong(&transport->silent_since_ms, &none, now_ms());
}

/* A frame's time was up. TCP itself takes a quarter of an hour to notice that one of its addresses
 * is gone; a new connection may find its way. */
static void note_silence(struct nng_transport *transport)
{
    long long since_ms = atomic_load(&transport->silent_since_ms);

    if (since_ms == 0 || now_ms() - since_ms < SILENT_MS_MAX ||
        !atomic_compare_exchange_strong(&transport->silent_since_ms, &since_ms, 0))
        return;
    nng_pipe_close((nng_pipe){.id = atomic_load(&transport->pipe_id)});
}

static void slot_cb(void *arg)
{
    struct nng_slot *slot = arg;
    int error = nng_aio_result(slot->aio);

    if (error == NNG_ETIMEDOUT)
        note_silence(slot->transport);
    if (error != 0) {
        if (!slot->is_receiving)
            nng_msg_free(nng_aio_get_msg(slot->aio));
        fail(slot, error);
        return;
    }
    if (!slot->is_receiving) {
        atomic_store(&slot->frame->sent, true);
        note_sent(slot->transport);
        receive(slot);
        return;
    }
    atomic_store(&slot->transport->silent_since_ms, 0);
    nng_msg *reply = nng_aio_get_msg(slot->aio);
    struct chatstore_frame_result result = {.status = CHATSTORE_OK,
                                            .message = "",
                                            .reply = nng_msg_body(reply),
                                            .reply_bytes = nng_msg_len(reply)};
    finish(slot, &result);
    nng_msg_free(reply);
}

static struct nng_slot *slot_new(struct nng_transport *transport, int *error_out)
{
    struct nng_slot *slot = calloc(1, sizeof *slot);

    if (slot == NULL) {
        *error_out = NNG_ENOMEM;
        return NULL;
    }
    slot->transport = transport;
    *error_out = nng_ctx_open(&slot->context, transport->socket);
    if (*error_out != 0)
        goto err_context;
    *error_out = nng_aio_alloc(&slot->aio, slot_cb, slot);
    if (*error_out != 0)
        goto err_aio;
    pthread_mutex_lock(&transport->lock);
    slot->next_made = transport->made;
    transport->made = slot;
    pthread_mutex_unlock(&transport->lock);
    return slot;

err_aio:
    nng_ctx_close(slot->context);
err_context:
    free(slot);
    return NULL;
}

static struct nng_slot *take_slot(struct nng_transport *transport, int *error_out)
{
    pthread_mutex_lock(&transport->lock);
    struct nng_slot *slot = transport->spare;
    if (slot != NULL)
        transport->spare = slot->next;
    pthread_mutex_unlock(&transport->lock);
    return slot != NULL ? slot : slot_new(transport, error_out);
}

/* How long the frame may wait for somebody to take it. */
static nng_duration send_timeout(const struct nng_transport *transport, const struct nng_slot *slot)
{
    nng_duration left = until_ms(slot->deadline_ms);
    uint32_t connect_ms = transport->options.connect_timeout_ms;

    if (connect_ms == 0 || atomic_load(&transport->pipe_count) > 0)
        return left;
    return connect_ms < (uint32_t)left ? (nng_duration)connect_ms : left;
}

static void refuse(struct nng_transport *transport, struct chatstore_frame *frame, int error)
{
    char text[TEXT_BYTES];
    struct chatstore_frame_result result = {.status = CHATSTORE_RESOURCE_EXHAUSTED,
                                            .message = text};

    snprintf(text, sizeof text, "not sent to %s: %s", transport->url, nng_strerror(error));
    frame->done(frame, &result);
}

static void nng_submit(void *arg, struct chatstore_frame *frame)
{
    struct nng_transport *transport = arg;
    nng_msg *message;
    int error = nng_msg_alloc(&message, frame->byte_count);

    if (error != 0) {
        refuse(transport, frame, error);
        return;
    }
    struct nng_slot *slot = take_slot(transport, &error);
    if (slot == NULL) {
        nng_msg_free(message);
        refuse(transport, frame, error);
        return;
    }
    memcpy(nng_msg_body(message), frame->bytes, frame->byte_count);
    slot->frame = frame;
    slot->is_receiving = false;
    slot->deadline_ms = now_ms() + frame->timeout_ms;
    nng_aio_set_msg(slot->aio, message);
    nng_aio_set_timeout(slot->aio, send_timeout(transport, slot));
    nng_ctx_send(slot->context, slot->aio);
}

/* The alarm */

/* alarm_lock is held: nng never runs a callback inside of a call that starts or cancels. */
static void alarm_sleep(struct nng_transport *transport)
{
    transport->alarm_sleeps = true;
    nng_sleep_aio(until_ms(transport->alarm_ms), transport->alarm_aio);
}

static void alarm_cb(void *arg)
{
    struct nng_transport *transport = arg;
    int error = nng_aio_result(transport->alarm_aio);
    bool rings = false;

    pthread_mutex_lock(&transport->alarm_lock);
    transport->alarm_sleeps = false;
    if (error == 0 || error == NNG_ECANCELED) { /* cancelled: it is set for another time */
        rings = transport->alarm_ms <= now_ms();
        if (rings)
            transport->alarm_ms = INT64_MAX;
        else if (transport->alarm_ms != INT64_MAX)
            alarm_sleep(transport);
    }
    pthread_mutex_unlock(&transport->alarm_lock);
    if (rings)
        transport->options.on_alarm(transport->options.arg);
}

static void nng_alarm(void *arg, uint32_t after_ms)
{
    struct nng_transport *transport = arg;

    pthread_mutex_lock(&transport->alarm_lock);
    transport->alarm_ms = now_ms() + after_ms;
    if (transport->alarm_sleeps)
        nng_aio_cancel(transport->alarm_aio);
    else
        alarm_sleep(transport);
    pthread_mutex_unlock(&transport->alarm_lock);
}

/* Opening and closing */

static void pipe_cb(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct nng_transport *transport = arg;

    if (event == NNG_PIPE_EV_ADD_POST) {
        atomic_store(&transport->silent_since_ms, 0);
        atomic_store(&transport->pipe_id, (unsigned)nng_pipe_id(pipe));
        atomic_fetch_add(&transport->pipe_count, 1);
    } else {
        atomic_fetch_sub(&transport->pipe_count, 1);
    }
}

/* Clients that lost the same server should not all come back at the same moment. */
static nng_duration reconnect_ms_min(void)
{
    unsigned char noise = 0;
    if (getrandom(&noise, sizeof noise, GRND_NONBLOCK) < 0)
        noise = 0;
    return RECONNECT_MS_MIN + noise % RECONNECT_MS_MIN;
}

/* The limits come before the dialer, which takes them on when it is made. Resending is ours to do,
 * or not: a request that nng sends again would be carried out again. */
static int set_up_socket(struct nng_transport *transport, nng_dialer *dialer, char *error_text,
                         size_t error_bytes)
{
    nng_socket socket = transport->socket;
    int error;

    (void)((error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ,
                                        transport->options.reply_bytes_max)) ||
           (error = nng_socket_set_ms(socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE)) ||
           (error = nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, reconnect_ms_min())) ||
           (error = nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, RECONNECT_MS_MAX)) ||
           (error = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, pipe_cb, transport)) ||
           (error = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, pipe_cb, transport)) ||
           (error = nng_dialer_create(dialer, socket, transport->url)));
    if (error != 0)
        return error;
    if (transport_tls_is_used(transport->url) &&
        !transport_tls_set_up(*dialer, transport->url, &transport->options, error_text,
                              error_bytes))
        return TLS_FAILED;
    /* Only tcp has it. */
    nng_dialer_set_bool(*dialer, NNG_OPT_TCP_KEEPALIVE, true);
    return nng_dialer_start(*dialer, NNG_FLAG_NONBLOCK);
}

static void transport_free(struct nng_transport *transport)
{
    pthread_mutex_destroy(&transport->lock);
    pthread_mutex_destroy(&transport->alarm_lock);
    free(transport->url);
    free(transport);
}

static struct nng_transport *transport_new(const char *url,
                                           const struct chatstore_transport_options *options)
{
    struct nng_transport *transport = calloc(1, sizeof *transport);

    if (transport == NULL)
        return NULL;
    pthread_mutex_init(&transport->lock, NULL);
    pthread_mutex_init(&transport->alarm_lock, NULL);
    transport->alarm_ms = INT64_MAX;
    transport->options = *options;
    transport->url = strdup(url);
    if (transport->url == NULL) {
        transport_free(transport);
        return NULL;
    }
    return transport;
}

static enum chatstore_status explain_open(const char *url, int error, char *text, size_t bytes)
{
    bool is_url = error == NNG_EINVAL || error == NNG_ENOTSUP || error == NNG_EADDRINVAL;

    snprintf(text, bytes, "cannot open %s: %s%s", url, nng_strerror(error),
             is_url ? "; a URL is ipc:///path/of.sock, tcp://host:port, ws://host:port/path, "
                      "embedded:bot.db or embedded:chatstore.toml"
                    : "");
    return is_url                ? CHATSTORE_INVALID_ARGUMENT
           : error == NNG_ENOMEM ? CHATSTORE_RESOURCE_EXHAUSTED
                                 : CHATSTORE_UNAVAILABLE;
}

static enum chatstore_status nng_transport_open(const char *url,
                                                const struct chatstore_transport_options *options,
                                                void **transport_out, char *error_text,
                                                size_t error_bytes)
{
    struct nng_transport *transport = transport_new(url, options);
    nng_dialer dialer;
    int error = NNG_ENOMEM;

    if (transport == NULL)
        return explain_open(url, error, error_text, error_bytes);
    error = nng_aio_alloc(&transport->alarm_aio, alarm_cb, transport);
    if (error != 0)
        goto err_aio;
    error = nng_req0_open(&transport->socket);
    if (error != 0)
        goto err_socket;
    error = set_up_socket(transport, &dialer, error_text, error_bytes);
    if (error != 0)
        goto err_dialer;
    *transport_out = transport;
    return CHATSTORE_OK;

err_dialer:
    nng_close(transport->socket);
err_socket:
    nng_aio_free(transport->alarm_aio);
err_aio:
    transport_free(transport);
    if (error == TLS_FAILED)
        return CHATSTORE_INVALID_ARGUMENT;
    return explain_open(url, error, error_text, error_bytes);
}

static void nng_transport_close(void *arg)
{
    struct nng_transport *transport = arg;

    /* All are stopped before any is freed. The socket comes last: when an aio's time is up, nng
     * calls into the socket on a thread that only freeing the aio waits for; closing the socket
     * before makes nng abort. */
    nng_aio_stop(transport->alarm_aio);
    for (struct nng_slot *slot = transport->made; slot != NULL; slot = slot->next_made)
        nng_aio_stop(slot->aio);
    nng_aio_free(transport->alarm_aio);
    while (transport->made != NULL) {
        struct nng_slot *slot = transport->made;
        transport->made = slot->next_made;
        nng_aio_free(slot->aio);
        free(slot);
    }
    nng_close(transport->socket);
    transport_free(transport);
}

const struct chatstore_transport_ops transport_nng = {
    .version = CHATSTORE_TRANSPORT_VERSION,
    .join_pays = true,
    .open = nng_transport_open,
    .submit = nng_submit,
    .close = nng_transport_close,
    .alarm = nng_alarm,
};
