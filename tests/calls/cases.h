/* The case scripts (*.cases), as data.
 *
 *     == GetChatUser                           a group: one call
 *     works: by chat and user                  a case: its kind and its claim
 *         UpdateChatUser {...} -> {...}        a step: call, request, and what must come of it
 *         sql main: UPDATE ... -> [[...]]      or SQL on the file of a source, with its rows
 *
 * What comes behind "->": a JSON answer (match.h), before it the name of the source that must have
 * answered, behind it "without SOURCE STATUS, ..." for a merged read; or a STATUS and a part of its
 * text. A request may be "hex:..." bytes. A line that is indented by 8 or more continues the step
 * before it; "#" begins a comment line. */
#ifndef CHATSTORE_TESTS_CASES_H
#define CHATSTORE_TESTS_CASES_H

#include <stdbool.h>
#include <stddef.h>

struct case_step {
    unsigned line;
    bool is_sql;
    char *name;   /* of the call; of the source */
    char *input;  /* the request; the SQL */
    char *expect; /* NULL: nothing is (SQL only) */
};

struct call_case {
    unsigned line;
    char *kind; /* "works", "absent or empty", "bad argument", or any other */
    char *claim;
    struct case_step *steps;
    size_t step_count;
};

struct case_group {
    char *name; /* of the call */
    struct call_case *cases;
    size_t case_count;
};

struct case_file {
    char *path;
    struct case_group *groups;
    size_t group_count;
};

/* Read a script; a line that is none of the above fails the test. Free with case_file_free(). */
void case_file_read(struct case_file *file, const char *path);
/* The same from text; `path` names it in messages. */
void case_file_parse(struct case_file *file, const char *path, const char *text);
void case_file_free(struct case_file *file);

/* Whether some case of this kind, in the call's own group, makes the call. */
bool cases_have(const struct case_file *files, size_t file_count, const char *call,
                const char *kind);

#endif
