/* Memory that runs out in the middle of every call: each allocation that the call makes fails, one
 * after the other, alone and with all behind it. The call ends with a status, the next one is
 * served, and a write is done once at most. Under AddressSanitizer also: nothing leaks.
 *
 * CHATSTORE_ALLOC_STEP (environment): of those that fail alone, every so many (1: each; which ones
 * is drawn from the process id). */
#include "shim.h"

#include "service/embedded.h"
#include "tests/calls/fill.h"
#include "tests/calls/sandbox.h"

#include "call_ids.h"

#include <chatstore/calls.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PLACES_MAX = 3000, TOKEN_BYTES = 32, STEP_DEFAULT = 5 };

static struct sandbox sandbox;
static unsigned place_count, failed_count;
static bool in_pages; /* lists are asked for a page, not for the whole */

/* Two sources: some calls ask all of them. */
static struct chatstore_client *open_client(void)
{
    char url[1000], first[SANDBOX_PATH_BYTES], second[SANDBOX_PATH_BYTES];
    struct chatstore_client *client;

    snprintf(url, sizeof url,
             "embedded:[database]\ndefault = \"main\"\n[database.sources]\n"
             "main = { path = \"%s\", pool-size = 1 }\n"
             "second = { path = \"%s\", pool-size = 1 }\n",
             sandbox_path(&sandbox, "main.db", first), sandbox_path(&sandbox, "second.db", second));
    if (chatstore_client_open(url, NULL, &client) != CHATSTORE_OK)
        fail_msg("%s", chatstore_client_error(NULL));
    return client;
}

/* One call whose request is made of nothing but its descriptor. */
static enum chatstore_status call_filled(struct chatstore_client *client, const struct call *call,
                                         unsigned seed, unsigned spared, bool lasting,
                                         unsigned *failed_out)
{
    size_t bytes, reply_bytes;
    uint8_t *reply;
    ProtobufCMessage *request = request_fill(call, seed);
    if (call->page_size && !in_pages)
        field_clear(request, call->page_size);
    uint8_t *payload = message_bytes(request, &bytes);

    protobuf_c_message_free_unpacked(request, NULL);
    if (failed_out)
        shim_arm(spared, lasting);
    enum chatstore_status status =
        chatstore_client_call(client, call->method, payload, bytes, NULL, &reply, &reply_bytes);
    if (failed_out)
        *failed_out = shim_disarm();
    free(payload);
    free(reply);
    return status;
}

static void expect_served(struct chatstore_client *client, const struct call *after,
                          unsigned spared)
{
    Chatstore__V1__SetSettingRequest set = CHATSTORE__V1__SET_SETTING_REQUEST__INIT;
    Chatstore__V1__GetUserChatsRequest get = CHATSTORE__V1__GET_USER_CHATS_REQUEST__INIT;
    struct chatstore_outcome outcome;
    struct chatstore_call_options options = {.outcome = &outcome};

    set.key = (char[]){"k"};
    set.value = (char[]){"v"};
    if (chatstore_set_setting(client, &set, NULL, NULL) != CHATSTORE_OK)
        fail_msg("%s, allocation %u: the next call: %s", after->name, spared,
                 chatstore_client_error(client));
    chatstore_outcome_init(&outcome);
    get.user_id = 7;
    if (chatstore_get_user_chats(client, &get, &options, NULL) != CHATSTORE_OK ||
        outcome.failed_source_count > 0)
        fail_msg("%s, allocation %u: a merged call: %s", after->name, spared,
                 outcome.failed_source_count > 0 ? outcome.failed_sources[0].message
                                                 : chatstore_client_error(client));
    chatstore_outcome_clear(&outcome);
}

