#include "writers.h"

#include "journal.h"

#include <chatstore/calls.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WRITERS_PER_CLIENT = 4,
    CLIENTS_MAX = 16,
    USERS = 3,
    DAYS = 3,
    KEPT = 64, /* acknowledged writes of which each writer may send one again */
    TEXT_BYTES_MAX = 20000,
    JANUARY_2024 = 1704067200,
};

struct writer {
    struct writers *writers;
    struct chatstore_client *client;
    pthread_t thread;
    unsigned number;
    unsigned operation_count;
    uint64_t random;
    struct operation kept[KEPT];
    unsigned kept_count;
    char text[TEXT_BYTES_MAX + OP_BYTES + 2];
};

struct writers {
    struct writers_config config;
    struct chatstore_client *clients[CLIENTS_MAX];
    size_t client_count;
    atomic_ulong acked;
    atomic_bool stops;
    struct writer writer[];
};

static uint64_t next_random(struct writer *writer)
{
    writer->random ^= writer->random << 13;
    writer->random ^= writer->random >> 7;
    writer->random ^= writer->random << 17;
    return writer->random;
}

static unsigned below(struct writer *writer, unsigned bound)
{
    return (unsigned)(next_random(writer) >> 33) % bound;
}

/* ---- The calls ---- */

static enum chatstore_status save(struct writer *writer, const struct operation *operation,
                                  const struct chatstore_call_options *options, int64_t *rows_out)
{
    Chatstore__V1__SaveChatMessageRequest request = CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST__INIT;
    Chatstore__V1__SaveChatMessageResponse *response;
    Google__Protobuf__Timestamp date = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

    int length = snprintf(writer->text, sizeof writer->text, "%s:", operation->op);
    memset(writer->text + length, 'x', operation->bytes);
    writer->text[(unsigned)length + operation->bytes] = '\0';
    date.seconds = JANUARY_2024 + (operation->day - 1) * INT64_C(86400) + 3600;
    request.date = &date;
    request.chat_id = operation->chat_id;
    request.user_id = operation->user_id;
    request.message_id = (char *)operation->op;
    request.message_text = writer->text;
    enum chatstore_status status =
        chatstore_save_chat_message(writer->client, &request, options, &response);
    *rows_out = response ? response->changed_rows : 0;
    chatstore__v1__save_chat_message_response__free_unpacked(response, NULL);
    return status;
}

static enum chatstore_status count_tokens(struct writer *writer, const struct operation *operation,
                                          const struct chatstore_call_options *options,
                                          int64_t *rows_out)
{
    Chatstore__V1__BatchUpdateTokensRequest request =
        CHATSTORE__V1__BATCH_UPDATE_TOKENS_REQUEST__INIT;
    Chatstore__V1__BatchUpdateTokensResponse *response;
    Chatstore__V1__TokenUpdate own = CHATSTORE__V1__TOKEN_UPDATE__INIT, all = own;
    Chatstore__V1__TokenUpdate *updates[] = {&own, &all};

    own.token = (char *)operation->op;
    all.token = (char[]){"all"};
    request.updates = updates;
    request.n_updates = 2;
    enum chatstore_status status =
        chatstore_batch_update_tokens(writer->client, &request, options, &response);
    *rows_out = response ? response->changed_rows : 0;
    chatstore__v1__batch_update_tokens_response__free_unpacked(response, NULL);
    return status;
}

static enum chatstore_status set(struct writer *writer, const struct operation *operation,
                                 const struct chatstore_call_options *options, int64_t *rows_out)
{
    Chatstore__V1__SetSettingRequest request = CHATSTORE__V1__SET_SETTING_REQUEST__INIT;
    Chatstore__V1__SetSettingResponse *response;
    char key[OP_BYTES];

    snprintf(key, sizeof key, "w%u", writer->number);
    request.key = key;
    request.value = (char *)operation->op;
    enum chatstore_status status =
        chatstore_set_setting(writer->client, &request, options, &response);
    *rows_out = response ? response->changed_rows : 0;
    chatstore__v1__set_setting_response__free_unpacked(response, NULL);
    return status;
}

