/* chatstored: options and configuration; server.c does the rest. */
#include "server.h"

#include "listener.h"

#include "pool/log.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { URLS_MAX = 64 };

enum {
    OPTION_CONFIG = 'c',
    OPTION_DB = 0x100,
    OPTION_READONLY,
    OPTION_LISTEN,
    OPTION_INSECURE,
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
    bool insecure_listen;
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
     "Listen on this URL too: ipc://, tcp://, ws://, tls+tcp://, wss://. May be given several "
     "times",
     0},
    {"insecure-listen", OPTION_INSECURE, NULL, 0,
     "Allow --listen where other machines can call without TLS or tokens", 0},
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
    case OPTION_INSECURE:
        options->insecure_listen = true;
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

/* What the files of [service.tls] hold, too. */
static bool has_sound_tls(const struct config *config)
{
    struct status why;
    if (!config->tls.certificate)
        return true;
    struct listener_tls *tls = listener_prepare_tls(&config->tls, &why);
    if (!tls)
        log_line(LOG_ERROR, "%s", why.text);
    listener_tls_free(tls);
    return tls != NULL;
}

static int check(const struct options *options, const struct config *config,
                 const struct config_report *report)
{
    bool sound = report->total[CONFIG_ERROR] == 0 && report->total[CONFIG_UNAVAILABLE] == 0 &&
                 (!options->check_config || has_sound_tls(config));
    if (sound || options->print_config)
        config_print(config, stdout);
    return sound || options->print_config ? EX_OK : EX_CONFIG;
}

static int serve(const struct options *options, const struct config *config)
{
    bool from_stdin = options->config_path && strcmp(options->config_path, "-") == 0;
    struct server_setup setup = {
        .config = config,
        .reload_path = from_stdin ? NULL : options->config_path,
        .why_no_reload = from_stdin ? "the configuration came from standard input, which cannot be "
                                      "read again; start with --config FILE"
                                    : "the server was started with --db, so there is no "
                                      "configuration file; start with --config FILE",
        .urls = options->urls,
        .url_count = options->url_count,
        .insecure_listen = options->insecure_listen,
    };
    return server_run(&setup);
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
