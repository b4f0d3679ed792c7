/* Running the steps of cases through a door. */
#ifndef CHATSTORE_TESTS_STEPS_H
#define CHATSTORE_TESTS_STEPS_H

#include "cases.h"
#include "door.h"

/* Run every case of a group; what is not as expected goes to standard error as
 * "FILE:LINE: CLAIM: what". Returns how many cases failed. */
size_t group_run(const struct case_file *file, const struct case_group *group,
                 const struct door *door, const struct sandbox *sandbox);

/* A JSON text of a script: with "..." for a member of an object. */
json_t *case_json(const char *text, const char **end_out, char *error, size_t error_bytes);

#endif
