/* What the parts of the engine share: engine.c (life), frame.c (a frame and its results), run.c
 * (one call), gather.c (one call over several sources), admin.c (calls to the server itself),
 * authorize.c (who may call what), admission.c (how many calls at a time). */
#ifndef CHATSTORE_SERVICE_ENGINE_INTERNAL_H
#define CHATSTORE_SERVICE_ENGINE_INTERNAL_H

#include "engine.h"

#include "arena.h"
#include "check.h"
#include "paging.h"
#include "snapshot.h"

#include "pool/log.h"

#include "chatstore/v1/envelope.pb-c.h"

struct engine {
    struct pool pool;
    pthread_mutex_t lock;
    struct snapshot *snapshot;        /* of now; under the lock */
    _Atomic uint64_t snapshot_number; /* its number, for who has another one */
    struct config_limits limits;      /* of the start: a reload does not change them */
    struct merge_cache *merge_cache;
    int64_t started_ms;
    engine_reload_fn reloader; /* NULL: there is nobody to ask */
    void *reloader_arg;
    _Atomic uint32_t calls_in_flight;
    _Atomic uint64_t answer_bytes; /* of large answers under way */
    struct arena_account requests; /* what is made of those under way */
    _Atomic bool draining;
    bool trusts_callers; /* no tokens are asked for */
    struct audit *audit;
    engine_peer_fn peer; /* NULL: there is nothing to say of a caller */
};

enum { ANSWER_START_BYTES = 512 };

/* One call of a frame. */
struct call_run {
    struct frame *frame;
    const Chatstore__V1__Call *wire;
    const struct call *call; /* NULL: the method is unknown */
    ProtobufCMessage *request;
    struct status status;
    int64_t deadline_ms;
    bool has_chat_id;
    bool hides_source; /* the client is not told where the call would have gone */
    bool lacks_audit;  /* refused, as the audit log has no room for it */
    int64_t chat_id;
    struct router_query query;
    struct router_decision route;
    size_t past;          /* routes of before that have been looked at */
    uint32_t past_source; /* where the write is looked for now */
    struct job job;       /* of a call to one source */
    struct answer answer; /* the response: of the job, or merged */
    uint8_t start[ANSWER_START_BYTES];
    struct gather *gather; /* of a call to several sources */
    struct paging *paging; /* of a page of a list; NULL: the whole of it */
    struct page_read page; /* of one to one source */
    Chatstore__V1__Result result;
    Chatstore__V1__Status result_status;
};

struct frame {
    struct engine *engine;
    struct snapshot *snapshot; /* held from frame_run until the reply is packed */
    frame_done_fn done;
    void (*read)(void *arg);            /* NULL: nobody waits for that */
    void *done_arg;                     /* of both */
    const struct config_client *client; /* of the snapshot; NULL: it may do everything */
    char client_name[CONFIG_CLIENT_NAME_BYTES_MAX + 1]; /* of a frame without its snapshot */
    bool is_own;                                        /* not a client's */
    bool is_unknown;                                    /* its token is nobody's */
    _Atomic uint32_t *client_calls; /* of the snapshot: the client's calls in flight; NULL: those of
                                       this frame are not counted */
    struct arena arena;
    struct call_run *runs;
    size_t run_count;
    _Atomic size_t unfinished;
    _Atomic size_t answer_bytes; /* of the calls that have ended */
    Chatstore__V1__Reply reply;
    struct call_run refusal; /* the one result of a frame that cannot be decoded */
    Chatstore__V1__Result *refusal_result;
    _Alignas(16) char start[6 << 10];
};

/* engine.c: the snapshot of now, held for the caller. */
struct snapshot *engine_hold_snapshot(struct engine *engine);

/* An answer that is complete counts from now on, if it is large; false: too much does already
 * (replies_bytes). To be dropped, which gives its memory back. */
bool engine_hold_answer(struct engine *engine, struct answer *answer);
void engine_drop_answer(struct engine *engine, struct answer *answer);

/* run.c: a call of this frame, and its beginning; it may end before this returns. hold: what the
 * calls of a frame share, NULL: it is the only one. */
void run_init(struct call_run *run, struct frame *frame);
void run_start(struct call_run *run, const Chatstore__V1__Call *wire, int64_t now_ms,
               struct source_hold *hold);

/* frame.c: the text for a frame, or its call, for which the requests under way leave no room. */
void frame_set_no_room(const struct frame *frame, struct status *why);

/* frame.c: the call has ended, run->status and run->answer hold. Exactly once a run. */
void run_finish(struct call_run *run);

/* admission.c: whether a frame of so many calls would find no place, so that it need not be
 * decoded; why says so. */
bool admission_is_full(const struct engine *engine, size_t calls, struct status *why);
/* Places for the frame's calls, which are counted as the server's and the client's from now on.
 * Returns how many of them are admitted, the first ones; why says what is with the others. */
uint32_t admission_take(struct frame *frame, uint32_t count, struct status *why);
void admission_give_back(struct frame *frame, uint32_t count);
/* So many calls, all that are left of this frame, are no longer counted as the client's. */
void admission_leave_client(struct frame *frame, uint32_t count);

/* run.c: a job of this run for one source, into `answer`. */
struct job_calls {
    void (*done)(struct job *job);
    bool (*may_begin)(struct job *job);
};
void run_init_job(struct call_run *run, struct job *job, struct answer *answer,
                  struct job_calls calls);

/* The text, cut at its first byte that is no UTF-8: one cut in the middle of a character would make
 * the whole reply unreadable. */
char *valid_text(char *text);

/* authorize.c: whose frame this is; false: nobody's, and why says so. A token that is no text, and
 * perhaps more bytes than can be seen here, is nobody's. */
bool authorize_frame(struct frame *frame, const struct request_parts *parts, bool is_text,
                     struct status *why);

/* Whether the frame's client may make the call, which has been decoded and routed; false: the run's
 * status says why not, and nothing of what the client may not see. */
bool authorize_run(struct call_run *run);
bool authorize_server_call(struct call_run *run);

/* Whether the call may be done now, with regard to the audit log. */
bool authorize_audited(struct call_run *run);

/* The same again when its job for a source begins, which may have waited for long: by the
 * configuration of now. */
bool authorize_again(const struct call_run *run, uint32_t source, struct status *why);

/* A run that ends, into the audit log if it belongs there; if that has no room for it and must have
 * it, the run is refused instead. */
void authorize_note(struct call_run *run);
/* The same of the calls of a frame that were refused without a look at them: all but those that
 * were admitted, the first ones. */
void authorize_note_frame(const struct frame *frame, const uint8_t *bytes, size_t count,
                          size_t admitted, enum status_code code);

/* gather.c: ask the sources of run->route, merge, finish the run. */
void gather_start(struct call_run *run);
/* What asking so many sources takes of the frame's memory. */
size_t gather_bytes(size_t source_count);
void gather_free(struct gather *gather);

/* admin.c: a call of scope SERVER, answered into run->answer and run->status. False: another thread
 * will answer and finish the run, or has done so. */
bool admin_run(struct call_run *run);

#endif
