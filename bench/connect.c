#include "connect.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_address(int family, const struct sockaddr *address, socklen_t bytes)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, address, bytes) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int connect_ipc(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >=
        sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return connect_address(AF_UNIX, (const struct sockaddr *)&address, sizeof address);
}

static int connect_tcp(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof host) {
        errno = EINVAL;
        return -1;
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = connect_address(found->ai_family, found->ai_addr, found->ai_addrlen);
    int error = errno;
    freeaddrinfo(found);
    errno = error;
    return fd;
}

int connect_url(const char *url)
{
    if (strncmp(url, "ipc://", 6) == 0)
        return connect_ipc(url + 6);
    if (strncmp(url, "tcp://", 6) == 0)
        return connect_tcp(url + 6);
    errno = EPROTONOSUPPORT;
    return -1;
}

int connect_greet(int fd)
{
    /* The header of the SP protocols: version 0, the sender is REQ (0x30). */
    static const unsigned char greeting[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    unsigned char answer[sizeof greeting];
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, greeting, sizeof greeting, MSG_NOSIGNAL) != sizeof greeting)
        return errno ? errno : EPIPE;
    ssize_t got = recv(fd, answer, sizeof answer, MSG_WAITALL);
    if (got < 0)
        return errno;
    return got == sizeof answer && answer[1] == 'S' && answer[2] == 'P' ? 0 : EPROTO;
}
