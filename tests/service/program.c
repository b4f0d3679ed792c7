#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { WAIT_MS_MAX = 20000, ARGUMENTS_MAX = 16 };

extern char **environ;

void program_start(struct program *program, const char *variable, const char *const *arguments)
{
    const char *path = getenv(variable);
    char *all[ARGUMENTS_MAX] = {(char *)path};
    int ends[2];
    if (path == NULL)
        fail_msg("%s is not set: run the tests through ctest", variable);
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i + 2 < ARGUMENTS_MAX);
        all[i + 1] = (char *)arguments[i];
    }
    program->bytes = 0;
    program->text[0] = '\0';
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    assert_int_equal(posix_spawn(&program->pid, path, &actions, NULL, all, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    program->output = ends[0];
}

/* False: it has closed its outputs. */
static bool read_more(struct program *program)
{
    struct pollfd wait = {.fd = program->output, .events = POLLIN};
    if (poll(&wait, 1, WAIT_MS_MAX) != 1)
        fail_msg("the program says no more than: %s", program->text);
    assert_true(program->bytes + 1 < sizeof program->text);
    ssize_t count = read(program->output, program->text + program->bytes,
                         sizeof program->text - program->bytes - 1);
    assert_true(count >= 0);
    program->bytes += (size_t)count;
    program->text[program->bytes] = '\0';
    return count > 0;
}

void program_expect(struct program *program, const char *text)
{
    while (strstr(program->text, text) == NULL)
        if (!read_more(program))
            fail_msg("the program ended without \"%s\": %s", text, program->text);
}

int program_wait(struct program *program)
{
    int status;
    while (read_more(program))
        continue;
    close(program->output);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