/* Each allocation of a call that has not been made on this client before, until none is left. */
static void sweep(const struct call *call, unsigned step, bool lasting)
{
    static unsigned seed;
    struct chatstore_client *client = open_client();
    unsigned failed = 1;

    for (unsigned spared = (unsigned)getpid() % step; failed > 0; spared += step) {
        enum chatstore_status status = call_filled(client, call, seed++, spared, lasting, &failed);
        if (failed > 0 && status != CHATSTORE_OK && status != CHATSTORE_RESOURCE_EXHAUSTED)
            fail_msg("%s, allocation %u%s: %s", call->name, spared,
                     lasting ? " and all behind" : "", chatstore_client_error(client));
        if (spared > PLACES_MAX)
            fail_msg("%s: no end", call->name);
        place_count += failed > 0;
        failed_count += failed > 0 && status != CHATSTORE_OK;
        expect_served(client, call, spared);
        if (failed > 0 && status == CHATSTORE_OK) { /* it has its statement ready now */
            chatstore_client_close(client);
            client = open_client();
        }
    }
    chatstore_client_close(client);
}

static void sweep_all(unsigned step, bool lasting)
{
    place_count = failed_count = 0;
    for (unsigned id = 0; id < CALL_COUNT; id++) {
        /* An engine in this process has nobody who reloads it. */
        if (id != CALL_RELOAD)
            sweep(&call_table[id], step, lasting);
        in_pages = call_table[id].page_size != NULL;
        if (in_pages)
            sweep(&call_table[id], step, lasting);
        in_pages = false;
    }
    print_message("%u times memory ran out; %u calls ended of it, the others did without\n",
                  place_count, failed_count);
}

static void every_call_survives_each_failure_alone(void **state)
{
    const char *text = getenv("CHATSTORE_ALLOC_STEP");

    (void)state;
    sweep_all(text && (int)strtol(text, NULL, 10) > 0 ? (unsigned)(int)strtol(text, NULL, 10)
                                                      : STEP_DEFAULT,
              false);
}

static void every_call_survives_each_failure_and_all_behind(void **state)
{
    (void)state;
    sweep_all(1, true);
}

/* ---- Writes are done once ---- */

static enum chatstore_status count_token(struct chatstore_client *client, char *token)
{
    Chatstore__V1__UpdateTokenStatsRequest request =
        CHATSTORE__V1__UPDATE_TOKEN_STATS_REQUEST__INIT;
    struct chatstore_call_options options = {.request_id = token};

    request.token = token;
    return chatstore_update_token_stats(client, &request, &options, NULL);
}

/* With its own request_id each token is counted once: by the first try that is told OK, or by one
 * that failed too late. */
static void a_write_that_ran_out_of_memory_can_be_repeated(void **state)
{
    struct chatstore_client *client = open_client();
    unsigned failed = 1, tokens = 0;

    (void)state;
    for (unsigned spared = 0; failed > 0; spared++) {
        char token[TOKEN_BYTES];
        snprintf(token, sizeof token, "token-%u", tokens++);
        shim_arm(spared, spared % 2 != 0);
        count_token(client, token);
        failed = shim_disarm();
        assert_int_equal(count_token(client, token), CHATSTORE_OK);
        assert_int_equal(count_token(client, token), CHATSTORE_OK);
    }
    chatstore_client_close(client);
    assert_int_equal(sandbox_integer(&sandbox, "main.db",
                                     "SELECT count(*) FROM bayes_tokens WHERE token LIKE 'token-%'"
                                     " AND total_count = 1"),
                     tokens);
}

static int setup(void **state)
{
    (void)state;
    setenv("CHATSTORE_LOG", "error", 1);
    sandbox_open(&sandbox);
    chatstore_client_close(open_client()); /* creates the files */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sandbox_close(&sandbox);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_survives_each_failure_alone),
        cmocka_unit_test(every_call_survives_each_failure_and_all_behind),
        cmocka_unit_test(a_write_that_ran_out_of_memory_can_be_repeated),
    };
    shim_install();
    chatstore_transport_register("embedded", &chatstore_embedded_transport);
    return cmocka_run_group_tests_name("allocations", tests, setup, teardown);
}
