/* chatstore-bench: one load against a running server, or in this process; or the data for it. */
#include "clock.h"
#include "data.h"
#include "loads.h"
#include "options.h"
#include "pool/log.h"
#include "report.h"
#include "service/embedded.h"

#include <chatstore/calls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

static int make_data(const struct options *options)
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

static bool open_client(const struct options *options, struct chatstore_client **client_out)
{
    unsigned margin = options->in_flight + 16;
    struct chatstore_client_options client_options = {
        .no_join = options->no_join,
        .frames_in_flight_max = options->frames_in_flight,
        .calls_per_frame_max = options->calls_per_frame,
        .calls_in_flight_max = margin > 1024 ? margin : 1024};
    if (chatstore_client_open(options->url, &client_options, client_out) == CHATSTORE_OK)
        return true;
    fprintf(stderr, "chatstore-bench: %s\n", chatstore_client_error(NULL));
    return false;
}

/* Whether the server answers, said at once and not after a run of failures. */
static bool reach(struct chatstore_client *client)
{
    Chatstore__V1__PingRequest request = CHATSTORE__V1__PING_REQUEST__INIT;
    const struct chatstore_call_options options = {.timeout_ms = 2000};
    Chatstore__V1__PingResponse *response;
    if (chatstore_ping(client, &request, &options, &response) != CHATSTORE_OK) {
        fprintf(stderr, "chatstore-bench: %s\n", chatstore_client_error(client));
        return false;
    }
    chatstore__v1__ping_response__free_unpacked(response, NULL);
    return true;
}

static int run_load(const struct options *options)
{
    static struct driver_result result; /* large */
    char default_url[256];
    chatstore_url_default(default_url, sizeof default_url);
    const char *env_url = getenv("CHATSTORE_URL");
    const char *url = options->url ? options->url : (env_url ? env_url : default_url);
    struct session session = {.options = options, .run_id = bench_now_ns() ^ getpid()};
    if (!open_client(options, &session.client))
        return EX_UNAVAILABLE;
    if (!reach(session.client)) {
        chatstore_client_close(session.client);
        return EX_UNAVAILABLE;
    }
    const struct load *load = load_find(options->load);
    struct driver_options driver = {.in_flight = options->in_flight,
                                    .warm_up_s = options->warm_up_s,
                                    .seconds = options->seconds,
                                    .rate_per_s = options->rate_per_s,
                                    .starter_per_slot = strncmp(url, "embedded:", 9) == 0,
                                    .progress = !options->quiet && isatty(STDERR_FILENO),
                                    .server_pid = options->server_pid ? options->server_pid
                                                                      : usage_listener(url),
                                    .seed = options->seed,
                                    .start = load->start,
                                    .arg = &session};
    bool complete = driver_run(&driver, &result);
    if (!complete) {
        fprintf(stderr, "chatstore-bench: %s\n", result.error);
        _exit(EX_SOFTWARE); /* calls may be under way on memory that has to stay */
    }
    struct report_title title = {load->name, url, options->in_flight, options->rate_per_s, ""};
    report_print(stdout, &title, &result, options->json);
    chatstore_client_close(session.client);
    return result.calls == 0 ? EX_UNAVAILABLE : EX_OK;
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct options options;
    options_parse(argc, argv, &options);
    raise_file_limit();
    log_set_level(LOG_WARN);
    chatstore_transport_register("embedded", &chatstore_embedded_transport);
    return strcmp(options.load, "data") == 0 ? make_data(&options) : run_load(&options);
}
