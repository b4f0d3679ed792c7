#include "status.h"

#include <stdarg.h>
#include <stdio.h>

enum status_code status_set(struct status *status, enum status_code code, const char *format, ...)
{
    status->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(status->text, sizeof status->text, format, args);
    va_end(args);
    return code;
}
