#include "client_fixture.h"

#include <stdio.h>
#include <string.h>

static _Thread_local uint8_t payload_memory[256][128];
static _Thread_local unsigned payload_at;

static void answer_user(const Chatstore__V1__Call *call, Chatstore__V1__Result *result)
{
    static char text[] = "GetChatUser: no such user";
    static Chatstore__V1__Status not_found = {
        PROTOBUF_C_MESSAGE_INIT(&chatstore__v1__status__descriptor), CHATSTORE_NOT_FOUND, text};
    Chatstore__V1__ChatUser user = CHATSTORE__V1__CHAT_USER__INIT;
    Chatstore__V1__GetChatUserResponse response = CHATSTORE__V1__GET_CHAT_USER_RESPONSE__INIT;
    Chatstore__V1__GetChatUserRequest *request =
        chatstore__v1__get_chat_user_request__unpack(NULL, call->payload.len, call->payload.data);

    assert_non_null(request);
    if (request->user_id < 0)
        result->status = &not_found;
    user.chat_id = request->chat_id;
    user.user_id = request->user_id;
    response.user = &user;
    uint8_t *memory = payload_memory[payload_at++ % 256];
    result->payload.data = memory;
    result->payload.len = chatstore__v1__get_chat_user_response__pack(&response, memory);
    chatstore__v1__get_chat_user_request__free_unpacked(request, NULL);
}

void fixture_answer(void *arg, const Chatstore__V1__Call *call, Chatstore__V1__Result *result)
{
    static uint8_t one_row[] = {0x08, 0x01};
    static char source[] = "main";
    static char unimplemented_text[] = "the test server has no such method";
    static Chatstore__V1__Status unimplemented = {
        PROTOBUF_C_MESSAGE_INIT(&chatstore__v1__status__descriptor), CHATSTORE_UNIMPLEMENTED,
        unimplemented_text};

    (void)arg;
    result->source = source;
    if (strcmp(call->method, "/chatstore.v1.UserService/GetChatUser") == 0)
        answer_user(call, result);
    else if (strcmp(call->method, "/chatstore.v1.UserService/UpdateChatUser") == 0)
        result->payload = (ProtobufCBinaryData){.data = one_row, .len = sizeof one_row};
    else if (strcmp(call->method, "/chatstore.v1.UserService/GetChatUsers") != 0)
        result->status = &unimplemented;
}

struct chatstore_client *fixture_open(const char *url,
                                      const struct chatstore_client_options *options)
{
    struct chatstore_client *client;

    assert_int_equal(chatstore_client_open(url, options, &client), CHATSTORE_OK);
    return client;
}

enum chatstore_status fixture_get_user(struct chatstore_client *client, int64_t user_id,
                                       const struct chatstore_call_options *options,
                                       int64_t *user_id_out)
{
    Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    Chatstore__V1__GetChatUserResponse *response;

    request.chat_id = -100;
    request.user_id = user_id;
    enum chatstore_status status = chatstore_get_chat_user(client, &request, options, &response);
    assert_true((status == CHATSTORE_OK) == (response != NULL));
    if (response != NULL && user_id_out != NULL)
        *user_id_out = response->user->user_id;
    chatstore__v1__get_chat_user_response__free_unpacked(response, NULL);
    return status;
}

void fixture_tally_init(struct fixture_tally *tally)
{
    *tally = (struct fixture_tally){.lock = PTHREAD_MUTEX_INITIALIZER,
                                    .changed = PTHREAD_COND_INITIALIZER};
}

static void count(struct fixture_tally *tally, enum chatstore_status status,
                  const struct chatstore_outcome *outcome, int64_t user_id)
{
    pthread_mutex_lock(&tally->lock);
    tally->ended++;
    tally->ok += status == CHATSTORE_OK;
    tally->status = status;
    tally->user_id_sum += user_id;
    snprintf(tally->message, sizeof tally->message, "%s", outcome->message);
    pthread_cond_broadcast(&tally->changed);
    pthread_mutex_unlock(&tally->lock);
}

void fixture_tally_wait(struct fixture_tally *tally, unsigned ended)
{
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&tally->lock);
    while (tally->ended < ended && error == 0)
        error = pthread_cond_clockwait(&tally->changed, &tally->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&tally->lock);
    assert_int_equal(error, 0);
}

static void user_done(enum chatstore_status status, Chatstore__V1__GetChatUserResponse *response,
                      const struct chatstore_outcome *outcome, void *arg)
{
    assert_int_equal(status, outcome->status);
    count(arg, status, outcome, response != NULL ? response->user->user_id : 0);
    chatstore__v1__get_chat_user_response__free_unpacked(response, NULL);
}

void fixture_start_user(struct chatstore_client *client, int64_t user_id, uint32_t timeout_ms,
                        struct fixture_tally *tally)
{
    Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    struct chatstore_call_options options = {.timeout_ms = timeout_ms};

    request.chat_id = -100;
    request.user_id = user_id;
    chatstore_get_chat_user_async(client, &request, &options, user_done, tally);
}

static void users_done(enum chatstore_status status, Chatstore__V1__GetChatUsersResponse *response,
                       const struct chatstore_outcome *outcome, void *arg)
{
    count(arg, status, outcome, 0);
    chatstore__v1__get_chat_users_response__free_unpacked(response, NULL);
}

void fixture_start_scan(struct chatstore_client *client, struct fixture_tally *tally)
{
    Chatstore__V1__GetChatUsersRequest request = CHATSTORE__V1__GET_CHAT_USERS_REQUEST__INIT;

    request.chat_id = -100;
    chatstore_get_chat_users_async(client, &request, NULL, users_done, tally);
}

int64_t fixture_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
