/* chatstore-bench: one load against a running server, or in this process; or the data for it. */
#include "beside.h"
#include "clock.h"
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

static bool open_client(const struct options *options, const char *url,
                        struct chatstore_client **client_out)
{
    unsigned margin = options->in_flight + 16;
    struct chatstore_client_options client_options = {
        .no_join = options->no_join,
        .frames_in_flight_max = options->frames_in_flight,
        .calls_per_frame_max = options->calls_per_frame,
        .calls_in_flight_max = margin > 1024 ? margin : 1024};
    if (chatstore_client_open(url, &client_options, client_out) == CHATSTORE_OK)
        return true;
    fprintf(stderr, "chatstore-bench: %s\n", chatstore_client_error(NULL));
    return false;
}

/* Whether the server answers, said at once and not after a run of failures. One that has too much
 * to do has answered. */
static bool reach(struct chatstore_client *client)
{
    Chatstore__V1__PingRequest request = CHATSTORE__V1__PING_REQUEST__INIT;
    const struct chatstore_call_options options = {.timeout_ms = 2000};
    Chatstore__V1__PingResponse *response;
    enum chatstore_status status = chatstore_ping(client, &request, &options, &response);
    if (status == CHATSTORE_RESOURCE_EXHAUSTED)
        return true;
    if (status != CHATSTORE_OK) {
        fprintf(stderr, "chatstore-bench: %s\n", chatstore_client_error(client));
        return false;
    }
    chatstore__v1__ping_response__free_unpacked(response, NULL);
    return true;
}

static const char *url_of(const struct options *options)
{
    static char fallback[256];
    const char *from_environment = getenv("CHATSTORE_URL");
    chatstore_url_default(fallback, sizeof fallback);
    return options->url ? options->url : (from_environment ? from_environment : fallback);
}

/* Ends the program when calls do not come back: they are under way on memory that has to stay. */
static void measure(struct session *session, const struct load *load, const char *url,
                    struct driver_result *result)
{
    const struct options *options = session->options;
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
                                    .arg = session};
    if (!driver_run(&driver, result)) {
        fprintf(stderr, "chatstore-bench: %s\n", result->error);
        _exit(EX_SOFTWARE);
    }
}

static void report(const struct session *session, const char *url, const struct beside *beside,
                   const struct driver_result *result)
{
    const struct options *options = session->options;
    char extra[512];
    int length =
        snprintf(extra, sizeof extra, ", \"request_frame_bytes\": %zu, \"reply_frame_bytes\": %zu",
                 atomic_load(&session->request_bytes), atomic_load(&session->reply_bytes));
    beside_report(beside, extra + length, sizeof extra - (size_t)length);
    struct report_title title = {options->load, url, options->in_flight, options->rate_per_s,
                                 extra};
    report_print(stdout, &title, result, options->json);
}

static int run_load(const struct options *options, const struct load *load)
{
    static struct driver_result result; /* large */
    const char *url = url_of(options);
    struct session session = {.options = options};
    struct beside *beside = NULL;
    if (!open_client(options, url, &session.client))
        return EX_UNAVAILABLE;
    if (reach(session.client) && session_prepare(&session) &&
        (beside = beside_start(options, url))) {
        measure(&session, load, url, &result);
        report(&session, url, beside, &result);
    }
    beside_stop(beside);
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
    const struct load *load = load_find(options.load);
    return load->run ? load->run(&options) : run_load(&options, load);
}