static enum chatstore_status call(struct writer *writer, const struct operation *operation,
                                  uint32_t timeout_ms, int64_t *rows_out)
{
    struct chatstore_call_options options = {.timeout_ms = timeout_ms};

    if (operation->request_id[0] != '\0')
        options.request_id = operation->request_id;
    switch (operation->kind) {
    case OPERATION_SAVE:
        return save(writer, operation, &options, rows_out);
    case OPERATION_TOKENS:
        return count_tokens(writer, operation, &options, rows_out);
    default:
        return set(writer, operation, &options, rows_out);
    }
}

/* ---- One operation ---- */

static void make_operation(struct writer *writer, struct operation *operation)
{
    const struct writers_config *config = &writer->writers->config;
    unsigned dice = below(writer, 10), source = below(writer, (unsigned)config->source_count);

    *operation = (struct operation){.kind = dice < 7   ? OPERATION_SAVE
                                            : dice < 9 ? OPERATION_TOKENS
                                                       : OPERATION_SETTING};
    snprintf(operation->op, sizeof operation->op, "w%u-%u", writer->number,
             writer->operation_count++);
    operation->source = config->sources[operation->kind == OPERATION_SAVE ? source : 0];
    operation->chat_id = -1 - (int64_t)source;
    operation->user_id = 1 + below(writer, USERS);
    operation->day = 1 + (int)below(writer, DAYS);
    operation->bytes = below(writer, below(writer, 20) == 0 ? TEXT_BYTES_MAX : 200);
    /* Half of them have the request_id that the stub makes, and cannot be repeated by us. */
    if (below(writer, 2) == 0 || operation->kind == OPERATION_SETTING)
        snprintf(operation->request_id, sizeof operation->request_id,
                 "%08x-%04x-7%03x-8%03x-%012" PRIx64, (unsigned)next_random(writer),
                 (unsigned)next_random(writer) & 0xffff, (unsigned)next_random(writer) & 0xfff,
                 (unsigned)next_random(writer) & 0xfff,
                 next_random(writer) & UINT64_C(0xffffffffffff));
}

static bool is_definite(enum chatstore_status status)
{
    return status != CHATSTORE_UNAVAILABLE && status != CHATSTORE_DEADLINE_EXCEEDED &&
           status != CHATSTORE_RESOURCE_EXHAUSTED;
}

static void note_end(struct writer *writer, const struct operation *operation,
                     enum chatstore_status status, int64_t rows)
{
    struct writers *writers = writer->writers;

    if (status != CHATSTORE_OK) {
        fprintf(stderr, "%s: %s\n", operation->op, chatstore_client_error(writer->client));
        journal_refused(writers->config.journal, operation->op, chatstore_status_name(status));
        return;
    }
    journal_ack(writers->config.journal, operation->op, rows);
    writers->acked++;
    if (operation->request_id[0] != '\0')
        writer->kept[writer->kept_count++ % KEPT] = *operation;
}

/* Impatient callers give up: what they asked for may be done or not, at any time. A setting has to
 * be done in order. */
static void write_one(struct writer *writer)
{
    struct operation operation;
    int64_t rows;

    make_operation(writer, &operation);
    bool impatient = operation.kind != OPERATION_SETTING && below(writer, 20) == 0;
    journal_intent(writer->writers->config.journal, &operation);
    enum chatstore_status status =
        call(writer, &operation, impatient ? 1 + below(writer, 30) : 30000, &rows);
    while (!is_definite(status) && !impatient && operation.request_id[0] != '\0')
        status = call(writer, &operation, 30000, &rows);
    if (is_definite(status))
        note_end(writer, &operation, status, rows);
}

/* ---- Looking at what was done ---- */

static void repeat_one(struct writer *writer)
{
    int journal = writer->writers->config.journal;
    unsigned kept = writer->kept_count < KEPT ? writer->kept_count : KEPT;
    int64_t rows;

    if (kept == 0)
        return;
    const struct operation *operation = &writer->kept[below(writer, kept)];
    enum chatstore_status status = call(writer, operation, 30000, &rows);
    if (is_definite(status))
        journal_repeat(journal, operation->op, chatstore_status_name(status), rows);
}

