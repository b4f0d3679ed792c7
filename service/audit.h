/* The audit log: a line of JSON for each event, appended to a file by a thread of its own. Nothing
 * here has texts of messages or tokens. */
#ifndef CHATSTORE_SERVICE_AUDIT_H
#define CHATSTORE_SERVICE_AUDIT_H

#include "pool/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AUDIT_PEER_BYTES = 128 };

/* Texts are never NULL, and copied. */
struct audit_event {
    const char *client; /* empty: nobody's token, or no clients are configured */
    const char *peer;   /* where the frame came from; empty: not known */
    const char *call;   /* empty: no method of ours */
    const char *source; /* empty: none, or several */
    bool has_chat_id;
    int64_t chat_id;
    enum status_code outcome;
    size_t calls; /* how many the event stands for */
};

struct audit;

/* An audit log that goes nowhere yet. NULL: no memory. */
struct audit *audit_new(void);

/* What waits is written first. NULL is allowed. */
void audit_free(struct audit *audit);

/* The file for appending, made if it is missing; -1: why says what is wrong. */
int audit_open_file(const char *path, struct status *why);

/* From now on into this file, which is the audit log's to close; -1: nowhere. When it has been
 * deleted, a new one of its path is begun (NULL: none is). What waits goes into the file before,
 * unless that cannot be written. Blocks; one thread at a time. Returns 0 or an errno, and then
 * nothing changed. */
int audit_use(struct audit *audit, int file, const char *path);

/* Any thread. Whether audit_add does anything. */
bool audit_is_on(const struct audit *audit);

/* Any thread. Whether the last line could not be written, or not be brought to the disk; it is
 * tried again each second. */
bool audit_is_stuck(const struct audit *audit);

/* Any thread. Whether it is, or so many lines wait that soon some might be dropped. */
bool audit_is_behind(const struct audit *audit);

/* Any thread; never waits for the disk. When too many wait, the event is dropped, and a later line
 * says how many were. */
void audit_add(struct audit *audit, const struct audit_event *event);

#endif
