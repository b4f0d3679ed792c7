/* libchatstore: calls to a chatstore server, or to database files in this very process.
 *
 * <chatstore/calls.h> has two functions for each call, one that blocks and one with a callback;
 * what holds for all of them stands here.
 *
 *     struct chatstore_client *client;
 *     if (chatstore_client_open(NULL, NULL, &client) != CHATSTORE_OK)
 *         ...
 *     Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
 *     Chatstore__V1__GetChatUserResponse *response;
 *     request.chat_id = -1001;
 *     request.user_id = 7;
 *     if (chatstore_get_chat_user(client, &request, NULL, &response) != CHATSTORE_OK)
 *         fprintf(stderr, "%s\n", chatstore_client_error(client));
 *     chatstore__v1__get_chat_user_response__free_unpacked(response, NULL);
 *     chatstore_client_close(client);
 *
 * Presence. A field that the contract calls `optional` is sent when its value is not zero (a
 * string: not NULL); only an explicit zero or empty string needs the field's `_NAME_case` too:
 *     request._thread_id_case = CHATSTORE__V1__..._REQUEST___THREAD_ID_THREAD_ID;
 * In answers `_NAME_case` tells an absent field (0) from one that is there.
 *
 * Threads. A client may be used by any number of threads at once; one client per program is
 * enough. Calls made at the same time share frames by themselves. After fork() the child must open
 * a client of its own; calls on its parent's fail with FAILED_PRECONDITION.
 *
 * Retries. A call whose connection is lost before its answer comes, or to which the server says
 * that it is UNAVAILABLE, is sent again until its time is up, after 20 ms, then twice as long each
 * time up to 1 s, more or less at random; a write with the same request_id, by which the server
 * does it once. So a server may be restarted under its callers. One that a *source* refuses with
 * UNAVAILABLE is sent again for source_retry_ms only, and one that has lost its connection ten
 * times not any more (its answer may be what the connection breaks of). Nothing is sent again after
 * DEADLINE_EXCEEDED, over connect_timeout_ms, with no_retry, and with "embedded:", where there is
 * no connection to lose.
 *
 * Strings are UTF-8 and end in NUL. */
#ifndef CHATSTORE_CHATSTORE_H
#define CHATSTORE_CHATSTORE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHATSTORE_API __attribute__((visibility("default")))

/* The codes of google.rpc, as they travel. */
enum chatstore_status {
    CHATSTORE_OK = 0,
    CHATSTORE_INVALID_ARGUMENT = 3,
    CHATSTORE_DEADLINE_EXCEEDED = 4, /* whether the call was carried out is not known */
    CHATSTORE_NOT_FOUND = 5,
    CHATSTORE_ALREADY_EXISTS = 6,
    CHATSTORE_PERMISSION_DENIED = 7,
    CHATSTORE_RESOURCE_EXHAUSTED = 8, /* a limit, on either side; the text names it */
    CHATSTORE_FAILED_PRECONDITION = 9,
    CHATSTORE_ABORTED = 10,
    CHATSTORE_UNIMPLEMENTED = 12,
    CHATSTORE_INTERNAL = 13,
    CHATSTORE_UNAVAILABLE =
        14, /* server or source cannot be reached; a write may be done even so */
    CHATSTORE_DATA_LOSS = 15,
    CHATSTORE_UNAUTHENTICATED = 16
};

/* "INVALID_ARGUMENT"; "UNKNOWN" for numbers that are none of ours. Static text. */
CHATSTORE_API const char *chatstore_status_name(enum chatstore_status status);

struct chatstore_client;

/* Zeroed memory is the default of everything. */
struct chatstore_client_options {
    const char *token;             /* NULL: none */
    uint32_t timeout_ms;           /* of calls that give none. 0: 30,000 */
    uint32_t connect_timeout_ms;   /* wait for a connection. 0: as long as the call may take */
    uint32_t frames_in_flight_max; /* more calls than this at a time are joined. 0: 4 */
    uint32_t calls_per_frame_max;  /* 0: 128 */
    uint32_t calls_in_flight_max;  /* over it: RESOURCE_EXHAUSTED. 0: 1,024 */
    size_t request_bytes_max;      /* of a frame; the server has a limit too. 0: 4 MiB */
    size_t reply_bytes_max;        /* of a frame. 0: 64 MiB */
    bool no_join;                  /* a frame for each call */
    bool no_retry;                 /* each call is sent once */
    uint32_t source_retry_ms;      /* how long a source that is down is asked again. 0: 2,000 */
    /* Of "tls+tcp:" and "wss:" URLs: PEM files, read by chatstore_client_open(). */
    const char *tls_ca_file;     /* the CA of the server's certificate. NULL: the system's CAs */
    const char *tls_cert_file;   /* our certificate, where the server wants one. NULL: none */
    const char *tls_key_file;    /* its key, without a password */
    const char *tls_server_name; /* that the server's certificate must have. NULL: the URL's host */
    uint64_t reserved[4];        /* zero */
};

