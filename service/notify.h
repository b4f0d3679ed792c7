/* What systemd, or another supervisor that speaks its protocols, is told: state by datagrams to
 * $NOTIFY_SOCKET (sd_notify(3)), log lines with their priority. Without such a supervisor all of it
 * does nothing. */
#ifndef CHATSTORE_SERVICE_NOTIFY_H
#define CHATSTORE_SERVICE_NOTIFY_H

#include <stdbool.h>

/* Send one state, as in "READY=1" or several lines of such; any thread, waits for
 * a second at most. */
__attribute__((format(printf, 1, 2))) void notify_send(const char *format, ...);

/* "RELOADING=1" with the time that goes with it; READY=1 ends it. */
void notify_reloading(void);

/* How often the supervisor wants to hear WATCHDOG=1 at least, in ms; 0: not at all. */
unsigned notify_watchdog_ms(void);

/* If standard error is the journal: lines as "<PRIORITY>text", as it has its own time. Once, before
 * other threads log. */
void notify_log_to_journal(void);

#endif
