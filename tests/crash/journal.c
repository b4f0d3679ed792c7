#include "journal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *operation_kind_name(enum operation_kind kind)
{
    static const char *const names[] = {"save", "tokens", "setting"};
    return names[kind];
}

int journal_open(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

/* One write a line: appended as a whole, whoever else writes. */
__attribute__((format(printf, 2, 3))) static void append(int journal, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (bytes < 0 || (size_t)bytes >= sizeof line || write(journal, line, (size_t)bytes) != bytes) {
        perror("the journal cannot be written");
        exit(1);
    }
}

void journal_intent(int journal, const struct operation *operation)
{
    append(journal, "intent\t%s\t%s\t%s\t%lld\t%lld\t%d\t%u\t%s\n", operation->op,
           operation_kind_name(operation->kind), operation->source, (long long)operation->chat_id,
           (long long)operation->user_id, operation->day, operation->bytes, operation->request_id);
}

void journal_ack(int journal, const char *op, int64_t rows)
{
    append(journal, "ack\t%s\t%lld\n", op, (long long)rows);
}

void journal_refused(int journal, const char *op, const char *status)
{
    append(journal, "refused\t%s\t%s\n", op, status);
}

void journal_repeat(int journal, const char *op, const char *status, int64_t rows)
{
    append(journal, "repeat\t%s\t%s\t%lld\n", op, status, (long long)rows);
}

void journal_missing(int journal, const char *op)
{
    append(journal, "missing\t%s\n", op);
}