/* Open a client. Does not wait for the server: calls do, until their time is up.
 *
 * url         "ipc:///path", "tcp://host:port", "tls+tcp://host:port", "ws://...", "wss://...",
 *             "inproc://name"; or, with no server,
 *             "embedded:bot.db", "embedded:chatstore.toml". NULL: $CHATSTORE_URL, else
 *             chatstore_url_default().
 * options     copied; NULL: all defaults.
 * client_out  set on CHATSTORE_OK, else NULL; to be closed by chatstore_client_close().
 * On failure chatstore_client_error(NULL) has the reason. */
CHATSTORE_API enum chatstore_status
chatstore_client_open(const char *url, const struct chatstore_client_options *options,
                      struct chatstore_client **client_out);

/* Close a client; NULL is allowed. Calls that are under way fail with UNAVAILABLE first: their
 * callbacks have run when this returns. Not from a callback, and no call may follow. */
CHATSTORE_API void chatstore_client_close(struct chatstore_client *client);

/* The text of this thread's last blocking call on this client, empty if that went well. With NULL:
 * of this thread's last chatstore_client_open(). Valid until the thread's next call. */
CHATSTORE_API const char *chatstore_client_error(const struct chatstore_client *client);

/* "ipc://$XDG_RUNTIME_DIR/chatstore.sock", else "ipc:///run/chatstore/chatstore.sock". Returns the
 * text's length; it was cut if that is not below url_bytes. */
CHATSTORE_API size_t chatstore_url_default(char *url, size_t url_bytes);

/* A source that could not take part in a merged read. */
struct chatstore_source_failure {
    const char *source;
    enum chatstore_status code;
    const char *message;
};

/* What came of a call, beside its answer. Strings are never NULL. */
struct chatstore_outcome {
    enum chatstore_status status;
    const char *message;               /* empty on CHATSTORE_OK */
    const char *source;                /* that answered; empty: the server itself, or several */
    const char *const *merged_sources; /* of merged reads: those whose rows are in the answer */
    size_t merged_source_count;
    const struct chatstore_source_failure *failed_sources; /* of merged reads: the rest */
    size_t failed_source_count;
    void *memory; /* what clear frees; private */
};

CHATSTORE_API void chatstore_outcome_init(struct chatstore_outcome *outcome);
/* Free what it holds; it is as after init then. */
CHATSTORE_API void chatstore_outcome_clear(struct chatstore_outcome *outcome);
/* A copy that stays: what a callback is given is valid in the callback only. `to` is overwritten
 * without being cleared. Without memory for the texts only the status is copied. */
CHATSTORE_API void chatstore_outcome_copy(struct chatstore_outcome *to,
                                          const struct chatstore_outcome *from);

/* Options of one call; NULL or zeroed memory: the defaults. */
struct chatstore_call_options {
    uint32_t timeout_ms; /* 0: the client's */
    /* A UUID that makes a write safe to repeat: the same request with the same id is done once.
     * NULL: a new one for each write. */
    const char *request_id;
    /* Blocking calls: filled when the call returns; init before, clear after. NULL: not wanted. */
    struct chatstore_outcome *outcome;
    uint64_t reserved[4]; /* zero */
};

/* Callbacks of ..._async calls are called exactly once, possibly before the function returns, on a
 * thread of the library or of another caller. They may make calls with callbacks, but none that
 * block. The response is theirs, to be freed with ..._free_unpacked(response, NULL), and NULL
 * unless the status is CHATSTORE_OK; the outcome is valid during the callback. Request and options
 * are copied: they may go when ..._async has returned. */

/* Any call by its name, with the encoded request.
 *
 * method     "/chatstore.v1.UserService/GetChatUser", or a bare "GetChatUser". A whole name that
 *            this library does not know goes to the server as it is.
 * reply_out  on CHATSTORE_OK the encoded response, to be freed with free(); else NULL. */
CHATSTORE_API enum chatstore_status
chatstore_client_call(struct chatstore_client *client, const char *method, const void *payload,
                      size_t payload_bytes, const struct chatstore_call_options *options,
                      uint8_t **reply_out, size_t *reply_bytes_out);

#ifdef __cplusplus
}
#endif

#endif
