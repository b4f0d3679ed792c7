#include "loads.h"

#include "data.h"
#include "names.h"
#include "special.h"

#include <call.h>
#include <chatstore/calls.h>
#include <chatstore/v1/envelope.pb-c.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* What is handed from start to done is the slot; the session is found through it. */
static struct session *session_of(struct slot *slot)
{
    return slot_arg(slot);
}

static size_t request_frame_bytes(const char *name, const ProtobufCMessage *request)
{
    const struct call *call = call_find_by_name(name);
    static char id[] = "00000000-0000-0000-0000-000000000000";
    Chatstore__V1__Call inner = CHATSTORE__V1__CALL__INIT, *inners[] = {&inner};
    Chatstore__V1__Request frame = CHATSTORE__V1__REQUEST__INIT;
    inner.method = (char *)(uintptr_t)call->method;
    inner.payload.len = protobuf_c_message_get_packed_size(request);
    inner.payload.data = NULL;
    inner.timeout_ms = 30000;
    if (call->access == CALL_ACCESS_WRITE)
        inner.request_id = id;
    frame.n_calls = 1;
    frame.calls = inners;
    return chatstore__v1__request__get_packed_size(&frame);
}

static size_t reply_frame_bytes(const ProtobufCMessage *response,
                                const struct chatstore_outcome *outcome)
{
    Chatstore__V1__Result inner = CHATSTORE__V1__RESULT__INIT, *inners[] = {&inner};
    Chatstore__V1__Reply frame = CHATSTORE__V1__REPLY__INIT;
    inner.payload.len = protobuf_c_message_get_packed_size(response);
    inner.source = (char *)(uintptr_t)outcome->source;
    inner.n_merged_sources = outcome->merged_source_count;
    inner.merged_sources = (char **)(uintptr_t)outcome->merged_sources;
    frame.n_results = 1;
    frame.results = inners;
    return chatstore__v1__reply__get_packed_size(&frame);
}

/* Once in a run: how large the frames of such a call are, for peers that shall send as much. */
static void note_request(struct session *session, const char *name, const ProtobufCMessage *request)
{
    if (atomic_load_explicit(&session->request_bytes, memory_order_relaxed) == 0)
        atomic_store(&session->request_bytes, request_frame_bytes(name, request));
}

static void note_reply(struct slot *slot, const ProtobufCMessage *response,
                       const struct chatstore_outcome *outcome)
{
    struct session *session = session_of(slot);
    if (response && atomic_load_explicit(&session->reply_bytes, memory_order_relaxed) == 0)
        atomic_store(&session->reply_bytes, reply_frame_bytes(response, outcome));
}

/* End the call of a slot whose answer is there and is, or is not, what was asked for. */
static void finish(struct slot *slot, enum chatstore_status status,
                   const struct chatstore_outcome *outcome, bool found)
{
    char error[512];
    if (status == CHATSTORE_OK && found) {
        slot_done(slot, NULL);
        return;
    }
    if (status != CHATSTORE_OK)
        snprintf(error, sizeof error, "%s: %s", chatstore_status_name(status), outcome->message);
    else
        snprintf(error, sizeof error,
                 "the answer is empty: give --chats, --users and --chat as the data was made with");
    if (status == CHATSTORE_RESOURCE_EXHAUSTED)
        slot_refused(slot, error);
    else
        slot_done(slot, error);
}

static const char *data_source(const struct session *session)
{
    return session->options->data_source ? session->options->data_source : "";
}

static uint64_t any_chat(struct slot *slot, const struct session *session)
{
    return slot_random(slot) % session->options->chats;
}

static int64_t any_user_id(struct slot *slot, const struct session *session)
{
    return name_user_id(slot_random(slot) % session->options->users);
}

/* The one of --metadata-bytes: behind the users that the data has. */
static int64_t large_user_id(const struct session *session)
{
    return name_user_id(session->options->users);
}

static void point_done(enum chatstore_status status, Chatstore__V1__GetChatUserResponse *response,
                       const struct chatstore_outcome *outcome, void *arg)
{
    bool found = response && response->user;
    note_reply(arg, (const ProtobufCMessage *)response, outcome);
    if (response)
        chatstore__v1__get_chat_user_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, found);
}

static void point_start(struct slot *slot, void *arg)
{
    struct session *session = arg;
    Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    request.chat_id = name_chat_id(any_chat(slot, session));
    request.user_id = any_user_id(slot, session);
    if (session->options->metadata_bytes > 0) {
        request.chat_id = name_chat_id(0);
        request.user_id = large_user_id(session);
    }
    request.data_source = (char *)(uintptr_t)data_source(session);
    note_request(session, "GetChatUser", &request.base);
    chatstore_get_chat_user_async(session->client, &request, NULL, point_done, slot);
}

static void list_done(enum chatstore_status status,
                      Chatstore__V1__GetChatMessagesSinceResponse *response,
                      const struct chatstore_outcome *outcome, void *arg)
{
    bool found = response && response->n_messages > 0;
    note_reply(arg, (const ProtobufCMessage *)response, outcome);
    if (response)
        chatstore__v1__get_chat_messages_since_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, found);
}

static void list_call(struct slot *slot, struct session *session, uint64_t chat, unsigned limit)
{
    Chatstore__V1__GetChatMessagesSinceRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;
    request.chat_id = name_chat_id(chat);
    request.limit = (int32_t)limit; /* 0: all */
    request.data_source = (char *)(uintptr_t)data_source(session);
    note_request(session, "GetChatMessagesSince", &request.base);
    chatstore_get_chat_messages_since_async(session->client, &request, NULL, list_done, slot);
}

