#include "reload.h"

#include "config_diff.h"
#include "notify.h"

#include "pool/log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    END_MS = 500,    /* for which an answer waits until the configuration before is gone */
    WHY_BYTES = 480, /* of an answer, behind "nothing was changed: " */
    MORE_BYTES = 56, /* of these, for the words on what is not shown */
};

struct reload {
    struct engine *engine;
    const char *path;
    const char *why_not;
    struct reload_hooks hooks;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    bool asked;            /* by a signal */
    struct call_run *call; /* asked by this call; NULL: none */
    bool busy;             /* from the request until the configuration before is gone */
    bool stopping;
};

/* ---- Lists in an answer ---- */

/* As many as there is room for, the first of them in any case, and how many more there are. */
struct items {
    char text[WHY_BYTES + 1];
    size_t room, bytes, shown; /* room: at least MORE_BYTES and a little */
    bool full;
};

static void items_add(struct items *items, const char *item)
{
    size_t left = items->room - items->bytes - MORE_BYTES;
    bool fits = strlen(item) + 2 <= left;
    items->full = items->full || (items->shown > 0 && !fits);
    if (items->full)
        return;
    snprintf(items->text + items->bytes, left + 1, "%s%s", items->shown > 0 ? "; " : "", item);
    items->bytes = strlen(items->text);
    items->shown++;
}

static void items_end(struct items *items, size_t total)
{
    if (total > items->shown)
        snprintf(items->text + items->bytes, MORE_BYTES + 1, "; and %zu more (the server's log)",
                 total - items->shown);
    items->bytes = strlen(items->text);
}

static void items_add_changes(struct items *items, const struct config_change *changes,
                              size_t count, size_t total)
{
    for (size_t i = 0; i < count; i++) {
        char line[1024];
        snprintf(line, sizeof line, "%s: %s", changes[i].what, changes[i].detail);
        items_add(items, line);
    }
    items_end(items, total);
}

/* ---- Reading the file ---- */

/* What tells that a file was written to, or another put in its place. */
static bool is_unchanged(const struct stat *before, const struct stat *after)
{
    return before->st_dev == after->st_dev && before->st_ino == after->st_ino &&
           before->st_size == after->st_size && before->st_mtim.tv_sec == after->st_mtim.tv_sec &&
           before->st_mtim.tv_nsec == after->st_mtim.tv_nsec &&
           before->st_ctim.tv_sec == after->st_ctim.tv_sec &&
           before->st_ctim.tv_nsec == after->st_ctim.tv_nsec;
}

/* The errors of the report, as many as there is room for. */
static void say_errors(const struct config_report *report, struct status *why)
{
    struct items items = {.room = WHY_BYTES};
    for (size_t i = 0; i < report->count; i++) {
        char line[1024];
        if (report->findings[i].severity == CONFIG_ERROR)
            items_add(&items, config_finding_text(report, &report->findings[i], line, sizeof line));
    }
    items_end(&items, report->total[CONFIG_ERROR]);
    status_set(why, STATUS_FAILED_PRECONDITION, "%s",
               items.shown > 0 ? items.text : "the file has errors");
}

static bool load(const struct reload *reload, struct config **config_out,
                 struct config_report **report_out, struct status *why)
{
    struct stat before, after;
    *config_out = NULL;
    *report_out = NULL;
    if (!reload->path) {
        status_set(why, STATUS_FAILED_PRECONDITION, "%s", reload->why_not);
        return false;
    }
    bool seen = stat(reload->path, &before) == 0;
    enum config_status status = config_load(reload->path, config_out, report_out);
    if (status == CONFIG_NO_MEMORY)
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "no memory to read %s", reload->path);
    else if (status != CONFIG_OK)
        say_errors(*report_out, why);
    if (!seen || stat(reload->path, &after) != 0 || is_unchanged(&before, &after))
        return status == CONFIG_OK;
    status_set(why, STATUS_ABORTED, "%s was written to while it was read; reload again",
               reload->path);
    return false;
}