static void read_one(struct writer *writer)
{
    Chatstore__V1__GetChatMessageByMessageIdRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGE_BY_MESSAGE_ID_REQUEST__INIT;
    Chatstore__V1__GetChatMessageByMessageIdResponse *response;
    unsigned kept = writer->kept_count < KEPT ? writer->kept_count : KEPT;

    if (kept == 0)
        return;
    const struct operation *operation = &writer->kept[below(writer, kept)];
    if (operation->kind != OPERATION_SAVE)
        return;
    request.chat_id = operation->chat_id;
    request.message_id = (char *)operation->op;
    enum chatstore_status status =
        chatstore_get_chat_message_by_message_id(writer->client, &request, NULL, &response);
    if (status == CHATSTORE_OK && !response->message)
        journal_missing(writer->writers->config.journal, operation->op);
    chatstore__v1__get_chat_message_by_message_id_response__free_unpacked(response, NULL);
}

static void *write_many(void *arg)
{
    struct writer *writer = arg;

    while (!writer->writers->stops) {
        write_one(writer);
        unsigned dice = below(writer, 16);
        if (dice == 0)
            repeat_one(writer);
        else if (dice < 3)
            read_one(writer);
    }
    return NULL;
}

/* ---- All of them ---- */

/* A message counts for its author, whom the chat has to know. */
static bool make_users(struct chatstore_client *client, size_t source_count)
{
    for (size_t i = 0; i < source_count * USERS; i++) {
        Chatstore__V1__UpdateChatUserRequest request =
            CHATSTORE__V1__UPDATE_CHAT_USER_REQUEST__INIT;
        Chatstore__V1__UpdateChatUserResponse *response;
        request.chat_id = -1 - (int64_t)(i / USERS);
        request.user_id = 1 + (int64_t)(i % USERS);
        request.username = request.full_name = (char[]){"someone"};
        if (chatstore_update_chat_user(client, &request, NULL, &response) != CHATSTORE_OK) {
            fprintf(stderr, "%s\n", chatstore_client_error(client));
            return false;
        }
        chatstore__v1__update_chat_user_response__free_unpacked(response, NULL);
    }
    return true;
}

static void close_clients(struct writers *writers)
{
    for (size_t i = 0; i < writers->client_count; i++)
        chatstore_client_close(writers->clients[i]);
    free(writers);
}

struct writers *writers_start(const struct writers_config *config)
{
    struct writers *writers =
        calloc(1, sizeof *writers + config->count * sizeof writers->writer[0]);

    if (!writers)
        return NULL;
    writers->config = *config;
    for (unsigned i = 0; i < config->count; i += WRITERS_PER_CLIENT) {
        struct chatstore_client **client = &writers->clients[writers->client_count];
        if (writers->client_count == CLIENTS_MAX ||
            chatstore_client_open(config->url, NULL, client) != CHATSTORE_OK) {
            fprintf(stderr, "%s: %s\n", config->url, chatstore_client_error(NULL));
            close_clients(writers);
            return NULL;
        }
        writers->client_count++;
    }
    if (!make_users(writers->clients[0], config->source_count)) {
        close_clients(writers);
        return NULL;
    }
    for (unsigned i = 0; i < config->count; i++) {
        struct writer *writer = &writers->writer[i];
        writer->writers = writers;
        writer->number = i;
        writer->client = writers->clients[i / WRITERS_PER_CLIENT];
        writer->random = config->seed * UINT64_C(0x9e3779b97f4a7c15) + i + 1;
        for (int warm = 0; warm < 8; warm++)
            next_random(writer);
        if (pthread_create(&writer->thread, NULL, write_many, writer) != 0)
            abort();
    }
    return writers;
}

unsigned long writers_acked(const struct writers *writers)
{
    return writers->acked;
}

void writers_stop(struct writers *writers)
{
    writers->stops = true;
    for (unsigned i = 0; i < writers->config.count; i++)
        pthread_join(writers->writer[i].thread, NULL);
    close_clients(writers);
}
