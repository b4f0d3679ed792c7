/* What writers meant to do and what they were told, a line each, appended to one file by all of
 * them: the truth that the sources are held against (checker.h).
 *
 *   intent OP KIND SOURCE CHAT USER DAY BYTES ID   before the call; ID may be empty
 *   ack OP ROWS                                    OK, with the rows that the answer counts
 *   refused OP STATUS                              it was not done, and never will be
 *   repeat OP STATUS ROWS                          an acknowledged one sent again with its ID
 *   missing OP                                     acknowledged, but a read does not find it
 *
 * in columns with a tab between them. An OP without ack or refused: nobody knows. */
#ifndef CHATSTORE_TESTS_CRASH_JOURNAL_H
#define CHATSTORE_TESTS_CRASH_JOURNAL_H

#include <stdint.h>

enum { OP_BYTES = 24, REQUEST_ID_BYTES = 37 };

enum operation_kind {
    OPERATION_SAVE,   /* a message whose message_id is the OP */
    OPERATION_TOKENS, /* 1 for the token OP, 1 for the token "all" */
    OPERATION_SETTING /* the OP as the value of its writer's key, which is the OP up to its "-" */
};

struct operation {
    char op[OP_BYTES]; /* "w3-17" */
    enum operation_kind kind;
    const char *source;
    int64_t chat_id, user_id;
    int day;        /* of January 2024, from 1; of messages */
    unsigned bytes; /* of the message's text, behind the OP and a colon: as many x */
    char request_id[REQUEST_ID_BYTES];
};

const char *operation_kind_name(enum operation_kind kind);

/* Open for appending; returns a descriptor or -1 with errno. The others may be called by any
 * thread, and end the program when the line cannot be written. */
int journal_open(const char *path);
void journal_intent(int journal, const struct operation *operation);
void journal_ack(int journal, const char *op, int64_t rows);
void journal_refused(int journal, const char *op, const char *status);
void journal_repeat(int journal, const char *op, const char *status, int64_t rows);
void journal_missing(int journal, const char *op);

#endif
