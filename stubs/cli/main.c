/* The command line tool `chatstore`. */
#include "cli.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "suggest.h"

#ifdef CHATSTORE_WITH_EMBEDDED
#include "service/embedded.h"
#endif

static int run_call(const struct cli_options *options, char **words, int count)
{
    if (!options->from_stdin)
        return cli_run_call(options, words, count);
    if (count == 0)
        return cli_run_stdin(options);
    fprintf(stderr, "chatstore: call --stdin takes its calls from standard input, not %s\n",
            words[0]);
    return CLI_EXIT_USAGE;
}

static int run_alone(int (*run)(const struct cli_options *options),
                     const struct cli_options *options, char **words, int count)
{
    if (count == 0)
        return run(options);
    fprintf(stderr, "chatstore: what is %s meant for?\n", words[0]);
    return CLI_EXIT_USAGE;
}

/* One of the two is set. */
static const struct command {
    const char *name;
    int (*run)(const struct cli_options *options, char **words, int count);
    int (*run_alone)(const struct cli_options *options);
} commands[] = {
    {"call", run_call, NULL},
    {"cert", cli_run_cert, NULL},
    {"describe", cli_run_describe, NULL},
    {"list", NULL, cli_run_list},
    {"ping", NULL, cli_run_ping},
    {"reload", NULL, cli_run_reload},
    {"sources", NULL, cli_run_sources},
    {"token", cli_run_token, NULL},
};

static int run_command(const struct cli_options *options, char **words, int count)
{
    struct suggestion suggestion;
    char hint[64];

    suggest_start(&suggestion, words[0]);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        suggest_offer(&suggestion, commands[i].name);
        if (strcmp(commands[i].name, words[0]) != 0)
            continue;
        if (commands[i].run != NULL)
            return commands[i].run(options, words + 1, count - 1);
        return run_alone(commands[i].run_alone, options, words + 1, count - 1);
    }
    fprintf(stderr, "chatstore: there is no command %s%s; `chatstore --help` shows all\n", words[0],
            suggest_text(&suggestion, hint, sizeof hint));
    return CLI_EXIT_USAGE;
}

static int finish(int exit_status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return exit_status;
    perror("chatstore: standard output");
    return exit_status != CLI_EXIT_OK ? exit_status : CLI_EXIT_IO;
}

int main(int argc, char **argv)
{
    struct cli_options options;
    int first;

    /* A reader that went away is seen as an error of the write. */
    signal(SIGPIPE, SIG_IGN);
#ifdef CHATSTORE_WITH_EMBEDDED
    chatstore_transport_register("embedded", &chatstore_embedded_transport);
#endif
    if (!cli_read_options(argc, argv, &options, &first))
        return CLI_EXIT_USAGE;
    if (options.version) {
        puts("chatstore " CHATSTORE_VERSION);
        return finish(CLI_EXIT_OK);
    }
    if (options.help || first == argc) {
        cli_print_help(options.help ? stdout : stderr);
        return finish(options.help ? CLI_EXIT_OK : CLI_EXIT_USAGE);
    }
    return finish(run_command(&options, argv + first, argc - first));
}
