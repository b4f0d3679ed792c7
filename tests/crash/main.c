/* Kills chatstored again and again while bots write through it, then holds its files against what
 * the bots were told. With --power the files lose their power at that moment, too. See `run` and
 * `power_loss`, beside this file. */
#include "checker.h"
#include "journal.h"
#include "server.h"
#include "writers.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SOURCES = 3, PATH_BYTES = 256, READY_MS_MAX = 20000, CLIENT_BOUND = 64 };

static const char *const source_names[SOURCES] = {"main", "second", "truncating"};

struct options {
    const char *chatstored, *folder;
    const char *data;        /* where the files are; NULL: in the folder */
    const char *power;       /* a program that takes "off" or "on" and the data's folder */
    const char *synchronous; /* of all sources */
    unsigned kills, writers;
    uint64_t seed;
};

/* What is said in the end. */
struct figures {
    unsigned kills, early, stopping;
    unsigned ready_ms[4096];
    size_t ready_count;
    int64_t began_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* ---- Options ---- */

static const struct argp_option option_table[] = {
    {"kills", 'k', "N", 0, "How often the server is killed (20)", 0},
    {"writers", 'w', "N", 0, "Bots that write at the same time (16)", 0},
    {"seed", 's', "N", 0, "Of the random numbers (the time)", 0},
    {"chatstored", 'c', "PATH", 0, "The server's program", 0},
    {"folder", 'f', "PATH", 0, "An empty folder; what is in it then stays", 0},
    {"data", 'd', "PATH", 0, "Another folder, for the files", 0},
    {"power", 'p', "PROGRAM", 0,
     "Called after each kill as PROGRAM off DATA, and then as PROGRAM on DATA", 0},
    {"synchronous", 'y', "MODE", 0, "Of the sources: full, normal (full)", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'k':
        options->kills = (unsigned)strtoul(arg, NULL, 10);
        break;
    case 'w':
        options->writers = (unsigned)strtoul(arg, NULL, 10);
        if (options->writers == 0 || options->writers > CLIENT_BOUND)
            argp_error(state, "--writers takes 1 to %d", CLIENT_BOUND);
        break;
    case 's':
        options->seed = strtoull(arg, NULL, 10);
        break;
    case 'c':
        options->chatstored = arg;
        break;
    case 'f':
        options->folder = arg;
        break;
    case 'd':
        options->data = arg;
        break;
    case 'p':
        options->power = arg;
        break;
    case 'y':
        options->synchronous = arg;
        break;
    case ARGP_KEY_END:
        if (!options->chatstored || !options->folder)
            argp_error(state, "--chatstored and --folder are needed");
        if (!options->data)
            options->data = options->folder;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- The server's files ---- */

static void path_in(const char *folder, const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
}

static bool write_config(const struct options *options, const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file)
        return false;
    fprintf(file, "[database]\ndefault = \"main\"\n[database.sources]\n");
    for (int i = 0; i < SOURCES; i++)
        fprintf(file, "%s = { path = \"%s/%s.db\", synchronous = \"%s\", journal-mode = \"%s\" }\n",
                source_names[i], options->data, source_names[i], options->synchronous,
                strcmp(source_names[i], "truncating") == 0 ? "truncate" : "wal");
    fprintf(file,
            "[database.chatMapping]\n-2 = \"second\"\n-3 = \"truncating\"\n"
            "[service]\nlisten = [\"ipc://%s/socket\"]\n",
            options->folder);
    return fclose(file) == 0;
}

/* ---- Killing ---- */

/* Wait until the bots are answered again; false: they are not. */
static bool wait_ready(const struct writers *writers, unsigned long acked_before,
                       struct figures *figures, int64_t started_ms)
{
    while (writers_acked(writers) == acked_before) {
        if (now_ms() - started_ms > READY_MS_MAX)
            return false;
        sleep_ms(1);
    }
    if (figures->ready_count < sizeof figures->ready_ms / sizeof *figures->ready_ms)
        figures->ready_ms[figures->ready_count++] = (unsigned)(now_ms() - started_ms);
    return true;
}

static bool switch_power(const struct options *options, const char *what)
{
    char command[2 * PATH_BYTES];

    if (!options->power)
        return true;
    snprintf(command, sizeof command, "exec '%s' %s '%s'", options->power, what, options->data);
    int status = system(command);
    if (status != 0)
        fprintf(stderr, "%s %s: status %d\n", options->power, what, WEXITSTATUS(status));
    return status == 0;
}

/* At a random moment of one of three kinds: while it opens its files, while it works, while it
 * stops and checkpoints. */
static bool kill_once(const struct options *options, struct server *server,
                      const struct writers *writers, struct figures *figures, int64_t started_ms)
{
    unsigned long acked = writers_acked(writers);
    long dice = random() % 10;

    if (dice < 2) {
        figures->early++;
        sleep_ms((unsigned)(random() % 30));
    } else {
        if (!wait_ready(writers, acked, figures, started_ms)) {
            fprintf(stderr, "no write was acknowledged within %d ms\n", READY_MS_MAX);
            return false;
        }
        sleep_ms((unsigned)(random() % 250));
        if (dice < 4) {
            figures->stopping++;
            server_signal(server, SIGTERM);
            sleep_ms((unsigned)(random() % 20));
        }
    }
    server_signal(server, SIGKILL);
    int status = server_wait(server);
    if (!switch_power(options, "off") || !switch_power(options, "on"))
        return false;
    if (status != 128 + SIGKILL && status != 0) {
        fprintf(stderr, "the server ended by itself with %d; see its log\n", status);
        return false;
    }
    figures->kills++;
    return true;
}

static bool kill_often(const struct options *options, struct server *server,
                       const struct writers *writers, struct figures *figures)
{
    int64_t started_ms = now_ms();

    while (figures->kills < options->kills) {
        if (!kill_once(options, server, writers, figures, started_ms))
            return false;
        if (random() % 4 == 0)
            sleep_ms((unsigned)(random() % 200));
        started_ms = now_ms();
        if (!server_start(server))
            return false;
    }
    return wait_ready(writers, writers_acked(writers), figures, started_ms);
}

/* ---- The end ---- */

static int compare(const void *a, const void *b)
{
    unsigned first = *(const unsigned *)a, second = *(const unsigned *)b;
    return (first > second) - (first < second);
}

static void print_figures(struct figures *figures, const struct checker_figures *checked)
{
    qsort(figures->ready_ms, figures->ready_count, sizeof *figures->ready_ms, compare);
    printf("kills                 %u (%u while opening, %u while stopping)\n", figures->kills,
           figures->early, figures->stopping);
    printf("acknowledged writes   %lld\n", checked->acked);
    printf("unknown writes        %lld\n", checked->unknown);
    printf("repeats of old ones   %lld\n", checked->repeats);
    printf("refused               %lld\n", checked->refused);
    printf("violations            %lld\n", checked->violations);
    if (figures->ready_count > 0)
        printf("start to first answer %u ms (median), %u ms (p99)\n",
               figures->ready_ms[figures->ready_count / 2],
               figures->ready_ms[figures->ready_count * 99 / 100]);
    printf("seconds               %.1f\n", (double)(now_ms() - figures->began_ms) / 1000);
}

static int check(const struct options *options, struct figures *figures)
{
    char paths[SOURCES][PATH_BYTES], journal_path[PATH_BYTES];
    struct checker_source sources[SOURCES];
    struct checker_figures checked;

    path_in(options->folder, "journal", journal_path);
    for (int i = 0; i < SOURCES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.db", source_names[i]);
        path_in(options->data, name, paths[i]);
        sources[i] = (struct checker_source){source_names[i], paths[i]};
    }
    int error = checker_run(journal_path, sources, SOURCES, stdout, &checked);
    if (error == 0)
        print_figures(figures, &checked);
    if (error != 0 || checked.violations > 0 || checked.acked == 0) {
        printf("FAILED\n");
        return 1;
    }
    printf("passed: every acknowledged write is there exactly once\n");
    return 0;
}

/* The bots, the killing, and an orderly end. */
static bool run(const struct options *options, struct figures *figures)
{
    static char config_path[PATH_BYTES], log_path[PATH_BYTES], journal_path[PATH_BYTES],
        url[PATH_BYTES + 8];
    path_in(options->folder, "chatstore.toml", config_path);
    path_in(options->folder, "log", log_path);
    path_in(options->folder, "journal", journal_path);
    snprintf(url, sizeof url, "ipc://%s/socket", options->folder);
    struct server server = {.program = options->chatstored, .config_path = config_path};
    server.log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int journal = journal_open(journal_path);
    if (server.log < 0 || journal < 0 || !write_config(options, config_path)) {
        fprintf(stderr, "%s: %s\n", options->folder, strerror(errno));
        return false;
    }
    if (!server_start(&server))
        return false;
    struct writers_config config = {.url = url,
                                    .journal = journal,
                                    .count = options->writers,
                                    .seed = options->seed,
                                    .sources = source_names,
                                    .source_count = SOURCES};
    struct writers *writers = writers_start(&config);
    bool good = writers && kill_often(options, &server, writers, figures);
    if (good) { /* else they might never end */
        writers_stop(writers);
        server_signal(&server, SIGTERM);
        int status = server_wait(&server);
        good = status == 0;
        if (!good)
            fprintf(stderr, "the server stopped with %d\n", status);
    } else {
        server_signal(&server, SIGKILL);
        server_wait(&server);
    }
    return good;
}

int main(int argument_count, char **arguments)
{
    static const struct argp argp = {.options = option_table, .parser = parse_option};
    static struct figures figures;
    struct options options = {
        .kills = 20, .writers = 16, .seed = (uint64_t)time(NULL), .synchronous = "full"};

    argp_parse(&argp, argument_count, arguments, 0, NULL, &options);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed                  %" PRIu64 "\n", options.seed);
    srandom((unsigned)options.seed);
    figures.began_ms = now_ms();
    bool good = run(&options, &figures);
    return check(&options, &figures) == 0 && good ? 0 : 1;
}