/* ---- Going over to it ---- */

/* Whole or not at all: a file whose limits or addresses are not those of the running server is not
 * taken in part. */
static bool needs_no_restart(const struct config_diff *diff, struct status *why)
{
    static const char restarts_text[] = "the running server would have to be restarted for: ";
    static const char others_text[] = "; until then this waits too: ";
    enum { LISTS_BYTES = WHY_BYTES - (sizeof restarts_text - 1) - (sizeof others_text - 1) };
    if (diff->restart_total == 0)
        return true;
    struct items restarts = {.room = diff->total > 0 ? LISTS_BYTES * 2 / 3 : LISTS_BYTES};
    items_add_changes(&restarts, diff->restart, diff->restart_count, diff->restart_total);
    struct items others = {.room = LISTS_BYTES - restarts.bytes};
    items_add_changes(&others, diff->changes, diff->count, diff->total);
    status_set(why, STATUS_FAILED_PRECONDITION, "%s%s%s%s", restarts_text, restarts.text,
               diff->total > 0 ? others_text : "", others.text);
    return false;
}

static bool go_over(struct reload *reload, struct config *config, struct snapshot **old_out,
                    struct status *why)
{
    const struct reload_hooks *hooks = &reload->hooks;
    if (hooks->prepare && !hooks->prepare(hooks->arg, config, why))
        return false;
    bool sound = engine_reload(reload->engine, config, old_out, why);
    if (hooks->settle)
        hooks->settle(hooks->arg, sound);
    return sound;
}

static void log_findings(const struct config_report *report)
{
    char line[1024];
    for (size_t i = 0; report && i < report->count; i++) {
        bool error = report->findings[i].severity == CONFIG_ERROR;
        log_line(error ? LOG_ERROR : LOG_WARN, "reload: %s",
                 config_finding_text(report, &report->findings[i], line, sizeof line));
    }
}

static void log_diff(const struct config_diff *diff, bool done)
{
    const char *prefix = done ? "reload" : "reload: not done";
    for (size_t i = 0; i < diff->count; i++)
        log_line(LOG_INFO, "%s: %s: %s", prefix, diff->changes[i].what, diff->changes[i].detail);
    if (diff->total > diff->count)
        log_line(LOG_INFO, "%s: and %zu more changes", prefix, diff->total - diff->count);
    for (size_t i = 0; i < diff->restart_count; i++)
        log_line(LOG_WARN, "reload: needs a restart: %s: %s", diff->restart[i].what,
                 diff->restart[i].detail);
}

static void tell_supervisor(struct engine *engine, bool reloaded)
{
    struct engine_sources sources = engine_count_sources(engine);
    notify_send("READY=1\nSTATUS=%zu of %zu sources up%s", sources.up, sources.count,
                reloaded ? "" : "; the last reload failed, the configuration before it is served");
}

static void log_outcome(const struct status *why, const struct config_diff *diff)
{
    if (why->code != STATUS_OK)
        log_line(LOG_ERROR, "reload failed, nothing was changed: %s", why->text);
    else if (diff->total == 0)
        log_line(LOG_INFO, "reloaded: the configuration says what it said before");
    else
        log_line(LOG_INFO, "reloaded: what follows has changed");
    log_diff(diff, why->code == STATUS_OK);
}

/* The next one may come. */
static void set_idle(struct reload *reload)
{
    pthread_mutex_lock(&reload->lock);
    reload->busy = false;
    pthread_mutex_unlock(&reload->lock);
}

/* A reload that is done, for who asked; if the configuration before takes its time to go, the
 * answer does not wait for that. */
static void end_reload(struct reload *reload, struct call_run *call, const struct status *why,
                       const struct config_diff *diff, const struct config_report *report,
                       struct snapshot *old)
{
    bool ended = !old || engine_end_reload(reload->engine, old, END_MS);
    if (ended)
        set_idle(reload);
    tell_supervisor(reload->engine, why->code == STATUS_OK);
    if (call) {
        struct status answer = *why;
        if (why->code != STATUS_OK)
            status_set(&answer, why->code, "nothing was changed: %.*s", WHY_BYTES, why->text);
        engine_answer_reload(call, &answer, diff, report);
    }
    if (ended)
        return;
    while (!engine_end_reload(reload->engine, old, UINT_MAX))
        continue;
    set_idle(reload);
}

