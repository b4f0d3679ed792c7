#include "server.h"

#include "audit.h"
#include "engine.h"
#include "listener.h"
#include "notify.h"
#include "reload.h"
#include "watchdog.h"

#include "pool/clock.h"
#include "pool/log.h"
#include "pool/sqlite.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
    URLS_MAX = 128,
    LARGE_BYTES = 1 << 20,
    OPEN_WAIT_MS = 15,    /* for sources to be opened before the first call may come */
    DRAIN_MS = 5000,      /* for the calls that are under way when the server is told to stop */
    STOP_S_MAX = 20,      /* for all of the end: the drain, then closing with a checkpoint */
    SIGNAL_END = SIGUSR2, /* among ourselves: the signal thread is not needed any more */
};

struct server {
    const char *urls[URLS_MAX];
    size_t url_count;
    char default_url[256];
    bool insecure; /* --insecure-listen */
    struct engine *engine;
    struct reload *reload;
    struct listener *listener;
    struct watchdog *watchdog;
    struct listener_tls *next_tls; /* of a reload that is under way */
    int next_audit;
    pthread_t signal_thread;
    sigset_t signals;
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool stopping;
    bool ready;     /* reloads may begin */
    bool hung_up;   /* SIGHUP came before that */
    bool asked;     /* SIGUSR1 likewise */
    bool ended;     /* its parts go, one after the other */
    bool closing;   /* the listener goes */
    bool listening; /* the files of its sockets are its own */
};

/* ---- Before it starts ---- */

static void collect_urls(const struct server_setup *setup, struct server *server)
{
    const struct config *config = setup->config;
    for (size_t i = 0; i < config->listen_count && server->url_count < URLS_MAX; i++)
        server->urls[server->url_count++] = config->listen[i];
    for (size_t i = 0; i < setup->url_count && server->url_count < URLS_MAX; i++)
        server->urls[server->url_count++] = setup->urls[i];
    if (server->url_count == 0) {
        const char *folder = getenv("XDG_RUNTIME_DIR");
        snprintf(server->default_url, sizeof server->default_url, "ipc://%s/chatstore.sock",
                 folder && folder[0] == '/' ? folder : "/run/chatstore");
        server->urls[server->url_count++] = server->default_url;
    }
}

static bool urls_are_sound(const struct server *server, const struct server_setup *setup)
{
    bool insecure = server->insecure || setup->config->insecure_listen;
    for (size_t i = 0; i < server->url_count; i++) {
        const char *problem = config_listen_problem(server->urls[i]);
        if (problem) {
            log_line(LOG_ERROR, "--listen %s: %s", server->urls[i], problem);
            return false;
        }
        problem = config_listen_refusal(setup->config, server->urls[i], insecure);
        if (problem) {
            log_line(LOG_ERROR, "--listen %s: it %s", server->urls[i], problem);
            return false;
        }
        if (config_listen_refusal(setup->config, server->urls[i], false))
            log_line(LOG_WARN, "%s is open: whoever is on the network can read what passes%s",
                     server->urls[i],
                     setup->config->client_count > 0 ? "" : ", and read and write every source");
    }
    return true;
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

/* Large answers come from and go back to the system one by one. By itself the allocator begins to
 * keep them after the first, among small ones, and hardly anything goes back. */
static void give_memory_back(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
}

/* Neither a core dump nor another process of the same user gets at what tokens and keys are in
 * memory. Root still does. */
static void hide_memory(const struct config *config)
{
    if (config->client_count > 0 || config->tls.key)
        prctl(PR_SET_DUMPABLE, 0);
}

/* ---- Signals ---- */

/* In every thread, before the first is started: one thread waits for them. */
static void block_signals(struct server *server)
{
    sigemptyset(&server->signals);
    sigaddset(&server->signals, SIGTERM);
    sigaddset(&server->signals, SIGINT);
    sigaddset(&server->signals, SIGHUP);
    sigaddset(&server->signals, SIGUSR1);
    sigaddset(&server->signals, SIGNAL_END);
    pthread_sigmask(SIG_BLOCK, &server->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void hang_up(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    if (server->stopping)
        log_line(LOG_INFO, "SIGHUP: the server is stopping, nothing is reloaded");
    else if (server->ready)
        reload_request(server->reload);
    else
        server->hung_up = true;
    pthread_mutex_unlock(&server->lock);
}

/* Signals that do not end the server. */
static void answer_signal(struct server *server, int signal_number)
{
    if (signal_number == SIGHUP)
        hang_up(server);
    if (signal_number != SIGUSR1)
        return;
    pthread_mutex_lock(&server->lock);
    if (server->ready && !server->ended)
        engine_log_state(server->engine);
    server->asked = !server->ready;
    pthread_mutex_unlock(&server->lock);
}

static void tell_to_stop(struct server *server)
{
    log_line(LOG_INFO,
             "stopping: what is under way is finished first; a second signal stops at once");
    notify_send("STOPPING=1\nSTATUS=ending what is under way");
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_signal(&server->told);
    pthread_mutex_unlock(&server->lock);
}

/* What a server that ended would have left to do for the next one. The socket goes first: whoever
 * finds no lock file may make both. */
static void remove_socket_files(struct server *server)
{
    char path[512];
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; server->listening && i < server->url_count; i++) {
        if (strncmp(server->urls[i], "ipc://", 6) != 0)
            continue;
        unlink(server->urls[i] + 6);
        snprintf(path, sizeof path, "%s.lock", server->urls[i] + 6);
        unlink(path);
    }
    pthread_mutex_unlock(&server->lock);
}

/* Whatever is under way was acknowledged to nobody, and what was acknowledged is on disk. */
static _Noreturn void cut_off(struct server *server, const char *why)
{
    log_line(LOG_WARN, "%s: it is cut off; none of it was acknowledged", why);
    remove_socket_files(server);
    _exit(EX_OK);
}

static _Noreturn void quit_at_once(struct server *server, int signal_number)
{
    sigset_t this_one;
    log_line(LOG_WARN, "stopped at once by a second signal");
    remove_socket_files(server);
    signal(signal_number, SIG_DFL);
    sigemptyset(&this_one);
    sigaddset(&this_one, signal_number);
    pthread_sigmask(SIG_UNBLOCK, &this_one, NULL);
    raise(signal_number);
    _exit(EX_SOFTWARE); /* not reached */
}

/* The end of a server that is stopping: a second signal, or SIGNAL_END when all is done in time. */
static void watch_stopping(struct server *server)
{
    struct timespec now, until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_S_MAX;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= until.tv_sec)
            cut_off(server, "closing takes too long");
        struct timespec left = {.tv_sec = until.tv_sec - now.tv_sec};
        int signal_number = sigtimedwait(&server->signals, NULL, &left);
        if (signal_number == SIGNAL_END)
            return;
        if (signal_number == SIGTERM || signal_number == SIGINT)
            quit_at_once(server, signal_number);
        answer_signal(server, signal_number);
    }
}

