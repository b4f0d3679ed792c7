/* chatstored: options, configuration, signals; then the engine behind the listeners until it is
 * told to stop. */
#include "engine.h"
#include "listener.h"

#include "pool/log.h"
#include "pool/sqlite.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

enum { URLS_MAX = 64, DRAIN_MS = 5000 };

enum {
    OPTION_CONFIG = 'c',
    OPTION_DB = 0x100,
    OPTION_READONLY,
    OPTION_LISTEN,
    OPTION_CHECK,
    OPTION_PRINT,
    OPTION_LOG
};

/* Visible, or libc does not find it and there is no --version. */
__attribute__((visibility("default"))) const char *argp_program_version =
    "chatstored " CHATSTORE_VERSION;

struct options {
    const char *config_path;
    const char *db_path;
    bool readonly;
    bool check_config;
    bool print_config;
    enum log_level log_level;
    const char *urls[URLS_MAX];
    size_t url_count;
};

static const struct argp_option option_table[] = {
    {"config", OPTION_CONFIG, "FILE", 0,
     "Serve what this TOML file configures (- = standard input)", 0},
    {"db", OPTION_DB, "FILE", 0, "Serve one database file, writable, as the source \"default\"", 0},
    {"readonly", OPTION_READONLY, NULL, 0, "With --db: serve the file untouched", 0},
    {"listen", OPTION_LISTEN, "URL", 0,
     "Listen on this URL too: ipc://, tcp://, ws://. May be given several times", 0},
    {"check-config", OPTION_CHECK, "FILE", OPTION_ARG_OPTIONAL,
     "Print the effective configuration and routing, or all errors; exit 0 or 78", 0},
    {"print-config", OPTION_PRINT, NULL, 0, "Print the effective configuration and exit", 0},
    {"log-level", OPTION_LOG, "LEVEL", 0, "error, warn, info (default) or debug", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case OPTION_CONFIG:
        options->config_path = arg;
        break;
    case OPTION_DB:
        options->db_path = arg;
        break;
    case OPTION_READONLY:
        options->readonly = true;
        break;
    case OPTION_LISTEN:
        if (options->url_count == URLS_MAX)
            argp_error(state, "more than %d --listen", URLS_MAX);
        options->urls[options->url_count++] = arg;
        break;
    case OPTION_CHECK:
        options->check_config = true;
        options->config_path = arg ? arg : options->config_path;
        break;
    case OPTION_PRINT:
        options->print_config = true;
        break;
    case OPTION_LOG:
        if (!log_level_parse(arg, &options->log_level))
            argp_error(state, "--log-level %s: it is one of error, warn, info, debug", arg);
        break;
    case ARGP_KEY_ARG: /* --check-config FILE, the optional argument written apart */
        if (!options->check_config || options->config_path)
            return ARGP_ERR_UNKNOWN;
        options->config_path = arg;
        break;
    case ARGP_KEY_END:
        if (!options->config_path == !options->db_path)
            argp_error(state, "give either --config FILE or --db FILE");
        if (options->readonly && !options->db_path)
            argp_error(state, "--readonly goes with --db; in a file, a source has readonly = true");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    option_table,
    parse_option,
    NULL,
    "The database service for clusters of chat bots.\v"
    "Examples:\n"
    "  chatstored --db bot.db\n"
    "  chatstored --config chatstore.toml --listen tcp://127.0.0.1:7447\n"
    "  chatstored --check-config chatstore.toml\n\n"
    "Without any --listen, here or in the file, it listens on "
    "ipc://$XDG_RUNTIME_DIR/chatstore.sock, "
    "else ipc:///run/chatstore/chatstore.sock.",
    NULL,
    NULL,
    NULL};

/* Read the configuration; all that is wrong with it goes to standard error. Returns an exit status.
 */
static int load(const struct options *options, struct config **config_out,
                struct config_report **report_out)
{
    enum config_status status =
        options->db_path
            ? config_single(options->db_path, options->readonly, config_out, report_out)
            : config_load(options->config_path, config_out, report_out);
    switch (status) {
    case CONFIG_OK:
        return EX_OK;
    case CONFIG_INVALID:
        return EX_CONFIG;
    case CONFIG_NO_INPUT:
        return EX_NOINPUT;
    default:
        return EX_OSERR;
    }
}

static int check(const struct options *options, const struct config *config,
                 const struct config_report *report)
{
    bool sound = report->total[CONFIG_ERROR] == 0 && report->total[CONFIG_UNAVAILABLE] == 0;
    if (sound || options->print_config)
        config_print(config, stdout);
    return sound || options->print_config ? EX_OK : EX_CONFIG;
}

/* Sockets of clients, files of sources: the soft limit of 1,024 is soon reached. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static size_t collect_urls(const struct options *options, const struct config *config,
                           const char **urls, char *fallback, size_t fallback_bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < config->listen_count && count < URLS_MAX; i++)
        urls[count++] = config->listen[i];
    for (size_t i = 0; i < options->url_count && count < URLS_MAX; i++)
        urls[count++] = options->urls[i];
    if (count == 0) {
        const char *folder = getenv("XDG_RUNTIME_DIR");
        snprintf(fallback, fallback_bytes, "ipc://%s/chatstore.sock",
                 folder && folder[0] == '/' ? folder : "/run/chatstore");
        urls[count++] = fallback;
    }
    return count;
}

static bool urls_are_sound(const char *const *urls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *problem = config_listen_problem(urls[i]);
        if (problem) {
            log_line(LOG_ERROR, "--listen %s: %s", urls[i], problem);
            return false;
        }
        if (config_listen_is_open(urls[i]))
            log_line(LOG_WARN, "%s: whoever reaches this address can read and write every source",
                     urls[i]);
    }
    return true;
}

/* Block the signals that end the server in every thread; the main thread waits for them. */
static sigset_t block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signals;
}

