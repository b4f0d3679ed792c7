/* Who may call what, at the gate: whose frame it is, and whether each of its calls is allowed.
 * Texts name a source only to a client that may see it. */
#include "engine_internal.h"

#include "audit.h"
#include "check.h"

#include "call_ids.h"

#include <string.h>

enum { METHOD_BYTES_MAX = 128 }; /* longer than any that there is */

/* The same bytes for a token that is absent, malformed or unknown. */
static const char unknown_text[] =
    "a token that this server knows is needed; whoever runs the server makes one with `chatstore "
    "token new`, and it is given with --token-file, CHATSTORE_TOKEN or the client's option token";

bool authorize_frame(struct frame *frame, const struct request_parts *parts, bool is_text,
                     struct status *why)
{
    const struct access *access = frame->snapshot->access;
    if (!access || frame->engine->trusts_callers || frame->is_own)
        return true;
    const struct config_client *client =
        access_find(access, parts->token, parts->token_bytes); /* the same work for all */
    frame->client = is_text ? client : NULL;
    if (frame->client)
        return true;
    frame->is_unknown = true;
    status_set(why, STATUS_UNAUTHENTICATED, "%s", unknown_text);
    return false;
}

/* ---- Chats ---- */

static bool allows_chats(struct call_run *run)
{
    const struct config_client *client = run->frame->client;
    if (!client->has_chats)
        return true;
    if (!run->has_chat_id) {
        status_set(&run->status, STATUS_PERMISSION_DENIED,
                   "%s: client %s is limited to certain chats, and this call is not about one of "
                   "them: it names no chat_id",
                   run->call->name, client->name);
        return false;
    }
    if (access_allows_chat(client, run->chat_id))
        return true;
    status_set(&run->status, STATUS_PERMISSION_DENIED,
               "%s: chat %lld is not among the chats of client %s", run->call->name,
               (long long)run->chat_id, client->name);
    return false;
}

/* ---- Sources ---- */

static bool allows_merge(struct call_run *run)
{
    const struct config_client *client = run->frame->client;
    for (uint32_t i = 0; i < run->route.count; i++) {
        if (access_allows(client, CONFIG_RIGHT_READ, run->route.first + i))
            return true;
    }
    run->hides_source = true;
    status_set(&run->status, STATUS_PERMISSION_DENIED, "%s: client %s may read no source",
               run->call->name, client->name);
    return false;
}

/* A data_source that names what the client may not see, and one that names nothing, are the same to
 * it: else names could be guessed. Who sees all sources gets the default source for an unknown
 * name, as everybody does where there are no clients. */
static bool names_hidden_source(const struct call_run *run)
{
    const struct frame *frame = run->frame;
    if (run->route.fallback == ROUTER_FALLBACK_UNKNOWN_DATA_SOURCE)
        return !access_shows_all(frame->snapshot->access, frame->client);
    return run->route.tier == ROUTER_TIER_EXPLICIT &&
           !access_shows(frame->client, run->route.first);
}

static bool allows_source(struct call_run *run)
{
    const struct frame *frame = run->frame;
    const struct config_client *client = frame->client;
    bool writes = run->call->access == CALL_ACCESS_WRITE;
    const char *verb = writes ? "write" : "read";
    if (names_hidden_source(run)) {
        run->hides_source = true;
        status_set(&run->status, STATUS_PERMISSION_DENIED,
                   "%s: client %s has no source of the name that data_source gives",
                   run->call->name, client->name);
        return false;
    }
    if (access_allows(client, writes ? CONFIG_RIGHT_WRITE : CONFIG_RIGHT_READ, run->route.first))
        return true;
    run->hides_source = !access_shows(client, run->route.first);
    if (run->hides_source)
        status_set(&run->status, STATUS_PERMISSION_DENIED,
                   "%s: client %s may not %s the source that this call goes to", run->call->name,
                   client->name, verb);
    else
        status_set(&run->status, STATUS_PERMISSION_DENIED,
                   "%s: client %s may not %s source %s; the source is missing in its list \"%s\" "
                   "of the server's configuration",
                   run->call->name, client->name, verb,
                   router_source_name(frame->snapshot->router, run->route.first), verb);
    return false;
}

bool authorize_run(struct call_run *run)
{
    if (!run->frame->client)
        return true;
    if (!allows_chats(run)) {
        run->hides_source = true;
        return false;
    }
    return run->route.tier == ROUTER_TIER_MERGED ? allows_merge(run) : allows_source(run);
}

bool authorize_server_call(struct call_run *run)
{
    const struct config_client *client = run->frame->client;
    if (!client || client->admin || run->call->access != CALL_ACCESS_ADMIN)
        return true;
    status_set(&run->status, STATUS_PERMISSION_DENIED,
               "%s: client %s may not administer the server; its configuration gives that with "
               "admin = true",
               run->call->name, client->name);
    return false;
}

/* Ping is what asks whether there is a server. */
static bool is_administrative(const struct call *call)
{
    return call->scope == CALL_SCOPE_SERVER && call->id != CALL_PING;
}