static void *signal_main(void *arg)
{
    struct server *server = arg;
    int signal_number = 0;
    pthread_setname_np(pthread_self(), "signals");
    while (signal_number != SIGTERM && signal_number != SIGINT && signal_number != SIGNAL_END) {
        signal_number = sigwaitinfo(&server->signals, NULL);
        answer_signal(server, signal_number);
    }
    if (signal_number == SIGNAL_END)
        return NULL;
    tell_to_stop(server);
    watch_stopping(server);
    return NULL;
}

/* ---- Its life ---- */

static bool start_audit(struct engine *engine, const struct config *config)
{
    struct status why;
    int file = config->audit_path ? audit_open_file(config->audit_path, &why) : -1;
    if (config->audit_path && file < 0) {
        log_line(LOG_ERROR, "cannot start: %s", why.text);
        return false;
    }
    int error = audit_use(engine_audit(engine), file, config->audit_path);
    if (error != 0)
        log_line(LOG_ERROR, "cannot start: the audit log: %s", strerror(error));
    return error == 0;
}

/* What is listened on by --listen stays, and must not be left open by a configuration without
 * clients or without a certificate. */
static bool may_stay_open(const struct server *server, const struct config *config,
                          struct status *why)
{
    for (size_t i = 0; i < server->url_count; i++) {
        const char *problem = config_listen_refusal(config, server->urls[i],
                                                    server->insecure || config->insecure_listen);
        if (!problem)
            continue;
        status_set(why, STATUS_FAILED_PRECONDITION, "--listen %s: it %s", server->urls[i], problem);
        return false;
    }
    return true;
}

/* The audit log and the certificates of a configuration that is about to come. */
static bool prepare_reload(void *arg, const struct config *config, struct status *why)
{
    struct server *server = arg;
    if (!may_stay_open(server, config, why))
        return false;
    hide_memory(config);
    server->next_tls = NULL;
    server->next_audit = -1;
    if (config->audit_path) {
        server->next_audit = audit_open_file(config->audit_path, why);
        if (server->next_audit < 0)
            return false;
    }
    if (config->tls.certificate)
        server->next_tls = listener_prepare_tls(&config->tls, why);
    if (!config->tls.certificate || server->next_tls)
        return true;
    if (server->next_audit >= 0)
        close(server->next_audit);
    return false;
}

