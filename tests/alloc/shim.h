/* Memory that runs out on demand: of our own code (the linker gives its malloc and the like to the
 * functions of shim.c) and of SQLite. What nng, libprotobuf-c and the C library allocate for
 * themselves is not touched. Any thread. */
#ifndef CHATSTORE_TESTS_ALLOC_SHIM_H
#define CHATSTORE_TESTS_ALLOC_SHIM_H

#include <stdbool.h>

/* Once, before anything of SQLite. */
void shim_install(void);
/* From now on: the first `spared` allocations work, the next fails; with `lasting`, all behind it
 * too. */
void shim_arm(unsigned spared, bool lasting);
/* Nothing fails any more. Returns how many have failed. */
unsigned shim_disarm(void);

#endif
