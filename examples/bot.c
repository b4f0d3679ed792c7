/* A bot that keeps what it knows in chatstore: the C interface in one small program.
 *
 *     cc bot.c -o bot $(pkg-config --cflags --libs chatstore)
 *     ./bot NAME URL HOME_CHAT SHARED_CHAT
 *
 * NAME         of this bot; its messages carry it
 * URL          of a server ("ipc:///run/chatstore/chatstore.sock", "tcp://10.0.0.1:7447"), or
 *              "embedded:bot.db" for no server at all
 * HOME_CHAT    a chat that the bot writes to
 * SHARED_CHAT  a chat in a source that it may only read; the bot tries to write there, to show how
 *              that is refused
 *
 * Ends with 0 if the calls that should work did, and the one that should be refused was. */
#include <chatstore/calls.h>
#include <chatstore/chatstore.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define USER_ID 7 /* whom the bot asks for, and in whose name it writes */

struct bot {
    const char *name;
    struct chatstore_client *client;
    int64_t home_chat, shared_chat;
};

/* A call answers with a status, and with a text that says what failed, on what and why. */
static int explain(const struct bot *bot, const char *what)
{
    printf("%s: %s: %s\n", bot->name, what, chatstore_client_error(bot->client));
    return 1;
}

/* A read. Which source answers is decided by the server: the bot names the chat only. */
static int look_up(const struct bot *bot)
{
    Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    Chatstore__V1__GetChatUserResponse *response;
    struct chatstore_outcome outcome; /* beside the answer: the source, for those who ask */
    struct chatstore_call_options options = {.timeout_ms = 5000, .outcome = &outcome};

    request.chat_id = bot->shared_chat;
    request.user_id = USER_ID;
    chatstore_outcome_init(&outcome);
    enum chatstore_status status =
        chatstore_get_chat_user(bot->client, &request, &options, &response);
    if (status != CHATSTORE_OK)
        explain(bot, "cannot look up the user");
    else if (!response->user)
        printf("%s: chat %" PRId64 " has no user %d\n", bot->name, bot->shared_chat, USER_ID);
    else
        printf("%s: read chat %" PRId64 ": user %d is %s (source %s)\n", bot->name,
               bot->shared_chat, USER_ID, response->user->full_name, outcome.source);
    int failed = status != CHATSTORE_OK || !response->user;
    chatstore__v1__get_chat_user_response__free_unpacked(response, NULL); /* NULL is allowed */
    chatstore_outcome_clear(&outcome);
    return failed;
}

/* A write. When it returns CHATSTORE_OK, the message is on the disk. */
static int say(const struct bot *bot, int64_t chat_id, struct chatstore_outcome *outcome)
{
    Chatstore__V1__SaveChatMessageRequest request = CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST__INIT;
    Google__Protobuf__Timestamp now = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    struct chatstore_call_options options = {.outcome = outcome};
    char id[64], text[128];

    now.seconds = time(NULL);
    snprintf(id, sizeof id, "%s-%ld-%ld", bot->name, (long)getpid(), (long)now.seconds);
    snprintf(text, sizeof text, "Hello from %s", bot->name);
    request.date = &now;
    request.chat_id = chat_id;
    request.user_id = USER_ID;
    request.message_id = id;
    request.message_text = text;
    /* NULL: the answer itself, the number of changed rows, is not wanted. */
    return chatstore_save_chat_message(bot->client, &request, &options, NULL) != CHATSTORE_OK;
}

static int write_home(const struct bot *bot)
{
    struct chatstore_outcome outcome;

    chatstore_outcome_init(&outcome);
    int failed = say(bot, bot->home_chat, &outcome);
    if (failed)
        explain(bot, "cannot write");
    else
        printf("%s: wrote to chat %" PRId64 " (source %s)\n", bot->name, bot->home_chat,
               outcome.source);
    chatstore_outcome_clear(&outcome);
    return failed;
}

/* A merged read: every source is asked, one answer comes back. A source that is down does not fail
 * it; the outcome names those that did not take part. */
static int list_chats(const struct bot *bot)
{
    Chatstore__V1__GetUserChatsRequest request = CHATSTORE__V1__GET_USER_CHATS_REQUEST__INIT;
    Chatstore__V1__GetUserChatsResponse *response;
    struct chatstore_outcome outcome;
    struct chatstore_call_options options = {.outcome = &outcome};

    request.user_id = USER_ID;
    chatstore_outcome_init(&outcome);
    enum chatstore_status status =
        chatstore_get_user_chats(bot->client, &request, &options, &response);
    if (status != CHATSTORE_OK) {
        explain(bot, "cannot list the chats");
    } else {
        printf("%s: user %d is in %zu chats (of %zu sources):", bot->name, USER_ID,
               response->n_chats, outcome.merged_source_count);
        for (size_t i = 0; i < response->n_chats; i++)
            printf("%s %s", i == 0 ? "" : ",", response->chats[i]->title);
        printf("\n");
    }
    for (size_t i = 0; i < outcome.failed_source_count; i++)
        printf("%s: without source %s: %s\n", bot->name, outcome.failed_sources[i].source,
               outcome.failed_sources[i].message);
    chatstore__v1__get_user_chats_response__free_unpacked(response, NULL);
    chatstore_outcome_clear(&outcome);
    return status != CHATSTORE_OK;
}

/* A write that is refused: the shared chat lives in a source that is readonly. */
static int write_shared(const struct bot *bot)
{
    struct chatstore_outcome outcome;

    chatstore_outcome_init(&outcome);
    say(bot, bot->shared_chat, &outcome);
    printf("%s: write to chat %" PRId64 ": %s: %s\n", bot->name, bot->shared_chat,
           chatstore_status_name(outcome.status), outcome.message);
    int failed = outcome.status != CHATSTORE_FAILED_PRECONDITION;
    chatstore_outcome_clear(&outcome);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: bot NAME URL HOME_CHAT SHARED_CHAT\n");
        return 64;
    }
    struct bot bot = {.name = argv[1]};
    bot.home_chat = strtoll(argv[3], NULL, 10);
    bot.shared_chat = strtoll(argv[4], NULL, 10);
    /* Does not wait for the server; calls do, as long as their time allows. One client serves all
     * threads of a program. */
    if (chatstore_client_open(argv[2], NULL, &bot.client) != CHATSTORE_OK) {
        fprintf(stderr, "%s: %s\n", bot.name, chatstore_client_error(NULL));
        return 1;
    }
    int failed = look_up(&bot) + write_home(&bot) + list_chats(&bot) + write_shared(&bot);
    chatstore_client_close(bot.client);
    return failed != 0;
}