static void wait_for_stop(const sigset_t *signals)
{
    int signal_number = 0;
    while (sigwait(signals, &signal_number) != 0 || signal_number == SIGHUP)
        continue;
    log_line(LOG_INFO,
             "stopping: what is under way is finished first; a second signal stops at once");
    sigset_t again;
    sigemptyset(&again);
    sigaddset(&again, SIGTERM);
    sigaddset(&again, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &again, NULL); /* the default action ends the process */
}

static int serve(const struct options *options, const struct config *config)
{
    const char *urls[URLS_MAX];
    char fallback[256];
    size_t url_count = collect_urls(options, config, urls, fallback, sizeof fallback);
    if (!urls_are_sound(urls, url_count))
        return EX_USAGE;
    raise_file_limit();
    sqlite_configure_process();
    sigset_t signals = block_signals();
    listener_configure_process();
    struct engine *engine;
    int error = engine_open(config, &engine);
    if (error != 0) {
        log_line(LOG_ERROR, "cannot start: %s", strerror(error));
        return EX_OSERR;
    }
    struct listener *listener;
    char reason[512];
    error =
        listener_start(engine, urls, url_count, &config->limits, &listener, reason, sizeof reason);
    if (error != 0) {
        log_line(LOG_ERROR, "%s", reason);
        engine_close(engine);
        return EX_UNAVAILABLE;
    }
    wait_for_stop(&signals);
    listener_stop(listener, DRAIN_MS);
    engine_close(engine);
    log_line(LOG_INFO, "stopped");
    return EX_OK;
}

int main(int argc, char **argv)
{
    struct options options = {.log_level = LOG_INFO};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    log_set_level(options.log_level);
    struct config *config = NULL;
    struct config_report *report = NULL;
    int status = load(&options, &config, &report);
    if (report)
        config_report_print(report, stderr);
    if (status == EX_OK)
        status = options.check_config || options.print_config ? check(&options, config, report)
                                                              : serve(&options, config);
    config_report_free(report);
    config_free(config);
    return status;
}
