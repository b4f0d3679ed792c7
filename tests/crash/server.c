#include "server.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

bool server_start(struct server *server)
{
    char *const arguments[] = {(char *)server->program, (char[]){"--config"},
                               (char *)server->config_path, NULL};
    posix_spawn_file_actions_t actions;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, server->log, 1);
    posix_spawn_file_actions_adddup2(&actions, server->log, 2);
    int error = posix_spawn(&server->pid, server->program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        fprintf(stderr, "%s: %s\n", server->program, strerror(error));
    return error == 0;
}

void server_signal(const struct server *server, int number)
{
    kill(server->pid, number);
}

int server_wait(struct server *server)
{
    int status = 0;

    waitpid(server->pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
