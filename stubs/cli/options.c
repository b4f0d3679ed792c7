/* Options and help of the command line tool. */
#include "cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suggest.h"

enum { CERTIFICATE_DAYS = 825 };

static const char help_text[] =
    "usage: chatstore COMMAND [OPTION]...\n"
    "\n"
    "examples:\n"
    "  chatstore ping\n"
    "  chatstore call GetChatUser chat_id=-1001 user_id=7\n"
    "  chatstore call GetChatMessagesSince '{\"chat_id\": -1001, \"limit\": 5}' -o json\n"
    "  chatstore call GetAllGroupChats --url tcp://10.0.0.5:7777\n"
    "  chatstore call GetSettings --url embedded:bot.db       (no server needed)\n"
    "  echo '{\"method\": \"Ping\"}' | chatstore call --stdin\n"
    "\n"
    "commands:\n"
    "  call METHOD [FIELD=VALUE... | '{JSON}']   make one call; a field that is given several\n"
    "                                            times is a list, FIELD=null is absent\n"
    "  call --stdin         make a call for each line {\"method\": ..., \"request\": {...}} of\n"
    "                       standard input, in order, and print a line for each\n"
    "  list                 the methods\n"
    "  describe METHOD      what a method does, its fields, an example\n"
    "  ping                 whether the server answers\n"
    "  reload               make the server read its configuration file again, whole or not at\n"
    "                       all, and say what changed\n"
    "  sources              the server's sources: state, schema, counters\n"
    "  token new NAME       make a token for a bot, and the lines that let it in for the server's\n"
    "                       configuration file: --read SOURCE,... --write SOURCE,... ('*' is "
    "every\n"
    "                       source), --admin; with --token-file FILE the token goes there\n"
    "  cert new             make a CA and certificates for server and clients, and print where "
    "they\n"
    "                       go: --dir DIR, --host NAME for each name and address by which bots\n"
    "                       reach the server, --days N (default 825)\n"
    "\n"
    "options:\n"
    "  --url URL            ipc:///path, tcp://host:port, tls+tcp://host:port,\n"
    "                       ws://host:port/path, wss://host:port/path, or without a\n"
    "                       server embedded:bot.db, embedded:chatstore.toml.\n"
    "                       Default: $CHATSTORE_URL, else ipc://$XDG_RUNTIME_DIR/chatstore.sock,\n"
    "                       else ipc:///run/chatstore/chatstore.sock\n"
    "  -o, --output FORMAT  table or json; default: table on a terminal, json otherwise\n"
    "  --timeout-ms N       how long a call may take; default 30000\n"
    "  --request-id UUID    makes a write safe to repeat: with the same id it is done once\n"
    "  --token-file FILE    the token is the file's first line; default: $CHATSTORE_TOKEN\n"
    "  --ca FILE            of tls+tcp and wss: the CA of the server's certificate; default: "
    "those\n"
    "                       that the system trusts\n"
    "  --cert, --key FILE   our own certificate and its key, where the server wants one\n"
    "  --server-name NAME   that the server's certificate must have; default: the URL's host\n"
    "  -h, --help           this text\n"
    "  --version            the version\n"
    "\n"
    "exit status: 0 done; 1 not found or exists already; 64 wrong usage or argument; 65 refused\n"
    "  in this state (readonly source, schema); 69 server or source cannot be reached; 70 error\n"
    "  of the server; 74 input or output failed; 75 try again later; 77 not allowed\n";

void cli_print_help(FILE *to)
{
    fputs(help_text, to);
}

enum option_id {
    OPTION_URL = 256,
    OPTION_TIMEOUT_MS,
    OPTION_REQUEST_ID,
    OPTION_TOKEN_FILE,
    OPTION_CA,
    OPTION_CERT,
    OPTION_KEY,
    OPTION_SERVER_NAME,
    OPTION_READ,
    OPTION_WRITE,
    OPTION_ADMIN,
    OPTION_DIR,
    OPTION_HOST,
    OPTION_DAYS,
    OPTION_STDIN,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"url", required_argument, NULL, OPTION_URL},
    {"output", required_argument, NULL, 'o'},
    {"timeout-ms", required_argument, NULL, OPTION_TIMEOUT_MS},
    {"request-id", required_argument, NULL, OPTION_REQUEST_ID},
    {"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
    {"ca", required_argument, NULL, OPTION_CA},
    {"cert", required_argument, NULL, OPTION_CERT},
    {"key", required_argument, NULL, OPTION_KEY},
    {"server-name", required_argument, NULL, OPTION_SERVER_NAME},
    {"read", required_argument, NULL, OPTION_READ},
    {"write", required_argument, NULL, OPTION_WRITE},
    {"admin", no_argument, NULL, OPTION_ADMIN},
    {"dir", required_argument, NULL, OPTION_DIR},
    {"host", required_argument, NULL, OPTION_HOST},
    {"days", required_argument, NULL, OPTION_DAYS},
    {"stdin", no_argument, NULL, OPTION_STDIN},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static bool read_format(const char *text, enum cli_format *format_out)
{
    if (strcmp(text, "table") == 0)
        *format_out = CLI_FORMAT_TABLE;
    else if (strcmp(text, "json") == 0)
        *format_out = CLI_FORMAT_JSON;
    else
        fprintf(stderr, "chatstore: -o %s: the format is table or json\n", text);
    return *format_out != CLI_FORMAT_AUTO;
}

static bool read_timeout(const char *text, uint32_t *timeout_out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value == 0 || value > INT32_MAX) {
        fprintf(stderr, "chatstore: --timeout-ms %s: not a number of milliseconds above 0\n", text);
        return false;
    }
    *timeout_out = (uint32_t)value;
    return true;
}

