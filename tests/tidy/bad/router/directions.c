/* The router knows sources by name and number only. */
#include "../pool/source.h" /* tidy: include-direction */
#include <sqlite3.h>        /* tidy: library-include */
