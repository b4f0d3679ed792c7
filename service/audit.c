#include "audit.h"

#include "service/config.h"

#include "pool/clock.h"
#include "pool/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WAITING_MAX = 1024, NAME_BYTES = 129, LINE_BYTES = 2048, AGAIN_MS = 1000, SYNC_MS = 500 };

struct entry {
    struct timespec time;
    char client[CONFIG_CLIENT_NAME_BYTES_MAX + 1];
    char peer[AUDIT_PEER_BYTES];
    char call[64];
    char source[NAME_BYTES];
    bool has_chat_id;
    int64_t chat_id;
    enum status_code outcome;
    size_t calls;
};

struct audit {
    _Atomic bool on;
    bool running; /* the thread exists */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct entry *entries; /* a ring */
    size_t first;
    _Atomic size_t count;
    size_t dropped; /* since the last line that said so */
    bool torn;      /* a part of a line has been written, and no end of it */
    _Atomic bool stuck;
    bool writing; /* the thread is at the file */
    bool stopping;
    int file;
    char *path; /* of the file; NULL: it is not begun anew */
};

/* ---- Lines ---- */

static const char *outcome_name(enum status_code code)
{
    static const char *const names[] = {
        [STATUS_OK] = "OK",
        [STATUS_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [STATUS_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [STATUS_NOT_FOUND] = "NOT_FOUND",
        [STATUS_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [STATUS_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [STATUS_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [STATUS_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [STATUS_ABORTED] = "ABORTED",
        [STATUS_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [STATUS_INTERNAL] = "INTERNAL",
        [STATUS_UNAVAILABLE] = "UNAVAILABLE",
        [STATUS_DATA_LOSS] = "DATA_LOSS",
        [STATUS_UNAUTHENTICATED] = "UNAUTHENTICATED",
    };
    return (size_t)code < sizeof names / sizeof *names && names[code] ? names[code] : "UNKNOWN";
}

/* "key":"text", with a comma behind; names of ours hold no control characters. */
static void put_text(FILE *line, const char *key, const char *text)
{
    fprintf(line, "\"%s\":\"", key);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', line);
        if ((unsigned char)*text >= ' ')
            fputc(*text, line);
    }
    fputs("\",", line);
}

static void put_time(FILE *line, const struct timespec *time)
{
    struct tm utc;
    char text[32];
    gmtime_r(&time->tv_sec, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(line, "{\"time\":\"%s.%03ldZ\",", text, time->tv_nsec / 1000000);
}

static size_t print_entry(const struct entry *entry, char *text)
{
    FILE *line = fmemopen(text, LINE_BYTES, "w");
    if (!line)
        return 0;
    put_time(line, &entry->time);
    put_text(line, "client", entry->client);
    put_text(line, "peer", entry->peer);
    put_text(line, "call", entry->call);
    put_text(line, "source", entry->source);
    if (entry->has_chat_id)
        fprintf(line, "\"chat\":%lld,", (long long)entry->chat_id);
    else
        fputs("\"chat\":null,", line);
    if (entry->calls != 1)
        fprintf(line, "\"calls\":%zu,", entry->calls);
    fprintf(line, "\"outcome\":\"%s\"}\n", outcome_name(entry->outcome));
    long bytes = ftell(line);
    fclose(line);
    return bytes > 0 ? (size_t)bytes : 0;
}

static size_t print_dropped(size_t dropped, char *text)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    FILE *line = fmemopen(text, LINE_BYTES, "w");
    if (!line)
        return 0;
    put_time(line, &now);
    fprintf(line, "\"dropped\":%zu}\n", dropped);
    long bytes = ftell(line);
    fclose(line);
    return bytes > 0 ? (size_t)bytes : 0;
}

/* One write a line: lines of several processes do not mix. What a full disk has left of a line is
 * ended first, so that it spoils no other. */
static bool write_line(struct audit *audit, int file, const char *text, size_t bytes)
{
    static struct log_limit limit = {.burst = 1};
    if (audit->torn && write(file, "\n", 1) == 1)
        audit->torn = false;
    ssize_t written = audit->torn ? -1 : write(file, text, bytes);
    if (written == (ssize_t)bytes)
        return true;
    audit->torn = audit->torn || written > 0;
    log_limited(&limit, LOG_ERROR, "the audit log cannot be written: %s",
                written < 0 ? strerror(errno) : "the disk took only a part of a line");
    return false;
}

/* ---- The thread ---- */

static void drop_first(struct audit *audit)
{
    audit->first = (audit->first + 1) % WAITING_MAX;
    audit->count--;
}

/* A file without a name loses what is written to it. With the lock held. */
static bool begin_anew(struct audit *audit)
{
    static struct log_limit limit = {.burst = 1};
    struct stat info;
    struct status why;
    if (!audit->path || fstat(audit->file, &info) != 0 || info.st_nlink > 0)
        return true;
    int file = audit_open_file(audit->path, &why);
    if (file < 0) {
        log_limited(&limit, LOG_ERROR, "the audit log was deleted: %s", why.text);
        return false;
    }
    log_line(LOG_WARN, "the audit log was deleted: a new %s is begun", audit->path);
    close(audit->file);
    audit->file = file;
    audit->torn = false;
    return true;
}

/* The oldest entry, or how many there were for which there was no room; what cannot be written
 * stays. */
static void write_next(struct audit *audit)
{
    char text[LINE_BYTES];
    if (!begin_anew(audit)) {
        audit->stuck = true;
        return;
    }
    size_t dropped = audit->dropped;
    bool has_entry = audit->count > 0;
    struct entry entry;
    if (has_entry)
        entry = audit->entries[audit->first];
    int file = audit->file;
    audit->writing = true;
    pthread_mutex_unlock(&audit->lock);
    size_t bytes = has_entry ? print_entry(&entry, text) : print_dropped(dropped, text);
    bool written = write_line(audit, file, text, bytes);
    if (written && !has_entry)
        log_line(LOG_WARN, "audit: %zu lines were dropped, as they came faster than the disk",
                 dropped);
    pthread_mutex_lock(&audit->lock);
    if (written && has_entry)
        drop_first(audit);
    else if (written)
        audit->dropped -= dropped;
    audit->stuck = !written;
    audit->writing = false;
}

/* Until it is tried again, or there is another file or an end. */
static void wait_stuck(struct audit *audit)
{
    int64_t until_ms = clock_now_ms() + AGAIN_MS;
    int file = audit->file, error = 0;
    pthread_cond_broadcast(&audit->changed); /* nobody waits for what cannot be written */
    while (error == 0 && !audit->stopping && audit->file == file)
        error = clock_wait(&audit->changed, &audit->lock, until_ms);
}

static bool sync_file(struct audit *audit)
{
    static struct log_limit limit = {.burst = 1};
    int file = audit->file;
    audit->writing = true;
    pthread_mutex_unlock(&audit->lock);
    bool synced = fdatasync(file) == 0;
    if (!synced)
        log_limited(&limit, LOG_ERROR, "the audit log cannot be brought to the disk: %s",
                    strerror(errno));
    pthread_mutex_lock(&audit->lock);
    if (!synced)
        audit->stuck = true;
    else if (audit->count == 0 && audit->dropped == 0)
        audit->stuck = false; /* else it is for the next line to say */
    audit->writing = false;
    return synced;
}

static void *audit_main(void *arg)
{
    struct audit *audit = arg;
    int64_t unsynced_ms = 0; /* since when the oldest line that is not on the disk waits; 0: none */
    pthread_setname_np(pthread_self(), "audit");
    pthread_mutex_lock(&audit->lock);
    for (;;) {
        if (audit->stuck && audit->stopping) {
            if (audit->count + audit->dropped > 0)
                log_line(LOG_ERROR, "audit: %zu lines were never written",
                         audit->count + audit->dropped);
            break;
        }
        bool waits = audit->count > 0 || audit->dropped > 0;
        if (unsynced_ms != 0 && (!waits || clock_now_ms() - unsynced_ms >= SYNC_MS)) {
            if (sync_file(audit))
                unsynced_ms = 0;
            else
                wait_stuck(audit);
        } else if (waits) {
            write_next(audit);
            unsynced_ms = unsynced_ms != 0 ? unsynced_ms : clock_now_ms();
            if (audit->stuck)
                wait_stuck(audit);
        } else if (audit->stopping) {
            break;
        } else {
            pthread_cond_broadcast(&audit->changed); /* nothing waits any more */
            pthread_cond_wait(&audit->changed, &audit->lock);
        }
    }
    pthread_mutex_unlock(&audit->lock);
    return NULL;
}

/* ---- For the others ---- */

struct audit *audit_new(void)
{
    struct audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        return NULL;
    audit->file = -1;
    pthread_mutex_init(&audit->lock, NULL);
    pthread_cond_init(&audit->changed, NULL);
    return audit;
}

void audit_free(struct audit *audit)
{
    if (!audit)
        return;
    if (audit->running) {
        pthread_mutex_lock(&audit->lock);
        audit->stopping = true;
        pthread_cond_broadcast(&audit->changed);
        pthread_mutex_unlock(&audit->lock);
        pthread_join(audit->thread, NULL);
    }
    if (audit->file >= 0)
        close(audit->file);
    pthread_cond_destroy(&audit->changed);
    pthread_mutex_destroy(&audit->lock);
    free(audit->path);
    free(audit->entries);
    free(audit);
}

int audit_open_file(const char *path, struct status *why)
{
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    struct stat info;
    int error = file < 0 || fstat(file, &info) != 0 ? errno : S_ISREG(info.st_mode) ? 0 : EINVAL;
    if (error == 0)
        return file;
    if (file >= 0)
        close(file);
    status_set(why, STATUS_FAILED_PRECONDITION,
               "the audit log %s ([service.audit] path) cannot be opened for appending: %s", path,
               error == EINVAL  ? "it is no regular file"
               : error == ELOOP ? "it is a symbolic link"
                                : strerror(error));
    return -1;
}

static int start_thread(struct audit *audit)
{
    if (audit->running)
        return 0;
    if (!audit->entries)
        audit->entries = calloc(WAITING_MAX, sizeof *audit->entries);
    if (!audit->entries)
        return ENOMEM;
    int error = pthread_create(&audit->thread, NULL, audit_main, audit);
    audit->running = error == 0;
    return error;
}

int audit_use(struct audit *audit, int file, const char *path)
{
    char *own_path = path ? strdup(path) : NULL;
    int error = path && !own_path ? ENOMEM : file >= 0 ? start_thread(audit) : 0;
    if (error != 0) {
        free(own_path);
        return error;
    }
    pthread_mutex_lock(&audit->lock);
    while (audit->running &&
           (((audit->count > 0 || audit->dropped > 0) && !audit->stuck) || audit->writing)) {
        pthread_cond_broadcast(&audit->changed);
        pthread_cond_wait(&audit->changed, &audit->lock);
    }
    int before = audit->file;
    char *path_before = audit->path;
    audit->file = file;
    audit->path = own_path;
    audit->on = file >= 0;
    audit->torn = false;
    audit->stuck = false;
    if (file < 0)
        audit->count = audit->dropped = 0; /* nowhere is where they go, too */
    pthread_cond_broadcast(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
    if (before >= 0) {
        fdatasync(before);
        close(before);
    }
    free(path_before);
    return 0;
}

bool audit_is_on(const struct audit *audit)
{
    return audit->on;
}

bool audit_is_stuck(const struct audit *audit)
{
    return audit->stuck;
}

bool audit_is_behind(const struct audit *audit)
{
    return audit->stuck || audit->count > WAITING_MAX / 2;
}

static void fill_entry(struct entry *entry, const struct audit_event *event)
{
    clock_gettime(CLOCK_REALTIME, &entry->time);
    snprintf(entry->client, sizeof entry->client, "%s", event->client);
    snprintf(entry->peer, sizeof entry->peer, "%s", event->peer);
    snprintf(entry->call, sizeof entry->call, "%s", event->call);
    snprintf(entry->source, sizeof entry->source, "%s", event->source);
    entry->has_chat_id = event->has_chat_id;
    entry->chat_id = event->chat_id;
    entry->outcome = event->outcome;
    entry->calls = event->calls;
}

void audit_add(struct audit *audit, const struct audit_event *event)
{
    pthread_mutex_lock(&audit->lock);
    if (audit->file < 0)
        ; /* switched off a moment ago */
    else if (audit->count == WAITING_MAX)
        audit->dropped++;
    else
        fill_entry(&audit->entries[(audit->first + audit->count++) % WAITING_MAX], event);
    pthread_cond_broadcast(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
}
