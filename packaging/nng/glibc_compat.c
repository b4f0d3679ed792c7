/* What a newer Debian's libnng.a needs from outside and Debian 12's C library does not give, under
 * the names of packaging/nng/renames.txt. Any thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long chatstore_nng_strtol(const char *text, char **end_out, int base);
unsigned long long chatstore_nng_strtoull(const char *text, char **end_out, int base);
size_t chatstore_nng_strlcpy(char *target, const char *text, size_t target_bytes);

/* Set before main() and never again. */
extern FILE *chatstore_nng_stdout;
extern FILE *chatstore_nng_stderr;
FILE *chatstore_nng_stdout;
FILE *chatstore_nng_stderr;

__attribute__((constructor)) static void set_streams(void)
{
    chatstore_nng_stdout = stdout;
    chatstore_nng_stderr = stderr;
}

/* The C23 functions differ only in that they also read "0b101". */
long chatstore_nng_strtol(const char *text, char **end_out, int base)
{
    return strtol(text, end_out, base);
}

unsigned long long chatstore_nng_strtoull(const char *text, char **end_out, int base)
{
    return strtoull(text, end_out, base);
}

/* As in BSD: copies what fits and always ends it; returns the length of text. */
size_t chatstore_nng_strlcpy(char *target, const char *text, size_t target_bytes)
{
    size_t text_bytes = strlen(text);
    if (target_bytes > 0) {
        size_t copy_bytes = text_bytes < target_bytes ? text_bytes : target_bytes - 1;
        memcpy(target, text, copy_bytes);
        target[copy_bytes] = '\0';
    }
    return text_bytes;
}