/* False: the run is refused, and leaves no line. */
static bool has_audit(struct call_run *run)
{
    const struct frame *frame = run->frame;
    if (!frame->snapshot || !frame->snapshot->config->audit_required || frame->is_own ||
        !audit_is_behind(frame->engine->audit))
        return true;
    run->lacks_audit = true;
    status_set(&run->status, STATUS_UNAVAILABLE,
               "%s: the audit log cannot be written, and without it nothing is written or "
               "administered ([service.audit] required); nothing was done",
               run->call ? run->call->name : "the call");
    return false;
}

bool authorize_audited(struct call_run *run)
{
    bool is_read = run->call->access == CALL_ACCESS_READ && !is_administrative(run->call);
    return is_read || has_audit(run);
}

/* ---- When a call begins ---- */

/* A source that the new configuration has no more lets its last calls end. */
static bool still_allows(const struct snapshot *now, const struct call_run *run, const char *source)
{
    const struct config_client *client = access_find_again(now->access, run->frame->client);
    enum config_right right =
        run->call->access == CALL_ACCESS_WRITE ? CONFIG_RIGHT_WRITE : CONFIG_RIGHT_READ;
    uint32_t number;
    if (client->has_chats && !(run->has_chat_id && access_allows_chat(client, run->chat_id)))
        return false;
    return !router_find(now->router, source, &number) || access_allows(client, right, number);
}

static bool authorize_by(const struct snapshot *now, const struct call_run *run, uint32_t source,
                         struct status *why)
{
    const struct frame *frame = run->frame;
    if (!now->access)
        return true;
    if (!frame->client || !access_find_again(now->access, frame->client)) {
        status_set(why, STATUS_UNAUTHENTICATED, "%s", unknown_text);
        return false;
    }
    if (still_allows(now, run, router_source_name(frame->snapshot->router, source)))
        return true;
    status_set(why, STATUS_PERMISSION_DENIED,
               "%s: client %s lost the right to it while the call waited; it was not begun",
               run->call->name, frame->client->name);
    return false;
}

bool authorize_again(const struct call_run *run, uint32_t source, struct status *why)
{
    const struct frame *frame = run->frame;
    struct engine *engine = frame->engine;
    if (engine->snapshot_number == frame->snapshot->number || engine->trusts_callers ||
        frame->is_own)
        return true;
    struct snapshot *now = engine_hold_snapshot(engine);
    bool allowed = authorize_by(now, run, source, why);
    snapshot_release(now);
    return allowed;
}

/* ---- The audit log ---- */

static void add_event(const struct frame *frame, struct audit_event *event)
{
    const struct engine *engine = frame->engine;
    char peer[AUDIT_PEER_BYTES] = "";
    if (engine->peer && !frame->is_own)
        engine->peer(frame->done_arg, peer, sizeof peer);
    event->peer = peer;
    event->client = frame->client ? frame->client->name : frame->client_name;
    audit_add(engine->audit, event);
}

/* Not for what it is: nothing was done. */
static bool is_refusal(const struct call_run *run)
{
    return run->status.code == STATUS_PERMISSION_DENIED || run->route.refused_readonly ||
           (run->call && (run->status.code == STATUS_UNAUTHENTICATED ||
                          (run->call->access == CALL_ACCESS_WRITE &&
                           run->status.code == STATUS_FAILED_PRECONDITION)));
}

void authorize_note(struct call_run *run)
{
    const struct frame *frame = run->frame;
    bool is_refused = is_refusal(run);
    if (run->lacks_audit || !audit_is_on(frame->engine->audit) ||
        !(is_refused || (run->call && is_administrative(run->call))) ||
        (is_refused && !has_audit(run)))
        return;
    struct audit_event event = {
        .call = run->call ? run->call->name : "",
        .source = run->route.count == 1 && frame->snapshot
                      ? router_source_name(frame->snapshot->router, run->route.first)
                      : "",
        .has_chat_id = run->has_chat_id,
        .chat_id = run->chat_id,
        .outcome = run->status.code,
        .calls = 1,
    };
    add_event(frame, &event);
}

void authorize_note_frame(const struct frame *frame, const uint8_t *bytes, size_t count,
                          size_t admitted, enum status_code code)
{
    enum { NOT_OURS = CALL_COUNT };
    size_t calls[CALL_COUNT + 1] = {0}; /* a line for each method, however many calls there are */
    char method[METHOD_BYTES_MAX];
    const uint8_t *at = bytes;
    bool notes_all = code == STATUS_UNAUTHENTICATED;
    if (!audit_is_on(frame->engine->audit))
        return;
    for (size_t i = 0; check_next_method(&at, bytes + count, method, sizeof method); i++) {
        const struct call *call = call_find(method);
        if (i >= admitted && (notes_all || (call && is_administrative(call))))
            calls[call ? call->id : NOT_OURS]++;
    }
    for (size_t id = 0; id <= NOT_OURS; id++) {
        struct audit_event event = {.call = id < NOT_OURS ? call_table[id].name : "",
                                    .source = "",
                                    .outcome = code,
                                    .calls = calls[id]};
        if (calls[id] > 0)
            add_event(frame, &event);
    }
}
