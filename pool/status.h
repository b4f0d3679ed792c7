/* The statuses of the contract (google.rpc codes) and a status with its text. */
#ifndef CHATSTORE_POOL_STATUS_H
#define CHATSTORE_POOL_STATUS_H

enum status_code {
    STATUS_OK = 0,
    STATUS_INVALID_ARGUMENT = 3,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_NOT_FOUND = 5,
    STATUS_ALREADY_EXISTS = 6,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_FAILED_PRECONDITION = 9,
    STATUS_ABORTED = 10,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_UNAUTHENTICATED = 16,
};

/* An outcome: the text is empty when OK, else says what failed, on what, why, and what to do. */
struct status {
    enum status_code code;
    char text[508];
};

/* Sets code and text (cut if too long) and returns the code. */
__attribute__((format(printf, 3, 4))) enum status_code
status_set(struct status *status, enum status_code code, const char *format, ...);

#endif
