#include "loads.h"

#include "names.h"

#include <chatstore/calls.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

static void point_done(enum chatstore_status status, Chatstore__V1__GetChatUserResponse *response,
                       const struct chatstore_outcome *outcome, void *arg)
{
    bool found = response && response->user;
    if (response)
        chatstore__v1__get_chat_user_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, found);
}

static void point_start(struct slot *slot, void *arg)
{
    const struct session *session = arg;
    Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    request.chat_id = name_chat_id(any_chat(slot, session));
    request.user_id = any_user_id(slot, session);
    request.data_source = (char *)(uintptr_t)data_source(session);
    chatstore_get_chat_user_async(session->client, &request, NULL, point_done, slot);
}

static void list_done(enum chatstore_status status,
                      Chatstore__V1__GetChatMessagesSinceResponse *response,
                      const struct chatstore_outcome *outcome, void *arg)
{
    bool found = response && response->n_messages > 0;
    if (response)
        chatstore__v1__get_chat_messages_since_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, found);
}

static void list_call(struct slot *slot, const struct session *session, uint64_t chat,
                      unsigned limit)
{
    Chatstore__V1__GetChatMessagesSinceRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;
    request.chat_id = name_chat_id(chat);
    request.limit = (int32_t)limit; /* 0: all */
    request.data_source = (char *)(uintptr_t)data_source(session);
    chatstore_get_chat_messages_since_async(session->client, &request, NULL, list_done, slot);
}

static void list_start(struct slot *slot, void *arg)
{
    const struct session *session = arg;
    unsigned limit = session->options->limit;
    list_call(slot, session, session->options->chat, limit > 0 ? limit : 100);
}

static void scan_start(struct slot *slot, void *arg)
{
    const struct session *session = arg;
    list_call(slot, session, session->options->chat, session->options->limit);
}

static void save_done(enum chatstore_status status,
                      Chatstore__V1__SaveChatMessageResponse *response,
                      const struct chatstore_outcome *outcome, void *arg)
{
    bool saved = response && response->changed_rows > 0;
    if (response)
        chatstore__v1__save_chat_message_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, saved);
}

static void save_start(struct slot *slot, void *arg)
{
    const struct session *session = arg;
    char id[64];
    snprintf(id, sizeof id, "%" PRIx64 "-%x-%" PRIx64, session->run_id, slot_index(slot),
             slot_random(slot));
    Google__Protobuf__Timestamp date = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    date.seconds = time(NULL);
    Chatstore__V1__SaveChatMessageRequest request = CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST__INIT;
    static char text[] = "What the weather is like in the mountains, and whether the road is open.";
    request.date = &date;
    request.chat_id = name_chat_id(any_chat(slot, session));
    request.user_id = any_user_id(slot, session);
    request.message_id = id;
    request.message_text = text;
    chatstore_save_chat_message_async(session->client, &request, NULL, save_done, slot);
}

/* What a bot does all day: mostly looking up, sometimes reading back, now and then saving. */
static void mix_start(struct slot *slot, void *arg)
{
    const struct session *session = arg;
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
    if (response)
        chatstore__v1__get_all_group_chats_response__free_unpacked(response, NULL);
    finish(arg, status, outcome, found);
}

static void merge_start(struct slot *slot, void *arg)
{
    const struct session *session = arg;
    Chatstore__V1__GetAllGroupChatsRequest request =
        CHATSTORE__V1__GET_ALL_GROUP_CHATS_REQUEST__INIT;
    request.data_source = (char *)(uintptr_t)data_source(session);
    chatstore_get_all_group_chats_async(session->client, &request, NULL, merge_done, slot);
}

const struct load load_table[] = {
    {"point", point_start, "GetChatUser of any user in any chat"},
    {"embedded", point_start, "point with no server: --url embedded:FILE, one in flight"},
    {"list", list_start, "the newest --limit (100) messages of chat --chat"},
    {"save", save_start, "SaveChatMessage, durable"},
    {"mix", mix_start, "80 % point, 15 % list of 20, 5 % save, any chat"},
    {"merge", merge_start, "GetAllGroupChats over all sources"},
    {"scan", scan_start, "the full history of chat --chat"},
    {NULL, NULL, NULL}};

const struct load *load_find(const char *name)
{
    for (const struct load *load = load_table; load->name; load++) {
        if (strcmp(load->name, name) == 0)
            return load;
    }
    return NULL;
}
