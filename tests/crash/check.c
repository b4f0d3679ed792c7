/* The checker as a program: check JOURNAL NAME=FILE... holds these sources against that journal.
 * Ends with 0 if every acknowledged write is there exactly once. */
#include "checker.h"

#include <string.h>

enum { SOURCES_MAX = 16 };

int main(int argument_count, char **arguments)
{
    struct checker_source sources[SOURCES_MAX];
    struct checker_figures figures;
    int count = argument_count - 2;

    if (count < 1 || count > SOURCES_MAX) {
        fprintf(stderr, "check JOURNAL NAME=FILE...\n");
        return 64;
    }
    for (int i = 0; i < count; i++) {
        char *equals = strchr(arguments[i + 2], '=');
        if (!equals)
            return 64;
        *equals = '\0';
        sources[i] = (struct checker_source){arguments[i + 2], equals + 1};
    }
    if (checker_run(arguments[1], sources, (size_t)count, stdout, &figures) != 0)
        return 1;
    printf("acked %lld refused %lld unknown %lld repeats %lld violations %lld\n", figures.acked,
           figures.refused, figures.unknown, figures.repeats, figures.violations);
    return figures.violations > 0 || figures.acked == 0 ? 1 : 0;
}
