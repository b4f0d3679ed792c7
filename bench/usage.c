#include "usage.h"

#include "connect.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Calls each for the lines "name:\tvalue" of a status file of /proc. */
static bool read_status(const char *path, void (*each)(const char *name, uint64_t value, void *arg),
                        void *arg)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = 0;
        each(line, strtoull(colon + 1, NULL, 10), arg);
    }
    fclose(file);
    return true;
}

static void add_memory(const char *name, uint64_t value, void *arg)
{
    struct usage *usage = arg;
    if (strcmp(name, "VmRSS") == 0)
        usage->rss_bytes += value * 1024;
    if (strcmp(name, "Threads") == 0)
        usage->threads += value;
}

static void add_switches(const char *name, uint64_t value, void *arg)
{
    struct usage *usage = arg;
    if (strcmp(name, "voluntary_ctxt_switches") == 0 ||
        strcmp(name, "nonvoluntary_ctxt_switches") == 0)
        usage->switches += value;
}

static void read_switches(pid_t pid, struct usage *usage)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return;
    for (struct dirent *task; (task = readdir(tasks));) {
        char status[sizeof path + sizeof task->d_name + sizeof "//status"];
        if (task->d_name[0] == '.')
            continue;
        snprintf(status, sizeof status, "%s/%s/status", path, task->d_name);
        read_status(status, add_switches, usage);
    }
    closedir(tasks);
}

static bool add_process(pid_t pid, struct usage *usage)
{
    clockid_t clock;
    struct timespec cpu;
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &cpu) != 0 ||
        !read_status(path, add_memory, usage))
        return false;
    usage->cpu_us += (double)cpu.tv_sec * 1e6 + (double)cpu.tv_nsec / 1e3;
    read_switches(pid, usage);
    return true;
}

static void keep_parent(const char *name, uint64_t value, void *arg)
{
    uint64_t *parent = arg;
    if (strcmp(name, "PPid") == 0)
        *parent = value;
}

/* Servers with a process for each connection. */
static void add_children(pid_t pid, struct usage *usage)
{
    DIR *processes = opendir("/proc");
    if (!processes)
        return;
    for (struct dirent *entry; (entry = readdir(processes));) {
        char path[sizeof entry->d_name + sizeof "/proc//status"];
        uint64_t parent = 0;
        long child = strtol(entry->d_name, NULL, 10);
        snprintf(path, sizeof path, "/proc/%s/status", entry->d_name);
        if (child > 0 && read_status(path, keep_parent, &parent) && parent == (uint64_t)pid)
            add_process((pid_t)child, usage);
    }
    closedir(processes);
}

bool usage_read(pid_t pid, struct usage *usage_out)
{
    *usage_out = (struct usage){0};
    if (pid <= 0 || !add_process(pid, usage_out))
        return false;
    add_children(pid, usage_out);
    return true;
}

pid_t usage_listener(const char *url)
{
    if (strncmp(url, "ipc://", 6) != 0)
        return 0;
    int fd = connect_url(url);
    if (fd < 0)
        return 0;
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    pid_t pid = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 ? peer.pid : 0;
    close(fd);
    return pid;
}