static void run_reload(struct reload *reload, struct call_run *call)
{
    struct config *config;
    struct config_report *report;
    struct config_diff diff = {0};
    struct snapshot *old = NULL;
    struct status why = {0};
    notify_reloading();
    bool sound = load(reload, &config, &report, &why);
    if (sound)
        config_diff_init(&diff, engine_config(reload->engine), config);
    log_findings(report);
    if (sound && needs_no_restart(&diff, &why) && go_over(reload, config, &old, &why))
        config = NULL; /* the engine's */
    log_outcome(&why, &diff);
    end_reload(reload, call, &why, &diff, report, old);
    config_diff_fini(&diff);
    config_report_free(report);
    config_free(config);
}

/* ---- Who asks ---- */

static void *reload_main(void *arg)
{
    struct reload *reload = arg;
    pthread_setname_np(pthread_self(), "reload");
    pthread_mutex_lock(&reload->lock);
    while (!reload->stopping) {
        if (!reload->asked && !reload->call) {
            pthread_cond_wait(&reload->wanted, &reload->lock);
            continue;
        }
        struct call_run *call = reload->call;
        reload->call = NULL;
        reload->asked = false;
        reload->busy = true;
        pthread_mutex_unlock(&reload->lock);
        run_reload(reload, call);
        pthread_mutex_lock(&reload->lock);
    }
    pthread_mutex_unlock(&reload->lock);
    return NULL;
}

void reload_set_hooks(struct reload *reload, const struct reload_hooks *hooks)
{
    reload->hooks = *hooks;
}

void reload_request(struct reload *reload)
{
    pthread_mutex_lock(&reload->lock);
    reload->asked = true;
    pthread_cond_signal(&reload->wanted);
    pthread_mutex_unlock(&reload->lock);
}

/* The engine's reloader. */
static void reload_for_call(void *arg, struct call_run *call)
{
    struct reload *reload = arg;
    pthread_mutex_lock(&reload->lock);
    bool stopping = reload->stopping;
    bool free = !reload->busy && !reload->asked && !reload->call && !stopping;
    if (free)
        reload->call = call;
    pthread_cond_signal(&reload->wanted);
    pthread_mutex_unlock(&reload->lock);
    if (free)
        return;
    struct status why;
    if (stopping)
        status_set(&why, STATUS_UNAVAILABLE, "Reload: the server is stopping");
    else
        status_set(&why, STATUS_ABORTED,
                   "Reload: a reload is under way, or the calls that began before the last one "
                   "have not ended; try again");
    engine_answer_reload(call, &why, NULL, NULL);
}

int reload_start(struct engine *engine, const char *path, const char *why_not,
                 struct reload **reload_out)
{
    struct reload *reload = calloc(1, sizeof *reload);
    if (!reload)
        return ENOMEM;
    reload->engine = engine;
    reload->path = path;
    reload->why_not = why_not;
    pthread_mutex_init(&reload->lock, NULL);
    pthread_cond_init(&reload->wanted, NULL);
    int error = pthread_create(&reload->thread, NULL, reload_main, reload);
    if (error != 0) {
        free(reload);
        return error;
    }
    engine_set_reloader(engine, reload_for_call, reload);
    *reload_out = reload;
    return 0;
}

void reload_stop(struct reload *reload)
{
    pthread_mutex_lock(&reload->lock);
    reload->stopping = true;
    pthread_cond_signal(&reload->wanted);
    pthread_mutex_unlock(&reload->lock);
    pthread_join(reload->thread, NULL);
    pthread_cond_destroy(&reload->wanted);
    pthread_mutex_destroy(&reload->lock);
    free(reload);
}