static void list_start(struct slot *slot, void *arg)
{
    struct session *session = arg;
    unsigned limit = session->options->limit;
    list_call(slot, session, session->options->chat, limit > 0 ? limit : 100);
}

static void scan_start(struct slot *slot, void *arg)
{
    struct session *session = arg;
    list_call(slot, session, session->options->chat, session->options->limit);
}

static void save_done(enum chatstore_status status,
                      Chatstore__V1__SaveChatMessageResponse *response,
                      const struct chatstore_outcome *outcome, void *arg)
{
    bool saved = response && response->changed_rows > 0;
    note_reply(arg, (const ProtobufCMessage *)response, outcome);
    if (response)
        chatstore__v1__save_chat_message_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, saved);
}

static void save_start(struct slot *slot, void *arg)
{
    struct session *session = arg;
    char id[64];
    name_new_message(id, sizeof id);
    Google__Protobuf__Timestamp date = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    date.seconds = time(NULL);
    Chatstore__V1__SaveChatMessageRequest request = CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST__INIT;
    static char text[] = "What the weather is like in the mountains, and whether the road is open.";
    request.date = &date;
    request.chat_id = name_chat_id(any_chat(slot, session));
    request.user_id = any_user_id(slot, session);
    request.message_id = id;
    request.message_text = text;
    note_request(session, "SaveChatMessage", &request.base);
    chatstore_save_chat_message_async(session->client, &request, NULL, save_done, slot);
}

/* What a bot does all day: mostly looking up, sometimes reading back, now and then saving. */
static void mix_start(struct slot *slot, void *arg)
{
    struct session *session = arg;
    uint64_t dice = slot_random(slot) % 100;
    if (dice < 80)
        point_start(slot, arg);
    else if (dice < 95)
        list_call(slot, session, any_chat(slot, session), 20);
    else
        save_start(slot, arg);
}

static void merge_done(enum chatstore_status status,
                       Chatstore__V1__GetAllGroupChatsResponse *response,
                       const struct chatstore_outcome *outcome, void *arg)
{
    bool found = response && response->n_chats > 0 && outcome->failed_source_count == 0;
    note_reply(arg, (const ProtobufCMessage *)response, outcome);
    if (response)
        chatstore__v1__get_all_group_chats_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, found);
}

static void merge_start(struct slot *slot, void *arg)
{
    struct session *session = arg;
    Chatstore__V1__GetAllGroupChatsRequest request =
        CHATSTORE__V1__GET_ALL_GROUP_CHATS_REQUEST__INIT;
    request.data_source = (char *)(uintptr_t)data_source(session);
    char source[32];
    if (session->options->one_by_one) {
        uint64_t number = slot_random(slot) % session->options->sources;
        snprintf(source, sizeof source, "source-%04" PRIu64, number);
        request.data_source = source;
    }
    note_request(session, "GetAllGroupChats", &request.base);
    chatstore_get_all_group_chats_async(session->client, &request, NULL, merge_done, slot);
}

bool session_prepare(struct session *session)
{
    size_t bytes = session->options->metadata_bytes;
    if (bytes == 0)
        return true;
    static char name[] = "large";
    Chatstore__V1__UpdateChatUserRequest user = CHATSTORE__V1__UPDATE_CHAT_USER_REQUEST__INIT;
    Chatstore__V1__UpdateUserMetadataRequest metadata =
        CHATSTORE__V1__UPDATE_USER_METADATA_REQUEST__INIT;
    user.chat_id = metadata.chat_id = name_chat_id(0);
    user.user_id = metadata.user_id = large_user_id(session);
    user.username = user.full_name = name;
    metadata.metadata = malloc(bytes + 1);
    if (!metadata.metadata)
        return false;
    memset(metadata.metadata, 'm', bytes);
    metadata.metadata[bytes] = 0;
    bool stored =
        chatstore_update_chat_user(session->client, &user, NULL, NULL) == CHATSTORE_OK &&
        chatstore_update_user_metadata(session->client, &metadata, NULL, NULL) == CHATSTORE_OK;
    if (!stored)
        fprintf(stderr, "chatstore-bench: --metadata-bytes: %s\n",
                chatstore_client_error(session->client));
    free(metadata.metadata);
    return stored;
}

static int data_run(const struct options *options)
{
    struct data_spec spec = {.dir = options->dir,
                             .sources = options->sources,
                             .chats = options->chats,
                             .users = options->users,
                             .messages = options->messages,
                             .mapped = options->mapped,
                             .seed = options->seed,
                             .readonly_copy = options->readonly_copy};
    return data_make(&spec) ? EX_OK : EX_CANTCREAT;
}

const struct load load_table[] = {
    {"point", point_start, NULL, "GetChatUser of any user in any chat"},
    {"embedded", point_start, NULL, "point with no server: --url embedded:FILE, one in flight"},
    {"list", list_start, NULL, "the newest --limit (100) messages of chat --chat"},
    {"save", save_start, NULL, "SaveChatMessage, durable"},
    {"mix", mix_start, NULL, "80 % point, 15 % list of 20, 5 % save, any chat"},
    {"merge", merge_start, NULL, "GetAllGroupChats over all sources"},
    {"scan", scan_start, NULL, "the full history of chat --chat"},
    {"route", NULL, route_run, "one routing decision, with --sources and --mapped chats"},
    {"startup", NULL, startup_run, "chatstored with --sources files, from start to first answer"},
    {"memory", NULL, memory_run, "of an idle server: 10 sources, --sources more, --mapped chats"},
    {"data", NULL, data_run, "make the files that the loads ask for"},
    {NULL, NULL, NULL, NULL}};

const struct load *load_find(const char *name)
{
    for (const struct load *load = load_table; load->name; load++) {
        if (strcmp(load->name, name) == 0)
            return load;
    }
    return NULL;
}
