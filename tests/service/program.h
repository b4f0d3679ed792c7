/* A program run by a test: chatstored. */
#ifndef CHATSTORE_TESTS_PROGRAM_H
#define CHATSTORE_TESTS_PROGRAM_H

#include <stddef.h>
#include <sys/types.h>

enum { PROGRAM_TEXT_BYTES = 64 << 10 };

struct program {
    pid_t pid;
    int output; /* of both its outputs */
    size_t bytes;
    char text[PROGRAM_TEXT_BYTES]; /* what it has said so far */
};

/* Start the program that the environment variable names; the arguments end with NULL. */
void program_start(struct program *program, const char *variable, const char *const *arguments);

/* Read until it has said the text; fails the test if it ends before, or after 20 s. */
void program_expect(struct program *program, const char *text);

/* Read to the end; returns the exit status, or 128 + the signal that ended it. */
int program_wait(struct program *program);

#endif
