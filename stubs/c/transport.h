/* What the client knows of the way to the engine: frames go out, each comes back once. One
 * implementation talks nng (transport_nng.c); another runs the engine in this process (in the
 * library libchatstore-embedded, loaded when an "embedded:" URL is opened, or registered by a
 * program that links it). */
#ifndef CHATSTORE_STUBS_TRANSPORT_H
#define CHATSTORE_STUBS_TRANSPORT_H

#include <chatstore/chatstore.h>
#include <stdatomic.h>

/* Raised when anything below changes: libraries of different versions must not be mixed. */
#define CHATSTORE_TRANSPORT_VERSION 2

struct chatstore_transport_options {
    size_t reply_bytes_max;
    uint32_t connect_timeout_ms; /* 0: as long as the frame may take */
    /* As in chatstore_client_options; read by open() only. */
    const char *tls_ca_file, *tls_cert_file, *tls_key_file, *tls_server_name;
    /* What alarm() calls, on any thread. */
    void (*on_alarm)(void *arg);
    void *arg;
};

/* How a frame ended; valid during done(). */
struct chatstore_frame_result {
    enum chatstore_status status; /* of the transport: OK when there is a reply */
    const char *message;          /* unless OK: what failed, where, what to do */
    const uint8_t *reply;         /* an encoded Reply */
    size_t reply_bytes;
};

/* A frame that is on its way. The memory, bytes included, is the caller's, who leaves it alone from
 * submit until done. */
struct chatstore_frame {
    const uint8_t *bytes; /* an encoded Request */
    size_t byte_count;
    uint32_t timeout_ms; /* > 0 */
    /* Set by the transport once the server may have got the frame. */
    atomic_bool sent;
    /* Called exactly once: on any thread, possibly before submit returns. It does not block, and
     * may submit frames, this one too. */
    void (*done)(struct chatstore_frame *frame, const struct chatstore_frame_result *result);
};

struct chatstore_transport_ops {
    unsigned version; /* CHATSTORE_TRANSPORT_VERSION */
    /* Whether a frame costs so much that calls should wait to share one. */
    bool join_pays;
    /* url whole, with its scheme. On failure: error has a text that names the url. */
    enum chatstore_status (*open)(const char *url,
                                  const struct chatstore_transport_options *options,
                                  void **transport_out, char *error, size_t error_bytes);
    /* Any thread. */
    void (*submit)(void *transport, struct chatstore_frame *frame);
    /* Frames under way are done (UNAVAILABLE), and on_alarm is over, when it returns. Nothing is
     * submitted after it was called. */
    void (*close)(void *transport);
    /* Call on_alarm after that many milliseconds, and forget the alarm before. May be late, may
     * ring too often. NULL: frames never take longer than their timeout, so none is needed. */
    void (*alarm)(void *transport, uint32_t after_ms);
};

/* Make URLs that begin with "SCHEME:" use ops, which must stay. At most 4 schemes; a program does
 * it once, before it opens clients. */
CHATSTORE_API void chatstore_transport_register(const char *scheme,
                                                const struct chatstore_transport_ops *ops);

/* The transport of a URL, or NULL with the reason in error. */
const struct chatstore_transport_ops *transport_find(const char *url, char *error,
                                                     size_t error_bytes);

/* What else may be wrong when there is no connection to the URL: about certificates and names, or
 * empty. */
const char *transport_hint(const char *url);

extern const struct chatstore_transport_ops transport_nng;

#endif