static void settle_reload(void *arg, bool in_force)
{
    struct server *server = arg;
    const char *path = engine_config(server->engine)->audit_path;
    int error = in_force ? audit_use(engine_audit(server->engine), server->next_audit, path) : 0;
    if (error != 0)
        log_line(LOG_ERROR, "the audit log stays as it was: %s", strerror(error));
    if ((!in_force || error != 0) && server->next_audit >= 0)
        close(server->next_audit);
    pthread_mutex_lock(&server->lock); /* the listener may be about to go */
    if (in_force && server->listening && !server->closing && server->next_tls)
        listener_use_tls(server->listener, server->next_tls);
    else
        listener_tls_free(server->next_tls);
    pthread_mutex_unlock(&server->lock);
}

static int start(struct server *server, const struct server_setup *setup)
{
    char reason[512];
    const struct config *config = setup->config;
    int error = engine_open(config, clock_now_ms() + OPEN_WAIT_MS, &server->engine);
    if (error == 0)
        error =
            reload_start(server->engine, setup->reload_path, setup->why_no_reload, &server->reload);
    if (error != 0) {
        log_line(LOG_ERROR, "cannot start: %s", strerror(error));
        return EX_OSERR;
    }
    reload_set_hooks(server->reload, &(struct reload_hooks){prepare_reload, settle_reload, server});
    if (!start_audit(server->engine, config))
        return EX_CANTCREAT;
    error = listener_start(server->engine, server->urls, server->url_count, config,
                           &server->listener, reason, sizeof reason);
    if (error != 0) {
        log_line(LOG_ERROR, "%s", reason);
        return EX_UNAVAILABLE;
    }
    pthread_mutex_lock(&server->lock);
    server->listening = true;
    pthread_mutex_unlock(&server->lock);
    error = watchdog_start(server->listener, notify_watchdog_ms(), &server->watchdog);
    if (error != 0)
        log_line(LOG_WARN, "there is no watchdog: %s", strerror(error));
    return EX_OK;
}

/* Calls are answered meanwhile, and the server may be told to stop. */
static struct engine_sources wait_for_sources(struct server *server)
{
    struct engine_sources sources;
    bool stopping = false;
    while ((sources = engine_count_sources(server->engine)).untried > 0 && !stopping) {
        struct timespec pause = {.tv_nsec = OPEN_WAIT_MS * 1000000L};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&server->lock);
        stopping = server->stopping;
        pthread_mutex_unlock(&server->lock);
    }
    return sources;
}

static void serve_until_told(struct server *server)
{
    struct engine_sources sources = wait_for_sources(server);
    pthread_mutex_lock(&server->lock);
    if (!server->stopping)
        notify_send("READY=1\nSTATUS=%zu of %zu sources up", sources.up, sources.count);
    log_line(LOG_INFO, "ready: %zu of %zu sources up", sources.up, sources.count);
    server->ready = true;
    if (server->asked)
        engine_log_state(server->engine);
    if (server->hung_up && !server->stopping)
        reload_request(server->reload);
    while (!server->stopping)
        pthread_cond_wait(&server->told, &server->lock);
    pthread_mutex_unlock(&server->lock);
    if (engine_drain(server->engine, DRAIN_MS))
        return;
    engine_checkpoint(server->engine); /* calls to one source leave no others with a long -wal */
    cut_off(server, "calls have not ended in time");
}

static void end(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    pthread_mutex_unlock(&server->lock);
    watchdog_stop(server->watchdog);
    if (server->listener)
        listener_stop(server->listener, DRAIN_MS);
    pthread_mutex_lock(&server->lock);
    server->listening = false;
    server->ended = true;
    server->stopping = true; /* a server that did not start is no longer asked to reload either */
    pthread_mutex_unlock(&server->lock);
    if (server->reload)
        reload_stop(server->reload);
    if (server->engine)
        engine_close(server->engine);
}

int server_run(const struct server_setup *setup)
{
    struct server server = {.insecure = setup->insecure_listen};
    collect_urls(setup, &server);
    if (!urls_are_sound(&server, setup))
        return EX_USAGE;
    notify_log_to_journal();
    raise_file_limit();
    give_memory_back();
    hide_memory(setup->config);
    sqlite_configure_process();
    pthread_mutex_init(&server.lock, NULL);
    pthread_cond_init(&server.told, NULL);
    block_signals(&server);
    int error = pthread_create(&server.signal_thread, NULL, signal_main, &server);
    if (error != 0) {
        log_line(LOG_ERROR, "cannot start: %s", strerror(error));
        return EX_OSERR;
    }
    int status = start(&server, setup);
    if (status == EX_OK)
        serve_until_told(&server);
    end(&server);
    pthread_kill(server.signal_thread, SIGNAL_END);
    pthread_join(server.signal_thread, NULL);
    if (status == EX_OK)
        log_line(LOG_INFO, "stopped");
    pthread_cond_destroy(&server.told);
    pthread_mutex_destroy(&server.lock);
    return status;
}
