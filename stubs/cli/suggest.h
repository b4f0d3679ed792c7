/* The nearest known name, for texts like: did you mean "chat_id"? */
#ifndef CHATSTORE_STUBS_SUGGEST_H
#define CHATSTORE_STUBS_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

/* The search for the name nearest to `given`: start, offer each known name, read `best`. */
struct suggestion {
    const char *given;
    const char *best; /* NULL: none is near */
    size_t best_distance;
};

void suggest_start(struct suggestion *suggestion, const char *given);
void suggest_offer(struct suggestion *suggestion, const char *name);

/* "; did you mean NAME?", or empty. Valid as long as text. */
const char *suggest_text(const struct suggestion *suggestion, char *text, size_t text_bytes);

#endif