static bool unknown_option(const char *given)
{
    struct suggestion suggestion;
    char hint[64];

    suggest_start(&suggestion, given + strspn(given, "-"));
    for (const struct option *option = long_options; option->name != NULL; option++)
        suggest_offer(&suggestion, option->name);
    suggest_text(&suggestion, hint, sizeof hint);
    fprintf(stderr, "chatstore: there is no option %s%s\n", given, hint);
    return false;
}

static bool read_days(const char *text, uint32_t *days_out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value == 0 || value > 36500) {
        fprintf(stderr, "chatstore: --days %s: not a number from 1 to 36500\n", text);
        return false;
    }
    *days_out = (uint32_t)value;
    return true;
}

static bool add_host(struct cli_options *options)
{
    if (options->host_count == CLI_HOSTS_MAX) {
        fprintf(stderr, "chatstore: more than %d --host\n", CLI_HOSTS_MAX);
        return false;
    }
    options->hosts[options->host_count++] = optarg;
    return true;
}

/* Options whose value is kept as it is; NULL: it is none of these. */
static const char **text_option(int id, struct cli_options *options)
{
    switch (id) {
    case OPTION_URL:
        return &options->url;
    case OPTION_REQUEST_ID:
        return &options->request_id;
    case OPTION_TOKEN_FILE:
        return &options->token_file;
    case OPTION_CA:
        return &options->ca;
    case OPTION_CERT:
        return &options->cert;
    case OPTION_KEY:
        return &options->key;
    case OPTION_SERVER_NAME:
        return &options->server_name;
    case OPTION_READ:
        return &options->read;
    case OPTION_WRITE:
        return &options->write;
    case OPTION_DIR:
        return &options->dir;
    default:
        return NULL;
    }
}

static bool read_option(int id, const char *given, struct cli_options *options)
{
    const char **text = text_option(id, options);

    if (text != NULL) {
        *text = optarg;
        return true;
    }
    switch (id) {
    case OPTION_TIMEOUT_MS:
        return read_timeout(optarg, &options->timeout_ms);
    case OPTION_ADMIN:
        options->admin = true;
        return true;
    case OPTION_HOST:
        return add_host(options);
    case OPTION_DAYS:
        return read_days(optarg, &options->days);
    case OPTION_STDIN:
        options->from_stdin = true;
        return true;
    case OPTION_VERSION:
        options->version = true;
        return true;
    case 'o':
        return read_format(optarg, &options->format);
    case 'h':
        options->help = true;
        return true;
    case ':':
        fprintf(stderr, "chatstore: %s needs a value\n", given);
        return false;
    default:
        return unknown_option(given);
    }
}

bool cli_read_options(int argc, char **argv, struct cli_options *options, int *first_out)
{
    int id;

    *options = (struct cli_options){.days = CERTIFICATE_DAYS};
    opterr = 0;
    optind = 0; /* from the start, also when called again */
    for (;;) {
        int at = optind > 0 ? optind : 1;
        id = getopt_long(argc, argv, ":o:h", long_options, NULL);
        if (id == -1)
            break;
        if (!read_option(id, argv[optind > at ? optind - 1 : at], options))
            return false;
    }
    *first_out = optind;
    return true;
}

bool cli_wants_table(const struct cli_options *options)
{
    if (options->format == CLI_FORMAT_AUTO)
        return isatty(STDOUT_FILENO) == 1;
    return options->format == CLI_FORMAT_TABLE;
}

int cli_exit_of(enum chatstore_status status)
{
    switch (status) {
    case CHATSTORE_OK:
        return CLI_EXIT_OK;
    case CHATSTORE_NOT_FOUND:
    case CHATSTORE_ALREADY_EXISTS:
        return 1;
    case CHATSTORE_INVALID_ARGUMENT:
        return CLI_EXIT_USAGE;
    case CHATSTORE_FAILED_PRECONDITION:
        return 65;
    case CHATSTORE_UNAVAILABLE:
        return 69;
    case CHATSTORE_ABORTED:
    case CHATSTORE_RESOURCE_EXHAUSTED:
    case CHATSTORE_DEADLINE_EXCEEDED:
        return 75;
    case CHATSTORE_PERMISSION_DENIED:
    case CHATSTORE_UNAUTHENTICATED:
        return 77;
    default:
        return CLI_EXIT_BUG;
    }
}
