#include "peer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

void peer_start(struct peer *peer, const char *path)
{
    int in[2], out[2];
    const char *program = getenv("CHATSTORE_TEST_PEER");
    assert_non_null(program);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    char *const arguments[] = {(char *)program, (char *)path, NULL};
    assert_int_equal(posix_spawn(&peer->pid, program, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    peer->in = fdopen(in[1], "w");
    peer->out = fdopen(out[0], "r");
    assert_true(peer->in && peer->out);
    assert_string_equal(peer_wait(peer), "ok");
}

void peer_send(struct peer *peer, const char *sql)
{
    fprintf(peer->in, "%s\n", sql);
    fflush(peer->in);
}

const char *peer_wait(struct peer *peer)
{
    if (!fgets(peer->answer, sizeof peer->answer, peer->out))
        fail_msg("the other process has ended");
    peer->answer[strcspn(peer->answer, "\n")] = '\0';
    return peer->answer;
}

const char *peer_sql(struct peer *peer, const char *sql)
{
    peer_send(peer, sql);
    return peer_wait(peer);
}

static void end(struct peer *peer)
{
    fclose(peer->in);
    fclose(peer->out);
    assert_int_equal(waitpid(peer->pid, NULL, 0), peer->pid);
}

void peer_stop(struct peer *peer)
{
    end(peer);
}

void peer_kill(struct peer *peer)
{
    kill(peer->pid, SIGKILL);
    end(peer);
}
