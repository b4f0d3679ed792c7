#include "server.h"

#include "clock.h"
#include "connect.h"
#include "names.h"

#include <chatstore/calls.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_S = 60, POLL_NS = 100000, PATH_BYTES = 4096 };

extern char **environ;

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "chatstore-bench: %s: %s\n", what, why);
    return false;
}

/* Beside this program as installed, or where the build has it. */
static const char *find_program(char *path, size_t path_bytes)
{
    static const char *const places[] = {"/chatstored", "/../service/chatstored"};
    char own[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    char *slash = length > 0 ? memrchr(own, '/', (size_t)length) : NULL;
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        int bytes = snprintf(path, path_bytes, "%.*s%s", (int)(slash - own), own, places[i]);
        if (bytes < (int)path_bytes && access(path, X_OK) == 0)
            return path;
    }
    return "chatstored";
}

static bool spawn(const char *program, const char *dir, struct server *server)
{
    char config[PATH_BYTES], log[PATH_BYTES], found[PATH_BYTES];
    snprintf(config, sizeof config, "%s/chatstore.toml", dir);
    snprintf(log, sizeof log, "%s/chatstored.log", dir);
    if (!program)
        program = find_program(found, sizeof found);
    char *argv[] = {(char *)(uintptr_t)program, "--config", config, "--listen", server->url, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int error = posix_spawnp(&server->pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 || complain(program, strerror(error));
}

/* Until it listens, or ends. */
static bool wait_for_listener(const struct server *server, const char *dir)
{
    int64_t until_ns = bench_now_ns() + START_S * BENCH_SECOND_NS;
    while (bench_now_ns() < until_ns) {
        int fd = connect_url(server->url);
        /* nng takes nobody else in for 100 ms after one that left without a greeting. */
        bool greeted = fd >= 0 && connect_greet(fd) == 0;
        if (fd >= 0)
            close(fd);
        if (greeted)
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            break;
        bench_sleep_until(bench_now_ns() + POLL_NS);
    }
    fprintf(stderr, "chatstore-bench: the server does not come up; see %s/chatstored.log\n", dir);
    return false;
}

bool server_start(const char *program, const char *dir, struct server *server)
{
    *server = (struct server){0};
    if ((size_t)snprintf(server->url, sizeof server->url, "ipc://%s/chatstored.socket", dir) >=
        sizeof server->url)
        return complain(dir, "the path is too long for a socket");
    unlink(server->url + strlen("ipc://"));
    if (!spawn(program, dir, server))
        return false;
    if (wait_for_listener(server, dir) &&
        chatstore_client_open(server->url, NULL, &server->client) == CHATSTORE_OK)
        return true;
    server_stop(server);
    return false;
}

void server_stop(struct server *server)
{
    chatstore_client_close(server->client);
    if (kill(server->pid, SIGTERM) == 0)
        waitpid(server->pid, NULL, 0);
}

bool server_ask(struct server *server, uint64_t chat)
{
    Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    Chatstore__V1__GetChatUserResponse *response;
    request.chat_id = name_chat_id(chat);
    request.user_id = name_user_id(0);
    if (chatstore_get_chat_user(server->client, &request, NULL, &response) != CHATSTORE_OK)
        return complain("GetChatUser", chatstore_client_error(server->client));
    bool found = response->user;
    chatstore__v1__get_chat_user_response__free_unpacked(response, NULL);
    return found || complain("GetChatUser", "the answer is empty");
}

bool scratch_make(const char *dir, struct scratch *scratch)
{
    scratch->is_ours = !dir;
    const char *base = getenv("TMPDIR");
    int length = dir ? snprintf(scratch->dir, sizeof scratch->dir, "%s", dir)
                     : snprintf(scratch->dir, sizeof scratch->dir, "%s/chatstore-bench-XXXXXX",
                                base ? base : "/tmp");
    if (length >= (int)sizeof scratch->dir)
        return complain(dir ? dir : base, "the path is too long");
    return dir || mkdtemp(scratch->dir) || complain(scratch->dir, strerror(errno));
}

void scratch_remove(const struct scratch *scratch)
{
    DIR *folder = scratch->is_ours ? opendir(scratch->dir) : NULL;
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(scratch->dir);
}
