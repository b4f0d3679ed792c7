/* Whether a JSON value is what a case expects. */
#ifndef CHATSTORE_TESTS_MATCH_H
#define CHATSTORE_TESTS_MATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Objects: the same keys in any order (snake_case in the case, lowerCamelCase in the answer); the
 * key "..." allows keys that are not listed, an empty next_page_token need not be. Arrays: the same
 * elements in the same order. "*" is any value that is there, "<now>" a time within a minute of
 * now. Integers may be texts, as 64-bit integers are in JSON. False: `difference` says where and
 * what. */
bool json_matches(const json_t *expected, const json_t *actual, char *difference,
                  size_t difference_bytes);

#endif
