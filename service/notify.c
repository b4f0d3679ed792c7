#include "notify.h"

#include "pool/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { STATE_BYTES_MAX = 1024, LINE_BYTES_MAX = 1400, SEND_S_MAX = 1 };

/* The address that $NOTIFY_SOCKET names, a path or "@NAME" for an abstract one; its length, 0: it
 * names none. */
static socklen_t notify_address(struct sockaddr_un *address)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t bytes = name ? strlen(name) : 0;
    if (bytes < 2 || (name[0] != '/' && name[0] != '@') || bytes >= sizeof address->sun_path)
        return 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, bytes);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
}

void notify_send(const char *format, ...)
{
    struct sockaddr_un address;
    socklen_t address_bytes = notify_address(&address);
    if (address_bytes == 0)
        return;
    char state[STATE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(state, sizeof state, format, args);
    va_end(args);
    int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval wait = {.tv_sec = SEND_S_MAX}; /* for one who does not read */
    setsockopt(socket_fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (socket_fd < 0 || sendto(socket_fd, state, strlen(state), MSG_NOSIGNAL,
                                (struct sockaddr *)&address, address_bytes) < 0) {
        static struct log_limit limit = {.burst = 1};
        log_limited(&limit, LOG_WARN, "NOTIFY_SOCKET: the supervisor cannot be told: %s",
                    strerror(errno));
    }
    if (socket_fd >= 0)
        close(socket_fd);
}

void notify_reloading(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reloading the configuration",
                (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

unsigned notify_watchdog_ms(void)
{
    const char *period = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (!period || !getenv("NOTIFY_SOCKET") || (pid && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    unsigned long long period_us = strtoull(period, NULL, 10);
    if (period_us == 0 || period_us > (unsigned long long)UINT32_MAX * 1000)
        return 0;
    return period_us < 1000 ? 1 : (unsigned)(period_us / 1000);
}

static void write_line(void *arg, enum log_level level, const char *text)
{
    static const char priorities[] = {
        [LOG_ERROR] = '3', [LOG_WARN] = '4', [LOG_INFO] = '6', [LOG_DEBUG] = '7'};
    char line[LINE_BYTES_MAX];
    (void)arg;
    int bytes =
        snprintf(line, sizeof line, "<%c>%.*s\n", priorities[level], LINE_BYTES_MAX - 8, text);
    if (write(STDERR_FILENO, line, (size_t)bytes) < 0) {
        /* There is nobody left to tell. */
    }
}

void notify_log_to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat output;
    if (stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
        fstat(STDERR_FILENO, &output) == 0 && output.st_dev == device && output.st_ino == inode)
        log_set_sink(write_line, NULL);
}
